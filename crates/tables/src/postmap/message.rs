//! The headers and body lines of a message, as keys (`-h`, `-b`, `-m`): what header_checks and body_checks would see.

use super::options::Options;
use std::io::{self, BufRead, Read};

/// Bytes of the largest message.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;
/// Parts within parts; deeper ones are body (mime_nesting_limit).
const DEPTH_MAX: usize = 100;

/// Which part of a message the next line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Headers,
    Body,
}

/// What the headers of a part say about its content.
#[derive(Default)]
struct Content {
    boundary: Option<String>,
    message: bool,
}

/// The keys that the options ask for, in the order of the message.
pub(super) fn keys(input: &mut dyn BufRead, options: &Options) -> io::Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    input.take(MESSAGE_BYTES_MAX).read_to_end(&mut bytes)?;
    let mut reader = Reader {
        headers: options.headers,
        body: options.body,
        mime: options.mime,
        place: Place::Headers,
        first: true,
        header: None,
        content: Content::default(),
        boundaries: Vec::new(),
        keys: Vec::new(),
    };
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    if !bytes.is_empty() {
        for line in text.split(|&byte| byte == b'\n') {
            reader.line(line);
        }
    }
    reader.end_header();
    Ok(reader.keys)
}

struct Reader {
    headers: bool,
    body: bool,
    mime: bool,
    place: Place,
    /// Whether these are the headers of the message itself.
    first: bool,
    /// The header that may go on on the next line.
    header: Option<Vec<u8>>,
    content: Content,
    /// Of the multiparts that we are in.
    boundaries: Vec<String>,
    keys: Vec<Vec<u8>>,
}

impl Reader {
    fn line(&mut self, line: &[u8]) {
        if self.place == Place::Headers {
            let goes_on = line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
            if let (true, Some(header)) = (goes_on, &mut self.header) {
                header.push(b'\n');
                header.extend_from_slice(line);
                return;
            }
            self.end_header();
            if let Some(header) = header(line) {
                self.header = Some(header);
                return;
            }
            self.end_headers();
            // body_checks sees the empty line between headers and body, and one where the message has none.
            if self.body && (line.is_empty() || self.first) {
                self.keys.push(Vec::new());
            }
            self.first = false;
            if line.is_empty() {
                return;
            }
            // Something else than a header or an empty line belongs to the content.
            self.place = Place::Body;
        }
        self.body_line(line);
    }

    fn body_line(&mut self, line: &[u8]) {
        if self.body {
            self.keys.push(line.to_vec());
        }
        let Some(rest) = line.strip_prefix(b"--").filter(|_| self.mime) else { return };
        for (depth, boundary) in self.boundaries.iter().enumerate().rev() {
            let Some(behind) = rest.strip_prefix(boundary.as_bytes()) else { continue };
            if behind.starts_with(b"--") {
                self.boundaries.truncate(depth);
            } else {
                self.boundaries.truncate(depth + 1);
                self.place = Place::Headers;
                self.content = Content::default();
            }
            return;
        }
    }

    fn end_header(&mut self) {
        let Some(header) = self.header.take() else { return };
        if self.mime {
            self.note(&header);
        }
        if self.headers {
            self.keys.push(header);
        }
    }

    /// Notes what a Content-Type says.
    fn note(&mut self, header: &[u8]) {
        let text = String::from_utf8_lossy(header);
        let Some((name, value)) = text.split_once(':') else { return };
        if !name.eq_ignore_ascii_case("content-type") {
            return;
        }
        let value = value.trim_start().to_owned();
        let lower = value.to_ascii_lowercase();
        self.content.message = ["message/rfc822", "message/global"]
            .iter()
            .any(|kind| lower.split([';', ' ', '\n']).next() == Some(*kind));
        if lower.starts_with("multipart/") {
            self.content.boundary = parameter(&value, "boundary");
        }
    }

    fn end_headers(&mut self) {
        self.place = Place::Body;
        let content = std::mem::take(&mut self.content);
        if self.boundaries.len() >= DEPTH_MAX {
            return;
        }
        if let Some(boundary) = content.boundary {
            self.boundaries.push(boundary);
        } else if content.message {
            // A message in a part has headers of its own.
            self.place = Place::Headers;
        }
    }
}

/// A header, without white space in front of its colon; nothing where the line is none.
fn header(line: &[u8]) -> Option<Vec<u8>> {
    let end =
        line.iter().position(|&byte| !(33..=126).contains(&byte) || byte == b':').filter(|&end| end > 0)?;
    let rest = &line[end..];
    let colon = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    (rest[colon] == b':').then(|| [&line[..end], &rest[colon..]].concat())
}

/// A parameter of a Content-Type, without quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    let at = value.to_ascii_lowercase().match_indices(name).map(|(at, _)| at).find(|&at| {
        value[..at].trim_end().ends_with(';') && value[at + name.len()..].trim_start().starts_with('=')
    })?;
    let rest = value[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    Some(match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap_or_default().to_owned(),
        None => rest.split([';', ' ', '\t', '\n', '(']).next().unwrap_or_default().to_owned(),
    })
}
