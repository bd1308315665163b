//! A Posthaste instance in a directory of its own, and its processes by role.

use std::fs;
use std::io::{Error, Result};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The supervisor.
    Master,
    /// The SMTP server and the intake side of the queue.
    Smtpd,
    /// The queue manager and the SMTP client.
    Qmgr,
    /// Delivery to mailboxes.
    Local,
    /// The administrator's view.
    Control,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Role::Master => "start-fg",
            Role::Smtpd => "smtpd",
            Role::Qmgr => "qmgr",
            Role::Local => "local",
            Role::Control => "control",
        }
    }
}

/// What an instance is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where mail goes: `127.0.0.1:relay_port`.
    pub relay_port: u16,
    /// More lines for main.cf.
    pub main_cf: String,
    /// Put in front of the command: `strace …`.
    pub wrapper: Vec<String>,
}

/// A running instance. Dropping it ends its processes and removes its directory.
pub struct Instance {
    /// Everything of the instance lies below.
    pub dir: PathBuf,
    /// The loopback port of its SMTP server.
    pub port: u16,
    options: Options,
    master: Option<Child>,
}

/// `nobody`, whom root becomes so that the test runs as an ordinary user does.
const NOBODY: u32 = 65534;

impl Instance {
    /// Makes the directory and the configuration, starts the instance and waits until it answers.
    pub fn start(name: &str, options: Options) -> Result<Instance> {
        let dir = std::env::temp_dir().join(format!("posthaste-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&dir));
        for sub in ["etc", "spool", "data"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        let port = testkit::free_port();
        fs::copy(binary()?, dir.join("posthaste"))?;
        fs::write(dir.join("etc/main.cf"), main_cf(&dir, &options))?;
        fs::write(dir.join("etc/master.cf"), master_cf(port))?;
        if is_root() {
            give_away(&dir)?;
        }
        let mut instance = Instance { dir, port, options, master: None };
        instance.start_master()?;
        Ok(instance)
    }

    /// Starts master (again, after it was killed) and waits until the SMTP server answers.
    pub fn start_master(&mut self) -> Result<()> {
        let mut words = self.options.wrapper.clone();
        if is_root() {
            words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(String::from));
        }
        words.push(self.dir.join("posthaste").display().to_string());
        words.extend(["start-fg".into(), "-c".into(), self.dir.join("etc").display().to_string()]);
        let output = fs::OpenOptions::new().create(true).append(true).open(self.dir.join("output"))?;
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.master = Some(child);
        self.wait_until_it_answers(Duration::from_secs(20))
    }

    /// Waits until a connection is greeted.
    pub fn wait_until_it_answers(&mut self, patience: Duration) -> Result<()> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.master.as_mut().and_then(|m| m.try_wait().ok().flatten()) {
                return Err(Error::other(format!("the instance ended with {status}: {}", self.output())));
            }
            if greeted(self.port) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Error::other(format!("no greeting within {patience:?}: {}", self.output())))
    }

    /// The process of `role`, if it lives: the first of those that have its words, as a command has until it is executed.
    pub fn pid(&self, role: Role) -> Option<i32> {
        let wanted = self.dir.join("posthaste");
        let of_role = |entry: fs::DirEntry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let exe = fs::read_link(entry.path().join("exe")).ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let mut words = words.split(|&b| b == 0);
            (exe == wanted && words.any(|w| w == role.word().as_bytes())).then_some(pid)
        };
        fs::read_dir("/proc").ok()?.flatten().filter_map(of_role).min()
    }

    /// Kills the process of `role` as a crash would. For master this waits until its children are gone.
    pub fn kill(&mut self, role: Role) -> Result<Instant> {
        let pid = self.pid(role).ok_or_else(|| Error::other(format!("{role:?} does not run")))?;
        let at = Instant::now();
        kill(pid, "-KILL")?;
        if role == Role::Master {
            if let Some(mut master) = self.master.take() {
                master.wait()?;
            }
            let end = Instant::now() + Duration::from_secs(10);
            while [Role::Smtpd, Role::Qmgr, Role::Local, Role::Control].iter().any(|&r| self.pid(r).is_some())
            {
                if Instant::now() > end {
                    return Err(Error::other("children outlive a killed master"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(at)
    }

    /// Waits until `role` runs with another pid than `old`.
    pub fn wait_for_restart(&mut self, role: Role, old: i32) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if self.pid(role).is_some_and(|pid| pid != old) {
                return self.wait_until_it_answers(Duration::from_secs(20));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::other(format!("{role:?} was not restarted: {}", self.output())))
    }

    /// Stops the instance in order and waits for its end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.pid(Role::Master) {
            kill(pid, "-TERM")?;
        }
        if let Some(mut master) = self.master.take() {
            master.wait()?;
        }
        Ok(())
    }

    /// What the instance printed and the end of its log.
    pub fn output(&self) -> String {
        let mut text = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
        let log = fs::read_to_string(self.dir.join("mail.log")).unwrap_or_default();
        let from = log.lines().count().saturating_sub(30);
        for line in log.lines().skip(from) {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(self.stop());
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

fn main_cf(dir: &Path, options: &Options) -> String {
    let (dir, relay) = (dir.display(), options.relay_port);
    format!(
        "compatibility_level = 3.8\nqueue_directory = {dir}/spool\ndata_directory = {dir}/data\nmaillog_file = {dir}/mail.log\n\
         maillog_file_prefixes = {dir}\nmyhostname = crash.test\nmydestination =\nmynetworks = 127.0.0.0/8\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nrelayhost = [127.0.0.1]:{relay}\n\
         smtpd_peername_lookup = no\ndns_nameservers = 127.0.0.1:1\nminimal_backoff_time = 1s\n\
         queue_run_delay = 1s\nmaximal_backoff_time = 2s\n{}\n",
        options.main_cf
    )
}

fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\nsmtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\n\
         error unix - - n - - error\nretry unix - - n - - error\ndiscard unix - - n - - discard\n\
         virtual unix - n n - - virtual\nlocal unix - n n - - local\n"
    )
}

/// The program under test, beside the test program's own directory.
fn binary() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    let profile = exe.parent().and_then(Path::parent).ok_or_else(|| Error::other("no target directory"))?;
    let path = profile.join("posthaste");
    if path.exists() {
        return Ok(path);
    }
    Err(Error::other(format!("{} does not exist: build the workspace first", path.display())))
}

fn greeted(port: u16) -> bool {
    use std::io::Read;
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    drop(stream.set_read_timeout(Some(Duration::from_secs(2))));
    let mut digits = [0; 3];
    stream.read_exact(&mut digits).is_ok() && &digits == b"220"
}

fn is_root() -> bool {
    // /proc/self belongs to the effective user.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn give_away(dir: &Path) -> Result<()> {
    chown(dir, Some(NOBODY), Some(NOBODY))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            give_away(&path)?;
        } else {
            chown(&path, Some(NOBODY), Some(NOBODY))?;
        }
    }
    Ok(())
}

/// Sends a signal to one process, by pid.
fn kill(pid: i32, signal: &str) -> Result<()> {
    let status = Command::new("kill").arg(signal).arg(pid.to_string()).status()?;
    if status.success() { Ok(()) } else { Err(Error::other(format!("kill {signal} {pid}: {status}"))) }
}
