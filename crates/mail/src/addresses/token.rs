//! The words of an address header: atoms, quoted strings, literals, comments, and the characters between them.
//!
//! RFC 5322 3.2, as liberal as Postfix: whatever is no word is an operator, and what is open at the end is closed there.

/// One word or operator. The text of atoms, quoted strings and literals is free of quoting; that of comments is as it
/// stands in the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A run of letters; it may hold any character that a backslash stood before.
    Atom(Vec<u8>),
    /// What stood in quotes.
    Quoted(Vec<u8>),
    /// What stood in brackets.
    Literal(Vec<u8>),
    /// A comment with its parentheses.
    Comment(Vec<u8>),
    /// `<>@,;:.!%` and others that belong to no word.
    Operator(u8),
}

impl Token {
    pub(crate) fn is(&self, operator: u8) -> bool {
        *self == Token::Operator(operator)
    }

    pub(crate) fn is_text(&self) -> bool {
        !matches!(self, Token::Operator(_))
    }

    /// Whether two of these side by side belong to two addresses.
    pub(crate) fn is_word(&self) -> bool {
        matches!(self, Token::Atom(_) | Token::Quoted(_) | Token::Literal(_))
    }
}

/// Characters that end an atom.
const OPERATORS: &[u8] = b"()<>@,;:\\\".[]!%";

/// Divides text into at most `limit` tokens; what comes behind them is left out. Linear in the text.
pub(crate) fn scan(text: &[u8], limit: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let token = match first {
            b' ' | b'\t' | b'\r' | b'\n' => {
                rest = tail;
                continue;
            }
            b'"' => Token::Quoted(until(b'"', tail, &mut rest)),
            b'[' => Token::Literal(until(b']', tail, &mut rest)),
            b'(' => comment(&mut rest),
            b'\\' => atom(&mut rest),
            byte if OPERATORS.contains(byte) => {
                rest = tail;
                Token::Operator(*byte)
            }
            _ => atom(&mut rest),
        };
        if tokens.len() == limit {
            break;
        }
        tokens.push(token);
    }
    tokens
}

/// Text up to an unquoted `end`, without backslashes; white space becomes blanks.
fn until<'a>(end: u8, text: &'a [u8], rest: &mut &'a [u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            byte if byte == end => {
                at += 1;
                break;
            }
            b'\\' => {
                at += 1;
                out.extend(text.get(at).map(|&byte| blank_for_space(byte)));
            }
            b'\r' if text.get(at + 1) == Some(&b'\n') => {}
            byte => out.push(blank_for_space(byte)),
        }
        at += 1;
    }
    *rest = &text[at.min(text.len())..];
    out
}

fn comment(rest: &mut &[u8]) -> Token {
    let text = *rest;
    let mut out = Vec::new();
    let (mut at, mut depth) = (0, 0usize);
    while at < text.len() {
        match text[at] {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'\r' if text.get(at + 1) == Some(&b'\n') => {
                at += 1;
                continue;
            }
            b'\\' => {
                out.push(b'\\');
                at += 1;
            }
            _ => {}
        }
        out.extend(text.get(at).map(|&byte| blank_for_end(byte)));
        at += 1;
        if depth == 0 {
            *rest = &text[at.min(text.len())..];
            return Token::Comment(out);
        }
    }
    // Open at the end: it stays as it is, with its lines.
    *rest = &[];
    Token::Comment(text.to_vec())
}

fn atom(rest: &mut &[u8]) -> Token {
    let text = *rest;
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => {
                at += 1;
                out.extend(text.get(at).map(|&byte| blank_for_space(byte)));
            }
            b' ' | b'\t' | b'\r' | b'\n' => break,
            byte if OPERATORS.contains(&byte) => break,
            byte => out.push(byte),
        }
        at += 1;
    }
    *rest = &text[at.min(text.len())..];
    Token::Atom(out)
}

fn blank_for_end(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }
}

fn blank_for_space(byte: u8) -> u8 {
    if matches!(byte, b'\t'..=b'\r') { b' ' } else { byte }
}

/// Writes one token behind another: a blank between words and in front of `<`.
pub(crate) fn write_one(token: &Token, before: Option<&Token>, out: &mut Vec<u8>) {
    let behind_text = token.is_text() && before.is_some_and(Token::is_text);
    let angle = token.is(b'<') && before.is_some() && out.last() != Some(&b' ');
    if behind_text || angle {
        out.push(b' ');
    }
    match token {
        Token::Atom(text) => match text.iter().all(|&b| is_plain(b)) {
            true => out.extend_from_slice(text),
            false => quote(text, out),
        },
        Token::Quoted(text) => quote(text, out),
        Token::Literal(text) => {
            out.push(b'[');
            for &byte in text {
                if byte == b'\\' {
                    out.push(b'\\');
                }
                out.push(byte);
            }
            out.push(b']');
        }
        Token::Comment(text) => out.extend_from_slice(text),
        Token::Operator(b',') => out.extend_from_slice(b", "),
        Token::Operator(byte) => out.push(*byte),
    }
}

/// Whether an atom may hold it without quotes.
fn is_plain(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !OPERATORS.contains(&byte)
}

/// Puts text into quotes.
pub(crate) fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\' | b'\r') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}
