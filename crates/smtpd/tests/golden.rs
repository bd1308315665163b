//! Golden dialogues: each file in `golden/` is spoken with a real server over loopback, reply by reply.
//!
//! ```text
//! main.cf: NAME = VALUE     settings; the file's or, behind `case:`, the case's
//! case: NAME                a new session
//! client: 127.0.0.2         where from
//! C: text                   sends a line; `\r \n \0 \xNN` are bytes; `C+: text` sends it without CRLF
//! S: text                   expects this reply line; `ID` stands for a queue id
//! close                     expects the end of the connection
//! ```

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use server::Server;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

/// What a case expects to be queued is told by the replies; what was queued is counted here.
struct Case {
    name: String,
    settings: String,
    client: String,
    steps: Vec<(usize, String)>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut common = String::new();
    let mut cases: Vec<Case> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(setting) = line.strip_prefix("main.cf: ") {
            let settings = cases.last_mut().map_or(&mut common, |c| &mut c.settings);
            settings.push_str(&format!("{setting}\n"));
        } else if let Some(name) = line.strip_prefix("case: ") {
            cases.push(Case {
                name: name.into(),
                settings: common.clone(),
                client: "127.0.0.1".into(),
                steps: vec![],
            });
        } else {
            let case = cases.last_mut().expect("steps stand behind `case:`");
            match line.strip_prefix("client: ") {
                Some(client) => case.client = client.into(),
                None => case.steps.push((i + 1, line.to_owned())),
            }
        }
    }
    cases
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'\\' {
            out.push(b);
            continue;
        }
        match bytes.next() {
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(b'0') => out.push(0),
            Some(b'x') => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap());
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
    out
}

/// Replaces the word behind `queued as` by `ID`.
fn masked(line: &str) -> String {
    match line.split_once("queued as ") {
        Some((head, _)) => format!("{head}queued as ID"),
        None => line.to_owned(),
    }
}

fn speak(case: &Case, file: &Path) {
    let server = Server::start(&case.settings);
    let stream: TcpStream = server.connect(&case.client);
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    for (line, step) in &case.steps {
        let place = format!("{}:{line}: case {}", file.display(), case.name);
        if let Some(text) = step.strip_prefix("C: ").or(step.strip_prefix("C:")) {
            writer.write_all(&[unescaped(text), b"\r\n".to_vec()].concat()).unwrap();
        } else if let Some(text) = step.strip_prefix("C+: ") {
            writer.write_all(&unescaped(text)).unwrap();
        } else if let Some(expected) = step.strip_prefix("S: ") {
            let mut said = String::new();
            reader.read_line(&mut said).unwrap_or_else(|e| panic!("{place}: no reply: {e}"));
            assert!(said.ends_with("\r\n"), "{place}: no whole line: {said:?}, expected {expected:?}");
            assert_eq!(masked(said.trim_end()), expected, "{place}");
        } else if step == "close" {
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "", "{place}: expected the end");
        } else {
            panic!("{place}: what is `{step}`?");
        }
    }
}

fn files(directory: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut files: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "txt"));
    files.sort();
    files
}

#[test]
fn the_server_says_what_the_golden_dialogues_say() {
    let mut count = 0;
    for file in files("golden") {
        for case in cases(&fs::read_to_string(&file).unwrap()) {
            speak(&case, &file);
            count += 1;
        }
    }
    assert!(count >= 10, "{count} dialogues were found");
}

#[test]
fn each_restriction_does_what_its_golden_dialogue_says() {
    let mut names = Vec::new();
    for file in files("golden/restrictions") {
        let all = cases(&fs::read_to_string(&file).unwrap());
        assert!(!all.is_empty(), "{}", file.display());
        for case in all {
            speak(&case, &file);
        }
        names.push(file.file_stem().unwrap().to_str().unwrap().to_owned());
    }
    let kinds: Vec<_> = smtpd::restrictions::KINDS.iter().map(|k| k.name.to_owned()).collect();
    assert_eq!(names, kinds, "one golden file a kind");
}
