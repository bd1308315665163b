//! A whole instance in a directory of its own, started and steered by the commands.

pub mod client;

pub use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
pub use testkit::free_port;

/// How long a condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The roles that an instance may have.
const ROLES: [&str; 5] = ["smtpd", "smtpd-chroot", "qmgr", "local", "control"];

/// One instance; it is stopped and its directory removed when this goes away.
pub struct Instance {
    directory: PathBuf,
    /// The port that its smtpd listens on.
    pub port: u16,
}

impl Instance {
    /// Configuration and directories; nothing is started. `main_cf` is added to what every instance has.
    pub fn new(main_cf: &str) -> Instance {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("posthaste-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(directory.join("etc")).expect("a directory below /tmp");
        let instance = Instance { directory, port: free_port() };
        instance.write_main_cf(main_cf);
        instance.write_master_cf(&format!("127.0.0.1:{} inet n - n - - smtpd\n", instance.port));
        instance
    }

    /// Replaces main.cf.
    pub fn write_main_cf(&self, more: &str) {
        let d = self.directory.display();
        // Debian's own accounts stand in for postfix and postdrop; without root nobody looks at them.
        let text = format!(
            "compatibility_level = 3.6\nqueue_directory = {d}/spool\ndata_directory = {d}/lib\n\
             maillog_file_prefixes = {d}\nmaillog_file = {d}/log\nmyhostname = mail.example.com\n\
             mydestination =\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nmail_owner = daemon\nsetgid_group = mail\n{more}"
        );
        std::fs::write(self.etc().join("main.cf"), text).expect("main.cf");
    }

    /// Replaces master.cf.
    pub fn write_master_cf(&self, text: &str) {
        std::fs::write(self.etc().join("master.cf"), text).expect("master.cf");
    }

    /// The directory of main.cf.
    pub fn etc(&self) -> PathBuf {
        self.directory.join("etc")
    }

    /// A path below the instance's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Runs `posthaste COMMAND… -c DIRECTORY`.
    pub fn posthaste(&self, words: &[&str]) -> Output {
        let etc = self.etc();
        let mut all: Vec<&str> = words.to_vec();
        all.extend(["-c", etc.to_str().expect("a path of ours is text")]);
        run(&testkit::world::posthaste().expect("a built posthaste"), &all)
    }

    /// Starts it and expects that it runs.
    pub fn start(&self) {
        let output = self.posthaste(&["start"]);
        assert!(output.status.success(), "{}\n{}", said(&output), self.log());
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The process id in master.pid.
    pub fn master_pid(&self) -> Option<i32> {
        std::fs::read_to_string(self.path("spool/pid/master.pid")).ok()?.trim().parse().ok()
    }

    /// The processes of a role of this instance.
    pub fn role_pids(&self, role: &str) -> Vec<i32> {
        let etc = self.etc().display().to_string();
        pids(|words| words.len() > 3 && words[1..4] == ["role", role, &etc])
    }

    /// All processes of this instance, master included: those whose command names its directory.
    pub fn all_pids(&self) -> Vec<i32> {
        let etc = self.etc().display().to_string();
        pids(|words| words.first().is_some_and(|word| word.ends_with("posthaste")) && words.contains(&&*etc))
    }
}

/// The processes whose command has words like these, in order.
fn pids(matches: impl Fn(&[&str]) -> bool) -> Vec<i32> {
    let processes = std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        matches(&words.split('\0').collect::<Vec<_>>()).then_some(pid)
    });
    let mut pids: Vec<i32> = processes.collect();
    pids.sort_unstable();
    pids
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.directory.display(), self.log());
        }
        self.end();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Instance {
    /// Ends what runs, by its process ids: the configuration may be broken, or gone.
    fn end(&self) {
        let send = |pids: Vec<i32>, signal| {
            for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
                // It may have ended by itself.
                let _ = rustix::process::kill_process(pid, signal);
            }
        };
        let roles = |pid: &i32| ROLES.iter().any(|role| self.role_pids(role).contains(pid));
        // Master ends the others in order; where it is gone they end by themselves.
        send(self.all_pids().into_iter().filter(|pid| !roles(pid)).collect(), Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while !self.all_pids().is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        send(self.all_pids(), Signal::KILL);
    }
}

/// Runs a program without input and with a bounded environment.
pub fn run(program: &Path, words: &[&str]) -> Output {
    // Files rather than pipes: a daemon that keeps the descriptor must not hold us up.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = |kind: &str| {
        std::env::temp_dir().join(format!("posthaste-out-{}-{number}-{kind}", std::process::id()))
    };
    let (out, err) = (path("out"), path("err"));
    let file = |path: &Path| std::fs::File::create(path).expect("a file below /tmp");
    let status = Command::new(program)
        .args(words)
        .env_remove("MAIL_CONFIG")
        .stdin(Stdio::null())
        .stdout(file(&out))
        .stderr(file(&err))
        .status()
        .expect("the program starts");
    let output = Output {
        status,
        stdout: std::fs::read(&out).unwrap_or_default(),
        stderr: std::fs::read(&err).unwrap_or_default(),
    };
    let _ = (std::fs::remove_file(out), std::fs::remove_file(err));
    output
}

/// What a command printed, both streams.
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// Waits until something holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ends a process that a test started, by its id.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Sends a signal to one of our own processes.
pub fn signal(pid: i32, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("our own process");
}
