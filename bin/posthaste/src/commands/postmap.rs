//! `posthaste postmap` and `posthaste postalias`: `tables::postmap` on our standard streams.

use super::Call;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::ExitCode;
use tables::postmap::{self, Program, Streams};

/// postmap.
pub fn postmap(call: Call) -> ExitCode {
    run(Program::Postmap, &call)
}

/// postalias.
pub fn postalias(call: Call) -> ExitCode {
    run(Program::Postalias, &call)
}

fn run(program: Program, call: &Call) -> ExitCode {
    let directory = call.config_directory.as_deref().unwrap_or(Path::new("/etc/postfix"));
    let streams = Streams {
        input: &mut BufReader::with_capacity(STREAM_BYTES, std::io::stdin().lock()),
        out: &mut BufWriter::with_capacity(STREAM_BYTES, std::io::stdout().lock()),
        err: &mut std::io::stderr(),
    };
    ExitCode::from(postmap::run(program, directory, &call.arguments, streams))
}

/// Bytes that are read or written at once: a million keys are asked for through a pipe.
const STREAM_BYTES: usize = 1 << 16;
