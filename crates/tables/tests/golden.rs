//! Each kind of table against its golden file: `table: SPEC`, the warnings or the error of opening it, `KEY => ANSWER`.
//!
//! `file:` lines make the content of FILE for the tables behind them; `index: NAME` takes a file of `golden/index/` as
//! FILE's index, with the suffix that it has there.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use tables::kinds::KINDS;
use tables::{Lookup, Settings, Table};

#[test]
fn each_kind_answers_as_its_golden_file_says() {
    for kind in KINDS {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/kinds/{}.txt", kind.name));
        let expected = std::fs::read_to_string(&golden).unwrap();
        assert_eq!(replay(kind.name, &expected), expected, "{}", golden.display());
    }
}

/// The golden text as the tables of today would have written it.
fn replay(kind: &str, golden: &str) -> String {
    let path = std::env::temp_dir().join(format!("golden-{kind}-{}", std::process::id()));
    let path_text = path.to_string_lossy().into_owned();
    let (mut out, mut content) = (String::new(), String::new());
    let mut table = None;
    for line in golden.lines() {
        if line.starts_with('#') {
            out.push_str(&format!("{line}\n"));
        } else if let Some(text) = line.strip_prefix("file: ") {
            content.push_str(&format!("{text}\n"));
            std::fs::write(&path, &content).unwrap();
            out.push_str(&format!("{line}\n"));
        } else if let Some(name) = line.strip_prefix("index: ") {
            let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/index").join(name);
            std::fs::write(path.with_extension(index.extension().unwrap()), std::fs::read(&index).unwrap())
                .unwrap();
            out.push_str(&format!("{line}\n"));
        } else if let Some(spec) = line.strip_prefix("table: ") {
            let warnings = Arc::new(Mutex::new(String::new()));
            let sink = warnings.clone();
            let warn =
                Arc::new(move |text: &str| sink.lock().unwrap().push_str(&format!("warning: {text}\n")));
            let opened =
                Table::open(&spec.replace("FILE", &path_text), &Settings { warn, ..Settings::default() });
            out.push_str(&format!("{line}\n{}", warnings.lock().unwrap().replace(&path_text, "FILE")));
            match opened {
                Ok(opened) => table = Some(opened),
                Err(error) => out.push_str(&format!("error: {error}\n").replace(&path_text, "FILE")),
            }
        } else if let Some((key, _)) = line.split_once(" => ") {
            let answer = match tables::wait(table.as_ref().unwrap().lookup(key)) {
                Lookup::Found(value) => value,
                Lookup::NotFound => "not found".to_owned(),
                Lookup::TempFail(text) => format!("fails: {}", text.replace(&path_text, "FILE")),
            };
            out.push_str(&format!("{key} => {answer}\n").replace(&path_text, "FILE"));
        }
    }
    for suffix in ["", "db", "phx", "cdb", "lmdb"] {
        let _ = std::fs::remove_file(path.with_extension(suffix));
    }
    out
}
