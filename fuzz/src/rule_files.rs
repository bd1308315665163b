//! Files of rules (cidr, pcre, regexp): what any text and any key must keep to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tables::{Lookup, Settings, Table, wait};

/// Words of files of patterns, POSIX's and Perl's: what one library takes for syntax the other should take for text.
pub const PATTERN_WORDS: &[&[u8]] = &[
    b"/a/ x\n",
    b"/^(a+)(b)?$/ $1${2}$(1)$$\n",
    b"!/b/ not\n",
    b"if /a/\n",
    b"if !/b/i\n",
    b"endif\n",
    b"/",
    b"|",
    b"~",
    b"\"",
    b"(",
    b")",
    b"(?:",
    b"(?=",
    b"(?!",
    b"(?<!",
    b"(?<n>",
    b"(?i)",
    b"(?R)",
    b"(?1)",
    b"(*ACCEPT)",
    b"(*UTF)",
    b"(*COMMIT)",
    b"[",
    b"[^",
    b"]",
    b"[[:alpha:]]",
    b"\\",
    b"\\d",
    b"\\b",
    b"\\K",
    b"\\C",
    b"\\1",
    b"\\Q",
    b"\\E",
    b"\\p{L}",
    b"\\x{100}",
    b".",
    b"*",
    b"+",
    b"?",
    b"{2,3}",
    b"^",
    b"$",
    b"$1",
    b"${",
    b"$0",
    b"imsxAEUX",
    b"i",
    b" ",
    b"\n",
    b"\t",
    b"#",
    b"!",
    b"a",
    b"b",
    b"\0",
    b"\xff",
    b"\xc3\xa4",
    b"/a/!/b/ both\n",
    b"\\(",
    b"\\)",
    b"[[.a.]]",
    b"[[=a=]]",
    b"\\<",
    b"\\>",
    b"\\w",
    b"\\{2\\}",
    b"{",
    b"}",
    b"imx",
];

/// Keys that rules of the dictionaries fit.
const KEYS: &[&str] = &[
    "",
    "a",
    "ab",
    "aab",
    "abc",
    "xa",
    "A",
    "1",
    "example.org",
    "ann@example.org",
    "10.1.2.3",
    "192.0.2.1",
    "::1",
    "2001:db8::1",
    "ä",
    "a\nb",
];

/// Keys out of the input itself, and how long they are; what a backtracking library does with longer ones takes long.
const OWN_KEYS: usize = 4;
const OWN_KEY_BYTES: usize = 16;

/// Rules that make a table one that looks for needles first.
const MORE_RULES: u32 = 20;

/// The file that a thread writes its inputs to.
struct File(std::path::PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

thread_local! {
    static FILE: RefCell<Option<Rc<File>>> = const { RefCell::new(None) };
}

fn file() -> Rc<File> {
    FILE.with_borrow_mut(|file| {
        let make = || Rc::new(File(std::env::temp_dir().join(format!("fuzz-rules-{}", std::process::id()))));
        file.get_or_insert_with(make).clone()
    })
}

/// Opens the input as a table of `kind` and looks keys up: nothing panics, answers repeat, warnings name a line that is
/// there, and the inline form of the same lines answers the same, as does a table with more rules, which looks for needles.
pub fn run(kind: &str, input: &[u8]) {
    let file = file();
    std::fs::write(&file.0, input).expect("the temporary directory can be written to");
    let path = file.0.display().to_string();
    let (table, warnings) = open(&format!("{kind}:{path}"));
    let Some(table) = table else { panic!("a file is opened, whatever is in it") };
    let lines = input.split(|&b| b == b'\n').count();
    for warning in warnings.lock().expect("no panic while it is held").iter() {
        if let Some(rest) = warning.strip_prefix(&format!("{kind} map {path}, line ")) {
            let line = rest.split(':').next().and_then(|line| line.parse::<usize>().ok());
            assert!(line.is_some_and(|line| (1..=lines).contains(&line)), "{warning}");
        }
    }
    let text = String::from_utf8_lossy(input);
    let longer = (kind != "cidr").then(|| {
        let more: String = (0..MORE_RULES).map(|n| format!("/no-key-has-{n}-in-it/ x\n")).collect();
        std::fs::write(&file.0, [input, b"\n", more.as_bytes()].concat()).expect("as before");
        open(&format!("{kind}:{path}")).0.expect("as before")
    });
    let inline = inline(kind, &text);
    let own = text.split_ascii_whitespace().filter(|word| word.len() <= OWN_KEY_BYTES).take(OWN_KEYS);
    for key in KEYS.iter().copied().chain(own) {
        let answer = wait(table.lookup(key));
        assert_eq!(answer, wait(table.lookup(key)), "{key:?} again");
        if let Some(longer) = &longer {
            assert_eq!(same(wait(longer.lookup(key))), same(answer.clone()), "{key:?} with more rules");
        }
        if let Some(inline) = &inline {
            assert_eq!(same(wait(inline.lookup(key))), same(answer), "{key:?} inline");
        }
    }
}

fn open(spec: &str) -> (Option<Table>, Arc<Mutex<Vec<String>>>) {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let sink = warnings.clone();
    let warn =
        Arc::new(move |text: &str| sink.lock().expect("no panic while it is held").push(text.to_owned()));
    let settings = Settings { follow_changes: false, warn, ..Settings::default() };
    (Table::open(spec, &settings).ok(), warnings)
}

/// The table of the same lines, written inline: where each is a rule of its own and has no braces.
fn inline(kind: &str, text: &str) -> Option<Table> {
    let mut lines = text.lines();
    let plain = |line: &str| !line.contains(['{', '}', '\r', '\0']) && line.trim() == line;
    if !text.lines().all(plain) || text.contains('\x0b') || text.contains('\x0c') {
        return None;
    }
    let rules: String = lines.by_ref().map(|line| format!("{{{line}}} ")).collect();
    open(&format!("{kind}:{{ {rules}}}")).0
}

/// What can be compared of an answer: a failure names its table.
fn same(answer: Lookup) -> Option<Lookup> {
    (!matches!(answer, Lookup::TempFail(_))).then_some(answer)
}
