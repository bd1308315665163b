//! What is wrong with directories that exist: who may use them, and who should not.
//!
//! Postfix: `postfix check`, whose words the warnings have. What keeps our processes from their work is an error.

use crate::directories::{self, Owner};
use crate::owners::Identity;
use rustix::process::{getegid, geteuid};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Search a directory.
const SEARCH: u32 = 1;
/// Read, change and search a directory.
const USE: u32 = 7;
/// Read a file.
const READ: u32 = 4;

/// What is wrong with one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the mail system cannot work like this.
    pub is_error: bool,
    /// Where, what was expected and found, and what to do.
    pub text: String,
}

impl Finding {
    fn error(text: String) -> Finding {
        Finding { is_error: true, text }
    }

    fn warning(text: String) -> Finding {
        Finding { is_error: false, text }
    }
}

/// Everything that is wrong with the directories of a spool. What is missing is a warning: a start makes it.
pub fn inspect(queue: &Path, data: &Path, identity: Option<&Identity>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let who = Who::of(identity);
    for path in [queue, data] {
        let passed = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
        findings.extend(passed.filter_map(|parent| who.passes(parent)));
    }
    findings.dedup();
    if findings.iter().any(|f| f.is_error) {
        // What lies behind is as out of reach, and the same sentence twenty times helps nobody.
        return findings;
    }
    if !exists(queue) {
        findings.push(missing(queue));
    } else {
        findings.extend(who.look(queue, 0o755, Owner::Root));
        for (name, mode, owner) in directories::DIRECTORIES {
            findings.extend(who.look(&queue.join(name), *mode, *owner));
        }
    }
    findings.extend(who.look(data, 0o700, Owner::Mail));
    findings
}

/// Why the processes that have given up root cannot read a file of the configuration again; nothing where they can.
pub fn unreadable(path: &Path, identity: Option<&Identity>) -> Option<String> {
    let who = Who::of(identity);
    if let Some(finding) = path.ancestors().skip(1).find_map(|parent| who.passes(parent)) {
        return Some(finding.text);
    }
    let found = std::fs::metadata(path).ok()?;
    (!who.may(path, &found, READ)).then(|| {
        let path = path.display();
        format!("{path}: {} may not read it ({}): chmod o+r {path}", who.name, describe(&found))
    })
}

/// Who is to use the directories.
struct Who<'a> {
    name: String,
    uid: u32,
    gid: u32,
    identity: Option<&'a Identity>,
}

impl<'a> Who<'a> {
    fn of(identity: Option<&'a Identity>) -> Who<'a> {
        let (name, uid, gid) = match identity {
            Some(i) => (format!("mail_owner {}", i.mail_owner.name), i.mail_owner.uid, i.mail_owner.gid),
            None => ("the caller".into(), geteuid().as_raw(), getegid().as_raw()),
        };
        Who { name, uid, gid, identity }
    }

    /// Whether the mode bits allow it. Access lists are not read: who sets them knows why.
    fn may(&self, path: &Path, found: &Metadata, wanted: u32) -> bool {
        let shift = match found {
            _ if self.uid == 0 => return true,
            f if f.uid() == self.uid => 6,
            f if f.gid() == self.gid => 3,
            _ => 0,
        };
        (found.mode() >> shift) & wanted == wanted || has_access_list(path)
    }

    fn passes(&self, parent: &Path) -> Option<Finding> {
        let found = std::fs::metadata(parent).ok()?;
        let shown = parent.display();
        if !found.is_dir() {
            return Some(Finding::error(format!("{shown}: expected a directory, found a file")));
        }
        (!self.may(parent, &found, SEARCH)).then(|| {
            let text = format!(
                "{shown}: {} may not pass to what lies below ({}): chmod o+x {shown}",
                self.name,
                describe(&found)
            );
            Finding::error(text)
        })
    }

    /// Looks at one directory that should have this mode and owner.
    fn look(&self, path: &Path, mode: u32, owner: Owner) -> Vec<Finding> {
        let shown = path.display();
        let found = match std::fs::metadata(path) {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return vec![missing(path)],
            Err(e) => return vec![Finding::error(format!("{shown}: {e}"))],
        };
        if !found.is_dir() {
            let text =
                format!("{shown}: expected a directory, found a file: move it away, and a start makes one");
            return vec![Finding::error(text)];
        }
        // Master itself holds the lock in pid/; as the caller it is the one that must be able to.
        let wanted = if matches!(owner, Owner::Root) && self.identity.is_some() { SEARCH } else { USE };
        if !self.may(path, &found, wanted) {
            let to = match (self.identity, owner) {
                (Some(_), Owner::Root) => format!("chmod {mode:o} {shown}"),
                (Some(i), _) if found.uid() != i.mail_owner.uid => {
                    format!("chown -R {} {shown}", i.mail_owner.name)
                }
                _ => format!("chmod u+rwx {shown}"),
            };
            let text = format!("{shown}: {} cannot use it ({}): {to}", self.name, describe(&found));
            return vec![Finding::error(text)];
        }
        self.identity.map_or_else(Vec::new, |identity| owned(path, &found, (mode, owner), identity))
    }
}

/// Owners and modes that do no harm to us but let in who should stay out.
fn owned(path: &Path, found: &Metadata, (mode, owner): (u32, Owner), identity: &Identity) -> Vec<Finding> {
    let shown = path.display();
    let mut findings = Vec::new();
    let (uid, name) = match owner {
        Owner::Root => (0, "root"),
        _ => (identity.mail_owner.uid, identity.mail_owner.name.as_str()),
    };
    if found.uid() != uid {
        findings.push(format!("not owned by {name}: {shown} ({}): chown {name} {shown}", describe(found)));
    }
    let group = &identity.setgid_group;
    if matches!(owner, Owner::MailAndGroup) && found.gid() != group.gid {
        let text =
            format!("not owned by group {}: {shown} ({}): chgrp {0} {shown}", group.name, describe(found));
        findings.push(text);
    }
    let open = found.mode() & 0o022 & !mode;
    if open != 0 {
        let text = format!("group or other writable: {shown} ({}): chmod {mode:o} {shown}", describe(found));
        findings.push(text);
    }
    findings.into_iter().map(Finding::warning).collect()
}

fn missing(path: &Path) -> Finding {
    Finding::warning(format!("missing: {} (a start makes it)", path.display()))
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// `owner daemon, group 8, mode 700`.
fn describe(found: &Metadata) -> String {
    let user = sys::user_by_id(found.uid()).ok().flatten();
    let user = user.map_or_else(|| found.uid().to_string(), |user| user.name);
    format!("owner {user}, group {}, mode {:o}", found.gid(), found.mode() & 0o7777)
}

fn has_access_list(path: &Path) -> bool {
    let mut list = [0u8; 256];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).is_ok_and(|n| n > 0)
}
