//! Starting and steering an instance: `posthaste start …`, and the same as `postfix start …`.

use super::Call;
use super::dry_run;
use config::{Config, Errors};
use master::lock::LockPaths;
use master::{Options, Plan};
use observe::events::master::{Aborting, Refreshing, Starting, Status, Stopping, Waiting, WrongState};
use observe::{Destination, Event, Level, Settings, Tag};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Longer than master gives its slowest role to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(660);

/// How often the lock is looked at while waiting for the end.
const STOP_POLL: Duration = Duration::from_millis(20);

/// `posthaste start`.
pub fn start(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.start())
}

/// `posthaste start-fg`.
pub fn start_fg(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.start_fg())
}

/// `posthaste stop`.
pub fn stop(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.stop())
}

/// `posthaste reload`.
pub fn reload(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.reload())
}

/// `posthaste status`.
pub fn status(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.status())
}

/// `posthaste check`.
pub fn check(call: Call) -> ExitCode {
    with_instance(call, true, |i| i.check())
}

/// `postfix COMMAND`: the same, silent where nobody looks on, as Postfix's.
pub fn postfix(mut call: Call) -> ExitCode {
    // The command may stand before or behind `-c DIR`; `-v` and `-D` are accepted and change nothing.
    let mut command = None;
    let mut rest = std::mem::take(&mut call.arguments).into_iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-c" => call.arguments.extend([word, rest.next().unwrap_or_default()]),
            "-v" | "-D" => {}
            _ if command.is_none() => command = Some(word),
            _ => call.arguments.push(word),
        }
    }
    let run: fn(&Instance) -> ExitCode = match command.as_deref() {
        Some("start") => Instance::start,
        Some("start-fg") => Instance::start_fg,
        Some("stop" | "quick-stop") => Instance::stop,
        Some("abort") => Instance::abort,
        Some("reload") => Instance::reload,
        Some("status") => Instance::status,
        Some("check") => Instance::check,
        Some("flush") => Instance::flush,
        other => {
            let command = other.unwrap_or_default().to_owned();
            return with_instance(call, false, move |i| i.unknown(&command));
        }
    };
    with_instance(call, false, run)
}

/// An instance as its commands see it.
struct Instance {
    plan: Plan,
    locks: LockPaths,
    tag: Tag,
    /// Whether all that is logged is on the terminal too.
    console: bool,
}

/// Reads the configuration, opens the log and runs `action`.
fn with_instance(call: Call, always_console: bool, action: impl FnOnce(&Instance) -> ExitCode) -> ExitCode {
    let directory = match config_directory(&call) {
        Ok(directory) => directory,
        Err(text) => {
            eprintln!("posthaste {}: {text}", call.name);
            return ExitCode::FAILURE;
        }
    };
    let plan = match load(&directory) {
        Ok(plan) => plan,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::FAILURE;
        }
    };
    let console = always_console || std::io::stderr().is_terminal();
    // Who may not write to the log may still ask for the status; the terminal then has it all.
    let quiet = Settings { destination: Destination::Nowhere, console: true };
    let started = observe::start(plan.log.settings(None, console));
    let console = console || started.is_err();
    if started.is_err() && observe::start(quiet).is_err() {
        return ExitCode::FAILURE;
    }
    let instance = Instance {
        locks: LockPaths::new(&plan.queue_directory, &plan.data_directory),
        tag: plan.tag("postfix-script"),
        plan,
        console,
    };
    let code = action(&instance);
    observe::finish(Duration::from_secs(1));
    code
}

/// The directory that `-c` names, in front of the command or behind it.
pub fn config_directory(call: &Call) -> Result<PathBuf, String> {
    let mut directory = call.config_directory.clone();
    let mut rest = call.arguments.iter();
    while let Some(word) = rest.next() {
        match (word.as_str(), rest.next()) {
            ("-c", Some(given)) => directory = Some(given.into()),
            ("-c", None) => return Err("-c: expected a directory behind it".into()),
            _ => return Err(format!("expected -c DIRECTORY or nothing, found `{word}`")),
        }
    }
    let directory = directory.unwrap_or_else(|| "/etc/postfix".into());
    // Processes that we start have other working directories.
    std::path::absolute(&directory).map_err(|e| format!("{}: {e}", directory.display()))
}

/// The plan of the configuration in a directory; the error has one mistake a line.
pub fn load(directory: &Path) -> Result<Plan, String> {
    load_as(directory, false)
}

/// [`load`]; with `as_caller` all processes keep the caller's identity.
pub fn load_as(directory: &Path, as_caller: bool) -> Result<Plan, String> {
    let (config, mut errors) = Config::survey(directory).map_err(|e| e.to_string())?;
    let plan = Plan::of(&config, as_caller).map_err(|e| errors.extend(e.into_vec())).ok();
    errors.extend(dry_run::check(&config).err().into_iter().flat_map(Errors::into_vec));
    Errors::check(errors).map_err(|e| e.to_string())?;
    plan.ok_or_else(|| "the configuration cannot be used".to_owned())
}

impl Instance {
    fn start(&self) -> ExitCode {
        if let Some(code) = self.require(false) {
            return code;
        }
        self.say(&Starting);
        let (mut ours, theirs) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(e) => return self.fatal(&format!("cannot start: {e}")),
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("posthaste")
            .args(["master", &self.plan.config_directory.to_string_lossy(), &theirs.as_raw_fd().to_string()])
            .stdin(Stdio::null());
        if !self.logs_to_terminal() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        if let Err(e) = sys::spawn_with_fds(&mut command, &[theirs.as_fd()], false) {
            return self.fatal(&format!("cannot start master: {e}"));
        }
        drop(theirs);
        let mut answer = String::new();
        match ours.read_to_string(&mut answer) {
            Ok(_) if answer == "ok" => return ExitCode::SUCCESS,
            Ok(_) if answer.is_empty() => answer.push_str("master ended while starting"),
            Ok(_) => {}
            Err(e) => answer = e.to_string(),
        }
        // Master has logged it; who typed the command wants to read it here.
        eprintln!("{answer}");
        self.fatal("mail system startup failed")
    }

    fn start_fg(&self) -> ExitCode {
        if let Some(code) = self.require(false) {
            return code;
        }
        self.say(&Starting);
        let directory = self.plan.config_directory.clone();
        let load = || load(&directory);
        let mut started = |_| {};
        let console = self.console && !self.logs_to_terminal();
        let options = Options { as_caller: false, console, load: &load, started: &mut started };
        match master::run(self.plan.clone(), options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => self.fatal(&why),
        }
    }

    fn stop(&self) -> ExitCode {
        if let Some(code) = self.require(true) {
            return code;
        }
        self.say(&Stopping);
        if let Err(code) = self.signal(Signal::TERM) {
            return code;
        }
        let begin = Instant::now();
        let mut told = Duration::ZERO;
        while self.pid().is_some() {
            let waited = begin.elapsed();
            if waited > STOP_TIME_MAX {
                return self.fatal("the mail system does not end");
            }
            // Postfix tells five times, once a second; what takes longer here writes the journal into files.
            let interval = if waited < Duration::from_secs(6) { 1 } else { 10 };
            if waited >= told + Duration::from_secs(interval) {
                told = waited;
                self.say(&Waiting);
            }
            std::thread::sleep(STOP_POLL);
        }
        ExitCode::SUCCESS
    }

    fn abort(&self) -> ExitCode {
        if let Some(code) = self.require(true) {
            return code;
        }
        self.say(&Aborting);
        self.signal(Signal::TERM).map_or_else(|code| code, |()| ExitCode::SUCCESS)
    }

    /// The configuration was read without a mistake, or we would not be here.
    fn reload(&self) -> ExitCode {
        if let Some(code) = self.require(true) {
            return code;
        }
        self.say(&Refreshing);
        self.signal(Signal::HUP).map_or_else(|code| code, |()| ExitCode::SUCCESS)
    }

    fn status(&self) -> ExitCode {
        let pid = self.pid();
        self.say(&Status { pid });
        if pid.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn check(&self) -> ExitCode {
        for warning in &self.plan.warnings {
            observe::warn(&self.tag, format_args!("{warning}"));
        }
        ExitCode::SUCCESS
    }

    fn flush(&self) -> ExitCode {
        let directory = self.plan.config_directory.to_string_lossy().into_owned();
        super::delegated::run_submit("postqueue", &["-c".to_owned(), directory, "-f".to_owned()])
    }

    fn unknown(&self, command: &str) -> ExitCode {
        self.fatal(&format!(
            "unknown command: '{command}'. Usage: postfix start (or stop, reload, abort, flush, check, status, \
             set-permissions, upgrade-configuration, logrotate)"
        ))
    }

    /// Fails where the instance does (not) run.
    fn require(&self, running: bool) -> Option<ExitCode> {
        match self.locks.running() {
            Ok(pid) if pid.is_some() == running => None,
            Ok(pid) => {
                self.say(&WrongState { running: pid.is_some() });
                Some(ExitCode::FAILURE)
            }
            Err(e) => Some(self.fatal(&e.to_string())),
        }
    }

    fn pid(&self) -> Option<i32> {
        self.locks.running().ok().flatten()
    }

    fn signal(&self, signal: Signal) -> Result<(), ExitCode> {
        let pid = self.pid().and_then(Pid::from_raw);
        let sent = pid.map(|pid| kill_process(pid, signal));
        match sent {
            Some(Ok(())) => Ok(()),
            Some(Err(e)) => Err(self.fatal(&format!("master cannot be told: {e}"))),
            None => Err(self.fatal("the pid file names no process")),
        }
    }

    /// Logs; errors are on standard error in any case.
    fn say(&self, event: &impl Event) {
        observe::emit(&self.tag, event);
        // Others write to the same log: what we say stands before what we cause.
        observe::flush();
        if !self.console && event.level() >= Level::Error {
            let mut text = String::new();
            event.line(&mut text);
            eprintln!("{}: {}{text}", self.tag.program, event.level().prefix());
        }
    }

    fn fatal(&self, text: &str) -> ExitCode {
        struct Fatal<'a>(&'a str);
        impl Event for Fatal<'_> {
            fn line(&self, out: &mut String) {
                out.push_str(self.0);
            }
            fn level(&self) -> Level {
                Level::Fatal
            }
        }
        self.say(&Fatal(text));
        ExitCode::FAILURE
    }

    fn logs_to_terminal(&self) -> bool {
        self.plan.log.maillog_file.as_ref().is_some_and(|f| f.starts_with("/dev"))
    }
}

/// The background process that `start` makes: `posthaste master DIRECTORY FD`.
pub fn master_main(arguments: &[String]) -> ExitCode {
    let [directory, fd] = arguments else { return ExitCode::FAILURE };
    let Some(Ok(mut reply)) = fd.parse().ok().map(sys::take_inherited_fd).map(|fd| fd.map(File::from)) else {
        return ExitCode::FAILURE;
    };
    // A session of our own: the terminal's signals are not for us. It cannot fail behind a fresh fork.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let directory = PathBuf::from(directory);
    let load = || load(&directory);
    let plan = match load() {
        Ok(plan) => plan,
        Err(why) => {
            // The command that started us is the only reader.
            let _ = reply.write_all(why.as_bytes());
            return ExitCode::FAILURE;
        }
    };
    // The working directory must not keep a file system from being unmounted.
    let _ = std::env::set_current_dir("/");
    let mut reply = Some(reply);
    let mut started = |result: Result<(), String>| {
        if let Some(mut reply) = reply.take() {
            let text = result.map_or_else(|why| why, |()| "ok".into());
            let _ = reply.write_all(text.as_bytes());
        }
    };
    let options = Options { as_caller: false, console: false, load: &load, started: &mut started };
    match master::run(plan, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
