//! A server of tables with scripted answers that records which keys it was asked for, in order.
//!
//! It speaks two protocols on one port: socketmap, whose tables Postfix asks for whole keys only, as it does tables of
//! patterns, and memcache, whose tables it asks as it does files, for parts of addresses and domains, too.
//!
//! ```text
//! tables: 127.0.0.1:4444        for `socketmap:inet:127.0.0.1:4444:NAME`, and `memcache:FILE` with
//!                               `memcache = inet:127.0.0.1:4444` and `key_format = NAME/%s`
//! | NAME KEY => ANSWER          all other keys are not found
//! | NAME => fail                each lookup of the table fails for the time being
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Bytes of a request; a longer one ends the connection.
const REQUEST_MAX: usize = 100_000;

/// What a server is and says.
#[derive(Clone, Debug, Default)]
pub struct TablesSettings {
    address: String,
    answers: BTreeMap<(String, String), String>,
    failing: Vec<String>,
}

/// A running server.
#[derive(Clone, Debug)]
pub struct Tables {
    settings: Arc<TablesSettings>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl TablesSettings {
    /// A server at an address and port.
    pub fn new(address: &str) -> TablesSettings {
        TablesSettings { address: address.to_owned(), ..TablesSettings::default() }
    }

    /// Adds a line of its script.
    pub fn rule(&mut self, line: &str) -> Result<(), String> {
        let (left, answer) =
            line.split_once("=>").ok_or("expected `NAME KEY => ANSWER` or `NAME => fail`")?;
        match (left.trim().split_once(' '), answer.trim()) {
            (Some((name, key)), answer) => {
                self.answers.insert((name.to_owned(), key.trim().to_owned()), answer.to_owned());
            }
            (None, "fail") => self.failing.push(left.trim().to_owned()),
            (None, other) => return Err(format!("expected `fail`, found `{other}`")),
        }
        Ok(())
    }

    /// Starts the server.
    pub fn start(self) -> Result<Tables, String> {
        let failed = |e: &dyn std::fmt::Display| format!("tables: {}: {e}", self.address);
        let address: SocketAddr = self.address.parse().map_err(|e| failed(&e))?;
        let listener = TcpListener::bind(address).map_err(|e| failed(&e))?;
        let tables = Tables { settings: Arc::new(self), asked: Arc::default() };
        let server = tables.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(&stream));
            }
        });
        Ok(tables)
    }
}

impl Tables {
    /// Each table's keys since the last call, each key once, in the order in which it was first asked for:
    /// `NAME: KEY, KEY`. How often a program asks for a key again is its own affair, and when it asks for `*`: Postfix
    /// does that once, when it opens transport_maps.
    pub fn take(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, key) in asked.into_iter().filter(|(_, key)| key != "*") {
            let keys = tables.entry(name).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        tables.into_iter().map(|(name, keys)| format!("{name}: {}", keys.join(", "))).collect()
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        if reader.fill_buf().ok()?.first()?.is_ascii_alphabetic() {
            return self.serve_memcache(reader, stream);
        }
        loop {
            let mut length = Vec::new();
            reader.read_until(b':', &mut length).ok()?;
            let length: usize = std::str::from_utf8(&length).ok()?.strip_suffix(':')?.parse().ok()?;
            if length > REQUEST_MAX {
                return None;
            }
            let mut request = vec![0; length + 1];
            reader.read_exact(&mut request).ok()?;
            request.pop();
            let request = String::from_utf8_lossy(&request).into_owned();
            let (name, key) = request.split_once(' ')?;
            let answer = self.answer(name, key);
            let mut stream = stream;
            stream.write_all(format!("{}:{answer},", answer.len()).as_bytes()).ok()?;
        }
    }

    fn serve_memcache(&self, mut reader: BufReader<&TcpStream>, mut stream: &TcpStream) -> Option<()> {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let key = line.trim_end().strip_prefix("get ")?;
            let (name, rest) = key.split_once('/')?;
            let answer = self.answer(name, rest);
            let reply = match answer.strip_prefix("OK ") {
                Some(value) => format!("VALUE {key} 0 {}\r\n{value}\r\nEND\r\n", value.len()),
                None if answer.starts_with("TEMP") => "SERVER_ERROR as scripted\r\n".to_owned(),
                None => "END\r\n".to_owned(),
            };
            stream.write_all(reply.as_bytes()).ok()?;
        }
    }

    fn answer(&self, name: &str, key: &str) -> String {
        let question = (name.to_owned(), key.to_owned());
        let found = self.settings.answers.get(&question).cloned();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        match found {
            _ if self.settings.failing.iter().any(|failing| failing == name) => "TEMP as scripted".to_owned(),
            Some(value) => format!("OK {value}"),
            None => "NOTFOUND ".to_owned(),
        }
    }
}
