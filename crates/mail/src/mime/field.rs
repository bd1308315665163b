//! The headers that describe content: what is a boundary, what encoding (RFC 2045 5 and 6).

/// What content is, as far as its structure goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// Parts between boundaries, if a boundary is named.
    Multipart {
        /// What stands between the parts.
        boundary: Option<Vec<u8>>,
        /// Parts are messages where they do not say otherwise.
        digest: bool,
    },
    /// A message with a header of its own (`message/rfc822`).
    Message,
    /// One whose header may be in UTF-8 (`message/global`, RFC 6532); who encodes bodies may take it for one.
    Global,
    /// A part of a message, or a message that lies elsewhere: no structure, but 7-bit.
    Fragment,
    /// Another `message/…`, such as a report: no structure.
    MessageLike,
    /// Anything else.
    Other,
}

impl ContentType {
    /// Whether such content may have this Content-Transfer-Encoding (RFC 2045 6.4, RFC 2046 5.2).
    pub(super) fn may_be_encoded(&self, encoding: &[u8]) -> bool {
        let one_of = |names: &[&str]| names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(encoding));
        match self {
            ContentType::Multipart { .. } | ContentType::Message | ContentType::Global => {
                one_of(&["7bit", "8bit", "binary"])
            }
            ContentType::Fragment => one_of(&["7bit"]),
            ContentType::MessageLike | ContentType::Other => true,
        }
    }
}

/// Which bytes a body may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Domain {
    /// No byte above 0x7f; also what is encoded, or declared to be something unknown.
    SevenBit,
    /// Any text.
    EightBit,
    /// Any bytes.
    Binary,
}

/// The domain of a Content-Transfer-Encoding.
pub(super) fn domain(encoding: Option<&[u8]>) -> Domain {
    match encoding {
        Some(word) if word.eq_ignore_ascii_case(b"8bit") => Domain::EightBit,
        Some(word) if word.eq_ignore_ascii_case(b"binary") => Domain::Binary,
        _ => Domain::SevenBit,
    }
}

/// The name of a header: printable ASCII before a colon, which blanks may stand before.
pub fn field_name(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let is_name = |b: &u8| matches!(b, b'!'..=b'~');
    (!name.is_empty() && name.iter().all(is_name)).then_some(name)
}

/// What stands behind a header's colon.
pub fn value(header: &[u8]) -> &[u8] {
    memchr::memchr(b':', header).map_or(&[], |colon| &header[colon + 1..])
}

/// Headers that describe content.
const NAMES: [&str; 6] = [
    "content-description",
    "content-disposition",
    "content-id",
    "content-transfer-encoding",
    "content-type",
    "mime-version",
];

/// Whether a header describes content.
pub(super) fn is_mime_name(name: &[u8]) -> bool {
    NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// The first word of a value; empty where there is none, or one in quotes.
pub(super) fn first_word(value: &[u8]) -> Vec<u8> {
    match Words(value).next() {
        Some(Word::Text(text)) => text,
        _ => Vec::new(),
    }
}

/// Reads a Content-Type. Of a boundary the first `boundary_max` bytes count.
pub(super) fn content_type(value: &[u8], boundary_max: usize) -> ContentType {
    let mut words = Words(value);
    let (Some(Word::Text(main)), Some(Word::Sign(b'/')), Some(Word::Text(sub))) =
        (words.next(), words.next(), words.next())
    else {
        return ContentType::Other;
    };
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    if is(&main, "multipart") {
        let boundary = parameter(words, "boundary").map(|mut boundary| {
            boundary.truncate(boundary_max);
            boundary
        });
        return ContentType::Multipart { boundary, digest: is(&sub, "digest") };
    }
    match is(&main, "message") {
        true if is(&sub, "rfc822") => ContentType::Message,
        true if is(&sub, "global") => ContentType::Global,
        true if is(&sub, "partial") || is(&sub, "external-body") => ContentType::Fragment,
        true => ContentType::MessageLike,
        false => ContentType::Other,
    }
}

/// The value of a parameter: what stands behind `; NAME =`.
fn parameter(words: Words<'_>, name: &str) -> Option<Vec<u8>> {
    let words: Vec<Word> = words.collect();
    words.windows(4).find_map(|window| match window {
        [Word::Sign(b';'), Word::Text(n), Word::Sign(b'='), Word::Text(value) | Word::Quoted(value)]
            if n.eq_ignore_ascii_case(name.as_bytes()) =>
        {
            Some(value.clone())
        }
        _ => None,
    })
}

/// A word, or a sign that stands for itself.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Text(Vec<u8>),
    /// Text that stood in quotes.
    Quoted(Vec<u8>),
    Sign(u8),
}

/// The words of a value, without comments and quotes.
struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            match self.0 {
                [] => return None,
                [b'(', ..] => self.comment(),
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Some(Word::Quoted(self.quoted()));
                }
                [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] => self.0 = rest,
                [sign, rest @ ..] if is_sign(*sign) => {
                    self.0 = rest;
                    return Some(Word::Sign(*sign));
                }
                text => {
                    let end = text.iter().position(|&b| is_end_of_word(b)).unwrap_or(text.len());
                    // A byte that is no word and no sign stands alone, so that reading goes on.
                    let (word, rest) = text.split_at(end.max(1));
                    self.0 = rest;
                    return Some(Word::Text(word.to_vec()));
                }
            }
        }
    }
}

/// RFC 2045's tspecials, without those that begin comments and quotes.
fn is_sign(byte: u8) -> bool {
    matches!(byte, b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'/' | b'[' | b']' | b'?' | b'=')
}

fn is_end_of_word(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || is_sign(byte) || matches!(byte, b'(' | b'"')
}

impl Words<'_> {
    fn comment(&mut self) {
        let mut depth = 0usize;
        while let [byte, rest @ ..] = self.0 {
            self.0 = rest;
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => self.0 = rest.get(1..).unwrap_or_default(),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while let [byte, rest @ ..] = self.0 {
            self.0 = rest;
            match byte {
                b'"' => break,
                b'\\' => {
                    if let [quoted, rest @ ..] = rest {
                        text.push(*quoted);
                        self.0 = rest;
                    }
                }
                // A folded line.
                b'\r' | b'\n' => {}
                byte => text.push(*byte),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_before_a_colon() {
        assert_eq!(field_name(b"Subject: x"), Some(&b"Subject"[..]));
        assert_eq!(field_name(b"Subject : x"), Some(&b"Subject"[..]));
        for line in ["no colon", ": x", "two words: x", "gr\u{fc}n: x", " a: b", ""] {
            assert_eq!(field_name(line.as_bytes()), None, "{line}");
        }
    }

    fn boundary(value: &str) -> Option<String> {
        match content_type(value.as_bytes(), 100) {
            ContentType::Multipart { boundary, .. } => boundary.map(|b| String::from_utf8(b).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn a_boundary_is_found_between_comments_and_quotes() {
        assert_eq!(boundary(" multipart/mixed; boundary=a"), Some("a".into()));
        let strange = r#"(c) Multipart (d) / (e (f)) MIXED; charset=x; BOUNDARY = (x) "a b\"c" (y)"#;
        assert_eq!(boundary(strange), Some(r#"a b"c"#.into()));
        assert_eq!(boundary("multipart/mixed;\n boundary=\"a:b\""), Some("a:b".into()));
        assert_eq!(boundary("multipart/mixed; boundary=abcdef; x=y"), Some("abcdef".into()));
        assert_eq!(boundary("multipart/mixed"), None);
        assert_eq!(boundary("text/plain; boundary=a"), None);
        assert_eq!(boundary("multipart; boundary=a"), None);
    }

    #[test]
    fn of_a_long_boundary_the_beginning_counts() {
        let kind = content_type(b"multipart/mixed; boundary=abcdefgh", 5);
        assert_eq!(kind, ContentType::Multipart { boundary: Some(b"abcde".to_vec()), digest: false });
    }

    #[test]
    fn parts_and_messages_are_not_encoded() {
        let kind = |value: &str| content_type(value.as_bytes(), 100);
        assert!(!kind("message/rfc822").may_be_encoded(b"base64"));
        assert!(kind("message/rfc822").may_be_encoded(b"8BIT"));
        assert!(!kind("message/partial; id=x").may_be_encoded(b"8bit"));
        assert!(kind("message/delivery-status").may_be_encoded(b"base64"));
        assert!(!kind("multipart/mixed").may_be_encoded(b"quoted-printable"));
        assert_eq!(domain(Some(b"Binary")), Domain::Binary);
        assert_eq!(domain(Some(&first_word(b" (x) 8bit (y)"))), Domain::EightBit);
        assert_eq!(domain(Some(b"x-foo")), Domain::SevenBit);
    }
}
