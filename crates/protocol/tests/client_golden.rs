//! The client's dialogues, written down: what it says (C) and means (E) follows from what it gets (S, T, D, Q).
//!
//! `S:` lines that follow each other come in one read. `T:` begins a transaction, `D:` says that the content is sent,
//! `Q:` takes leave, `+` before the text of a setting changes it. With BLESS=1 the files are written anew.

#![allow(clippy::unwrap_used)]

use mail::{Address, Encoding, Notify, Recipient, Ret};
use protocol::smtp::client::{
    Client, EhloUse, Event, Outputs, Probe, Protocol, Settings, Stage, Transaction,
};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

#[test]
fn dialogues_are_as_written() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/client");
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "the golden files are gone");
    let mut wrong = Vec::new();
    for path in files {
        let written = std::fs::read_to_string(&path).unwrap();
        let played = play(&written);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &played).unwrap();
        } else if played != written {
            wrong.push(format!("{}:\n{played}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these went otherwise:\n{}", wrong.join("\n"));
}

fn play(script: &str) -> String {
    let mut settings = Settings { helo_name: "client.example".into(), ..Settings::default() };
    let (mut client, mut input, mut played) = (None::<Client>, Vec::new(), String::new());
    let mut out = Outputs::default();
    for line in script.lines() {
        if !line.starts_with("S:") && !input.is_empty() {
            let client = client.get_or_insert_with(|| Client::new(Rc::new(settings.clone())));
            client.receive(&std::mem::take(&mut input), &mut out);
            tell(client, &mut out, &mut played);
        }
        if line.starts_with("C:") || line.starts_with("E:") {
            continue;
        }
        played.push_str(line);
        played.push('\n');
        if let Some(word) = line.strip_prefix('+') {
            set(&mut settings, word.trim());
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let client = client.get_or_insert_with(|| Client::new(Rc::new(settings.clone())));
        let text = line.get(3..).unwrap_or_default();
        match line.get(..2) {
            Some("S:") => {
                input.extend_from_slice(text.as_bytes());
                input.extend_from_slice(b"\r\n");
                continue;
            }
            Some("T:") => client.begin(transaction(text), &mut out),
            Some("D:") => client.content_sent(),
            Some("Q:") => client.quit(&mut out),
            _ => continue,
        }
        tell(client, &mut out, &mut played);
    }
    if let Some(client) = &mut client {
        client.receive(&input, &mut out);
        tell(client, &mut out, &mut played);
        let stage = client.stage().map_or("nothing", Stage::doing);
        let _ = writeln!(played, "E: at the end: {stage}{}", if client.is_ready() { ", ready" } else { "" });
    }
    played
}

fn set(settings: &mut Settings, word: &str) {
    match word.split_once('=').unwrap_or((word, "")) {
        ("lmtp", _) => settings.protocol = Protocol::Lmtp,
        ("never-ehlo", _) => settings.ehlo = EhloUse::Never,
        ("ehlo-where-greeted", _) => settings.ehlo = EhloUse::WhereGreeted,
        ("discard", words) => settings.discard_keywords = words.split(',').map(String::from).collect(),
        _ => panic!("unknown setting {word}"),
    }
}

fn transaction(text: &str) -> Transaction {
    let mut t = Transaction {
        sender: Address::null(),
        recipients: Vec::new(),
        size: Some(1000),
        encoding: Encoding::Unknown,
        smtputf8: 0,
        envid: String::new(),
        ret: None,
        probe: None,
        origin: None,
    };
    for word in text.split(' ') {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "from" => t.sender = Address::from(value),
            "to" => t.recipients.push(Recipient::new(Address::from(value))),
            "origin" => {
                let (name, ident) = value.split_once(',').unwrap();
                let (name, ident) = (name.to_owned(), ident.to_owned());
                t.origin = Some(Arc::new(mail::Origin { name, ident, ..mail::Origin::default() }));
            }
            "orig" => t.recipients.last_mut().unwrap().original = Address::from(value),
            "orcpt" => t.recipients.last_mut().unwrap().dsn_orcpt = value.into(),
            "notify" => t.recipients.last_mut().unwrap().notify = Notify(value.parse().unwrap()),
            "many" => {
                let name = |n| Recipient::new(Address::from(format!("r{n}@example.org").as_str()));
                t.recipients.extend((0..value.parse().unwrap()).map(name));
            }
            "size" => t.size = Some(value.parse().unwrap()),
            "8bit" => t.encoding = Encoding::EightBit,
            "7bit" => t.encoding = Encoding::SevenBit,
            "utf8" => t.smtputf8 = value.parse().unwrap(),
            "probe" => t.probe = Some(if value == "data" { Probe::Data } else { Probe::Rcpt }),
            "envid" => t.envid = value.into(),
            "ret" => t.ret = Some(if value == "full" { Ret::Full } else { Ret::Hdrs }),
            _ => panic!("unknown word {word}"),
        }
    }
    t
}

/// Appends what came out; long runs of commands are cut.
fn tell(client: &Client, out: &mut Outputs, played: &mut String) {
    let bytes = String::from_utf8(std::mem::take(&mut out.bytes)).unwrap();
    assert!(bytes.is_empty() || bytes.ends_with("\r\n"), "commands are whole lines: {bytes:?}");
    let lines: Vec<&str> = bytes.split_terminator("\r\n").collect();
    for (n, line) in lines.iter().enumerate() {
        if lines.len() > 20 && n == 2 {
            let _ = writeln!(played, "C: ({} lines)", lines.len() - 4);
        }
        if lines.len() <= 20 || n < 2 || n >= lines.len() - 2 {
            let _ = writeln!(played, "C: {line}");
        }
    }
    for event in out.events.drain(..) {
        let text = match event {
            Event::Ready => format!("ready {:?} {}", client.server_name(), can(client)),
            Event::Refused { stage, response } => format!("refused {stage:?}: {}", response.one_line()),
            Event::SendContent => "send the content".into(),
            Event::Delivered { place, response } => format!("delivered {place}: {}", response.one_line()),
            Event::RecipientFailed { place, stage, response } => {
                format!(
                    "failed {place} ({stage:?}, {} {}): {}",
                    response.code,
                    response.dsn,
                    response.one_line()
                )
            }
            Event::MessageFailed { stage, response } => {
                format!(
                    "message failed ({stage:?}, {} {}): {}",
                    response.code,
                    response.dsn,
                    response.one_line()
                )
            }
            Event::TransactionOver => "over".into(),
            Event::NotForwarded { stage, response } => {
                format!("not forwarded ({stage:?}): {}", response.one_line())
            }
            Event::Garbage { line } => format!("garbage {:?}", String::from_utf8_lossy(&line)),
            Event::OutOfStep => "out of step".into(),
        };
        let _ = writeln!(played, "E: {text}");
    }
}

fn can(client: &Client) -> String {
    let c = client.capabilities();
    let mut words = Vec::new();
    for (on, word) in [
        (c.pipelining, "pipelining"),
        (c.eight_bit_mime, "8bitmime"),
        (c.dsn, "dsn"),
        (c.smtputf8, "smtputf8"),
        (c.starttls, "starttls"),
        (c.chunking, "chunking"),
        (c.enhanced_status_codes, "codes"),
    ] {
        if on {
            words.push(word.to_string());
        }
    }
    words.extend(c.size.map(|n| format!("size={n}")));
    words.extend(c.auth.clone());
    format!("[{}]", words.join(" "))
}
