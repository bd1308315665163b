//! Where log lines go: a file, a pipe or terminal, or the syslog socket; and the frame that each wants.

use crate::event::Level;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a process logs.
#[derive(Debug)]
pub struct Settings {
    /// Where lines go.
    pub destination: Destination,
    /// Repeat each line on standard error, without time and number: commands, and `start` until it is done.
    pub console: bool,
}

/// Where lines go.
#[derive(Debug)]
pub enum Destination {
    /// `maillog_file`: a path, also `/dev/stdout`.
    Path(PathBuf),
    /// `maillog_file` that master opened for a role that may not.
    Open(File),
    /// The syslog socket, `/dev/log` for all but tests.
    Syslog {
        /// The socket.
        socket: PathBuf,
        /// `syslog_facility`.
        facility: Facility,
        /// The connection, where it was made before.
        connected: Option<UnixDatagram>,
        /// Takes the lines while nothing listens on the socket, so that there is never silence.
        fallback: Option<Fallback>,
    },
    /// Nowhere: with [`Settings::console`] set, for commands that only talk to the terminal.
    Nowhere,
}

/// The file that stands in for the syslog socket.
#[derive(Debug)]
pub enum Fallback {
    /// Opened when it is needed.
    Path(PathBuf),
    /// Open already.
    Open(File),
}

impl Destination {
    /// The same with its files open and its socket connected: for a process that will not see them any more (chroot).
    /// A syslog daemon that is not there, or a stand-in that cannot be opened, is no reason not to start.
    pub fn opened(self) -> io::Result<Destination> {
        Ok(match self {
            Destination::Path(path) => Destination::Open(open_file(&path)?),
            Destination::Syslog { socket, facility, connected, fallback } => Destination::Syslog {
                connected: connected.or_else(|| connect(&socket).ok()),
                socket,
                facility,
                fallback: fallback.map(|fallback| match fallback {
                    Fallback::Path(path) => match sys::open_append_as_directory_owner(&path) {
                        Ok(file) => Fallback::Open(file),
                        Err(_) => Fallback::Path(path),
                    },
                    open => open,
                }),
            },
            other => other,
        })
    }
}

/// A facility of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(u8);

/// Postfix's names for `syslog_facility`, with their codes.
const FACILITIES: &[(&str, u8)] = &[
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl Facility {
    /// The facility `mail`.
    pub const MAIL: Facility = Facility(2);

    /// The facility of that name.
    pub fn parse(name: &str) -> Option<Facility> {
        FACILITIES.iter().find(|(n, _)| *n == name).map(|(_, code)| Facility(*code))
    }
}

/// What stands before `postfix/smtpd[123]: `.
pub(crate) struct Frame {
    /// `None`: the file form, with the host's name.
    facility: Option<Facility>,
    second: i64,
    /// `Nov 22 15:31:40 ` and in the file form `host `; made once a second.
    stamp: String,
    host: String,
}

impl Frame {
    fn new(facility: Option<Facility>, host: String) -> Self {
        Frame { facility, second: i64::MIN, stamp: String::new(), host }
    }

    /// Begins a line.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>, second: i64, level: Level) {
        if second != self.second {
            self.second = second;
            self.make_stamp(second);
        }
        if let Some(facility) = self.facility {
            // Writing to a vector cannot fail.
            let _ = write!(out, "<{}>", u16::from(facility.0) * 8 + u16::from(level.severity()));
        }
        out.extend_from_slice(self.stamp.as_bytes());
    }

    fn make_stamp(&mut self, second: i64) {
        self.stamp.clear();
        let Ok(t) = sys::local_time(second) else { return };
        self.stamp = t.log_time();
        self.stamp.push(' ');
        if self.facility.is_none() {
            self.stamp.push_str(&self.host);
            self.stamp.push(' ');
        }
    }
}

/// Opens a destination.
pub(crate) fn open(destination: Destination) -> io::Result<(Frame, Writer)> {
    let kind = match destination {
        Destination::Path(path) => file_kind(open_file(&path)?)?,
        Destination::Open(file) => file_kind(file)?,
        Destination::Syslog { socket, facility, connected, fallback } => {
            let syslog = Syslog { path: socket, socket: connected, fallback, host: host_label(), file: None };
            return Ok((
                Frame::new(Some(facility), String::new()),
                Writer { kind: Kind::Syslog(syslog), spare: Vec::new() },
            ));
        }
        Destination::Nowhere => Kind::Nowhere,
    };
    Ok((Frame::new(None, host_label()), Writer { kind, spare: Vec::new() }))
}

fn open_file(path: &Path) -> io::Result<File> {
    // Postfix: maillog_file_permissions = 0600 where the file is new.
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(named)
}

fn file_kind(file: File) -> io::Result<Kind> {
    let kind = file.metadata()?.file_type();
    // A file or /dev/null never blocks for a reader; a pipe, socket or terminal may.
    let blocks = kind.is_fifo() || kind.is_socket() || (kind.is_char_device() && file.is_terminal());
    Ok(if blocks { Kind::Stream(file) } else { Kind::File(file) })
}

/// The first label of the host's name, as Postfix logs it.
fn host_label() -> String {
    let name = sys::host_name();
    let label = name.split('.').next().unwrap_or_default().to_string();
    if label.is_empty() { "localhost".into() } else { label }
}

/// Writes lines to the destination.
pub(crate) struct Writer {
    kind: Kind,
    /// The other of two buffers, so that taking lines costs no allocation.
    spare: Vec<u8>,
}

enum Kind {
    File(File),
    Stream(File),
    Syslog(Syslog),
    Nowhere,
}

/// More than this is given back after a burst.
const SPARE_BYTES_MAX: usize = 256 << 10;

/// A pipe takes this much in one piece (PIPE_BUF): lines of several processes do not mix.
const PIPE_BYTES: usize = 4096;

impl Writer {
    /// Whether writing does not wait for a reader.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.kind, Kind::File(_) | Kind::Nowhere)
    }

    pub(crate) fn take_spare(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare)
    }

    pub(crate) fn put_spare(&mut self, mut lines: Vec<u8>) {
        lines.clear();
        if lines.capacity() <= SPARE_BYTES_MAX {
            self.spare = lines;
        }
    }

    /// Writes whole lines; answers how many were lost.
    pub(crate) fn write(&mut self, lines: &[u8]) -> u64 {
        match &mut self.kind {
            // Append mode: one write of whole lines stays in one piece among the processes.
            Kind::File(file) => file.write_all(lines).map_or_else(|_| count_lines(lines), |()| 0),
            Kind::Stream(file) => pieces(lines, PIPE_BYTES)
                .map(|piece| file.write_all(piece).map_or_else(|_| count_lines(piece), |()| 0))
                .sum(),
            Kind::Syslog(syslog) => syslog.write(lines),
            Kind::Nowhere => 0,
        }
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|b| **b == b'\n').count() as u64
}

/// Divides lines into pieces of whole lines of at most `max` bytes; a longer line is a piece of its own.
fn pieces(mut lines: &[u8], max: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let window = &lines[..lines.len().min(max)];
        let end = match window.iter().rposition(|b| *b == b'\n') {
            Some(at) => at + 1,
            None => lines.iter().position(|b| *b == b'\n').map_or(lines.len(), |at| at + 1),
        };
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        Some(piece)
    })
}

/// The syslog socket, or its stand-in while nobody listens.
struct Syslog {
    path: PathBuf,
    socket: Option<UnixDatagram>,
    fallback: Option<Fallback>,
    host: String,
    file: Option<File>,
}

/// How long a datagram may wait for a syslog daemon that is busy.
const SYSLOG_TIMEOUT: Duration = Duration::from_secs(5);

impl Syslog {
    fn write(&mut self, lines: &[u8]) -> u64 {
        let mut lost = 0;
        for line in lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            if !self.send(line) && !self.keep(line) {
                lost += 1;
            }
        }
        lost
    }

    /// Sends a line; a daemon that was restarted has another socket, so a failure is tried once more.
    fn send(&mut self, line: &[u8]) -> bool {
        for _ in 0..2 {
            if self.socket.is_none() {
                self.socket = connect(&self.path).ok();
            }
            match &self.socket {
                Some(socket) if socket.send(line).is_ok() => {
                    self.file = None;
                    return true;
                }
                _ => self.socket = None,
            }
        }
        false
    }

    fn keep(&mut self, line: &[u8]) -> bool {
        let file = match &mut self.fallback {
            None => return false,
            Some(Fallback::Open(file)) => file,
            Some(Fallback::Path(path)) => {
                if self.file.is_none() {
                    // Commands of root and processes of mail_owner meet in this file.
                    self.file = sys::open_append_as_directory_owner(path).ok();
                }
                let Some(file) = &mut self.file else { return false };
                file
            }
        };
        file.write_all(&in_file_form(line, &self.host)).is_ok()
    }
}

/// `<22>Nov 22 15:31:40 tag…` with the host's name instead of the priority.
fn in_file_form(line: &[u8], host: &str) -> Vec<u8> {
    let text = line.splitn(2, |b| *b == b'>').nth(1).unwrap_or(line);
    let (stamp, rest) = text.split_at(text.len().min("Nov 22 15:31:40 ".len()));
    [stamp, host.as_bytes(), b" ", rest, b"\n"].concat()
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SYSLOG_TIMEOUT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_line_has_time_host_and_two_column_day() {
        let mut frame = Frame::new(None, "mx".into());
        let mut out = Vec::new();
        frame.begin(&mut out, 1_783_252_800, Level::Info);
        let text = String::from_utf8(out).unwrap();
        let words: Vec<&str> = text.split(' ').filter(|w| !w.is_empty()).collect();
        assert_eq!((words.len(), words[0], words[3], text.len()), (4, "Jul", "mx", 19), "{text:?}");
    }

    #[test]
    fn a_syslog_line_begins_with_facility_and_severity() {
        let mut frame = Frame::new(Facility::parse("mail"), String::new());
        let mut out = Vec::new();
        frame.begin(&mut out, 0, Level::Info);
        frame.begin(&mut out, 0, Level::Warning);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("<22>") && text.contains("<20>"), "{text}");
    }

    #[test]
    fn pieces_for_a_pipe_hold_whole_lines() {
        let lines = b"aaa\nbbb\ncccccccccc\nd\n";
        let all: Vec<&[u8]> = pieces(lines, 8).collect();
        assert_eq!(all, [&b"aaa\nbbb\n"[..], b"cccccccccc\n", b"d\n"]);
    }

    #[test]
    fn syslog_falls_back_to_a_file_and_returns_to_the_socket() {
        let dir = std::env::temp_dir().join(format!("observe-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, fallback) = (dir.join("log"), dir.join("fallback"));
        let settings = Destination::Syslog {
            socket: path.clone(),
            facility: Facility::MAIL,
            connected: None,
            fallback: Some(Fallback::Path(fallback.clone())),
        };
        let (_, mut writer) = open(settings).unwrap();

        assert_eq!(writer.write(b"<22>Nov 22 15:31:40 postfix/smtpd[1]: one\n"), 0);
        let daemon = UnixDatagram::bind(&path).unwrap();
        assert_eq!(writer.write(b"<22>Nov 22 15:31:40 postfix/smtpd[1]: two\n"), 0);

        let kept = std::fs::read_to_string(&fallback).unwrap();
        assert!(kept.starts_with("Nov 22 15:31:40 ") && kept.ends_with(" postfix/smtpd[1]: one\n"), "{kept}");
        let mut got = [0; 100];
        let n = daemon.recv(&mut got).unwrap();
        assert_eq!(&got[..n], b"<22>Nov 22 15:31:40 postfix/smtpd[1]: two");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_was_opened_before_is_enough_when_the_paths_are_gone() {
        let dir = std::env::temp_dir().join(format!("observe-opened-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, fallback) = (dir.join("log"), dir.join("fallback"));
        let daemon = UnixDatagram::bind(&path).unwrap();
        let settings = Destination::Syslog {
            socket: path.clone(),
            facility: Facility::MAIL,
            connected: None,
            fallback: Some(Fallback::Path(fallback.clone())),
        };
        let (_, mut writer) = open(settings.opened().unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&fallback, dir.join("moved")).unwrap();

        assert_eq!(writer.write(b"<22>Nov 22 15:31:40 postfix/smtpd[1]: one\n"), 0);
        let mut got = [0; 100];
        assert_eq!(daemon.recv(&mut got).unwrap(), 41);
        drop(daemon);
        assert_eq!(writer.write(b"<22>Nov 22 15:31:40 postfix/smtpd[1]: two\n"), 0);

        let kept = std::fs::read_to_string(dir.join("moved")).unwrap();
        assert!(kept.ends_with(" postfix/smtpd[1]: two\n"), "{kept}");
        assert!(!fallback.exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
