//! What an smtpd process tells the administrator's commands: its recent refusals.
//!
//! A process that retires is asked as long as it has sessions; at its end it gives its list to its successor, so a reload
//! forgets nothing.

use super::{Start, sockets};
use ::smtpd::recent::{self, Recent};
use config::parameters::Smtpd;
use control::inquiry::{self, Answer};
use observe::Tag;
use rustix::fs::{Mode, chmod};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use tokio::task::JoinHandle;

/// How the roles begin that have refusals: chrooted or not.
pub const ROLES: &str = "smtpd";

/// Asks for the recent refusals.
pub const REFUSALS: &str = "refusals";

/// Brings those of a process that ends.
const TAKE_OVER: &str = "take-over";

/// The list of a process, and the socket at which it is asked for.
pub struct Telling {
    /// The list.
    pub recent: Recent,
    name: String,
    listener: UnixListener,
}

impl Telling {
    /// Begins to listen. The process has given up its rights already, so the socket belongs to mail_owner.
    pub fn begin(start: &Start) -> Result<Telling, String> {
        let settings = Smtpd::read(&start.config, None).map_err(|e| e.to_string())?;
        let bytes_max = usize::try_from(settings.posthaste_explain_memory_limit).unwrap_or(usize::MAX);
        inquiry::sweep(ROLES);
        let name = inquiry::name(start.arguments.kind.name());
        let listener = sockets::listen(&name)?;
        // The directory keeps others out; here the socket does as well.
        chmod(Path::new(&name), Mode::from_raw_mode(0o600)).map_err(|e| format!("{name}: {e}"))?;
        Ok(Telling { recent: Recent::new(bytes_max), name, listener })
    }

    /// Answers until the handle is aborted. It wants a `LocalSet` around it.
    pub fn serve(&self, tag: Tag) -> io::Result<JoinHandle<()>> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let recent = self.recent.clone();
        let answer: Answer = Rc::new(move |request, more| match request {
            REFUSALS => Some(recent::joined(&recent.all())),
            TAKE_OVER => {
                recent::split(more).for_each(|packet| recent.take_over(packet));
                Some(Vec::new())
            }
            _ => None,
        });
        Ok(tokio::task::spawn_local(inquiry::serve_inquiries(listener, answer, tag)))
    }

    /// The process ends; where it has a successor, that takes its list.
    pub fn end(self, has_successor: bool) {
        // Another that asks is told nothing twice.
        let _ = std::fs::remove_file(&self.name);
        let all = self.recent.all();
        if has_successor && !all.is_empty() {
            // Who cannot take it has its own trouble; a list of the past is not worth more than one try.
            inquiry::give_on(ROLES, TAKE_OVER, &recent::joined(&all));
        }
    }
}
