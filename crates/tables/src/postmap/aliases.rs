//! The source text of alias files: `name: value, value` on each logical line (aliases(5)).

use super::Call;
use config::lines::{is_space, logical_lines};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a logical line is.
pub(super) enum Line {
    /// A name, and its values in Postfix's form.
    Entry(String, String),
    /// No name, no colon or no value.
    NoPair,
    /// A name with a domain.
    NotLocal,
    /// White space where nothing is continued; the line as it was written.
    Stray(String),
}

/// Shows each line with its number.
pub(super) fn lines(text: &str, mut show: impl FnMut(u32, Line)) {
    let read = logical_lines(text);
    for number in read.stray {
        let text = text.split('\n').nth(number as usize - 1).unwrap_or_default();
        show(number, Line::Stray(text.to_owned()));
    }
    for line in read.lines {
        show(line.line(), parse(&line.text));
    }
}

/// Characters that stand for themselves, with or without white space around them.
const SPECIALS: &str = ",:;@<>.|!%)]";

/// A piece of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Atom(String),
    /// What stands between double quotes, without its backslashes.
    Quoted(String),
    Comment(String),
    Literal(String),
    Special(char),
}

fn parse(line: &str) -> Line {
    let tokens = tokens(line);
    let Some(colon) = tokens.iter().position(|token| *token == Token::Special(':')) else {
        return Line::NoPair;
    };
    let (name, values) = (&tokens[..colon], &tokens[colon + 1..]);
    if name.is_empty() || values.is_empty() || name.contains(&Token::Special(',')) {
        return Line::NoPair;
    }
    if name.contains(&Token::Special('@')) {
        return Line::NotLocal;
    }
    Line::Entry(joined(name, true), joined(values, false))
}

fn tokens(line: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if is_space(c) => {}
            '"' => tokens.push(Token::Quoted(until(&mut chars, '"'))),
            '[' => tokens.push(Token::Literal(until(&mut chars, ']'))),
            '(' => tokens.push(Token::Comment(comment(&mut chars))),
            c if SPECIALS.contains(c) => tokens.push(Token::Special(c)),
            c => {
                let mut atom = String::new();
                let mut next = Some(c);
                while let Some(c) = next {
                    // A backslash takes the next character as it is.
                    atom.extend(if c == '\\' { chars.next() } else { Some(c) });
                    next = chars.next_if(|&c| !is_space(c) && !SPECIALS.contains(c) && !"\"[(".contains(c));
                }
                tokens.push(Token::Atom(atom));
            }
        }
    }
    tokens
}

/// What stands before `end`; a backslash takes the next character as it is.
fn until(chars: &mut impl Iterator<Item = char>, end: char) -> String {
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c if c == end => break,
            c => out.push(c),
        }
    }
    out
}

/// A comment with its parentheses, which may hold others.
fn comment(chars: &mut impl Iterator<Item = char>) -> String {
    let mut out = String::from('(');
    let mut depth = 1;
    while let Some(c) = chars.next() {
        out.push(c);
        match c {
            '\\' => out.extend(chars.next()),
            '(' => depth += 1,
            ')' if depth == 1 => break,
            ')' => depth -= 1,
            _ => {}
        }
    }
    out
}

/// The tokens as text, with a blank between words, in front of `<` and behind a comma; a name stands without quotes.
fn joined(tokens: &[Token], name: bool) -> String {
    let mut out = String::new();
    let mut word_before = false;
    for token in tokens {
        let word = !matches!(token, Token::Special(_));
        if word_before && (word || *token == Token::Special('<')) {
            out.push(' ');
        }
        match token {
            Token::Atom(text) | Token::Comment(text) => out.push_str(text),
            Token::Quoted(text) if name => out.push_str(text),
            Token::Quoted(text) => {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
            Token::Literal(text) => out.push_str(&format!("[{text}]")),
            Token::Special(',') => out.push_str(", "),
            Token::Special(c) => out.push(*c),
        }
        word_before = word;
    }
    out
}

impl Call<'_> {
    /// The entries that Sendmail and NIS look for in an alias file: that it is whole, when it was made and by whom.
    pub(super) fn alias_marks(&self) -> [(&'static str, String); 3] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        [
            ("@", "@".to_owned()),
            ("YP_LAST_MODIFIED", now.to_string()),
            ("YP_MASTER_NAME", self.parameter("myhostname")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Postfix 3.7's `postalias` makes of these lines.
    #[test]
    fn names_and_values_are_written_as_postfix_writes_them() {
        for (line, name, value) in [
            ("a: a,b ,c", "a", "a, b, c"),
            ("a: a\"b c\"d", "a", "a \"b c\" d"),
            ("a: |\"cat x\"", "a", "|\"cat x\""),
            ("a: :include:/a/b, \"|/bin/x -f a\"", "a", ":include:/a/b, \"|/bin/x -f a\""),
            ("a: <x @ y . org>", "a", "<x@y.org>"),
            ("a: Foo Bar <x@y>", "a", "Foo Bar <x@y>"),
            ("a: ((a)b)c", "a", "((a)b) c"),
            ("a: \"unclosed", "a", "\"unclosed\""),
            ("a: [1.2", "a", "[1.2]"),
            ("a: \"a\\\"b\" \\x", "a", "\"a\\\"b\" x"),
            ("a: a,", "a", "a, "),
            ("\"k l\": m", "k l", "m"),
            ("q\\ r: s", "q r", "s"),
            ("u(c)v: u", "u (c) v", "u"),
            ("e.f: g", "e.f", "g"),
            ("a: a !b %c ) d", "a", "a!b%c)d"),
            ("d:: e", "d", ":e"),
        ] {
            match parse(line) {
                Line::Entry(found, content) => assert_eq!((&*found, &*content), (name, value), "{line}"),
                _ => panic!("expected an entry: {line}"),
            }
        }
        assert!(matches!(parse("y,z: a"), Line::NoPair));
        assert!(matches!(parse(":x: a"), Line::NoPair));
        assert!(matches!(parse("k:"), Line::NoPair));
        assert!(matches!(parse("x@y: a"), Line::NotLocal));
    }
}
