//! Real programs send to an instance and receive from it; bodies must arrive byte for byte.

pub mod hostile;

use crash::{Instance, Options};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use testkit::sink::{Sink, SinkSettings, Transaction};

/// An instance that relays to a recording sink.
pub struct Ring {
    /// The instance.
    pub instance: Instance,
    sink: Sink,
}

impl Ring {
    /// Starts both; `main_cf` adds settings.
    pub fn start(name: &str, main_cf: &str) -> Ring {
        let settings = SinkSettings { address: "127.0.0.1:0".into(), ..SinkSettings::default() };
        let sink = settings.start().expect("a sink on a port of the system's choice");
        // Lines are not to be broken on the way out: we compare bytes.
        let main_cf = format!("smtp_line_length_limit = 0\n{main_cf}");
        let options = Options { relay_port: sink.port(), main_cf, ..Options::default() };
        Ring { instance: Instance::start(name, options).expect("the instance starts"), sink }
    }

    /// Waits for `count` messages at the sink.
    pub fn received(&self, count: usize) -> Vec<Transaction> {
        let end = Instant::now() + Duration::from_secs(30);
        let mut all = Vec::new();
        while all.len() < count && Instant::now() < end {
            all.extend(self.sink.take().0);
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(all.len(), count, "messages at the sink; {}", self.instance.output());
        all
    }
}

/// The part behind the header.
pub fn body(content: &[u8]) -> &[u8] {
    let end = content.windows(4).position(|w| w == b"\r\n\r\n").expect("a header ends with an empty line");
    &content[end + 4..]
}

/// Whether worlds with Debian's programs can be made here; in CI they must be.
pub fn have_worlds() -> bool {
    let Err(why) = testkit::world::available().and_then(|()| testkit::world::fetch()) else { return true };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    false
}

/// Runs a script of `world/` in a world of `program`, with more words behind it, to its end; what it printed.
pub fn in_world(program: &str, script: &str, words: &[&str]) -> String {
    let oracle = testkit::world::oracle().canonicalize().expect("Debian's programs are unpacked");
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in tests/");
    let output = Command::new(tests.join("testkit/world/enter"))
        .arg(program)
        .arg(&oracle)
        .arg("python3")
        .arg(tests.join("peers/world").join(script))
        .arg(&oracle)
        .args(words)
        .env("POSTHASTE", testkit::world::posthaste().expect("a built posthaste"))
        .env("NAMES", testkit::world::beside("names").expect("a program of this crate"))
        // Else Python keeps what it compiled beside the scripts.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("worlds are entered by a script");
    assert!(output.status.success(), "{program}: {script}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// All that a program said.
fn said(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

/// Whether a program can be run here; in CI it must be there.
pub fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing: ./test installs it");
        println!("skipped: {program} is not installed");
    }
    found
}

/// Runs a client to its end and wants success.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = said(&output);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

/// A file beside this crate's clients.
pub fn client(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// A program of Debian's Postfix, unpacked by the test kit.
pub fn debian(path: &str) -> Option<std::path::PathBuf> {
    if let Err(why) = testkit::world::fetch() {
        assert!(std::env::var_os("CI").is_none(), "{why}");
        println!("skipped: {why}");
        return None;
    }
    Some(testkit::world::oracle().join("root").join(path))
}
