//! Runs an external command: a message on its standard input, a time limit, and what becomes of its output.
//!
//! Shared by the agents `local` and `pipe`. What a result means for the recipient: `exit_status`.

use super::exit_status::{End, Ran};
use super::halt::Halt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};
use sys::{RunAs, SpawnError};

/// So much of what a command prints is kept: it stands in the log and in the report to the sender.
const OUTPUT_MAX: usize = 4096;

/// How long a command may take to end that is asked to. The queue manager waits longer before it stops.
const GRACE: Duration = Duration::from_secs(1);

/// Read at once; what goes beyond `OUTPUT_MAX` is read and forgotten, so that the command can go on.
const READ_MAX: usize = 16 * 1024;

/// Where commands are looked for: the environment that they get has no other.
pub const PATH: &str = "/usr/bin:/bin";

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// A program and its arguments; the program is looked for in the `PATH` given, if it has no slash.
    Arguments(&'a [String]),
    /// A line of shell. One without anything that only a shell understands is executed directly.
    Line(&'a str),
    /// A line for this program, such as `/usr/lib/sm.bin/smrsh -c` (`local_command_shell`).
    LineFor(&'a str, &'a str),
}

/// A command with what surrounds it.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    /// The program.
    pub what: What<'a>,
    /// Whose rights it has, and where it runs.
    pub run_as: RunAs<'a>,
    /// Its whole environment.
    pub environment: &'a [(OsString, OsString)],
    /// When it is killed.
    pub time_limit: Duration,
    /// When it is asked to end, and killed soon after.
    pub halt: Option<&'a Halt>,
    /// In front of our own complaints, where its output would stand: `local: fatal: …`.
    pub agent: &'a str,
}

/// The message, piece by piece; `None` is its end.
pub type Source<'a> = &'a mut dyn FnMut() -> io::Result<Option<Vec<u8>>>;

/// Runs a command to its end and blocks as long. The error is one of ours: the message could not be read, or there is no
/// room for another process. The command is then not running any more.
pub fn run(command: &Command<'_>, message: Source<'_>) -> io::Result<Ran> {
    if command.halt.is_some_and(Halt::is_raised) {
        return Ok(Ran { end: End::Stopped, output: Vec::new(), notes: Vec::new() });
    }
    let started = match command.what {
        What::Arguments([]) => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
        What::Arguments([program, rest @ ..]) => spawn(command, program, rest),
        What::LineFor(shell, line) => {
            let mut words: Vec<String> = shell.split_whitespace().map(str::to_owned).collect();
            words.push(line.to_owned());
            spawn(command, &words[0], &words[1..])
        }
        What::Line(line) => match plain_words(line) {
            None => by_shell(command, line),
            Some(words) => match spawn(command, &words[0], &words[1..]) {
                // It may be one of the shell's own: `exit`, `exec`.
                Err(SpawnError::Program(e))
                    if e.kind() == io::ErrorKind::NotFound && !words[0].contains('/') =>
                {
                    by_shell(command, line)
                }
                other => other,
            },
        },
    };
    let child = match started {
        Ok(child) => child,
        Err(error) => return not_started(command, error),
    };
    Running::new(child, command)?.until_the_end(message)
}

fn by_shell(command: &Command<'_>, line: &str) -> Result<Started, SpawnError> {
    spawn_as(command, "/bin/sh", "sh", &["-c".to_owned(), line.to_owned()])
}

/// The words of a line that no shell has to look at.
fn plain_words(line: &str) -> Option<Vec<String>> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " \t_-+./,:@%=".contains(c);
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    // `NAME=VALUE command` is for the shell.
    let is_plain = line.chars().all(plain) && words.first().is_some_and(|first| !first.contains('='));
    is_plain.then_some(words)
}

/// What Postfix's child says of itself before it ends as one that may be tried again.
fn not_started(command: &Command<'_>, error: SpawnError) -> io::Result<Ran> {
    let words = |e: &io::Error| super::failure::words(e);
    let temporary = |output: String, complaint: String| Ran {
        end: End::Exited(75),
        output: output.into_bytes(),
        notes: vec![super::failure::Note::Fatal(complaint)],
    };
    match error {
        SpawnError::Program(e) if is_ours(&e) => Err(e),
        SpawnError::Program(e) => {
            let (program, by) = match command.what {
                What::Arguments(words) => (words.first().map_or("", String::as_str), "pipe_command: "),
                What::LineFor(shell, _) => (shell.split_whitespace().next().unwrap_or(""), ""),
                What::Line(line) => (line.split_whitespace().next().unwrap_or(""), ""),
            };
            let complaint = format!("{by}execvp {program}: {}", words(&e));
            Ok(temporary(format!("{}: fatal: {complaint}\n", command.agent), complaint))
        }
        SpawnError::Directory(e) => {
            let (uid, gid) = command.run_as.identity.unwrap_or_default();
            let directory = command.run_as.directory.unwrap_or(std::path::Path::new("")).display();
            let who = format!("for uid={uid} gid={gid}");
            let complaint = format!("cannot change directory to \"{directory}\" {who}: {}", words(&e));
            Ok(temporary(String::new(), complaint))
        }
        SpawnError::Chroot(e) => {
            let root = command.run_as.chroot.unwrap_or(std::path::Path::new("")).display();
            Ok(temporary(String::new(), format!("chroot({root}): {}", words(&e))))
        }
        SpawnError::Identity(e) => Err(e),
    }
}

/// No room for another process says nothing of the command.
fn is_ours(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE))
}

/// A child with the near end of its pipes.
struct Started {
    child: Child,
    output: OwnedFd,
}

fn spawn(command: &Command<'_>, program: &str, arguments: &[String]) -> Result<Started, SpawnError> {
    spawn_as(command, program, program, arguments)
}

/// Starts a program that is called `name` in its own complaints.
fn spawn_as(
    command: &Command<'_>,
    program: &str,
    name: &str,
    arguments: &[String],
) -> Result<Started, SpawnError> {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let pipes = pipe().and_then(|(near, far)| Ok((near, far.try_clone().map_err(no_descriptor)?, far)));
    let (output, stdout, stderr) = pipes.map_err(|e| SpawnError::Program(e.into()))?;
    let mut prepared = std::process::Command::new(program);
    prepared.arg0(name).args(arguments).env_clear().envs(command.environment.iter().map(|(n, v)| (n, v)));
    prepared.stdin(Stdio::piped()).stdout(stdout).stderr(stderr);
    let child = sys::spawn_as(&mut prepared, &command.run_as)?;
    // The far end goes with `prepared`: the end of the output must be seen.
    Ok(Started { child, output })
}

fn no_descriptor(error: io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::MFILE)
}

/// A command that runs; killed with its process group if it is dropped before its end.
struct Running<'a> {
    child: Child,
    /// Until it was raised.
    halt: Option<&'a Halt>,
    /// It has been asked to end.
    stopping: bool,
    stdin: Option<ChildStdin>,
    output: std::fs::File,
    printed: Vec<u8>,
    deadline: Instant,
    ended: bool,
}

/// The time limit passed while we waited for this.
struct Exceeded(&'static str);

impl<'a> Running<'a> {
    fn new(started: Started, command: &Command<'a>) -> io::Result<Running<'a>> {
        let Started { mut child, output } = started;
        let stdin = child.stdin.take();
        let deadline = Instant::now() + command.time_limit;
        let output = std::fs::File::from(output);
        let running = Running {
            child,
            halt: command.halt,
            stopping: false,
            stdin,
            output,
            printed: Vec::new(),
            deadline,
            ended: false,
        };
        for fd in
            [running.stdin.as_ref().map(AsFd::as_fd), Some(running.output.as_fd())].into_iter().flatten()
        {
            fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
        }
        Ok(running)
    }

    fn until_the_end(mut self, message: Source<'_>) -> io::Result<Ran> {
        let exceeded = match self.talk(message)? {
            Some(exceeded) => Some(exceeded),
            None => self.wait()?,
        };
        if let Some(Exceeded(doing)) = exceeded {
            self.kill();
            if self.stopping {
                return Ok(self.ran(End::Stopped));
            }
            let note = super::failure::Note::Warning(format!("pipe_command_{doing} time limit exceeded"));
            return Ok(Ran {
                end: End::TimeLimit,
                output: std::mem::take(&mut self.printed),
                notes: vec![note],
            });
        }
        let status = self.child.wait()?;
        self.ended = true;
        if self.stopping && !status.success() {
            // What it says of the message it says because it had to end.
            return Ok(self.ran(End::Stopped));
        }
        let end = match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Killed(signal.unwrap_or(0)),
        };
        Ok(self.ran(end))
    }

    fn ran(&mut self, end: End) -> Ran {
        Ran { end, output: std::mem::take(&mut self.printed), notes: Vec::new() }
    }

    /// Writes the message and reads the output until both have ended.
    fn talk(&mut self, message: Source<'_>) -> io::Result<Option<Exceeded>> {
        let (mut piece, mut at) = (Vec::new(), 0);
        let mut prints = true;
        loop {
            while self.stdin.is_some() && at == piece.len() {
                match message()? {
                    Some(next) => (piece, at) = (next, 0),
                    // Closed: the command sees the end.
                    None => self.stdin = None,
                }
            }
            let reads = self.stdin.is_some();
            if !reads && !prints {
                return Ok(None);
            }
            let Some(left) = self.left() else {
                return Ok(Some(Exceeded(if reads { "write: write" } else { "read: read" })));
            };
            let writable = self.stdin.as_ref().map(|stdin| PollFd::new(stdin, PollFlags::OUT));
            let readable = prints.then(|| PollFd::new(&self.output, PollFlags::IN));
            let halted = self.halt.map(|halt| PollFd::new(halt, PollFlags::IN));
            let [can_write, can_read, is_halted] = wait_for([writable, readable, halted], &left)?;
            if is_halted {
                self.ask_to_end();
            }
            if can_write {
                at += self.write(&piece[at..])?;
            }
            if can_read {
                prints = !self.read()?;
            }
        }
    }

    /// How many bytes went. A command that reads no further is no error: its exit status says what it means.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Ok(bytes.len()) };
        match stdin.write(bytes) {
            Ok(n) => Ok(n),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Ok(bytes.len())
            }
            Err(e) => Err(e),
        }
    }

    /// Reads what there is; true at the end.
    fn read(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_MAX];
        match self.output.read(&mut buffer) {
            Ok(0) => Ok(true),
            Ok(n) => {
                let room = OUTPUT_MAX - self.printed.len();
                self.printed.extend_from_slice(&buffer[..n.min(room)]);
                Ok(false)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Waits for a command that has closed its output.
    fn wait(&mut self) -> io::Result<Option<Exceeded>> {
        let pid = Pid::from_child(&self.child);
        let ended = pidfd_open(pid, PidfdFlags::empty())?;
        loop {
            let Some(left) = self.left() else { return Ok(Some(Exceeded("wait_or_kill: wait"))) };
            let halted = self.halt.map(|halt| PollFd::new(halt, PollFlags::IN));
            let [has_ended, is_halted] = wait_for([Some(PollFd::new(&ended, PollFlags::IN)), halted], &left)?;
            if has_ended {
                return Ok(None);
            }
            if is_halted {
                self.ask_to_end();
            }
        }
    }

    /// `None` where no time is left.
    fn left(&self) -> Option<Timespec> {
        let left = self.deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    /// So that what it has begun can be taken back, and its result still be told.
    fn ask_to_end(&mut self) {
        self.halt = None;
        self.stopping = true;
        self.deadline = self.deadline.min(Instant::now() + GRACE);
        // Nobody has waited for the child, so its number is still its own, and its group's.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::TERM);
    }

    fn kill(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            // Nobody has waited for the child, so its number is still its own, and its group's.
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Which of these are ready; those that are not there never are.
fn wait_for<const N: usize>(wanted: [Option<PollFd<'_>>; N], left: &Timespec) -> io::Result<[bool; N]> {
    let there = wanted.each_ref().map(Option::is_some);
    let mut fds: Vec<PollFd<'_>> = wanted.into_iter().flatten().collect();
    poll_again(&mut fds, left)?;
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok(there.map(|is_there| is_there && ready.next().unwrap_or(false)))
}

/// A poll that a signal interrupted is one where nothing happened.
fn poll_again(fds: &mut [PollFd<'_>], left: &Timespec) -> io::Result<()> {
    match poll(fds, Some(left)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests;
