//! What an installation consists of.

use super::manifest::{Entry, Manifest, Stamp};
use super::root::Root;
use config::parameters::Global;
use config::{Config, Host};
use master::directories::{Owners, create_missing};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, fchown, symlink};
use std::path::{Path, PathBuf};

/// Where all programs lie.
const PROGRAM: &str = "/usr/sbin/posthaste";
/// What any user may run.
const SENDMAIL: &str = "/usr/sbin/sendmail";
/// The same, set-gid: into `maildrop/`, and to the sockets in `public/`.
const SET_GID: [&str; 2] = ["/usr/sbin/postdrop", "/usr/sbin/postqueue"];
/// Other names of sendmail; the last is where old programs look for it.
const SENDMAIL_LINKS: [(&str, &str); 3] = [
    ("/usr/bin/mailq", "../sbin/sendmail"),
    ("/usr/bin/newaliases", "../sbin/sendmail"),
    ("/usr/lib/sendmail", "../sbin/sendmail"),
];

/// A program or link to be made.
enum Thing {
    Program { path: &'static str, source: PathBuf, set_gid: bool },
    Link { path: String, target: &'static str },
}

/// All that is to be made.
pub struct Plan {
    global: Global,
    things: Vec<Thing>,
}

impl Plan {
    /// The plan for a tree, by its main.cf where it has one.
    pub fn find(root: &Root) -> Result<Plan, String> {
        let directory = root.at("/etc/postfix");
        let config = match directory.join("main.cf").exists() {
            true => Config::survey_main(&directory).map_err(|e| e.to_string())?.0,
            false => Config::survey_texts(&directory, "", "", Host::this()).0,
        };
        let global = Global::read(&config, None).map_err(|e| e.to_string())?;
        let own = std::env::current_exe().map_err(|e| format!("this program: {e}"))?;
        let submit = own.with_file_name("submit");
        if !submit.is_file() {
            return Err(format!("{}: expected the program for sendmail and postdrop", submit.display()));
        }
        let mut things = Vec::new();
        let program = |path, source: &Path, set_gid| Thing::Program { path, source: source.into(), set_gid };
        // Who runs it from where it is to be has put it there himself.
        if own != root.at(PROGRAM) {
            things.push(program(PROGRAM, &own, false));
        }
        things.push(program(SENDMAIL, &submit, false));
        things.extend(SET_GID.map(|path| program(path, &submit, true)));
        let names = super::super::postfix_names();
        things
            .extend(names.map(|name| Thing::Link { path: format!("/usr/sbin/{name}"), target: "posthaste" }));
        things.extend(SENDMAIL_LINKS.map(|(path, target)| Thing::Link { path: path.into(), target }));
        Ok(Plan { global, things })
    }

    /// The paths of programs and links.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.things.iter().map(|thing| match thing {
            Thing::Program { path, .. } => path,
            Thing::Link { path, .. } => path.as_str(),
        })
    }

    /// Makes all of it; what is there already stays. An error leaves what was made in the manifest.
    pub fn carry_out(&self, root: &Root, manifest: &mut Manifest) -> Result<(), String> {
        let owners = self.make_users(root, manifest)?;
        let (queue, data) = (root.at(&self.global.queue_directory), root.at(&self.global.data_directory));
        let made = create_missing(&queue, &data, Some(&owners)).map_err(|e| e.to_string())?;
        for directory in made {
            manifest.add(Entry::Directory(root.inside(&directory)), root)?;
        }
        for thing in &self.things {
            match thing {
                Thing::Program { path, source, set_gid } => {
                    let group = if *set_gid { owners.setgid_group } else { 0 };
                    put(root, manifest, path, |new| copy(source, new, group, *set_gid))?;
                }
                Thing::Link { path, target } => put(root, manifest, path, |new| symlink(target, new))?,
            }
        }
        Ok(())
    }

    fn make_users(&self, root: &Root, manifest: &mut Manifest) -> Result<Owners, String> {
        let Global { mail_owner: owner, setgid_group: group, .. } = &self.global;
        for name in [group, owner] {
            // A user who is there already has a group of his own choice.
            if root.group(name)?.is_none() && (name == group || root.user(owner)?.is_none()) {
                root.account("groupadd", &["--system", name])?;
                manifest.add(Entry::Group(name.clone()), root)?;
            }
        }
        if root.user(owner)?.is_none() {
            let home = self.global.queue_directory.as_str();
            let options = ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin"];
            root.account("useradd", &[&options[..], &["--gid", owner, "--home-dir", home, owner]].concat())?;
            manifest.add(Entry::User(owner.clone()), root)?;
        }
        let user = root.user(owner)?.ok_or_else(|| format!("mail_owner {owner}: useradd did not make it"))?;
        let gid =
            root.group(group)?.ok_or_else(|| format!("setgid_group {group}: groupadd did not make it"))?;
        if user.user == 0 || user.group == gid {
            return Err(format!(
                "{owner}, {group}: expected a user without privileges and a group of its own"
            ));
        }
        Ok(Owners { mail_owner: (user.user, user.group), setgid_group: gid })
    }
}

/// Makes something beside its path, writes it down, and puts it in place.
fn put(
    root: &Root,
    manifest: &mut Manifest,
    path: &str,
    make: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), String> {
    let at = root.at(path);
    let failed = |e: std::io::Error| format!("{}: {e}", at.display());
    let mut name = at.file_name().expect("paths of a plan have names").to_owned();
    name.push(".posthaste-new");
    let new = at.with_file_name(name);
    fs::create_dir_all(at.parent().expect("paths of a plan have parents")).map_err(failed)?;
    // Of an installation that was interrupted.
    let _ = fs::remove_file(&new);
    let made = make(&new).map_err(failed).and_then(|()| {
        let entry = match fs::read_link(&new) {
            Ok(target) => Entry::Link(path.to_owned(), target.display().to_string()),
            Err(_) => Entry::File(path.to_owned(), Stamp::of(&new).map_err(failed)?),
        };
        manifest.add(entry.clone(), root)?;
        fs::rename(&new, &at).map_err(failed)?;
        manifest.forget_others(&entry);
        manifest.write(root)
    });
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

fn copy(source: &Path, new: &Path, group: u32, set_gid: bool) -> std::io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(new)?;
    std::io::copy(&mut File::open(source)?, &mut file)?;
    fchown(&file, Some(0), Some(group))?;
    // Behind the change of its group, which takes set-gid away.
    file.set_permissions(fs::Permissions::from_mode(if set_gid { 0o2755 } else { 0o755 }))?;
    file.sync_all()
}
