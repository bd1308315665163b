//! Reading a file that somebody else can write: `.forward`, `:include:`.
//!
//! It is opened with that user's rights, never through a link, and what is judged is what was opened.

use super::context::Context;
use super::{Delivery, Failure, misconfigured};
use crate::local_role::failure::words;
use crate::local_role::rights::Rights;
use mail::Dsn;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A list of more is cut off from delivery: it is read into memory.
const BYTES_MAX: u64 = 32 << 20;

/// Who may have written a file.
const WORLD_WRITABLE: u32 = 0o002;

/// Why a file was not read.
pub(super) enum Unread {
    /// It is not there, or lies where the user may not look.
    Absent,
    /// It is not as it must be; the reason is for the administrator.
    Unsafe(String),
    /// It may be read later.
    Later(io::Error),
}

/// Whose rights it is read with, and who it must belong to.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) as_caller: bool,
    /// It must be this user's or root's.
    pub(super) strict: bool,
}

/// Reads a file as a user; gives its owner, too.
pub(super) fn read(path: &Path, reader: Reader, rights: &mut Rights) -> Result<(String, u32), Unread> {
    rights.set_as_caller(reader.as_caller);
    rights.take(reader.uid, reader.gid).map_err(Unread::Later)?;
    let stat = std::fs::symlink_metadata(path).map_err(absent_or_later)?;
    let (what, opened) = if reader.strict { ("file", "file") } else { (":include: file", "include file") };
    let unsafe_because = |why: String| Unread::Unsafe(format!("{what} {} {why}", path.display()));
    judge(&stat, reader).map_err(unsafe_because)?;
    // Without O_NONBLOCK a pipe that was put there meanwhile would hold us up.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let cannot =
        |e: io::Error| Unread::Unsafe(format!("cannot open {opened} {}: {}", path.display(), words(&e)));
    let file = File::from(openat(CWD, path, flags, Mode::empty()).map_err(|e| cannot(e.into()))?);
    let stat = file.metadata().map_err(Unread::Later)?;
    judge(&stat, reader).map_err(unsafe_because)?;
    if stat.len() > BYTES_MAX {
        return Err(unsafe_because(format!("has more than {BYTES_MAX} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(Unread::Later)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), stat.uid()))
}

fn absent_or_later(error: io::Error) -> Unread {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match error.kind() {
        NotFound | NotADirectory | PermissionDenied => Unread::Absent,
        _ => Unread::Later(error),
    }
}

fn judge(stat: &Metadata, reader: Reader) -> Result<(), String> {
    if !stat.is_file() {
        return Err("is not a regular file".into());
    }
    if reader.strict && !reader.as_caller && stat.uid() != reader.uid && stat.uid() != 0 {
        return Err(format!("has bad owner uid {}", stat.uid()));
    }
    if stat.mode() & WORLD_WRITABLE != 0 {
        return Err("is world writable".into());
    }
    Ok(())
}

impl Delivery<'_> {
    /// Reads an `:include:` file with the rights that the deliveries of its alias have.
    pub(super) async fn read_include(&self, within: &Context, path: &Path) -> Result<(String, u32), Failure> {
        let user = within.user.as_ref().or(self.settings.default_user.as_ref());
        let Some(user) = user else {
            return Err(misconfigured(format!(
                "no account `{}` (default_privs)",
                self.settings.view.default_privs
            )));
        };
        let reader = Reader {
            uid: user.uid,
            gid: user.gid,
            as_caller: self.settings.writing.as_caller,
            strict: false,
        };
        let owned: PathBuf = path.to_owned();
        let shown = path.display();
        match self.shared.pool.run(move |rights| read_again(&owned, reader, rights)).await {
            Some(Ok(read)) => Ok(read),
            Some(Err((Unread::Absent, error))) => {
                Err(misconfigured(format!("unable to lookup :include: file {shown}: {}", words(&error))))
            }
            Some(Err((Unread::Unsafe(why), _))) => Err(misconfigured(why)),
            Some(Err((Unread::Later(e), _))) => Err(Failure::new(
                Dsn::new(4, 3, 0),
                format!("cannot read :include: file {shown}: {}", words(&e)),
            )),
            None => Err(Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error")),
        }
    }
}

/// As `read`, with the system's words for what is absent.
fn read_again(
    path: &Path,
    reader: Reader,
    rights: &mut Rights,
) -> Result<(String, u32), (Unread, io::Error)> {
    read(path, reader, rights).map_err(|unread| {
        let error = std::fs::symlink_metadata(path).err();
        (unread, error.unwrap_or_else(|| io::ErrorKind::PermissionDenied.into()))
    })
}
