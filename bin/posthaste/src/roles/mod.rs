//! What each process does: takes over its descriptors, reads the configuration, gives up its rights, serves.

mod agents;
mod caches;
mod control;
mod limits;
mod local;
pub mod names;
mod qmgr;
pub mod queue;
mod routing;
mod screens;
mod smtpd;
mod sockets;
pub mod telling;
mod verifying;

use config::Config;
use master::link::{RoleLink, ToMaster, ToRole};
use master::{Inherited, Plan, RoleArguments, RoleKind};
use net::ShutdownTrigger;
use observe::Tag;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use sys::FileSandbox;

/// How long sessions and deliveries may go on after the order to stop.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How long it then may take to tell clients in a transaction that the service goes down.
pub const LAST_WORDS_TIME: Duration = Duration::from_secs(1);

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
    log_panics(tag.clone());
    let result = match start.arguments.kind {
        RoleKind::Qmgr => qmgr::run(start),
        RoleKind::Local => local::run(start),
        RoleKind::Control => control::run(start),
        RoleKind::Smtpd | RoleKind::ChrootedSmtpd => smtpd::run(start),
    };
    if let Err(why) = &result {
        observe::fatal(&tag, format_args!("{why}"));
    }
    observe::finish(Duration::from_secs(1));
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A bug that was noticed stands in the log, whether it costs a session, a delivery or the process.
fn log_panics(tag: Tag) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        observe::panic(&tag, format_args!("thread {}: {panic}", thread.name().unwrap_or("?")));
        // The process may be about to end.
        observe::finish(Duration::from_millis(100));
    }));
}

fn prepare(arguments: RoleArguments, inherited: Inherited) -> Result<Start, ()> {
    let load = || -> Result<(Config, Plan), String> {
        let config = Config::load(&arguments.config_directory).map_err(|e| e.to_string())?;
        let plan = Plan::of(&config, arguments.as_caller).map_err(|e| e.to_string())?;
        Ok((config, plan))
    };
    let (config, plan) = load().map_err(|why| inherited.failed(&why))?;
    std::env::set_current_dir(&plan.queue_directory)
        .map_err(|e| inherited.failed(&format!("{}: {e}", plan.queue_directory.display())))?;
    let tag = plan.tag(arguments.kind.program());
    Ok(Start { arguments, inherited, config, plan, tag })
}

/// What every role may read: libraries, the host's name service, its time zone.
const SYSTEM: &[&str] =
    &["/etc", "/usr", "/lib", "/lib64", "/dev", "/proc/self", "/sys/fs/cgroup", "/run/systemd/resolve"];

/// Files that a role reaches, relative to queue_directory; besides the system's and data_directory.
pub struct Reach<'a> {
    /// May be read.
    pub read: &'a [PathBuf],
    /// May be read, written, made and removed.
    pub write: &'a [&'a str],
    /// As `write`: directories in which tables make files of their own.
    pub tables: &'a [PathBuf],
    /// As `write`: directories that are open already, and may lie outside of what will be its root.
    pub opened: &'a [BorrowedFd<'a>],
    /// The directory of main.cf may be read: the role takes a new configuration by itself.
    pub configuration: bool,
}

impl Start {
    /// Gives up all that the role does not need, for good, then opens the log: root for mail_owner, files out of
    /// reach, other programs. What needs root (tables, certificates) is opened before. Where everything runs as the
    /// caller there is no identity to give up; the rest is the same. A role that is chrooted has queue_directory as its
    /// root afterwards; its paths below queue_directory are relative, so they stay what they were.
    pub fn confine(&mut self, reach: &Reach<'_>) -> Result<(), String> {
        let mut log = self.plan.log.settings(self.inherited.log.take(), false);
        if self.is_chrooted() {
            log.destination = log.destination.opened().map_err(|e| self.fail(format!("log: {e}")))?;
            // The C library reads the time zone once, and /etc/localtime lies beyond the new root.
            let _ = sys::local_time(0);
        }
        let confined = self.give_up(reach);
        let sandbox = confined.map_err(|why| self.fail(why))?;
        observe::start(log).map_err(|e| self.fail(format!("log: {e}")))?;
        if sandbox != FileSandbox::Full {
            let how = if sandbox == FileSandbox::None { "not at all" } else { "in part only" };
            observe::warn(
                &self.tag,
                format_args!("this kernel keeps files from {} {how} (landlock)", self.tag.program),
            );
        }
        Ok(())
    }

    /// Whether this process gets queue_directory as its root.
    pub fn is_chrooted(&self) -> bool {
        self.arguments.kind == RoleKind::ChrootedSmtpd
    }

    fn not_chrooted(&self, error: &io::Error) -> String {
        let text = format!("{error}; services with `n` in the chroot column of master.cf need none");
        self.config.scope(None).error("queue_directory", text).to_string()
    }

    fn give_up(&self, reach: &Reach<'_>) -> Result<FileSandbox, String> {
        if let Some(identity) = &self.plan.identity {
            let owner = &identity.mail_owner;
            match self.is_chrooted() {
                true => sys::become_user_below(&self.plan.queue_directory, owner, owner.gid)
                    .map_err(|e| self.not_chrooted(&e))?,
                false => sys::become_user(owner, owner.gid)
                    .map_err(|e| format!("cannot become {}: {e}", owner.name))?,
            }
            let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
            hidden.map_err(|e| format!("cannot hide from other processes of {}: {e}", owner.name))?;
        }
        let queue = if self.is_chrooted() { Path::new("/") } else { &*self.plan.queue_directory };
        let mut read: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
        read.extend(reach.read.iter().map(|name| queue.join(name)));
        if reach.configuration {
            read.push(self.plan.config_directory.clone());
        }
        let mut write: Vec<PathBuf> = reach.write.iter().map(|name| queue.join(name)).collect();
        write.extend(reach.tables.iter().map(|name| queue.join(name)));
        if !self.is_chrooted() {
            write.push(self.plan.data_directory.clone());
        }
        let sandbox =
            sys::restrict_files(&read, &write, reach.opened).map_err(|e| format!("landlock: {e}"))?;
        match sys::forbid_system_calls() {
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {}
            result => result.map_err(|e| format!("seccomp: {e}"))?,
        }
        Ok(sandbox)
    }

    /// Opens the log of a role that gives up nothing: it acts with each recipient's rights.
    pub fn open_log(&mut self) -> Result<(), String> {
        let log = self.plan.log.settings(self.inherited.log.take(), false);
        observe::start(log).map_err(|e| self.fail(format!("log: {e}")))
    }

    /// Tells master why the role cannot start, and gives the reason on.
    pub fn fail(&self, why: String) -> String {
        self.inherited.failed(&why);
        why
    }
}

/// The event loop of a role: one thread, tasks stay on it. Before it sleeps it leaves the log to `flush`:
/// [`observe::flush`], or [`observe::flush_soon`] where many clients would wait for a slow disk.
pub fn runtime(flush: fn()) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(flush).build()
}

/// Tells master that we serve, then follows its orders until the end: stop, retire, or master's own end.
/// `reload` takes a new configuration.
pub async fn follow_master(
    link: RoleLink,
    trigger: ShutdownTrigger,
    tag: Tag,
    mut reload: impl FnMut() -> Result<(), String>,
) -> io::Result<()> {
    follow_master_with(link, trigger, tag, |_| reload()).await
}

/// [`follow_master`] for a role whose reload brings listening sockets, each with its line of master.cf.
pub async fn follow_master_with(
    link: RoleLink,
    trigger: ShutdownTrigger,
    tag: Tag,
    mut reload: impl FnMut(Vec<(String, OwnedFd)>) -> Result<(), String>,
) -> io::Result<()> {
    link.send(&ToMaster::Ready)?;
    let mut sockets = Vec::new();
    loop {
        match link.receive().await {
            Ok(Some((ToRole::Listener { service, .. }, Some(socket)))) => sockets.push((service, socket)),
            Ok(Some((ToRole::Reload, _))) => {
                let answer = match reload(std::mem::take(&mut sockets)) {
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
            Ok(Some((ToRole::Retire, _))) => trigger.retire(),
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
