//! Users and groups as the host knows them (files, LDAP, whatever nsswitch.conf says).

use std::ffi::{CStr, CString};
use std::io;
use std::path::PathBuf;

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// The password field; `x` where it lies in the shadow file.
    pub password: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
    /// The comment field: full name and more.
    pub gecos: String,
}

/// An entry of the group database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: String,
    /// The password field; most often `x`.
    pub password: String,
    /// Group id.
    pub gid: u32,
    /// Names of the users who are in it besides those whose primary group it is.
    pub members: Vec<String>,
}

/// An entry that needs more than this is refused as a broken database.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// The user of that name; `None` where there is none.
pub fn user_by_name(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    with_buffer(|entry, buffer, found| {
        // SAFETY: `name` is NUL-terminated; `entry`, `buffer` with its true length and `found` are exclusive
        // references to live memory; getpwnam_r writes nowhere else.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

/// The user of that id; `None` where there is none.
pub fn user_by_id(uid: u32) -> io::Result<Option<User>> {
    with_buffer(|entry, buffer, found| {
        // SAFETY: as in `user_by_name`.
        unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) }
    })
}

/// Calls a reentrant lookup with a buffer that grows until the entry fits.
fn with_buffer(
    lookup: impl Fn(&mut libc::passwd, &mut [libc::c_char], &mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut buffer = vec![0; 4096];
    loop {
        // SAFETY: passwd is plain old data (integers and pointers), for which all zeros is a valid value.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        match lookup(&mut entry, &mut buffer, &mut found) {
            0 if found.is_null() => return Ok(None),
            0 => {
                return Ok(Some(User {
                    name: text(entry.pw_name),
                    password: text(entry.pw_passwd),
                    uid: entry.pw_uid,
                    gid: entry.pw_gid,
                    home: text(entry.pw_dir).into(),
                    shell: text(entry.pw_shell).into(),
                    gecos: text(entry.pw_gecos),
                }));
            }
            libc::ERANGE if buffer.len() < ENTRY_BYTES_MAX => buffer.resize(buffer.len() * 2, 0),
            // POSIX leaves it open how "no such user" is told; these are the ways that are seen.
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// The group of that name; `None` where there is none.
pub fn group_by_name(name: &str) -> io::Result<Option<Group>> {
    let Ok(wanted) = CString::new(name) else { return Ok(None) };
    let mut buffer: Vec<libc::c_char> = vec![0; 4096];
    loop {
        // SAFETY: group is plain old data (integers and pointers), for which all zeros is a valid value.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: `wanted` is NUL-terminated; `entry`, `buffer` with its true length and `found` are live and
        // exclusively ours; getgrnam_r writes nowhere else.
        let code = unsafe {
            libc::getgrnam_r(
                wanted.as_ptr(),
                &raw mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match code {
            0 if found.is_null() => return Ok(None),
            0 => {
                return Ok(Some(Group {
                    name: text(entry.gr_name),
                    password: text(entry.gr_passwd),
                    gid: entry.gr_gid,
                    members: texts(entry.gr_mem),
                }));
            }
            libc::ERANGE if buffer.len() < ENTRY_BYTES_MAX => buffer.resize(buffer.len() * 2, 0),
            libc::ENOENT | libc::ESRCH => return Ok(None),
            code => return Err(io::Error::from_raw_os_error(code)),
        }
    }
}

/// Copies a string of an entry while its buffer lives.
fn text(pointer: *const libc::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the lookup that filled the entry points its fields at NUL-terminated strings in the caller's buffer,
    // which is still alive: all calls stand between the lookup and the end of its loop turn.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Copies a list of strings of an entry while its buffer lives.
fn texts(mut list: *const *mut libc::c_char) -> Vec<String> {
    let mut texts = Vec::new();
    while !list.is_null() {
        // SAFETY: the lookup that filled the entry points `gr_mem` at an array of pointers in the caller's buffer, which
        // ends with a null pointer; the loop goes no further than that.
        let pointer = unsafe { *list };
        if pointer.is_null() {
            break;
        }
        texts.push(text(pointer));
        // SAFETY: the pointer just read was not the last of the array.
        list = unsafe { list.add(1) };
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_by_name_and_by_id() {
        let root = user_by_name("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(user_by_id(0).unwrap().unwrap(), root);
        let group = group_by_name("root").unwrap().unwrap();
        let line = std::fs::read_to_string("/etc/group").unwrap();
        let line = line.lines().find(|line| line.starts_with("root:")).unwrap().to_owned();
        assert_eq!(
            format!("{}:{}:{}:{}", group.name, group.password, group.gid, group.members.join(",")),
            line
        );
    }

    #[test]
    fn who_does_not_exist_is_no_error() {
        assert_eq!(user_by_name("no-such-user-here").unwrap(), None);
        assert_eq!(user_by_name("a\0b").unwrap(), None);
        assert_eq!(group_by_name("no-such-group-here").unwrap(), None);
    }
}
