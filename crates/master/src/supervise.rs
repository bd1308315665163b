//! Master's life: lock, listen, start the roles, watch them, reload, stop.

use crate::children::{Child, Children, Notice, Stage};
use crate::directories;
use crate::history::{History, Texts};
use crate::link::{ToMaster, ToRole};
use crate::listening::listen;
use crate::lock::{LockPaths, Locks};
use crate::plan::{ListenerPlan, Plan};
use crate::reloading::{self, Reloading};
use crate::role::RoleKind;
use observe::Tag;
use observe::events::master::{DaemonStarted, Reload, Terminating, Throttling};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// What our processes are called.
pub const PROGRAM: &str = "posthaste";

/// Our version, as the log and the commands name it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the roles may take until all of them serve; the queue manager reads the journal in this time.
const START_TIME_MAX: Duration = Duration::from_secs(120);

/// How long a role may drain when it is told to stop (6 s by its own clock, its last words included) before it is killed.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(8);

/// How long the queue manager may write its journal into queue files before it is killed; the journal survives that.
const QMGR_STOP_TIME_MAX: Duration = Duration::from_secs(600);

/// A role that lived this long has started well: the next restart is at once again.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// The longest pause before a role that did serve is started again. What makes it crash is a message (which goes to
/// hold at the third time) or a session, and neither gets better by waiting.
const SERVED_PAUSE_MAX: Duration = Duration::from_secs(1);

/// More descriptors than this are not asked for, however high the hard limit is.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// What the caller wants of master.
pub struct Options<'a> {
    /// Keep the caller's identity even where we are root.
    pub as_caller: bool,
    /// Repeat the log on standard error.
    pub console: bool,
    /// Makes the plan again, for a reload; the error is for the log.
    pub load: &'a dyn Fn() -> Result<Plan, String>,
    /// Called once, when all roles serve or the start failed.
    pub started: &'a mut dyn FnMut(Result<(), String>),
}

/// Runs an instance until it is told to stop; `Err` where it could not start, which [`Options::started`] was told.
pub fn run(plan: Plan, options: Options<'_>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(e) => return fail(options.started, format!("cannot start an event loop: {e}")),
    };
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let Options { as_caller, console, load, started } = options;
        let tag = plan.tag("master");
        let texts = Texts::read(&plan.config_directory).ok();
        let mut master = match Master::start(plan, as_caller, console).await {
            Ok(master) => Master { taken: texts, ..master },
            Err(why) => {
                observe::fatal(&tag, format_args!("{why}"));
                observe::finish(Duration::from_secs(1));
                return fail(started, why);
            }
        };
        master.keep_configuration();
        started(Ok(()));
        master.serve(load).await;
        Ok(())
    })
}

fn fail(started: &mut dyn FnMut(Result<(), String>), why: String) -> Result<(), String> {
    started(Err(why.clone()));
    Err(why)
}

struct Master {
    plan: Plan,
    tag: Tag,
    as_caller: bool,
    console: bool,
    locks: Locks,
    log: Option<File>,
    listeners: Vec<(ListenerPlan, OwnedFd)>,
    children: Children,
    restarts: HashMap<RoleKind, Restart>,
    /// A reload whose end is not told yet.
    reloading: Option<Reloading>,
    /// The configuration that was taken last, to be kept once it serves.
    taken: Option<Texts>,
    signals: Signals,
}

/// How a role's starts went lately.
#[derive(Default)]
struct Restart {
    failures: u32,
    at: Option<Instant>,
}

impl Restart {
    /// Counts an end and gives the pause before the next start: none for the first, then 1, 2, 4 … s up to `throttle`
    /// (Postfix: `service_throttle_time`) for a role that does not come up, 50, 100, 200 … 1000 ms for one that served.
    fn pause(&mut self, served: bool, lived: Duration, throttle: Duration) -> Duration {
        self.failures = if served && lived >= GOOD_LIFE { 1 } else { self.failures + 1 };
        let (first, longest) = match served {
            true => (Duration::from_millis(50), SERVED_PAUSE_MAX),
            false => (Duration::from_secs(1), throttle),
        };
        match self.failures {
            0 | 1 => Duration::ZERO,
            n => first.saturating_mul(1 << (n - 2).min(10)).min(longest),
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    child: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
        })
    }
}

/// What woke master.
enum Event {
    Terminate(i32),
    Reload,
    Notice(Notice),
    Time,
}

impl Master {
    async fn start(plan: Plan, as_caller: bool, console: bool) -> Result<Master, String> {
        let signals = Signals::new().map_err(|e| format!("cannot take signals: {e}"))?;
        let log = open_log(&plan)?;
        start_log(&plan, log.as_ref(), console)?;
        let tag = plan.tag("master");
        raise_descriptor_limit();
        let owners = plan.identity.as_ref().map(crate::owners::Identity::owners);
        directories::create_missing(&plan.queue_directory, &plan.data_directory, owners.as_ref())
            .map_err(|e| format!("the spool's directories cannot be made: {e}"))?;
        let lock_owner = owners.as_ref().map(|o| o.mail_owner);
        let locks = LockPaths::new(&plan.queue_directory, &plan.data_directory)
            .take(lock_owner)
            .map_err(|e| e.to_string())?;
        for warning in &plan.warnings {
            observe::warn(&tag, format_args!("{warning}"));
        }
        let listeners = listen(&plan, Vec::new(), &tag)?;
        let mut master = Master {
            plan,
            tag,
            as_caller,
            console,
            locks,
            log,
            listeners,
            children: Children::new(),
            restarts: HashMap::new(),
            reloading: None,
            taken: None,
            signals,
        };
        if let Err(why) = master.start_roles().await {
            master.stop().await;
            return Err(why);
        }
        let configuration = master.plan.config_directory.to_string_lossy().into_owned();
        observe::emit(&master.tag, &DaemonStarted { version: VERSION, configuration: &configuration });
        observe::flush();
        Ok(master)
    }

    /// Starts all roles and waits until all of them serve.
    async fn start_roles(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIME_MAX;
        for kind in self.plan.roles() {
            self.spawn(kind)?;
            loop {
                match self.next(Some(deadline)).await {
                    Event::Terminate(signal) => {
                        return Err(format!("stopped by signal {signal} while starting"));
                    }
                    Event::Notice(Notice::Said(_, ToMaster::Ready)) => {}
                    Event::Notice(Notice::Ended(child)) => {
                        child.log_end(&self.tag);
                        let why = child.failure.unwrap_or_else(|| "it ended while starting".into());
                        return Err(format!("{}: {why}", child.kind));
                    }
                    Event::Time => {
                        return Err(format!("{kind} did not start within {} s", START_TIME_MAX.as_secs()));
                    }
                    Event::Notice(_) | Event::Reload => {}
                }
                if self.children.serving(kind).is_some() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn spawn(&mut self, kind: RoleKind) -> Result<i32, String> {
        let listeners: Vec<_> = self.listeners.iter().filter(|(p, _)| p.role == kind).collect();
        let pickup = self.plan.pickup_role() == kind;
        self.children
            .spawn((kind, pickup), &self.plan, self.as_caller, &self.locks, self.log.as_ref(), &listeners)
            .map_err(|e| format!("{kind} cannot be started: {e}"))
    }

    /// Waits for the next thing to do.
    async fn next(&mut self, deadline: Option<Instant>) -> Event {
        let restart = self.restarts.values().filter_map(|r| r.at).min();
        let wake = [deadline, restart].into_iter().flatten().min();
        let time = async {
            match wake {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.signals.terminate.recv() => Event::Terminate(15),
            _ = self.signals.interrupt.recv() => Event::Terminate(2),
            _ = self.signals.hang_up.recv() => Event::Reload,
            notice = self.children.next(&mut self.signals.child) => Event::Notice(notice),
            () = time => Event::Time,
        }
    }

    async fn serve(&mut self, load: &dyn Fn() -> Result<Plan, String>) {
        loop {
            match self.next(self.reloading.as_ref().map(|r| r.deadline)).await {
                Event::Terminate(signal) => {
                    observe::emit(&self.tag, &Terminating { signal });
                    break;
                }
                Event::Reload => self.reload(load),
                Event::Time => self.restart_due(),
                Event::Notice(Notice::Ended(child)) => {
                    self.child_ended(&child);
                    self.answered(child.pid, Some("it ended while it took the configuration".to_owned()));
                }
                Event::Notice(Notice::Said(pid, ToMaster::Ready)) => {
                    self.child_serves(pid);
                    self.answered(pid, None);
                }
                Event::Notice(Notice::Said(pid, ToMaster::Failed(why))) => {
                    let kind = self.children.kind(pid).map_or("role", RoleKind::name);
                    observe::error(&self.tag, format_args!("{kind}: {why}"));
                    self.answered(pid, Some(why));
                }
                Event::Notice(Notice::Said(pid, ToMaster::Reloaded)) => self.answered(pid, None),
                Event::Notice(Notice::Nothing) => {}
            }
            self.tell_of_reload();
            observe::flush();
        }
        observe::flush();
        self.stop().await;
    }

    /// A new process serves: older ones of its kind retire, and its troubles are forgotten once it has lived well.
    fn child_serves(&mut self, pid: i32) {
        let Some(kind) = self.children.kind(pid) else { return };
        self.children.retire_others(kind, pid);
        if kind.is_intake() {
            // A reload left their kind without a service; its last process stays until another kind has taken over.
            let planned = self.plan.roles();
            let left: Vec<_> = RoleKind::ALL.into_iter().filter(|k| !planned.contains(k)).collect();
            self.children.retire(&left);
        }
    }

    fn child_ended(&mut self, child: &Child) {
        child.log_end(&self.tag);
        let planned = self.plan.roles().contains(&child.kind);
        if !planned || self.children.wanted(child.kind) || child.stage == Stage::Stopping {
            return;
        }
        let restart = self.restarts.entry(child.kind).or_default();
        // Who was killed while starting was not kept from it by the configuration.
        let could_serve = child.stage == Stage::Serving || child.was_killed();
        let pause = restart.pause(could_serve, child.since.elapsed(), self.plan.throttle);
        restart.at = Some(Instant::now() + pause);
        if pause >= Duration::from_secs(1) {
            observe::emit(&self.tag, &Throttling { role: child.kind.name() });
        }
        self.restart_due();
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        let is_due = |r: &Restart| r.at.is_some_and(|at| at <= now);
        let due: Vec<RoleKind> = self.restarts.iter().filter(|(_, r)| is_due(r)).map(|(k, _)| *k).collect();
        for kind in due {
            if let Some(restart) = self.restarts.get_mut(&kind) {
                restart.at = None;
            }
            // A reload may have left it without a service.
            if !self.plan.roles().contains(&kind) {
                continue;
            }
            if let Err(why) = self.spawn(kind) {
                observe::error(&self.tag, format_args!("{why}"));
                let restart = self.restarts.entry(kind).or_default();
                let pause = restart.pause(false, Duration::ZERO, self.plan.throttle);
                restart.at = Some(now + pause.max(Duration::from_secs(1)));
            }
        }
    }

    fn answered(&mut self, pid: i32, failure: Option<String>) {
        if let Some(reloading) = &mut self.reloading {
            reloading.answered(pid, failure);
        }
    }

    /// Tells the command that asked for a reload how it ended, once that is known.
    fn tell_of_reload(&mut self) {
        let Some(current) = &mut self.reloading else { return };
        if Instant::now() >= current.deadline {
            current.give_up();
        }
        if let Some(result) = current.ended() {
            self.reloading = None;
            if result.is_ok() {
                self.keep_configuration();
            }
            reloading::tell(&self.lock_paths().pid_file, &result);
        }
    }

    /// Keeps the configuration that serves, for `posthaste rollback`.
    fn keep_configuration(&mut self) {
        let Some(texts) = self.taken.take() else { return };
        if let Err(e) = History::new(&self.lock_paths().pid_file).keep(&texts) {
            observe::warn(&self.tag, format_args!("the configuration cannot be kept for a rollback: {e}"));
        }
    }

    fn lock_paths(&self) -> LockPaths {
        LockPaths::new(&self.plan.queue_directory, &self.plan.data_directory)
    }

    /// Takes a new configuration, or says in the log and to who asked why the old one goes on.
    fn reload(&mut self, load: &dyn Fn() -> Result<Plan, String>) {
        self.reloading = Some(match self.take(load) {
            Ok(reloading) => reloading,
            Err(why) => {
                why.lines().for_each(|line| observe::error(&self.tag, format_args!("{line}")));
                observe::error(&self.tag, format_args!("the old configuration stays in force"));
                Reloading::new(BTreeMap::new(), vec![why])
            }
        });
    }

    /// New listeners first, then a new smtpd beside the old one, which finishes its sessions; the other roles read the
    /// configuration themselves. An error leaves all as it was.
    fn take(&mut self, load: &dyn Fn() -> Result<Plan, String>) -> Result<Reloading, String> {
        let configuration = self.plan.config_directory.to_string_lossy().into_owned();
        let texts = Texts::read(&self.plan.config_directory).ok();
        let plan = load()?;
        // What was changed while it was read is not what was read.
        let unchanged = Texts::read(&plan.config_directory).ok() == texts;
        if (&plan.queue_directory, &plan.data_directory)
            != (&self.plan.queue_directory, &self.plan.data_directory)
        {
            return Err("queue_directory and data_directory change with stop and start only".to_owned());
        }
        // Sockets that stay are duplicates of the same one, so no connection is lost.
        let kept =
            self.listeners.iter().filter_map(|(p, l)| Some((p.clone(), l.try_clone().ok()?))).collect();
        self.listeners = listen(&plan, kept, &self.tag)?;
        let mut failures = Vec::new();
        match open_log(&plan) {
            Ok(log) => self.log = log,
            Err(why) => failures.push(format!("{why}: the log stays where it was")),
        }
        if let Err(why) = start_log(&plan, self.log.as_ref(), self.console) {
            failures.push(why);
        }
        failures.iter().for_each(|why| observe::error(&self.tag, format_args!("{why}")));
        self.plan = plan;
        self.taken = texts.filter(|_| unchanged);
        for warning in &self.plan.warnings {
            observe::warn(&self.tag, format_args!("{warning}"));
        }
        observe::emit(&self.tag, &Reload { version: VERSION, configuration: &configuration });
        let mut waiting = BTreeMap::new();
        for kind in [RoleKind::Qmgr, RoleKind::Local, RoleKind::Control] {
            let told = self.children.tell_reload(kind, self.log.as_ref(), &self.listeners);
            waiting.extend(told.into_iter().map(|pid| (pid, kind)));
        }
        for kind in self.plan.roles().into_iter().filter(|k| k.is_intake()) {
            match self.spawn(kind) {
                Ok(pid) => drop(waiting.insert(pid, kind)),
                Err(why) => {
                    observe::error(&self.tag, format_args!("{why}: the old one goes on"));
                    failures.push(why);
                }
            }
        }
        Ok(Reloading::new(waiting, failures))
    }

    /// Stops the roles one kind after the other: no new mail, then the queue manager empties its journal, then the rest.
    async fn stop(&mut self) {
        self.restarts.clear();
        // All that take mail in are told at once: they drain side by side.
        RoleKind::INTAKE.iter().for_each(|kind| self.children.tell(*kind, &ToRole::Stop));
        let [smtpd, chrooted] = RoleKind::INTAKE;
        for kind in [smtpd, chrooted, RoleKind::Qmgr, RoleKind::Control, RoleKind::Local] {
            self.children.tell(kind, &ToRole::Stop);
            let limit = if kind == RoleKind::Qmgr { QMGR_STOP_TIME_MAX } else { DRAIN_TIME_MAX };
            let deadline = Instant::now() + limit;
            while self.children.living(kind) {
                match self.next(Some(deadline)).await {
                    Event::Notice(Notice::Ended(child)) => child.log_end(&self.tag),
                    Event::Time => {
                        observe::warn(
                            &self.tag,
                            format_args!("{kind} did not end within {} s: killed", limit.as_secs()),
                        );
                        self.children.kill(kind);
                    }
                    _ => {}
                }
            }
        }
        observe::finish(Duration::from_secs(2));
    }
}

/// Sessions and deliveries cost a descriptor each, so the soft limit goes up to the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS_MAX, |m| m.min(DESCRIPTORS_MAX));
    if limit.current.is_none_or(|c| c >= wanted) {
        return;
    }
    // A refusal leaves the limit as it was; session limits follow from what there is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
}

/// Opens maillog_file with our rights, for the roles that may not.
fn open_log(plan: &Plan) -> Result<Option<File>, String> {
    plan.log.open_file().map_err(|e| {
        let path = plan.log.maillog_file.as_deref().unwrap_or(Path::new(""));
        let advice = match e.kind() {
            ErrorKind::NotFound => ": its directory is missing: make it, or set maillog_file to another path",
            _ => ": it cannot be written: correct that, or set maillog_file to another path",
        };
        format!("maillog_file {}: {e}{advice}", path.display())
    })
}

fn start_log(plan: &Plan, log: Option<&File>, console: bool) -> Result<(), String> {
    let copy = log.map(File::try_clone).transpose();
    copy.and_then(|copy| observe::start(plan.log.settings(copy, console))).map_err(|e| format!("log: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_wait_longer_and_longer_and_less_for_a_role_that_served() {
        let pauses = |served, lived| {
            let mut restart = Restart::default();
            let throttle = Duration::from_secs(60);
            (0..9).map(|_| restart.pause(served, lived, throttle).as_millis()).collect::<Vec<_>>()
        };
        let short = Duration::from_millis(10);
        assert_eq!(pauses(false, short), [0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pauses(true, short), [0, 50, 100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(pauses(true, GOOD_LIFE), [0; 9]);
    }
}
