//! Each kind of table against its golden file: `table: SPEC`, the warnings or the error of opening it,
//! `KEY => ANSWER` behind what was said while it was looked up.
//!
//! `file:` lines make the content of FILE for the tables behind them; `index: NAME` takes a file of `golden/index/` as
//! FILE's index, with the suffix that it has there. `new file` begins FILE anew.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use tables::kinds::KINDS;
use tables::{Lookup, Settings, Table, Warn};

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
    let said = Said::default();
    for line in golden.lines() {
        if line.starts_with('#') {
            out.push_str(&format!("{line}\n"));
        } else if line == "new file" {
            content.clear();
            out.push_str("new file\n");
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
            let settings =
                Settings { warn: said.taker("warning"), note: said.taker("note"), ..Settings::default() };
            let opened = Table::open(&spec.replace("FILE", &path_text), &settings);
            out.push_str(&format!("{line}\n{}", said.take()));
            match opened {
                Ok(opened) => table = Some(opened),
                Err(error) => out.push_str(&format!("error: {error}\n")),
            }
        } else if let Some((key, _)) = line.split_once(" => ") {
            let answer = match tables::wait(table.as_ref().unwrap().lookup(key)) {
                Lookup::Found(value) => value,
                Lookup::NotFound => "not found".to_owned(),
                Lookup::TempFail(text) => format!("fails: {}", text.replace(&path_text, "FILE")),
            };
            // A failure is a warning with the same text.
            let said = said.take().replace(&path_text, "FILE");
            let told = said.lines().filter(|line| {
                Some(*line)
                    != answer.strip_prefix("fails: ").map(|text| format!("warning: {text}")).as_deref()
            });
            out.extend(told.map(|line| format!("{line}\n")));
            out.push_str(&format!("{key} => {answer}\n"));
        }
    }
    for suffix in ["", "db", "phx", "cdb", "lmdb"] {
        let _ = std::fs::remove_file(path.with_extension(suffix));
    }
    out.replace(&path_text, "FILE")
}

/// What tables said since the last look.
#[derive(Default)]
struct Said(Arc<Mutex<String>>);

impl Said {
    fn taker(&self, what: &'static str) -> Warn {
        let said = self.0.clone();
        Arc::new(move |text: &str| said.lock().unwrap().push_str(&format!("{what}: {text}\n")))
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}
