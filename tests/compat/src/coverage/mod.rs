//! What the cases of the ring show Posthaste do, and what none of them shows.
//!
//! Only cases in which both programs did the same count. What is to be shown stands in tables, one a module, each with
//! its reasons for what no case can show; a whole run of the ring fails for each thing that is missing.

mod access;
mod differences;
mod replies;
mod restrictions;

pub use differences::of_restrictions as differences;

use testkit::play::{Transcript, WITNESS};

/// What the cases do not show though they should, or show though they should not.
pub fn gaps(shown: &[Transcript]) -> Vec<String> {
    let parts = [restrictions::gaps(shown), access::gaps(shown), replies::gaps(shown)];
    parts.into_iter().flatten().collect()
}

/// The fields of the witness's lines of a kind, each with the case that shows it.
fn witnessed<'a>(
    shown: &'a [Transcript],
    kind: &'static str,
) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
    let lines = shown.iter().flat_map(|case| case.lines.iter().map(|(part, line)| (&*case.case, part, line)));
    lines.filter(|(_, part, _)| *part == WITNESS).filter_map(move |(case, _, line)| {
        let mut fields = line.split('\t');
        (fields.next() == Some(kind)).then(|| (case, fields.collect()))
    })
}
