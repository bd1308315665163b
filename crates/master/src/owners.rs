//! Who the instance runs as: mail_owner and setgid_group when started as root, else the caller.

use crate::directories::Owners;
use std::fmt;
use std::io;
use sys::{Group, User};

/// The identities that a privileged instance uses.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `mail_owner`: what all roles but local become.
    pub mail_owner: User,
    /// `setgid_group`: the group of maildrop and public.
    pub setgid_group: Group,
}

/// Why an identity cannot be used; says which command makes it.
#[derive(Debug)]
pub enum IdentityError {
    /// No such user.
    NoOwner(String),
    /// No such group.
    NoGroup(String),
    /// The user is root, which must not own the queue.
    RootOwner(String),
    /// The group is mail_owner's own.
    OwnersGroup(String, String),
    /// The user database failed.
    Io(io::Error),
}

impl Identity {
    /// Looks both names up. `None` where we are not root: everything runs as the caller.
    pub fn find(mail_owner: &str, setgid_group: &str) -> Result<Option<Identity>, IdentityError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let user = sys::user_by_name(mail_owner).map_err(IdentityError::Io)?;
        let group = sys::group_by_name(setgid_group).map_err(IdentityError::Io)?;
        let user = user.ok_or_else(|| IdentityError::NoOwner(mail_owner.into()))?;
        let group = group.ok_or_else(|| IdentityError::NoGroup(setgid_group.into()))?;
        if user.uid == 0 {
            return Err(IdentityError::RootOwner(mail_owner.into()));
        }
        if user.gid == group.gid {
            return Err(IdentityError::OwnersGroup(setgid_group.into(), mail_owner.into()));
        }
        Ok(Some(Identity { mail_owner: user, setgid_group: group }))
    }

    /// The owners of the spool's directories.
    pub fn owners(&self) -> Owners {
        Owners { mail_owner: (self.mail_owner.uid, self.mail_owner.gid), setgid_group: self.setgid_group.gid }
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdentityError::NoOwner(name) => write!(
                f,
                "mail_owner: expected a user that exists, found `{name}`; create it: \
                 useradd --system --user-group --no-create-home --home-dir /var/spool/postfix --shell /usr/sbin/nologin {name}"
            ),
            IdentityError::NoGroup(name) => write!(
                f,
                "setgid_group: expected a group that exists, found `{name}`; create it: groupadd --system {name}"
            ),
            IdentityError::RootOwner(name) => {
                write!(f, "mail_owner: expected a user without privileges, found `{name}`, which has uid 0")
            }
            IdentityError::OwnersGroup(group, owner) => write!(
                f,
                "setgid_group: expected a group of its own, found `{group}`, which is the group of mail_owner {owner}"
            ),
            IdentityError::Io(e) => write!(f, "the user database cannot be read: {e}"),
        }
    }
}

impl std::error::Error for IdentityError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_owner_or_group_names_the_command_that_creates_it() {
        let owner = IdentityError::NoOwner("postfix".into()).to_string();
        assert!(owner.contains("useradd") && owner.ends_with(" postfix"), "{owner}");
        let group = IdentityError::NoGroup("postdrop".into()).to_string();
        assert!(group.ends_with("groupadd --system postdrop"), "{group}");
    }

    #[test]
    fn root_must_not_own_the_queue() {
        let found = Identity::find("root", "daemon");
        if rustix::process::geteuid().is_root() {
            assert!(matches!(found, Err(IdentityError::RootOwner(_))), "{found:?}");
            assert!(matches!(Identity::find("no-such-user", "daemon"), Err(IdentityError::NoOwner(_))));
        } else {
            assert!(found.unwrap().is_none());
        }
    }
}
