//! A server that answers by script, and a lookup's answer in one line.

#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use tables::{Lookup, Table, wait};

/// What a server does when it has read a question.
#[derive(Clone)]
pub enum Act {
    /// Sends this.
    Say(Vec<u8>),
    /// Ends the connection.
    Close,
    /// Says nothing until the test ends.
    Hang,
    /// Sends this only when the other side has given up the connection, or sends its next question over it.
    Late(Vec<u8>),
}

/// Starts a server that does one act after another, over all connections; what it reads comes out of the channel.
pub fn serve(acts: Vec<Act>) -> (u16, Receiver<(usize, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (read, reads) = sync_channel(1000);
    let acts = Arc::new(Mutex::new(acts.into_iter()));
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (mut stream, acts, read) = (stream.unwrap(), acts.clone(), read.clone());
            thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let _ = read.send((number, bytes[..count].to_vec()));
                    let act = acts.lock().unwrap().next();
                    match act {
                        Some(Act::Say(text)) => stream.write_all(&text).unwrap(),
                        Some(Act::Hang) => {}
                        Some(Act::Late(text)) => {
                            let next = stream.read(&mut bytes).unwrap_or(0);
                            let _ = stream.write_all(&text);
                            if next > 0 {
                                let _ = read.send((number, bytes[..next].to_vec()));
                            }
                        }
                        Some(Act::Close) | None => return,
                    }
                }
            });
        }
    });
    (port, reads)
}

pub fn say(text: impl AsRef<[u8]>) -> Act {
    Act::Say(text.as_ref().to_vec())
}

pub fn netstring(content: impl AsRef<[u8]>) -> Act {
    let content = content.as_ref();
    Act::Say([format!("{}:", content.len()).as_bytes(), content, b","].concat())
}

/// A lookup's answer in one line, without the table's changing name.
pub fn ask(table: &Table, key: &str) -> String {
    match wait(table.lookup(key)) {
        Lookup::Found(value) => format!("found {value}"),
        Lookup::NotFound => "not found".to_owned(),
        Lookup::TempFail(text) => {
            let named = text.strip_prefix(table.spec());
            format!("fails: {}", named.expect("the table is named").trim_start_matches(": "))
        }
    }
}
