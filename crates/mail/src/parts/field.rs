//! Names and values of headers as MIME wants them: tokens, quoted strings, comments (RFC 2045 5.1, RFC 5322 3.2).

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

/// One word of a structured header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Bare.
    Word(Vec<u8>),
    /// It stood in quotes, which are taken off.
    Quoted(Vec<u8>),
    /// A single character that is none of these.
    Special(u8),
}

impl Token {
    /// Whether it is this bare word, in whatever case.
    pub fn is_word(&self, word: &str) -> bool {
        matches!(self, Token::Word(text) if text.eq_ignore_ascii_case(word.as_bytes()))
    }
}

/// The words of a value; comments and blanks are left out.
pub fn tokens(mut value: &[u8]) -> Vec<Token> {
    let mut found = Vec::new();
    while let Some((&first, rest)) = value.split_first() {
        match first {
            b' ' | b'\t' | b'\r' | b'\n' => value = rest,
            b'(' => value = behind_comment(rest),
            b'"' => {
                let (text, rest) = quoted(rest);
                found.push(Token::Quoted(text));
                value = rest;
            }
            _ if is_special(first) => {
                found.push(Token::Special(first));
                value = rest;
            }
            _ => {
                let ends = |b: &u8| is_special(*b) || b"( \t\r\n\"".contains(b);
                let end = value.iter().position(ends).unwrap_or(value.len());
                found.push(Token::Word(value[..end].to_vec()));
                value = &value[end..];
            }
        }
    }
    found
}

/// RFC 2045 `tspecials`, but for those that begin something longer.
fn is_special(b: u8) -> bool {
    b")<>@,;:\\/[]?=".contains(&b)
}

fn behind_comment(mut text: &[u8]) -> &[u8] {
    let mut depth = 1;
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        match first {
            b'\\' => text = rest.get(1..).unwrap_or_default(),
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    text
}

fn quoted(mut text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut found = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        text = rest;
        match (first, rest.first()) {
            (b'"', _) => break,
            (b'\\', Some(&next)) => {
                found.push(next);
                text = &rest[1..];
            }
            (b'\r' | b'\n', _) => {}
            _ => found.push(first),
        }
    }
    (found, text)
}

/// What Content-Type says, as far as structure goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaType {
    kind: Vec<u8>,
    subtype: Vec<u8>,
    /// The boundary of a multipart.
    pub boundary: Option<Vec<u8>>,
}

impl MediaType {
    /// Reads the value of a Content-Type; what cannot be understood is no type.
    pub fn read(value: &[u8]) -> MediaType {
        let words = tokens(value);
        let [Token::Word(kind), Token::Special(b'/'), Token::Word(subtype), rest @ ..] = words.as_slice()
        else {
            // It says something, if nothing that is understood.
            return MediaType { kind: b"?".to_vec(), ..MediaType::default() };
        };
        let parameter = rest.windows(4).find_map(|words| match words {
            [Token::Special(b';'), name, Token::Special(b'='), Token::Word(text) | Token::Quoted(text)]
                if name.is_word("boundary") =>
            {
                Some(text.clone())
            }
            _ => None,
        });
        MediaType {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            boundary: parameter.filter(|boundary| !boundary.is_empty()),
        }
    }

    /// Whether there was no Content-Type.
    pub fn is_absent(&self) -> bool {
        self.kind.is_empty()
    }

    /// Whether it is `kind/…`, in lower case.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind == kind.as_bytes()
    }

    /// Whether it is `kind/subtype`, in lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.is_kind(kind) && self.subtype == subtype.as_bytes()
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

    #[test]
    fn a_boundary_is_found_in_all_its_forms() {
        for (value, boundary) in [
            ("multipart/mixed; boundary=b", Some("b")),
            ("MultiPart/Mixed; BOUNDARY = \"a\\\"b\"", Some("a\"b")),
            ("multipart/mixed; charset=x; (c) boundary=\"b 1\" (d)", Some("b 1")),
            ("multipart/mixed; boundary=b(c)b", Some("b")),
            ("multipart/mixed", None),
            ("multipart/mixed; boundary=", None),
            ("multipart/mixed; boundary", None),
            ("multipart; boundary=b", None),
        ] {
            let found = MediaType::read(value.as_bytes()).boundary;
            assert_eq!(found.as_deref(), boundary.map(str::as_bytes), "{value}");
        }
        assert!(MediaType::read(b" message/rfc822").is("message", "rfc822"));
        assert!(!MediaType::read(b"garbage").is_absent());
        assert!(MediaType::default().is_absent());
    }

    #[test]
    fn comments_and_quotes_that_never_end_end_with_the_value() {
        assert_eq!(tokens(b"a (b (c) d"), [Token::Word(b"a".to_vec())]);
        assert_eq!(tokens(b"\"a\\"), [Token::Quoted(b"a\\".to_vec())]);
        assert_eq!(tokens(b"(\\"), []);
    }
}
