//! Source texts as bytes and back: with UTF-8 switched off every byte counts for itself.

use config::lines::is_space;
use std::collections::HashSet;
use std::io::Read;

/// Bytes of the largest source text.
const SOURCE_BYTES_MAX: u64 = 1 << 30;

/// A source text, whose bytes are UTF-8 or stand for the characters of the same number.
pub(super) struct Text {
    pub(super) text: String,
    /// Lines that are no UTF-8, although they should be.
    foreign: HashSet<u32>,
}

/// Reads a source text to its end.
pub(super) fn read(input: &mut dyn Read, name: &str, utf8: bool) -> Result<Text, String> {
    let mut bytes = Vec::new();
    let read = input.take(SOURCE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("read {name}: {}", super::os_text(&error)))?;
    if bytes.len() as u64 > SOURCE_BYTES_MAX {
        return Err(format!("read {name}: expected at most {SOURCE_BYTES_MAX} bytes, found more"));
    }
    Ok(Text::of(bytes, utf8))
}

impl Text {
    fn of(bytes: Vec<u8>, utf8: bool) -> Text {
        if !utf8 {
            return Text {
                text: bytes.iter().map(|&byte| char::from(byte)).collect(),
                foreign: HashSet::new(),
            };
        }
        match String::from_utf8(bytes) {
            Ok(text) => Text { text, foreign: HashSet::new() },
            Err(error) => {
                let bytes = error.as_bytes();
                let lines = bytes.split(|&byte| byte == b'\n').zip(1..);
                let foreign =
                    lines.filter(|(line, _)| str::from_utf8(line).is_err()).map(|(_, n)| n).collect();
                Text { text: String::from_utf8_lossy(bytes).into_owned(), foreign }
            }
        }
    }

    /// Takes out the logical lines that are no UTF-8, and shows each with the number of its first physical line.
    pub(super) fn without_foreign(self, mut show: impl FnMut(u32, &str)) -> String {
        if self.foreign.is_empty() {
            return self.text;
        }
        let lines: Vec<&str> = self.text.split('\n').collect();
        let mut kept = String::with_capacity(self.text.len());
        let mut at = 0;
        while at < lines.len() {
            let mut end = at + 1;
            while lines.get(end).is_some_and(|line| continues(line)) {
                end += 1;
            }
            let logical = &lines[at..end];
            let visible: Vec<&&str> = logical.iter().filter(|line| !is_comment(line)).collect();
            let foreign =
                (at..end).any(|line| !is_comment(lines[line]) && self.foreign.contains(&(line as u32 + 1)));
            // An empty line for each that goes keeps the numbers of the others.
            for line in logical {
                kept.push_str(if foreign { "" } else { line });
                kept.push('\n');
            }
            if foreign {
                let text: String = visible.iter().copied().copied().collect();
                show(at as u32 + 1, &printable(text.trim_end_matches(is_space), true));
            }
            at = end;
        }
        kept
    }
}

/// Whether a line belongs to the logical line before it, as a continuation or as a comment within.
fn continues(line: &str) -> bool {
    line.starts_with(is_space) || is_comment(line)
}

fn is_comment(line: &str) -> bool {
    let visible = line.trim_start_matches(is_space);
    visible.is_empty() || visible.starts_with('#')
}

/// The bytes of a piece of such a text.
pub(super) fn bytes(text: &str, utf8: bool) -> Vec<u8> {
    match utf8 {
        true => text.as_bytes().to_vec(),
        // Every character came from one byte.
        false => text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect(),
    }
}

/// Bytes for a message: what cannot be printed shows as `?`.
pub(super) fn shown(bytes: &[u8]) -> String {
    printable(&String::from_utf8_lossy(bytes), true)
}

/// A piece of a source text for a message.
pub(super) fn printable(text: &str, utf8: bool) -> String {
    let fits = |c: char| c != '\u{fffd}' && !c.is_control() && (utf8 || c.is_ascii());
    text.chars().map(|c| if fits(c) { c } else { '?' }).collect()
}
