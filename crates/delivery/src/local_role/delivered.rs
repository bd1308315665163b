//! Where a message has been already: its `Delivered-To` headers.

use super::text::Text;
use std::collections::HashSet;

/// So much of a message is looked at for its header; a loop makes it grow by a line or two each time.
const HEADER_MAX: usize = 256 * 1024;

const NAME: &[u8] = b"delivered-to:";

/// The values, in lower case. What cannot be read is not there: the hop count ends such a loop.
pub fn delivered_to(text: &Text) -> HashSet<String> {
    let (mut pieces, mut header) = (text.pieces(), Vec::new());
    while header.len() < HEADER_MAX
        && memchr::memmem::find(&header, b"\n\n").is_none()
        && let Ok(Some(piece)) = pieces.next_piece()
    {
        header.extend_from_slice(&piece);
    }
    values(&header)
}

fn values(header: &[u8]) -> HashSet<String> {
    let lines = header.split(|&b| b == b'\n').take_while(|line| !line.is_empty());
    let value = |line: &[u8]| {
        let value = line
            .get(..NAME.len())
            .filter(|name| name.eq_ignore_ascii_case(NAME))
            .map(|_| &line[NAME.len()..])?;
        Some(String::from_utf8_lossy(value).trim().to_lowercase())
    };
    lines.filter_map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_headers_count_in_whatever_case() {
        let text = b"Delivered-To: Ann@x\nDELIVERED-TO:bob@x\nX: Delivered-To: c@x\n\nDelivered-To: d@x\n";
        let mut found: Vec<String> = values(text).into_iter().collect();
        found.sort();
        assert_eq!(found, ["ann@x", "bob@x"]);
    }
}
