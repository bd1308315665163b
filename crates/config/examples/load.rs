//! How long a large configuration takes to load: main.cf with 500 settings and 30 tables, median of 21 runs.
//!
//! `cargo run --release -p config --example load`; the bar is 50 ms.

use config::{Config, words};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tables::{Maps, Settings};

/// Loads of which the median counts.
const RUNS: usize = 21;
const SETTINGS: usize = 500;
const FILES: usize = 20;
const INLINE: usize = 10;
/// Entries of each text table.
const ENTRIES: usize = 200;

/// A directory that goes with the program.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn write(directory: &Path) -> std::io::Result<()> {
    let mut maps = String::new();
    for n in 0..FILES {
        let entries: String = (0..ENTRIES).map(|k| format!("user{k}@d{n}.example user{k}\n")).collect();
        std::fs::write(directory.join(format!("table{n}")), entries)?;
        let _ = write!(maps, " texthash:{}/table{n},", directory.display());
    }
    for n in 0..INLINE {
        let _ = write!(maps, " inline:{{ a{n}=b, {{ c{n} = d e }} }}");
    }
    let mut main = format!("compatibility_level = 3.12\ntransport_maps ={maps}\n");
    for n in 0..SETTINGS - 2 {
        let _ = match n % 5 {
            0 => writeln!(main, "# a comment\nown_{n} = $own_{}, a.example,\n    b.example", n + 5),
            1 => writeln!(main, "t{n}_destination_rate_delay = ${{stress?{{1}}:{{2}}}}s"),
            2 => writeln!(main, "own_{n} = ${{{{$mail_version}}=={{3}}?{{$own_0}}:{{permit}}}}"),
            _ => writeln!(main, "own_{n} = permit_mynetworks, reject"),
        };
    }
    let services: String =
        (0..SETTINGS).map(|n| format!("t{n} unix - - n - - smtp -o syslog_name=t{n}\n")).collect();
    std::fs::write(directory.join("main.cf"), main)?;
    std::fs::write(directory.join("master.cf"), format!("smtp inet n - n - - smtpd\n{services}"))
}

/// One load: both files, every value checked, every table opened.
fn load(directory: &Path) -> Duration {
    let start = Instant::now();
    let config = Config::load(directory).expect("the files are right");
    let findings = config.check();
    let specs = words::list(&config.text("transport_maps").expect("the value expands"));
    let maps = Maps::open(&specs, &Settings::default()).expect("the tables are right");
    let elapsed = start.elapsed();
    assert_eq!(maps.tables().len(), FILES + INLINE);
    assert!(config.main().iter().count() >= SETTINGS && findings.len() < SETTINGS);
    elapsed
}

fn main() -> std::io::Result<()> {
    let directory = Directory(std::env::temp_dir().join(format!("posthaste-load-{}", std::process::id())));
    std::fs::create_dir_all(&directory.0)?;
    write(&directory.0)?;
    let mut times: Vec<Duration> = (0..RUNS).map(|_| load(&directory.0)).collect();
    times.sort();
    println!(
        "{SETTINGS} settings, {} tables: {:.1} ms (median of {RUNS})",
        FILES + INLINE,
        times[RUNS / 2].as_secs_f64() * 1e3
    );
    Ok(())
}
