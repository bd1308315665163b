//! The roles, and what one starts with: the process's side of the link to master.

use crate::link::{RoleEnd, ToMaster, ToRole};
use observe::NumbersRange;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// A process of its own, since its privileges are its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleKind {
    /// Owns the queue, dials out.
    Qmgr,
    /// Delivers with the recipient's rights.
    Local,
    /// Shows the queue to commands.
    Control,
    /// Takes mail in.
    Smtpd,
    /// Takes mail in with queue_directory as its root: the lines of master.cf whose chroot column says so.
    ChrootedSmtpd,
}

impl RoleKind {
    /// All roles in the order in which they start; a [`crate::Plan`] says which of them there are.
    pub const ALL: [RoleKind; 5] =
        [RoleKind::Qmgr, RoleKind::Local, RoleKind::Control, RoleKind::Smtpd, RoleKind::ChrootedSmtpd];

    /// The roles that take mail in.
    pub const INTAKE: [RoleKind; 2] = [RoleKind::Smtpd, RoleKind::ChrootedSmtpd];

    /// The name, as on the command line and in what master logs.
    pub const fn name(self) -> &'static str {
        match self {
            RoleKind::Qmgr => "qmgr",
            RoleKind::Local => "local",
            RoleKind::Control => "control",
            RoleKind::Smtpd => "smtpd",
            RoleKind::ChrootedSmtpd => "smtpd-chroot",
        }
    }

    /// The program, as the role's own log lines name it.
    pub const fn program(self) -> &'static str {
        match self {
            RoleKind::ChrootedSmtpd => RoleKind::Smtpd.name(),
            other => other.name(),
        }
    }

    /// Whether the role takes mail in, and so is replaced rather than told at reload.
    pub fn is_intake(self) -> bool {
        RoleKind::INTAKE.contains(&self)
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<RoleKind> {
        RoleKind::ALL.into_iter().find(|r| r.name() == name)
    }
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The command line of a role, which master writes and the role reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleArguments {
    /// Which role.
    pub kind: RoleKind,
    /// The directory of main.cf.
    pub config_directory: PathBuf,
    /// Keep the caller's identity even where we are root.
    pub as_caller: bool,
    /// Take in what lies in maildrop/: one process of those that take mail in does.
    pub pickup: bool,
    /// Which range of numbers is ours.
    pub slot: u16,
    /// The role's end of the link.
    pub link: RawFd,
    /// The instance's locks, held as long as the role lives.
    pub locks: [RawFd; 2],
}

impl RoleArguments {
    /// As arguments behind the program's name.
    pub fn to_arguments(&self) -> Vec<String> {
        let RoleArguments { kind, config_directory, as_caller, pickup, slot, link, locks: [a, b] } = self;
        let directory = config_directory.to_string_lossy().into_owned();
        let who = if *as_caller { "caller" } else { "owner" };
        let numbers = format!("{slot},{link},{a},{b},{}", u8::from(*pickup));
        vec!["role".into(), kind.name().into(), directory, who.into(), numbers]
    }

    /// Reads what stands behind `role`.
    pub fn parse(arguments: &[String]) -> Option<RoleArguments> {
        let [kind, directory, who, numbers] = arguments else { return None };
        let numbers: Vec<i32> = numbers.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
        let [slot, link, a, b, pickup] = numbers[..] else { return None };
        Some(RoleArguments {
            kind: RoleKind::parse(kind)?,
            config_directory: directory.into(),
            as_caller: who == "caller",
            pickup: pickup == 1,
            slot: slot.try_into().ok()?,
            link,
            locks: [a, b],
        })
    }
}

/// What a role starts with.
#[derive(Debug)]
pub struct Inherited {
    /// Numbers for its sessions and deliveries.
    pub numbers: NumbersRange,
    /// The log file that master opened.
    pub log: Option<File>,
    /// Listening sockets with their service, `smtp/inet`.
    pub listeners: Vec<(String, OwnedFd)>,
    /// To master.
    pub link: RoleEnd,
    /// Held until the process ends, so that no other instance takes the spool before.
    pub locks: [OwnedFd; 2],
}

/// Takes over what master left us and waits for its word to start. Call it first thing in main.
pub fn inherit(arguments: &RoleArguments) -> io::Result<Inherited> {
    let link = RoleEnd::new(sys::take_inherited_fd(arguments.link)?);
    let [a, b] = arguments.locks;
    let locks = [sys::take_inherited_fd(a)?, sys::take_inherited_fd(b)?];
    let (mut log, mut listeners) = (None, Vec::new());
    loop {
        let incomplete = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
        match link.receive()? {
            Some((ToRole::Log, fd)) => log = Some(File::from(fd.ok_or_else(incomplete)?)),
            Some((ToRole::Listener { service, .. }, fd)) => {
                listeners.push((service, fd.ok_or_else(incomplete)?));
            }
            Some((ToRole::Go, _)) => break,
            Some((ToRole::Reload, _)) => {}
            Some((ToRole::Retire | ToRole::Stop, _)) | None => {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "master gave up the start"));
            }
        }
    }
    Ok(Inherited { numbers: NumbersRange::of_slot(arguments.slot), log, listeners, link, locks })
}

impl Inherited {
    /// Tells master why this role cannot start; the text goes to whoever gave the command.
    pub fn failed(&self, why: &str) {
        // Where master is gone too, the log has the text.
        let _ = self.link.send(&ToMaster::Failed(why.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_of_a_role_survives_the_way() {
        let arguments = RoleArguments {
            kind: RoleKind::Qmgr,
            config_directory: "/etc/postfix".into(),
            as_caller: true,
            pickup: true,
            slot: 3,
            link: 7,
            locks: [4, 5],
        };
        let words = arguments.to_arguments();
        assert_eq!(words[0], "role");
        assert_eq!(RoleArguments::parse(&words[1..]), Some(arguments));
        assert_eq!(RoleArguments::parse(&words), None);
    }
}
