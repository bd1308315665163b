//! The role processes: starting them, hearing of them, ending them.

use crate::link::{self, MasterEnd, ToMaster, ToRole};
use crate::lock::Locks;
use crate::plan::{ListenerPlan, Plan};
use crate::role::{RoleArguments, RoleKind};
use observe::Tag;
use observe::events::master::{Ended, ProcessEnded};
use rustix::process::{Pid, Signal as KillSignal, WaitOptions, kill_process, wait};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::rc::Rc;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Messages of roles that wait for master; a role that says more waits itself.
const WAITING_MAX: usize = 64;

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Starting,
    Serving,
    Stopping,
}

/// One role process.
pub(crate) struct Child {
    pub(crate) kind: RoleKind,
    pub(crate) stage: Stage,
    pub(crate) since: Instant,
    /// What the role said about why it cannot start.
    pub(crate) failure: Option<String>,
    pub(crate) pid: i32,
    slot: u16,
    end: Rc<MasterEnd>,
    ended: Option<Ended>,
    link_ended: bool,
}

impl Child {
    /// Whether a signal ended it.
    pub(crate) fn was_killed(&self) -> bool {
        matches!(self.ended, Some(Ended::Signal(_)))
    }

    /// Logs an end that nobody asked for.
    pub(crate) fn log_end(&self, tag: &Tag) {
        let Some(ended) = self.ended else { return };
        if self.stage != Stage::Stopping || ended != Ended::Status(0) {
            observe::emit(tag, &ProcessEnded { role: self.kind.name(), pid: self.pid, ended });
        }
    }
}

/// Something about a role.
pub(crate) enum Notice {
    /// It said this.
    Said(i32, ToMaster),
    /// It is gone, and all it said was heard.
    Ended(Box<Child>),
    /// Nothing that matters.
    Nothing,
}

/// All role processes.
pub(crate) struct Children {
    all: BTreeMap<i32, Child>,
    from_links: mpsc::Receiver<(i32, Option<ToMaster>)>,
    to_us: mpsc::Sender<(i32, Option<ToMaster>)>,
    gone: VecDeque<Child>,
}

impl Children {
    pub(crate) fn new() -> Self {
        let (to_us, from_links) = mpsc::channel(WAITING_MAX);
        Children { all: BTreeMap::new(), from_links, to_us, gone: VecDeque::new() }
    }

    /// Starts a role with its descriptors and gives its process id; `pickup` as in [`RoleArguments`].
    pub(crate) fn spawn(
        &mut self,
        (kind, pickup): (RoleKind, bool),
        plan: &Plan,
        as_caller: bool,
        locks: &Locks,
        log: Option<&File>,
        listeners: &[&(ListenerPlan, OwnedFd)],
    ) -> io::Result<i32> {
        let (ours, theirs) = link::pair()?;
        let [a, b] = locks.files();
        let arguments = RoleArguments {
            kind,
            config_directory: plan.config_directory.clone(),
            as_caller,
            pickup,
            slot: self.free_slot(),
            link: theirs.as_raw_fd(),
            locks: [a.as_raw_fd(), b.as_raw_fd()],
        };
        let inherited: [BorrowedFd<'_>; 3] = [theirs.as_fd(), a.as_fd(), b.as_fd()];
        // The link by which the kernel finds our own file: it works for whoever we become and wherever it lies.
        let mut command = Command::new("/proc/self/exe");
        command.arg0(crate::PROGRAM).args(arguments.to_arguments()).stdin(Stdio::null());
        plan.environment.give(&mut command, &plan.config_directory);
        let pid = sys::spawn_with_fds(&mut command, &inherited, false)?.id();
        let pid = i32::try_from(pid).map_err(io::Error::other)?;

        let end = Rc::new(MasterEnd::new(ours)?);
        if let Some(log) = log {
            end.send(&ToRole::Log, Some(log.as_fd()))?;
        }
        for (plan, listener) in listeners.iter().copied() {
            end.send(&listener_message(plan), Some(listener.as_fd()))?;
        }
        end.send(&ToRole::Go, None)?;
        tokio::task::spawn_local(listen_to(pid, Rc::clone(&end), self.to_us.clone()));
        let child = Child {
            kind,
            stage: Stage::Starting,
            since: Instant::now(),
            failure: None,
            pid,
            slot: arguments.slot,
            end,
            ended: None,
            link_ended: false,
        };
        self.all.insert(pid, child);
        Ok(pid)
    }

    /// The lowest range of numbers that no living process has.
    fn free_slot(&self) -> u16 {
        (0..u16::MAX).find(|slot| self.all.values().all(|c| c.slot != *slot)).unwrap_or(u16::MAX)
    }

    /// Waits for news. `signal` tells of ended processes.
    pub(crate) async fn next(&mut self, signal: &mut Signal) -> Notice {
        if let Some(child) = self.gone.pop_front() {
            return Notice::Ended(Box::new(child));
        }
        tokio::select! {
            _ = signal.recv() => self.reap(),
            said = self.from_links.recv() => match said {
                Some((pid, Some(message))) => return self.heard(pid, message),
                Some((pid, None)) => {
                    if let Some(child) = self.all.get_mut(&pid) {
                        child.link_ended = true;
                    }
                }
                None => {}
            },
        }
        let ended: Vec<i32> =
            self.all.values().filter(|c| c.ended.is_some() && c.link_ended).map(|c| c.pid).collect();
        for pid in ended {
            self.gone.extend(self.all.remove(&pid));
        }
        match self.gone.pop_front() {
            Some(child) => Notice::Ended(Box::new(child)),
            None => Notice::Nothing,
        }
    }

    fn heard(&mut self, pid: i32, message: ToMaster) -> Notice {
        if let Some(child) = self.all.get_mut(&pid) {
            match &message {
                ToMaster::Ready if child.stage == Stage::Starting => child.stage = Stage::Serving,
                ToMaster::Failed(why) => child.failure = Some(why.clone()),
                _ => {}
            }
        }
        Notice::Said(pid, message)
    }

    /// Collects all processes that have ended: also orphans, which are ours when we are a container's first process.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(child) = self.all.get_mut(&pid.as_raw_nonzero().get()) else { continue };
            child.ended = Some(match status.terminating_signal() {
                Some(signal) => Ended::Signal(signal),
                None => Ended::Status(status.exit_status().unwrap_or(0)),
            });
        }
    }

    /// The role of a process.
    pub(crate) fn kind(&self, pid: i32) -> Option<RoleKind> {
        self.all.get(&pid).map(|c| c.kind)
    }

    /// The process of this kind that serves.
    pub(crate) fn serving(&self, kind: RoleKind) -> Option<i32> {
        self.all.values().find(|c| c.kind == kind && c.stage == Stage::Serving).map(|c| c.pid)
    }

    /// Whether a process of this kind serves or is about to.
    pub(crate) fn wanted(&self, kind: RoleKind) -> bool {
        self.all.values().any(|c| c.kind == kind && c.stage != Stage::Stopping)
    }

    /// Whether a process of this kind exists.
    pub(crate) fn living(&self, kind: RoleKind) -> bool {
        self.all.values().any(|c| c.kind == kind)
    }

    /// Tells all processes of a kind; after `Stop` and `Retire` their end is expected.
    pub(crate) fn tell(&mut self, kind: RoleKind, message: &ToRole) {
        for child in self.all.values_mut().filter(|c| c.kind == kind) {
            // Who cannot be told is gone or stuck: waiting for its end has its own limit.
            let _ = child.end.send(message, None);
            if matches!(message, ToRole::Stop | ToRole::Retire) {
                child.stage = Stage::Stopping;
            }
        }
    }

    /// Gives a serving role the log file and its sockets and tells it to read the configuration again; gives who was
    /// told.
    pub(crate) fn tell_reload(
        &mut self,
        kind: RoleKind,
        log: Option<&File>,
        listeners: &[(ListenerPlan, OwnedFd)],
    ) -> Vec<i32> {
        let tell = |child: &Child| {
            if let Some(log) = log {
                child.end.send(&ToRole::Log, Some(log.as_fd()))?;
            }
            for (plan, socket) in listeners.iter().filter(|(plan, _)| plan.role == kind) {
                child.end.send(&listener_message(plan), Some(socket.as_fd()))?;
            }
            child.end.send(&ToRole::Reload, None)
        };
        // A role that cannot be told is gone, and its successor reads the new configuration.
        let told = |child: &&Child| tell(child).is_ok();
        let serving = self.all.values().filter(|c| c.kind == kind && c.stage == Stage::Serving);
        serving.filter(told).map(|child| child.pid).collect()
    }

    /// All but one of a kind let their sessions end.
    pub(crate) fn retire_others(&mut self, kind: RoleKind, pid: i32) {
        for child in
            self.all.values_mut().filter(|c| c.kind == kind && c.pid != pid && c.stage == Stage::Serving)
        {
            let _ = child.end.send(&ToRole::Retire, None);
            child.stage = Stage::Stopping;
        }
    }

    /// Processes of these kinds let their sessions end.
    pub(crate) fn retire(&mut self, kinds: &[RoleKind]) {
        for child in self.all.values_mut().filter(|c| kinds.contains(&c.kind) && c.stage != Stage::Stopping) {
            // Who cannot be told is gone.
            let _ = child.end.send(&ToRole::Retire, None);
            child.stage = Stage::Stopping;
        }
    }

    /// Ends all processes of a kind by force.
    pub(crate) fn kill(&self, kind: RoleKind) {
        for child in self.all.values().filter(|c| c.kind == kind && c.ended.is_none()) {
            if let Some(pid) = Pid::from_raw(child.pid) {
                // It cannot be gone: nobody else collects our children.
                let _ = kill_process(pid, KillSignal::KILL);
            }
        }
    }
}

/// Passes on what a role says, until its end.
async fn listen_to(pid: i32, end: Rc<MasterEnd>, to_us: mpsc::Sender<(i32, Option<ToMaster>)>) {
    loop {
        let message = match end.receive().await {
            Ok(message) => message,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => continue,
            Err(_) => None,
        };
        let is_end = message.is_none();
        if to_us.send((pid, message)).await.is_err() || is_end {
            return;
        }
    }
}

fn listener_message(plan: &ListenerPlan) -> ToRole {
    ToRole::Listener { service: plan.service.clone(), address: plan.endpoint.to_string() }
}
