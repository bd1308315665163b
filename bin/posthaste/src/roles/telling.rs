//! What a process tells the administrator's commands: its counters, and an smtpd its recent refusals and its load.
//!
//! An smtpd that retires is asked as long as it has sessions; at its end it gives its refusals to its successor, so a
//! reload forgets none.

use super::{Start, sockets};
use ::smtpd::postscreen::Screen;
use ::smtpd::recent::{self, Recent};
use ::smtpd::{Anvil, Sessions, policy};
use config::parameters::Smtpd;
use control::inquiry::{self, Answer};
use observe::Tag;
use rustix::fs::{Mode, chmod};
use serde_json::{Map, Value, json};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How the roles begin that have refusals: chrooted or not.
pub const SMTPD: &str = "smtpd";

/// Asks for the recent refusals.
pub const REFUSALS: &str = "refusals";

/// Asks what was counted, in JSON.
pub const COUNTERS: &str = "counters";

/// Brings the refusals of a process that ends.
const TAKE_OVER: &str = "take-over";

/// The socket at which a process is asked.
pub struct Telling {
    name: String,
    listener: UnixListener,
}

impl Telling {
    /// Begins to listen. The process has given up its rights already, so the socket belongs to mail_owner.
    pub fn begin(start: &Start) -> Result<Telling, String> {
        let role = start.arguments.kind.name();
        inquiry::sweep(role);
        let name = inquiry::name(role);
        let listener = sockets::listen(&name)?;
        // The directory keeps others out; here the socket does as well.
        chmod(Path::new(&name), Mode::from_raw_mode(0o600)).map_err(|e| format!("{name}: {e}"))?;
        Ok(Telling { name, listener })
    }

    /// Answers until the handle is aborted. It wants a `LocalSet` around it.
    pub fn serve(&self, answer: Answer, tag: Tag) -> io::Result<JoinHandle<()>> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        Ok(tokio::task::spawn_local(inquiry::serve_inquiries(listener, answer, tag)))
    }

    /// Nobody asks any more.
    pub fn end(self) {
        // Whoever asks now finds nobody, which is as good.
        let _ = std::fs::remove_file(&self.name);
    }
}

/// The answers of a process that only counts.
pub fn plain() -> Answer {
    Rc::new(|request, _| {
        (request == COUNTERS).then(|| json!({"counters": counters()}).to_string().into_bytes())
    })
}

fn counters() -> Map<String, Value> {
    observe::counters().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n.into())).collect()
}

/// What an smtpd process can tell of.
#[derive(Clone)]
pub struct Known {
    /// Its refusals.
    pub recent: Recent,
    /// Its services and their sessions.
    pub sessions: Vec<(Arc<str>, Sessions)>,
    /// Its postscreen services, by their names in the log.
    pub screens: Vec<(Arc<str>, Arc<Screen>)>,
    /// Its clients.
    pub anvil: Anvil,
}

impl Known {
    /// An empty list of refusals, as large as main.cf lets it be.
    pub fn recent(start: &Start) -> Result<Recent, String> {
        let settings = Smtpd::read(&start.config, None).map_err(|e| e.to_string())?;
        Ok(Recent::new(usize::try_from(settings.posthaste_explain_memory_limit).unwrap_or(usize::MAX)))
    }

    /// Its answers.
    pub fn answers(self) -> Answer {
        Rc::new(move |request, more| match request {
            REFUSALS => Some(recent::joined(&self.recent.all())),
            COUNTERS => Some(self.counted().to_string().into_bytes()),
            TAKE_OVER => {
                recent::split(more).for_each(|packet| self.recent.take_over(packet));
                Some(Vec::new())
            }
            _ => None,
        })
    }

    fn counted(&self) -> Value {
        let sessions = self.sessions.iter().map(|(name, sessions)| {
            let stress = sessions.stress();
            json!({
                "service": &**name,
                "sessions": stress.sessions_open(),
                "sessions_max": stress.sessions_max(),
                "waiting": sessions.waiting(),
                "stress": stress.is_on(),
            })
        });
        let screens = self.screens.iter().map(|(name, screen)| {
            let (figures, stressed) = screen.figures();
            let mut told: Map<_, _> =
                figures.into_iter().map(|(name, n)| (name.to_owned(), n.into())).collect();
            told.insert("postscreen".to_owned(), (&**name).into());
            told.insert("stress".to_owned(), stressed.into());
            told
        });
        json!({
            "counters": counters(),
            "services": sessions.collect::<Vec<_>>(),
            "postscreen": screens.collect::<Vec<_>>(),
            "policy_services": policy::known().iter().map(of_policy).collect::<Vec<_>>(),
            "anvil": {"networks": self.anvil.networks(), "bytes": self.anvil.bytes()},
            "recent_refusals": {"kept": self.recent.all().len(), "bytes": self.recent.bytes()},
        })
    }
}

fn of_policy(known: &policy::Known) -> Map<String, Value> {
    let figures = known.figures.iter().map(|(name, n)| ((*name).to_owned(), Value::from(*n)));
    let mut told: Map<_, _> = figures.collect();
    told.insert("service".to_owned(), known.spec.as_str().into());
    told.insert("left_in_peace".to_owned(), known.in_peace.into());
    told
}

/// Gives the refusals of a process that ends because another has taken over to that one.
pub fn give_on(recent: &Recent) {
    let all = recent.all();
    if !all.is_empty() {
        // Who cannot take it has its own trouble; a list of the past is not worth more than one try.
        inquiry::give_on(SMTPD, TAKE_OVER, &recent::joined(&all));
    }
}
