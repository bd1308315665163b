//! What each process does: takes over its descriptors, reads the configuration, gives up its rights, serves.

mod control;
mod local;
mod qmgr;
mod smtpd;

use config::Config;
use master::link::{RoleLink, ToMaster, ToRole};
use master::{Inherited, Plan, RoleArguments, RoleKind};
use net::{Shutdown, ShutdownTrigger};
use observe::Tag;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// How long sessions and deliveries may go on after the order to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What every role has before it gives up its rights.
pub struct Start {
    /// How it was started.
    pub arguments: RoleArguments,
    /// Descriptors and the link.
    pub inherited: Inherited,
    /// main.cf and master.cf.
    pub config: Config,
    /// Directories, identity, log.
    pub plan: Plan,
    /// The tag of lines about the process itself.
    pub tag: Tag,
}

/// The main function of a role process.
pub fn main(words: &[String]) -> ExitCode {
    let Some(arguments) = RoleArguments::parse(words) else {
        eprintln!("posthaste role: this is how master starts its processes; see posthaste --help");
        return ExitCode::FAILURE;
    };
    let Ok(inherited) = master::inherit(&arguments) else {
        // Master is gone or stops: it knows.
        return ExitCode::FAILURE;
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let start = match prepare(arguments, inherited) {
        Ok(start) => start,
        Err(_) => return ExitCode::FAILURE,
    };
    let tag = start.tag.clone();
    let result = match start.arguments.kind {
        RoleKind::Qmgr => qmgr::run(start),
        RoleKind::Local => local::run(start),
        RoleKind::Control => control::run(start),
        RoleKind::Smtpd => smtpd::run(start),
    };
    if let Err(why) = &result {
        observe::fatal(&tag, format_args!("{why}"));
    }
    observe::finish(Duration::from_secs(1));
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prepare(arguments: RoleArguments, mut inherited: Inherited) -> Result<Start, ()> {
    let load = || -> Result<(Config, Plan), String> {
        let config = Config::load(&arguments.config_directory).map_err(|e| e.to_string())?;
        let plan = Plan::of(&config, arguments.as_caller).map_err(|e| e.to_string())?;
        Ok((config, plan))
    };
    let (config, plan) = load().map_err(|why| inherited.failed(&why))?;
    observe::start(plan.log.settings(inherited.log.take(), false))
        .map_err(|e| inherited.failed(&format!("log: {e}")))?;
    std::env::set_current_dir(&plan.queue_directory)
        .map_err(|e| inherited.failed(&format!("{}: {e}", plan.queue_directory.display())))?;
    let tag = plan.tag(arguments.kind.name());
    Ok(Start { arguments, inherited, config, plan, tag })
}

impl Start {
    /// Gives up root for mail_owner, for good; where everything runs as the caller there is nothing to give up.
    pub fn become_mail_owner(&self) -> Result<(), String> {
        let Some(identity) = &self.plan.identity else { return Ok(()) };
        sys::become_user(&identity.mail_owner, identity.mail_owner.gid)
            .and_then(|()| Ok(rustix::thread::set_no_new_privs(true)?))
            .map_err(|e| self.fail(format!("cannot become {}: {e}", identity.mail_owner.name)))
    }

    /// Tells master why the role cannot start, and gives the reason on.
    pub fn fail(&self, why: String) -> String {
        self.inherited.failed(&why);
        why
    }
}

/// The event loop of a role: one thread, tasks stay on it, the log is flushed before it sleeps.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(observe::flush).build()
}

/// Tells master that we serve, then follows its orders until the end: stop, retire, or master's own end.
/// `reload` takes a new configuration.
pub async fn follow_master(
    link: RoleLink,
    trigger: ShutdownTrigger,
    tag: Tag,
    mut reload: impl FnMut() -> Result<(), String>,
) -> io::Result<()> {
    link.send(&ToMaster::Ready)?;
    loop {
        match link.receive().await {
            Ok(Some((ToRole::Reload, _))) => {
                let answer = match reload() {
                    Ok(()) => ToMaster::Reloaded,
                    Err(why) => ToMaster::Failed(why),
                };
                link.send(&answer)?;
            }
            // The old log file is closed when the new one is open.
            Ok(Some((ToRole::Log, Some(fd)))) => {
                let settings =
                    observe::Settings { destination: observe::Destination::Open(fd.into()), console: false };
                if let Err(e) = observe::start(settings) {
                    observe::error(&tag, format_args!("log: {e}"));
                }
            }
            Ok(Some((ToRole::Retire, _))) => trigger.request(),
            Ok(Some((ToRole::Stop, _))) => {
                trigger.request();
                return Ok(());
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => {
                observe::warn(&tag, format_args!("master is gone: this process ends too"));
                trigger.request();
                return Ok(());
            }
        }
    }
}

/// Serves nothing: waits for the end.
pub fn idle(start: Start) -> Result<(), String> {
    start.become_mail_owner()?;
    let Start { inherited, tag, .. } = start;
    let runtime = runtime().map_err(|e| e.to_string())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let (trigger, shutdown) = Shutdown::new();
        let link = inherited.link.into_async().map_err(|e| e.to_string())?;
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            followed = follow_master(link, trigger, tag, || Ok(())) => followed.map_err(|e| e.to_string()),
        }
    })
}
