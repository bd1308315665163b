//! Starting and steering an instance: `posthaste start …`, and the same as `postfix start …`.

mod place;

pub use place::{Closed, Place, config_directory, find_place, load, load_as};

use super::Call;
use master::directories::create_missing;
use master::inspection::{Finding, inspect, unreadable};
use master::reloading::Waiter;
use master::{Options, Plan};
use observe::events::master::{Aborting, Refreshing, Starting, Status, Stopping, Waiting, WrongState};
use observe::{Event, Level};
use place::{Instance, with_instance, with_place};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Longer than master gives its slowest role to stop.
const STOP_TIME_MAX: Duration = Duration::from_secs(660);

/// How long a process that was just killed may still look alive.
const DYING_TIME: Duration = Duration::from_millis(200);

/// How long a start waits for the processes of a killed master; they give their sessions 5 s.
const ORPHANS_TIME_MAX: Duration = Duration::from_secs(8);

/// How often the lock is looked at while waiting for the end.
const STOP_POLL: Duration = Duration::from_millis(20);

/// `posthaste start`.
pub fn start(call: Call) -> ExitCode {
    with_instance(call, true, Closed::Warned, |i| i.start())
}

/// `posthaste start-fg`.
pub fn start_fg(call: Call) -> ExitCode {
    with_instance(call, true, Closed::Warned, |i| i.start_fg())
}

/// `posthaste stop`.
pub fn stop(call: Call) -> ExitCode {
    with_place(call, true, |i| i.stop())
}

/// `posthaste reload`.
pub fn reload(call: Call) -> ExitCode {
    with_instance(call, true, Closed::Refused, |i| i.reload())
}

/// Lets what runs take the configuration that was just put in place.
pub fn reload_if_running(call: Call, place: &Place) -> ExitCode {
    if matches!(place.locks.running(), Ok(None)) {
        println!("The mail system does not run: `posthaste start` takes this configuration.");
        return ExitCode::SUCCESS;
    }
    reload(call)
}

/// `posthaste status`.
pub fn status(call: Call) -> ExitCode {
    with_place(call, true, |i| i.status())
}

/// `posthaste check`.
pub fn check(call: Call) -> ExitCode {
    with_instance(call, true, Closed::Refused, |i| {
        if let Some(text) = crate::roles::names::trouble_of(&i.place.directory) {
            i.warn(&text);
        }
        i.check()
    })
}

/// `postfix COMMAND`: the same, silent where nobody looks on, as Postfix's.
pub fn postfix(mut call: Call) -> ExitCode {
    // The command may stand before or behind `-c DIR`; `-v` and `-D` are accepted and change nothing.
    let mut command = None;
    let mut rest = std::mem::take(&mut call.arguments).into_iter();
    while let Some(word) = rest.next() {
        match word.as_str() {
            "-c" => match rest.next() {
                Some(directory) => call.arguments.extend([word, directory]),
                None => return wrong_usage("option requires an argument -- 'c'"),
            },
            "-v" | "-D" => {}
            option if option.starts_with('-') => {
                let letter = option.chars().nth(1).unwrap_or('-');
                return wrong_usage(&format!("invalid option -- '{letter}'"));
            }
            _ if command.is_none() => command = Some(word),
            _ => call.arguments.push(word),
        }
    }
    let Some(command) = command else { return wrong_usage("a command is missing") };
    match command.as_str() {
        "start" => with_instance(call, false, Closed::Warned, Instance::start),
        "start-fg" => with_instance(call, false, Closed::Warned, Instance::start_fg),
        "stop" | "quick-stop" => with_place(call, false, Instance::stop),
        "abort" => with_place(call, false, Instance::abort),
        "reload" => with_instance(call, false, Closed::Refused, Instance::reload),
        "status" => with_place(call, false, Instance::status),
        "check" => with_instance(call, false, Closed::Refused, Instance::create_and_check),
        "flush" => with_place(call, false, Instance::flush),
        _ => with_place(call, false, move |i| i.unknown(&command)),
    }
}

/// Postfix's words for what is no command line of `postfix`.
fn wrong_usage(why: &str) -> ExitCode {
    eprintln!("postfix: {why}");
    eprintln!(
        "postfix: fatal: usage: postfix [-c config_dir] [-Dv] command \
         (start, start-fg, stop, abort, flush, reload, check or status)"
    );
    ExitCode::FAILURE
}

impl Instance {
    fn start(&self) -> ExitCode {
        let plan = match self.ready_to_start() {
            Ok(plan) => plan,
            Err(code) => return code,
        };
        self.say(&Starting);
        let (mut ours, theirs) = match UnixStream::pair() {
            Ok(pair) => pair,
            Err(e) => return self.fatal(&format!("cannot start: {e}")),
        };
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0(master::PROGRAM)
            .args(["master", &plan.config_directory.to_string_lossy(), &theirs.as_raw_fd().to_string()])
            .stdin(Stdio::null());
        plan.environment.give(&mut command, &plan.config_directory);
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

    /// The plan, where nothing runs yet and the directories can be used.
    fn ready_to_start(&self) -> Result<&Plan, ExitCode> {
        self.await_orphans();
        if let Some(code) = self.require(false) {
            if let Some(pid) = self.pid() {
                eprintln!("process {pid} holds {}", self.place.locks.pid_file.display());
            }
            return Err(code);
        }
        let plan = self.plan.as_ref().expect("a start reads the whole configuration");
        let mut findings = inspect(&plan.queue_directory, &plan.data_directory, plan.identity.as_ref());
        // A start makes what is missing.
        findings.retain(|f| !f.text.starts_with("missing: "));
        if self.tell(&findings) { Ok(plan) } else { Err(self.fatal("Postfix integrity check failed!")) }
    }

    /// The processes of a master that was killed end by themselves, and hold its locks until then.
    fn await_orphans(&self) {
        let begin = Instant::now();
        let mut told = false;
        let is_orphaned = |pid: i32| begin.elapsed() < DYING_TIME || is_gone(pid);
        while self.pid().is_some_and(is_orphaned) && begin.elapsed() < ORPHANS_TIME_MAX {
            if !told && begin.elapsed() > DYING_TIME {
                told = true;
                self.warn("the last master was killed: waiting for its processes to end");
            }
            std::thread::sleep(STOP_POLL);
        }
    }

    fn start_fg(&self) -> ExitCode {
        let plan = match self.ready_to_start() {
            Ok(plan) => plan,
            Err(code) => return code,
        };
        self.say(&Starting);
        let directory = plan.config_directory.clone();
        let load = || load(&directory, Closed::Refused);
        let mut started = |_| {};
        let console = self.console && !self.logs_to_terminal();
        let options = Options { as_caller: false, console, load: &load, started: &mut started };
        match master::run(plan.clone(), options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => self.fatal(&why),
        }
    }

    fn stop(&self) -> ExitCode {
        if let Some(code) = self.require(true) {
            return code;
        }
        self.say(&Stopping);
        // Without its master the processes stop by themselves; its number may be another process's by now.
        if !self.pid().is_none_or(is_gone)
            && let Err(code) = self.signal(Signal::TERM)
        {
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
        let closed = self.closed_files();
        if !closed.is_empty() {
            closed.iter().for_each(|text| eprintln!("{text}"));
            return self
                .fatal("the old configuration stays in force: the new one cannot be read by all processes");
        }
        let waiter = match Waiter::new(&self.place.locks.pid_file) {
            Ok(waiter) => waiter,
            Err(e) => return self.fatal(&format!("{}: {e}", self.place.locks.pid_file.display())),
        };
        self.say(&Refreshing);
        if let Err(code) = self.signal(Signal::HUP) {
            return code;
        }
        match waiter.wait() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                why.lines().for_each(|line| eprintln!("{line}"));
                self.fatal(
                    "the new configuration was not taken, or not by all: what is told above stays as it was",
                )
            }
        }
    }

    fn status(&self) -> ExitCode {
        let pid = match self.place.locks.running() {
            Ok(pid) => pid,
            Err(e) => return self.unknown_state(&e),
        };
        self.say(&Status { pid });
        if pid.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn check(&self) -> ExitCode {
        let Some(plan) = &self.plan else { return ExitCode::FAILURE };
        plan.warnings.iter().for_each(|text| self.warn(text));
        self.closed_files().iter().for_each(|text| self.warn(text));
        let findings = inspect(&plan.queue_directory, &plan.data_directory, plan.identity.as_ref());
        if self.tell(&findings) { ExitCode::SUCCESS } else { self.fatal("Postfix integrity check failed!") }
    }

    /// `postfix check` makes missing directories, as Postfix's.
    fn create_and_check(&self) -> ExitCode {
        if let Some(plan) = &self.plan {
            let owners = plan.identity.as_ref().map(master::owners::Identity::owners);
            let made = create_missing(&plan.queue_directory, &plan.data_directory, owners.as_ref());
            if let Err(e) = made {
                eprintln!("{e}");
                return self.fatal("unable to create missing queue directories");
            }
        }
        self.check()
    }

    /// Files of the configuration that processes without root could not read again.
    fn closed_files(&self) -> Vec<String> {
        let identity = self.plan.as_ref().and_then(|p| p.identity.as_ref());
        let files = ["main.cf", "master.cf"].map(|name| self.place.directory.join(name));
        let mut closed: Vec<String> = files.iter().filter_map(|path| unreadable(path, identity)).collect();
        closed.dedup();
        closed
    }

    /// Tells what is wrong with directories; whether a mail system can run on them.
    fn tell(&self, findings: &[Finding]) -> bool {
        for finding in findings {
            if finding.is_error {
                observe::error(&self.tag, format_args!("{}", finding.text));
                if !self.console {
                    eprintln!("{}", finding.text);
                }
            } else {
                self.warn(&finding.text);
            }
        }
        findings.iter().all(|f| !f.is_error)
    }

    /// Logs a warning, which is on standard error in any case.
    fn warn(&self, text: &str) {
        observe::warn(&self.tag, format_args!("{text}"));
        observe::flush();
        if !self.console {
            eprintln!("{}: warning: {text}", self.tag.program);
        }
    }

    fn flush(&self) -> ExitCode {
        let directory = self.place.directory.to_string_lossy().into_owned();
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
        match self.place.locks.running() {
            Ok(pid) if pid.is_some() == running => None,
            Ok(pid) => {
                self.say(&WrongState { running: pid.is_some() });
                Some(ExitCode::FAILURE)
            }
            Err(e) => Some(self.unknown_state(&e)),
        }
    }

    /// "Not running" would be a guess.
    fn unknown_state(&self, error: &std::io::Error) -> ExitCode {
        self.fatal(&format!(
            "cannot tell whether the mail system runs: {error}; ask as root, or as who started it"
        ))
    }

    fn pid(&self) -> Option<i32> {
        self.place.locks.running().ok().flatten()
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
        self.place.log.maillog_file.as_ref().is_some_and(|f| f.starts_with("/dev"))
    }
}

/// Whether the process that stands in the pid file is no more, though somebody holds its lock. One that has ended and
/// waits to be collected (a container's first process may never do it) is gone too.
fn is_gone(pid: i32) -> bool {
    let ended = |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => ended(&stat),
        Err(e) => pid > 0 && e.kind() == std::io::ErrorKind::NotFound,
    }
}

/// The background process that `start` makes: `posthaste master DIRECTORY FD`.
pub fn master_main(arguments: &[String]) -> ExitCode {
    let [directory, fd] = arguments else {
        eprintln!("posthaste master: this is how `posthaste start` starts it; see posthaste --help");
        return ExitCode::FAILURE;
    };
    // Whoever got here by hand has no such descriptor.
    let Some(Ok(mut reply)) = fd.parse().ok().map(sys::take_inherited_fd).map(|fd| fd.map(File::from)) else {
        return ExitCode::FAILURE;
    };
    // A session of our own: the terminal's signals are not for us. It cannot fail behind a fresh fork.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let directory = PathBuf::from(directory);
    let load = |closed| load(&directory, closed);
    let plan = match load(Closed::Warned) {
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
    let load = || load(Closed::Refused);
    let options = Options { as_caller: false, console: false, load: &load, started: &mut started };
    match master::run(plan, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
