//! Measures tables of networks and patterns: lookups a second through `Table`, and with a program `postmap` beside it
//! those of `postmap -q -` over the same file and keys; its start is taken off by a run with few keys.
//!
//! `patterns [POSTMAP]`: medians of three, after the answers of both were compared line by line.
//! `patterns --query SPEC`: reads keys and prints what is found, as `postmap -q - SPEC`.

use std::fmt::Write as _;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tables::{Lookup, Settings, Table, wait};

/// Rules of the table of networks.
const NETWORKS: u32 = 10_000;
/// Rules of the tables of patterns.
const PATTERNS: u32 = 2_000;
/// Keys of the run whose time is the start of `postmap`.
const FEW: usize = 10;

/// Numbers that look like chance and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }
}

struct Bench {
    kind: &'static str,
    rules: String,
    keys: Vec<String>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [option, spec] if option == "--query" => query(spec),
        [] => benches().iter().for_each(|bench| run(bench, None)),
        [postmap] => benches().iter().for_each(|bench| run(bench, Some(Path::new(postmap)))),
        _ => eprintln!("usage: patterns [POSTMAP | --query SPEC]"),
    }
}

fn query(spec: &str) {
    let warn = std::sync::Arc::new(|text: &str| eprintln!("warning: {text}"));
    let table = match Table::open(spec, &Settings { warn, ..Settings::default() }) {
        Ok(table) => table,
        Err(error) => return eprintln!("{error}"),
    };
    // Standard output itself is written line by line.
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (mut input, mut line) = (std::io::stdin().lock(), String::new());
    while input.read_line(&mut line).is_ok_and(|read| read > 0) {
        let key = line.trim_end_matches('\n');
        if let Lookup::Found(value) = wait(table.lookup(key)) {
            let _ = writeln!(out, "{key}\t{value}");
        }
        line.clear();
    }
}

fn benches() -> [Bench; 3] {
    let patterns = |kind| Bench { kind, rules: patterns(), keys: addresses(1_000) };
    [networks(), patterns("regexp"), patterns("pcre")]
}

fn networks() -> Bench {
    let mut numbers = Numbers(1);
    let mut rules = String::new();
    for n in 0..NETWORKS {
        let bits = 14 + numbers.next() % 19;
        let network = (numbers.next() << 1) & (u32::MAX << (32 - bits));
        let _ = match n % 10 {
            0 => writeln!(rules, "2001:db8:{:x}::/48 REJECT network {n}", numbers.next() % 0xffff),
            _ => writeln!(rules, "{}/{bits} REJECT network {n}", std::net::Ipv4Addr::from(network)),
        };
    }
    let key = |n: u32| match n % 10 {
        0 => format!("2001:db8:{:x}::1", numbers.next() % 0xffff),
        _ => std::net::Ipv4Addr::from(numbers.next() << 1 | n & 1).to_string(),
    };
    Bench { kind: "cidr", rules, keys: (0..100_000).map(key).collect() }
}

/// What administrators write: addresses, parts of host names, alternatives, groups that come back in the result.
fn patterns() -> String {
    let mut numbers = Numbers(2);
    let mut rules = String::new();
    for n in 0..PATTERNS {
        let (a, b) = (numbers.next() % 5_000, numbers.next() % 500);
        let _ = match n % 5 {
            0 => writeln!(rules, "/^user{a}@host{b}\\.example\\.(com|net)$/ REJECT in $1"),
            1 => writeln!(rules, "/\\.dyn{b}\\.isp{a}\\.example$/ REJECT dynamic"),
            2 => writeln!(rules, "/^([^@]+)-list{b}@(.*\\.)?host{a}\\.example\\.org$/ REJECT list of $1"),
            3 => writeln!(rules, "/(offer|sale|win)[0-9]*{a}@/ REJECT offers"),
            _ => writeln!(rules, "/@(mail|mx)[0-9]+\\.host{a}\\.example\\.net$/ REJECT {b}"),
        };
    }
    rules
}

fn addresses(count: u32) -> Vec<String> {
    let mut numbers = Numbers(3);
    let key = |n: u32| {
        let (a, b) = (numbers.next() % 5_000, numbers.next() % 500);
        match n % 4 {
            0 => format!("user{a}@host{b}.example.com"),
            1 => format!("somebody.with.a.name{a}@mx{b}.host{a}.example.net"),
            2 => format!("people-list{b}@host{a}.example.org"),
            _ => format!("Ann.Other+{a}@department{b}.example.edu"),
        }
    };
    (0..count).map(key).collect()
}

fn run(bench: &Bench, postmap: Option<&Path>) {
    let path = std::env::temp_dir().join(format!("patterns-{}-{}", bench.kind, std::process::id()));
    std::fs::write(&path, &bench.rules).expect("the temporary directory can be written to");
    let spec = format!("{}:{}", bench.kind, path.display());
    let started = Instant::now();
    let table = Table::open(&spec, &Settings::default()).expect("the table is right");
    let opened = started.elapsed();
    let (ours, answers) = median(|| look_up(&table, &bench.keys));
    let rate = |time: Duration| bench.keys.len() as f64 / time.as_secs_f64();
    println!("{} ({} rules): opened in {opened:.2?}", bench.kind, bench.rules.lines().count());
    println!("  Table          {:>12.0} lookups/s ({} found)", rate(ours), answers.lines().count());
    if let Some(postmap) = postmap {
        let (all, theirs) = median(|| ask(postmap, &spec, &bench.keys));
        let (start, _) = median(|| ask(postmap, &spec, &bench.keys[..FEW]));
        assert_eq!(answers, theirs, "both find the same");
        let net = all.saturating_sub(start);
        println!("  postmap -q -   {:>12.0} lookups/s (start {start:.2?})", rate(net));
        println!("  Table is {:.1} times as fast", net.as_secs_f64() / ours.as_secs_f64());
    }
    let _ = std::fs::remove_file(&path);
}

/// The median time of three runs, and what the last one gave.
fn median<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let mut times = Vec::new();
    loop {
        let started = Instant::now();
        let result = run();
        times.push(started.elapsed());
        if times.len() == 3 {
            times.sort();
            return (times[1], result);
        }
    }
}

fn look_up(table: &Table, keys: &[String]) -> String {
    let mut out = String::new();
    for key in keys {
        if let Lookup::Found(value) = wait(table.lookup(key)) {
            let _ = writeln!(out, "{key}\t{value}");
        }
    }
    out
}

fn ask(postmap: &Path, spec: &str, keys: &[String]) -> String {
    let child =
        Command::new(postmap).args(["-q", "-", spec]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("postmap can be started");
    let mut input = child.stdin.take().expect("it was asked for");
    let text = keys.join("\n") + "\n";
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("postmap ends");
    let _ = writer.join();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
