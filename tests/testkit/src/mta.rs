//! Debian's Postfix and Posthaste behind one trait, as the rings start and stop them inside a world.

use crate::mask::LogLine;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where both programs read their settings in a world.
pub const CONFIG_DIRECTORY: &str = "/etc/postfix";
/// The file that `maillog_file` names in the ground settings.
pub const LOG_FILE: &str = "/var/log/mail.log";
/// The socket that wakes pickup.
const PICKUP: &str = "/var/spool/postfix/public/pickup";
/// What a start may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A mail transfer agent that reads `/etc/postfix`.
pub trait Mta {
    /// How transcripts call it.
    fn name(&self) -> &'static str;
    /// Starts it; returns when it listens on the port, or says why it does not.
    fn start(&mut self, port: u16) -> Result<(), String>;
    /// Stops it in order.
    fn stop(&mut self) -> Result<(), String>;

    /// Writes main.cf and master.cf.
    fn configure(&self, main_cf: &str, master_cf: &str) -> Result<(), String> {
        fs::create_dir_all(CONFIG_DIRECTORY).map_err(|e| format!("{CONFIG_DIRECTORY}: {e}"))?;
        for (name, text) in [("main.cf", main_cf), ("master.cf", master_cf)] {
            let path = format!("{CONFIG_DIRECTORY}/{name}");
            fs::write(&path, text).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(())
    }

    /// The log's lines from an offset in octets, and the offset behind them.
    fn log_lines(&self, from: usize) -> (Vec<LogLine>, usize) {
        let text = fs::read(LOG_FILE).unwrap_or_default();
        let complete = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1).max(from);
        let new = String::from_utf8_lossy(text.get(from..complete).unwrap_or_default()).into_owned();
        (new.lines().map(LogLine::parse).collect(), complete)
    }

    /// What `postqueue -p` prints.
    fn queue_listing(&self) -> String {
        Command::new("postqueue")
            .arg("-p")
            .output()
            .map_or_else(|e| e.to_string(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

/// Debian's Postfix.
#[derive(Debug, Default)]
pub struct Postfix;

/// Ours.
#[derive(Debug, Default)]
pub struct Posthaste {
    child: Option<Child>,
}

/// The program of this name.
pub fn by_name(name: &str) -> Result<Box<dyn Mta>, String> {
    match name {
        "postfix" => Ok(Box::new(Postfix)),
        "posthaste" => Ok(Box::new(Posthaste::default())),
        other => Err(format!("expected postfix or posthaste, found `{other}`")),
    }
}

impl Mta for Postfix {
    fn name(&self) -> &'static str {
        "postfix"
    }

    fn start(&mut self, port: u16) -> Result<(), String> {
        run("postfix", &["start"])?;
        wait_for_listener(port, || Ok(()))
    }

    fn stop(&mut self) -> Result<(), String> {
        run("postfix", &["stop"])
    }
}

impl Mta for Posthaste {
    fn name(&self) -> &'static str {
        "posthaste"
    }

    fn start(&mut self, port: u16) -> Result<(), String> {
        let errors =
            fs::File::create("/var/log/start.err").map_err(|e| format!("/var/log/start.err: {e}"))?;
        let child = Command::new("posthaste")
            .args(["start-fg", "-c", CONFIG_DIRECTORY])
            .stdin(Stdio::null())
            .stdout(errors.try_clone().map_err(|e| e.to_string())?)
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("posthaste start-fg: {e}"))?;
        let child = self.child.insert(child);
        wait_for_listener(port, || match child.try_wait() {
            Ok(None) => Ok(()),
            ended => {
                let said = fs::read_to_string("/var/log/start.err").unwrap_or_default();
                let log = fs::read_to_string(LOG_FILE).unwrap_or_default();
                Err(format!("posthaste start-fg ended ({ended:?}): {said}{log}"))
            }
        })?;
        wait_for_pickup()
    }

    fn stop(&mut self) -> Result<(), String> {
        run("posthaste", &["stop", "-c", CONFIG_DIRECTORY])?;
        match self.child.take().map(|mut child| child.wait()) {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(error.to_string()),
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    // A file rather than a pipe: a daemon that keeps the descriptor must not hold us up.
    let path = format!("/tmp/{program}.out");
    let file = fs::File::create(&path).map_err(|e| format!("{path}: {e}"))?;
    let copy = file.try_clone().map_err(|e| e.to_string())?;
    let status =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(copy).stderr(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => {
            let said = fs::read_to_string(&path).unwrap_or_default();
            let log = fs::read_to_string(LOG_FILE).unwrap_or_default();
            Err(format!("{program} {}: {other:?}: {said}{log}", arguments.join(" ")))
        }
    }
}

fn wait_for_listener(port: u16, mut alive: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let deadline = Instant::now() + START_TIMEOUT;
    // /proc/net/tcp rather than a connection, which would stand in the log.
    while !listens(port) {
        alive()?;
        if Instant::now() > deadline {
            let log = fs::read_to_string(LOG_FILE).unwrap_or_default();
            return Err(format!("nothing listens on port {port} after {START_TIMEOUT:?}: {log}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The port listens before the processes behind it run; local submission needs the socket that one of them makes.
fn wait_for_pickup() -> Result<(), String> {
    let master = fs::read_to_string(format!("{CONFIG_DIRECTORY}/master.cf")).unwrap_or_default();
    let deadline = Instant::now() + START_TIMEOUT;
    while master.lines().any(|line| line.starts_with("pickup")) && !Path::new(PICKUP).exists() {
        if Instant::now() > deadline {
            return Err(format!("{PICKUP} is not there after {START_TIMEOUT:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Whether some process listens on a TCP port of loopback or of all addresses; the sinks of a case listen elsewhere.
pub fn listens(port: u16) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .any(|path| listed_in(&fs::read_to_string(path).unwrap_or_default(), port))
}

/// 0.0.0.0 and 127.0.0.1, :: and ::1, as /proc/net writes them on little-endian machines.
const OWN_ADDRESSES: [&str; 4] =
    ["00000000", "0100007F", "00000000000000000000000000000000", "00000000000000000000000001000000"];

fn listed_in(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let own = fields.next().and_then(|local| local.split_once(':')).is_some_and(|(address, found)| {
            OWN_ADDRESSES.contains(&address) && u16::from_str_radix(found, 16) == Ok(port)
        });
        own && fields.nth(1) == Some("0A")
    })
}

#[cfg(test)]
mod tests {
    use super::listed_in;

    #[test]
    fn a_sink_on_the_same_port_is_not_the_server() {
        let sink = "   0: 190200C0:0019 00000000:0000 0A 00000000:00000000\n";
        let server = "   1: 00000000:0019 00000000:0000 0A 00000000:00000000\n";
        let session = "   2: 0100007F:0019 0100007F:9C40 01 00000000:00000000\n";
        assert!(!listed_in(&[sink, session].concat(), 25));
        assert!(listed_in(&[sink, session, server].concat(), 25));
        assert!(!listed_in(server, 26));
    }
}
