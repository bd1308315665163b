//! Looks up the keys on standard input in a table, as the mail system does, and prints those that it has; for benchmarks.
//!
//! `lookup TYPE:NAME <KEYS`

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use tables::{Lookup, Settings, Table, wait};

fn main() -> ExitCode {
    let Some(spec) = std::env::args().nth(1) else {
        eprintln!("usage: lookup TYPE:NAME <KEYS");
        return ExitCode::FAILURE;
    };
    match run(&spec) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("lookup: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(spec: &str) -> Result<(), String> {
    let settings =
        Settings { warn: std::sync::Arc::new(|text| eprintln!("lookup: {text}")), ..Settings::default() };
    let table = Table::open(spec, &settings).map_err(|error| error.to_string())?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut line = String::new();
    while input.read_line(&mut line).map_err(|error| error.to_string())? > 0 {
        let key = line.trim_end_matches('\n');
        match wait(table.lookup(key)) {
            Lookup::Found(value) => writeln!(out, "{key}\t{value}").map_err(|error| error.to_string())?,
            Lookup::NotFound => {}
            Lookup::TempFail(text) => return Err(text),
        }
        line.clear();
    }
    out.flush().map_err(|error| error.to_string())
}
