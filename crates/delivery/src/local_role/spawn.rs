//! spawn(8): for each client of a socket a command that talks with it. Postfix: spawn(8).
//!
//! The connection is the command's standard input, output and error. A client waits in the socket's queue while as many
//! commands run as the line allows.

use super::environment;
use super::failure::words;
use super::identity;
use config::parameters::{Global, Pipe, Spawned};
use config::{Attributes, Config, Error, Errors, ServiceLine, ServiceType};
use observe::Tag;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use sys::{RunAs, SpawnError};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// What a thread that only waits needs.
const STACK_BYTES: usize = 256 * 1024;

/// Out of descriptors or processes: some come back soon.
const PAUSE: Duration = Duration::from_millis(100);

/// Settings of one spawn(8).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `argv=`.
    argv: Vec<String>,
    /// `user=`; nothing where we are not root, and all runs as the caller.
    identity: Option<(u32, u32)>,
    /// Where the command runs: `queue_directory`.
    directory: PathBuf,
    /// `<service>_time_limit`.
    time_limit: Duration,
    /// What a command has of the environment.
    environment: Vec<(OsString, OsString)>,
    /// Commands at once.
    places: Arc<Semaphore>,
    /// Who logs.
    tag: Tag,
}

impl Settings {
    /// Reads them as the service sees them; the error holds every mistake.
    pub fn read(config: &Config, service: &ServiceLine, as_caller: bool) -> Result<Settings, Errors> {
        let scope = config.scope(Some(service));
        let (own, global) = (Pipe::read_in(&scope)?, Global::read_in(&scope)?);
        let time_limit = Spawned::read(&scope, &service.name)?.time_limit;
        let attributes = Attributes::of(service)?;
        let environment = environment::exported(&own.export_environment)
            .map_err(|text| scope.error("export_environment", text))?;
        let identity =
            identity::of(&attributes, &global).map_err(identity::Nobody::text).map_err(|text| {
                let subject = format!("{}/{}", service.name, service.kind);
                Error::new(Some(service.origin.clone()), subject, format!("spawn: {text}"))
            })?;
        Ok(Settings {
            argv: attributes.argv,
            identity: (!as_caller).then_some(identity),
            directory: global.queue_directory.into(),
            time_limit,
            environment,
            places: Arc::new(Semaphore::new(identity::process_limit(config, service)?)),
            tag: Tag::new(&global.syslog_name, "spawn", std::process::id()),
        })
    }

    /// Reads those of all spawn lines with where each listens: `policy/unix`.
    pub fn read_all(config: &Config, as_caller: bool) -> Result<Vec<(String, Settings)>, Errors> {
        let (mut all, mut errors) = (Vec::new(), Vec::new());
        let is_ours = |s: &&ServiceLine| {
            s.command == "spawn" && matches!(s.kind, ServiceType::Inet | ServiceType::Unix)
        };
        for service in config.services().iter().filter(is_ours) {
            match Settings::read(config, service, as_caller) {
                Ok(settings) => all.push((format!("{}/{}", service.name, service.kind), settings)),
                Err(found) => errors.extend(found.into_vec()),
            }
        }
        Errors::check(errors)?;
        Ok(all)
    }
}

/// A listening socket of a spawn line.
#[derive(Debug)]
pub struct Listener {
    /// The line: `policy/unix`.
    pub service: String,
    /// The socket.
    pub socket: OwnedFd,
}

/// The sockets that are served, and the commands under way. Stays on its event loop.
#[derive(Clone, Default)]
pub struct Spawner {
    accepting: Rc<RefCell<Vec<AbortHandle>>>,
    commands: Arc<Commands>,
}

/// Commands that run, each with a thread that waits for it.
#[derive(Default)]
struct Commands {
    open: AtomicUsize,
    /// Those whose end nobody has taken note of, so that their numbers are still their own.
    running: Mutex<HashSet<Pid>>,
}

impl Spawner {
    /// Serves these sockets from now on, and no others; commands under way go on. Must be called in a `LocalSet`.
    pub fn set(&self, listeners: Vec<Listener>, settings: Vec<(String, Settings)>) -> io::Result<()> {
        self.stop();
        let mut of_service: BTreeMap<String, Vec<Socket>> = BTreeMap::new();
        for Listener { service, socket } in listeners {
            let socket = Socket::new(&service, socket)?;
            of_service.entry(service).or_default().push(socket);
        }
        for (service, settings) in settings {
            let Some(sockets) = of_service.remove(&service) else { continue };
            let commands = self.commands.clone();
            let task = tokio::task::spawn_local(accept(sockets, Arc::new(settings), commands));
            self.accepting.borrow_mut().push(task.abort_handle());
        }
        Ok(())
    }

    /// Takes no more clients.
    pub fn stop(&self) {
        self.accepting.take().iter().for_each(AbortHandle::abort);
    }

    /// How many commands run.
    pub fn open(&self) -> usize {
        self.commands.open.load(Ordering::Acquire)
    }

    /// Ends the commands that run.
    pub fn kill(&self) {
        let running = self.commands.running.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has ended meanwhile needs no signal.
        for pid in running.iter() {
            let _ = kill_process_group(*pid, Signal::KILL);
        }
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn new(service: &str, socket: OwnedFd) -> io::Result<Socket> {
        if service.ends_with("/inet") {
            let listener = std::net::TcpListener::from(socket);
            listener.set_nonblocking(true)?;
            return Ok(Socket::Tcp(TcpListener::from_std(listener)?));
        }
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Socket::Unix(UnixListener::from_std(listener)?))
    }

    /// The next client's connection, as commands expect it: calls on it wait.
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
        match self {
            Socket::Tcp(listener) => listener.poll_accept(context).map(|accepted| {
                let stream = accepted?.0.into_std()?;
                stream.set_nonblocking(false)?;
                Ok(stream.into())
            }),
            Socket::Unix(listener) => listener.poll_accept(context).map(|accepted| {
                let stream = accepted?.0.into_std()?;
                stream.set_nonblocking(false)?;
                Ok(stream.into())
            }),
        }
    }
}

/// The next client of any of these sockets.
async fn next_client(sockets: &[Socket]) -> io::Result<OwnedFd> {
    std::future::poll_fn(|context| {
        let ready = sockets.iter().map(|socket| socket.poll_accept(context)).find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

async fn accept(sockets: Vec<Socket>, settings: Arc<Settings>, commands: Arc<Commands>) {
    loop {
        // First the place: who finds none waits in the socket's queue.
        let Ok(place) = settings.places.clone().acquire_owned().await else { return };
        let Ok(connection) = next_client(&sockets).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let (settings, commands) = (settings.clone(), commands.clone());
        commands.open.fetch_add(1, Ordering::AcqRel);
        let counted = Counted(commands.clone());
        let serve = move || {
            let _held = (place, counted);
            if let Err(why) = talk(connection, &settings, &commands) {
                observe::warn(&settings.tag, format_args!("{why}"));
                observe::flush();
            }
        };
        let thread = std::thread::Builder::new().name("spawn".into()).stack_size(STACK_BYTES);
        if thread.spawn(serve).is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// One of the open commands as long as it lives.
struct Counted(Arc<Commands>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Runs the command of one client to its end; the error says what the administrator should know.
fn talk(connection: OwnedFd, settings: &Settings, commands: &Commands) -> Result<(), String> {
    let program = &settings.argv[0];
    let mut child = start(connection, settings).map_err(|error| match error {
        SpawnError::Program(e) => {
            // As Postfix's child, which then ends.
            let text = format_args!("spawn_comand: execvp {program}: {}", words(&e));
            observe::fatal(&settings.tag, text);
            format!("command {program} exit status 1")
        }
        SpawnError::Directory(e) => {
            format!("cannot change directory to {}: {}", settings.directory.display(), words(&e))
        }
        SpawnError::Chroot(e) | SpawnError::Identity(e) => {
            format!("command {program}: cannot run as its user: {}", words(&e))
        }
    })?;
    let pid = Pid::from_child(&child);
    let running = || commands.running.lock().unwrap_or_else(PoisonError::into_inner);
    running().insert(pid);
    let ended = wait(pid, settings.time_limit);
    // From here on its number is given back.
    running().remove(&pid);
    if !matches!(ended, Ok(true)) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let status = child.wait().map_err(|e| format!("command {program}: {}", words(&e)))?;
    match ended {
        Ok(true) => failed(status).map_or(Ok(()), |how| Err(format!("command {program} {how}"))),
        Ok(false) => {
            let pid = pid.as_raw_nonzero();
            Err(format!("{program}: process id {pid}: command time limit exceeded"))
        }
        Err(e) => Err(format!("command {program}: {}", words(&e))),
    }
}

/// Whether a child ended within the time.
fn wait(pid: Pid, limit: Duration) -> io::Result<bool> {
    let end = pidfd_open(pid, PidfdFlags::empty())?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&left)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
}

fn failed(status: ExitStatus) -> Option<String> {
    match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit status {code}")),
        (None, signal) => Some(format!("killed by signal {}", signal.unwrap_or(0))),
    }
}

fn start(connection: OwnedFd, settings: &Settings) -> Result<Child, SpawnError> {
    let copy = || connection.try_clone().map_err(SpawnError::Program);
    let (output, error) = (copy()?, copy()?);
    let mut command = std::process::Command::new(&settings.argv[0]);
    command.args(&settings.argv[1..]).env_clear();
    command.envs(settings.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::from(connection)).stdout(output).stderr(error);
    let how = RunAs { identity: settings.identity, directory: Some(&settings.directory), ..RunAs::default() };
    sys::spawn_as(&mut command, &how)
}

#[cfg(test)]
mod tests;
