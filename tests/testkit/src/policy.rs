//! A policy service with scripted answers that records what it is told.
//!
//! ```text
//! policy: 127.0.0.1:10023       or `policy: /path/to/socket`; `policy: 127.0.0.1:10023 deaf` takes no connection
//! | recipient=ann@example.com protocol_state=RCPT => REJECT no
//! | sender= => <send> action=REJECT no\naction=OK\n\n
//! | => DUNNO
//! ```
//! A rule's left side is attributes that the request must have, blanks and `=` in values written `\x20` and `\x3d`; the
//! first rule that fits counts, and without one DUNNO. Its right side is an action, or
//! `<send> BYTES` (and waits for the next request), `<send-and-close> BYTES`, `<close>`, `<silence>`.

use crate::dialogue::unescape;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Attributes that Debian's Postfix does not send yet.
const NEWER: [&str; 3] = ["compatibility_level", "mail_version", "tls_sni"];

/// Connections that fill the backlog of a listener that takes none.
const BACKLOG: usize = 4;

/// Name and value.
type Attribute = (String, String);

/// What a service is and says.
#[derive(Clone, Debug, Default)]
pub struct PolicySettings {
    address: String,
    deaf: bool,
    rules: Vec<(Vec<Attribute>, Answer)>,
}

#[derive(Clone, Debug)]
enum Answer {
    Send(Vec<u8>),
    SendAndClose(Vec<u8>),
    Silence,
}

/// A running service.
#[derive(Clone, Debug)]
pub struct Policy {
    settings: Arc<PolicySettings>,
    asked: Arc<Mutex<Vec<Vec<Attribute>>>>,
}

impl PolicySettings {
    /// Reads what stands behind `policy:`.
    pub fn parse(text: &str) -> Result<PolicySettings, String> {
        match text.split_whitespace().collect::<Vec<_>>()[..] {
            [address] => Ok(PolicySettings { address: address.to_owned(), ..PolicySettings::default() }),
            [address, "deaf"] => {
                Ok(PolicySettings { address: address.to_owned(), deaf: true, ..PolicySettings::default() })
            }
            _ => Err(format!("expected ADDRESS:PORT or a path, perhaps with `deaf`, found `{text}`")),
        }
    }

    /// Adds a line of its script.
    pub fn rule(&mut self, line: &str) -> Result<(), String> {
        let (left, right) = line.split_once("=>").ok_or("expected `NAME=VALUE… => ANSWER`")?;
        let text = |text: &str| unescape(text).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let attribute = |word: &str| {
            let (name, value) =
                word.split_once('=').ok_or_else(|| format!("expected NAME=VALUE, found `{word}`"))?;
            Ok((name.to_owned(), text(value)?))
        };
        let wanted: Result<Vec<_>, String> = left.split_whitespace().map(attribute).collect();
        let right = right.trim();
        let answer = match right.split_once(' ').unwrap_or((right, "")) {
            ("<close>", _) => Answer::SendAndClose(Vec::new()),
            ("<silence>", _) => Answer::Silence,
            ("<send>", bytes) => Answer::Send(unescape(bytes)?),
            ("<send-and-close>", bytes) => Answer::SendAndClose(unescape(bytes)?),
            _ => Answer::Send(format!("action={right}\n\n").into_bytes()),
        };
        self.rules.push((wanted?, answer));
        Ok(())
    }

    /// Starts the service.
    pub fn start(self) -> Result<Policy, String> {
        let failed = |e: &dyn std::fmt::Display| format!("policy: {}: {e}", self.address);
        let policy = Policy { settings: Arc::new(self.clone()), asked: Arc::default() };
        if self.address.starts_with('/') {
            let path = Path::new(&self.address);
            std::fs::create_dir_all(path.parent().unwrap_or(path)).map_err(|e| failed(&e))?;
            let listener = UnixListener::bind(path).map_err(|e| failed(&e))?;
            let anybody = std::fs::Permissions::from_mode(0o666);
            std::fs::set_permissions(path, anybody).map_err(|e| failed(&e))?;
            policy.clone().accept(
                move || listener.accept().ok().map(|(stream, _)| stream),
                |stream| stream.try_clone().ok(),
            );
            return Ok(policy);
        }
        let address: SocketAddr = self.address.parse().map_err(|e| failed(&e))?;
        let listener = TcpListener::bind(address).map_err(|e| failed(&e))?;
        if self.deaf {
            rustix::net::listen(&listener, 0).map_err(|e| failed(&e))?;
            fill(listener, address);
            return Ok(policy);
        }
        policy.clone().accept(
            move || listener.accept().ok().map(|(stream, _)| stream),
            |stream| stream.try_clone().ok(),
        );
        Ok(policy)
    }

    fn answer(&self, request: &[Attribute]) -> Answer {
        let fits = |wanted: &[Attribute]| wanted.iter().all(|attribute| request.contains(attribute));
        let found = self.rules.iter().find(|(wanted, _)| fits(wanted));
        found.map_or_else(|| Answer::Send(b"action=DUNNO\n\n".to_vec()), |(_, answer)| answer.clone())
    }
}

/// Fills the backlog, so that further connections are never answered. Those threads wait with the world.
fn fill(listener: TcpListener, address: SocketAddr) {
    for _ in 0..BACKLOG {
        thread::spawn(move || {
            let stream = TcpStream::connect(address);
            thread::park();
            drop(stream);
        });
    }
    thread::spawn(move || {
        thread::park();
        drop(listener);
    });
}

impl Policy {
    /// What it was told since the last call: the first request with all its attributes, of others those that changed.
    /// Instances get numbers in the order in which they come.
    pub fn take(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let mut instances = BTreeMap::new();
        let mut lines = Vec::new();
        let mut before: Vec<Attribute> = Vec::new();
        for request in asked {
            let masked = |(name, value): Attribute| {
                let next = instances.len() + 1;
                let value = match name.as_str() {
                    _ if value.is_empty() => value,
                    "client_port" if value != "0" => "PORT".to_owned(),
                    "instance" => format!("I{}", instances.entry(value).or_insert(next)),
                    _ => value,
                };
                (name, value)
            };
            let kept = request.into_iter().filter(|(name, _)| !NEWER.contains(&name.as_str()));
            let request: Vec<Attribute> = kept.map(masked).collect();
            lines.extend(shown(&self.settings.address, &before, &request));
            before = request;
        }
        lines
    }

    fn accept<S: Read + Write + Send + 'static>(
        self,
        mut accept: impl FnMut() -> Option<S> + Send + 'static,
        again: impl Fn(&S) -> Option<S> + Send + Copy + 'static,
    ) {
        thread::spawn(move || {
            while let Some(stream) = accept() {
                let policy = self.clone();
                thread::spawn(move || {
                    if let Some(reader) = again(&stream) {
                        policy.serve(BufReader::new(reader), stream);
                    }
                });
            }
        });
    }

    fn serve(&self, mut reader: impl BufRead, mut stream: impl Write) {
        while let Some(request) = request(&mut reader) {
            let answer = self.settings.answer(&request);
            self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(request);
            match answer {
                Answer::Send(bytes) => {
                    let _ = stream.write_all(&bytes);
                }
                Answer::SendAndClose(bytes) => {
                    let _ = stream.write_all(&bytes);
                    return;
                }
                Answer::Silence => {}
            }
        }
    }
}

/// The attributes up to the empty line.
fn request(reader: &mut impl BufRead) -> Option<Vec<Attribute>> {
    let mut attributes = Vec::new();
    loop {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).ok()?;
        let line = String::from_utf8_lossy(line.strip_suffix(b"\n")?).into_owned();
        if line.is_empty() {
            return Some(attributes);
        }
        let (name, value) = line.split_once('=').unwrap_or((&line, ""));
        attributes.push((name.to_owned(), value.to_owned()));
    }
}

fn shown(address: &str, before: &[Attribute], request: &[Attribute]) -> Vec<String> {
    let names = |all: &[Attribute]| all.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let line = |(name, value): &Attribute| format!("{name}={value}");
    if names(before) != names(request) {
        let all = request.iter().map(|attribute| format!("  {}", line(attribute)));
        return std::iter::once(format!("{address}:")).chain(all).collect();
    }
    let changed = before.iter().zip(request).filter(|(old, new)| old != new).map(|(_, new)| line(new));
    vec![format!("{address}: {}", changed.collect::<Vec<_>>().join(" "))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_shown_by_what_changed_and_answered_by_the_first_rule_that_fits() {
        let mut settings = PolicySettings::parse("/tmp/x").unwrap();
        settings.rule("sender=a\\x20b size=1 => REJECT no").unwrap();
        settings.rule("=> <send> x\\n\\n").unwrap();
        let request = |size: &str| {
            let text =
                format!("sender=a b\nsize={size}\ninstance=7.{size}\nmail_version=3\nclient_port=99\n\n");
            request(&mut text.as_bytes()).unwrap()
        };
        let bytes = |answer| match answer {
            Answer::Send(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes(settings.answer(&request("1"))), b"action=REJECT no\n\n");
        assert_eq!(bytes(settings.answer(&request("2"))), b"x\n\n");
        let policy = Policy { settings: Arc::new(settings), asked: Arc::default() };
        policy.asked.lock().unwrap().extend([request("1"), request("1"), request("2")]);
        assert_eq!(
            policy.take(),
            [
                "/tmp/x:",
                "  sender=a b",
                "  size=1",
                "  instance=I1",
                "  client_port=PORT",
                "/tmp/x: ",
                "/tmp/x: size=2 instance=I2"
            ]
        );
    }
}
