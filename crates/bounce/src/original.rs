//! What of the original message goes into a report.

use mail::{Content, ContentReader};
use std::io;

/// Returned headers end here, at a line's end; beyond it they help nobody.
const HEADERS_MAX: usize = 256 * 1024;

/// The whole content; the caller has seen that it is small.
pub(crate) fn whole(content: &Content, out: &mut Vec<u8>) -> io::Result<()> {
    let mut reader = content.reader();
    while let Some(piece) = reader.next_piece()? {
        out.extend_from_slice(&piece);
    }
    end_line(out);
    Ok(())
}

/// The header without the empty line behind it.
pub(crate) fn headers(content: &Content, out: &mut Vec<u8>) -> io::Result<()> {
    let mut reader = content.reader();
    let header = read_header(&mut reader)?;
    out.extend_from_slice(&header);
    end_line(out);
    Ok(())
}

/// The value of the Message-ID header, for threads.
pub(crate) fn message_id(content: &Content) -> io::Result<Option<String>> {
    let header = read_header(&mut content.reader())?;
    let text = String::from_utf8_lossy(&header);
    let mut lines = text.split("\r\n").skip_while(|l| !is_field(l, "message-id:"));
    let Some(first) = lines.next() else { return Ok(None) };
    let mut value = first["message-id:".len()..].trim().to_string();
    for more in lines.take_while(|l| l.starts_with([' ', '\t'])) {
        value.push_str(more.trim());
    }
    let sound = value.starts_with('<') && value.ends_with('>') && value.len() <= 998 && value.is_ascii();
    Ok(sound.then_some(value))
}

fn is_field(line: &str, name: &str) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}

fn read_header(reader: &mut ContentReader) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        let from = header.len();
        header.extend_from_slice(&piece);
        if let Some(end) = header_end(&header, from) {
            header.truncate(end);
            return Ok(header);
        }
        if header.len() > HEADERS_MAX {
            header.truncate(HEADERS_MAX);
            let end = header.windows(2).rposition(|w| w == b"\r\n").map_or(0, |at| at + 2);
            header.truncate(end);
            return Ok(header);
        }
    }
    Ok(header)
}

/// Where the empty line begins, looking at what is new from `from` on.
fn header_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(0);
    }
    let start = from.saturating_sub(3);
    bytes[start..].windows(4).position(|w| w == b"\r\n\r\n").map(|at| start + at + 2)
}

fn end_line(out: &mut Vec<u8>) {
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
}
