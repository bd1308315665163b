//! Headers of a grammar, as Postfix and as ours deliver them: addresses found, completed and written the same way.
//!
//! `HEADERS` says how many (1,000 without it), `SEED` which. Each message has fifty; a list of addresses in a `To` or `From`
//! header becomes what cleanup(8) makes of it for mail of our own.

use compat::grammar::Grammar;
use compat::{difference, ring};
use std::fmt::Write as _;
use std::process::ExitCode;
use testkit::play::{self, Transcript};

/// Headers of one message.
const EACH: usize = 50;

/// Messages of one world.
const WORLD: usize = 20;

/// Messages whose differences are shown.
const SHOWN_MAX: usize = 10;

/// Settings that keep each address near to what it was.
const SETTINGS: &str = "main.cf: append_dot_mydomain = yes\nmain.cf: smtpd_reject_unlisted_recipient = no\n\
                        main.cf: header_size_limit = 1000000\nmain.cf: smtpd_error_sleep_time = 0\n";

/// What stands between addresses, and around them.
const DIVIDERS: &[&str] = &[", ", ",", ", ", "; ", " ", ",,", ",\r\n ", "\r\n\t", " (and) ", ": ", ">, <"];

fn main() -> ExitCode {
    ring::program(play::inside, all)
}

fn all() -> Result<(), String> {
    ring::ready()?;
    let (count, seed) = (ring::number("HEADERS", 1_000), ring::number("SEED", 1));
    let mut grammar = Grammar::new(seed);
    let messages = (count as usize).div_ceil(EACH);
    let mut shown = Vec::new();
    let mut differing = 0;
    for first in (0..messages).step_by(WORLD) {
        let text = cases(&mut grammar, first..messages.min(first + WORLD));
        let (theirs, ours) = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| play::outside("postfix", &text));
            (theirs.join().expect("no panic"), play::outside("posthaste", &text))
        });
        for (theirs, ours) in theirs?.iter().zip(&ours?) {
            let difference = difference(&mail(theirs), &mail(ours));
            differing += usize::from(!difference.is_empty());
            if !difference.is_empty() && shown.len() < SHOWN_MAX {
                shown.push(format!("{}:\n{}", theirs.case, difference.join("\n")));
            }
        }
    }
    if differing > 0 {
        return Err(format!("seed {seed}: {differing} of {messages} messages differ\n{}", shown.join("\n")));
    }
    println!("{messages} messages with {} headers, seed {seed}: delivered the same", messages * EACH);
    Ok(())
}

/// What was delivered.
fn mail(transcript: &Transcript) -> Vec<String> {
    let lines = transcript.lines.iter().filter(|(part, _)| part == "mail" || part == "failure");
    lines.map(|(_, line)| line.clone()).collect()
}

/// A case for each message.
fn cases(grammar: &mut Grammar, numbers: std::ops::Range<usize>) -> String {
    let mut text = SETTINGS.to_owned();
    for number in numbers {
        write!(text, "\ncase: message-{number}\nbegin: a@example.net ann@example.com\n")
            .expect("a string grows");
        for _ in 0..EACH {
            let name = grammar.of(&["To", "From", "Cc", "Reply-To", "Sender", "Errors-To"]);
            let mut line = address(grammar);
            for _ in 0..grammar.below(4) {
                line = [line.as_str(), grammar.of(DIVIDERS), &address(grammar)].concat();
            }
            if grammar.below(8) == 0 && !line.contains('@') {
                line = format!("team: {line};");
            }
            // The case file's own escapes.
            writeln!(text, "C: X-As-Is: {0}\nC: {name}: {0}", escaped(&line)).expect("a string grows");
        }
        text.push_str(
            "C: Message-ID: <1@example.net>\nC: Date: Thu, 01 Jan 2026 00:00:00 +0000\nC: \nC: .\n",
        );
    }
    text
}

/// An address that Postfix's scanner leaves whole: quotes and brackets are closed and not empty, no comment stands near
/// quotes, and there is no colon, which makes a group or a route of what stands around it.
fn address(grammar: &mut Grammar) -> String {
    loop {
        let address = grammar.address();
        let count = |byte: u8| address.bytes().filter(|b| *b == byte).count();
        let angles = match address.strip_prefix("Ann Lee <") {
            Some(_) => address.ends_with('>') && count(b'<') == 1 && count(b'>') == 1,
            None => count(b'<') + count(b'>') == 0,
        };
        let is_closed = count(b'"') % 2 == 0 && count(b'(') == count(b')') && count(b'[') == count(b']');
        let is_quoted_note = address.contains("(note)") && address.contains('"');
        if angles
            && is_closed
            && !is_quoted_note
            && !address.ends_with('\\')
            && !address.contains("\"\"")
            && !address.contains(':')
        {
            return address;
        }
    }
}

fn escaped(line: &str) -> String {
    line.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n").replace('\t', "\\t")
}
