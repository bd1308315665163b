//! One address of a header, as it is written there: which `@`, `!` and `%` are operators, and which stood in quotes.

use super::token::{Token, quote, scan, write_one};
use crate::Address;
use crate::address::is_dot_string;

/// An address in a header. Its text is free of quoting; operators are known by their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    text: Vec<u8>,
    operators: Vec<usize>,
}

/// Tokens of one address that is read again at most; an address is rewritten to one of bounded length.
const TOKENS_MAX: usize = 100_000;

impl Written {
    /// An address that tables or rules have made, in internal form.
    pub fn of(address: &Address) -> Written {
        Written::of_tokens(&scan(&address.to_external(), TOKENS_MAX))
    }

    /// The address that words make; what a literal holds is looked at again.
    pub(crate) fn of_words(words: &[Token]) -> Written {
        Written::of_tokens(&scan(&shown(words), TOKENS_MAX))
    }

    fn of_tokens(tokens: &[Token]) -> Written {
        let mut written = Written::default();
        let mut before: Option<&Token> = None;
        for token in tokens.iter().filter(|token| !matches!(token, Token::Comment(_))) {
            // Two words are one with a blank, but two atoms are one without.
            let atoms = matches!((before, token), (Some(Token::Atom(_)), Token::Atom(_)));
            if token.is_word() && before.is_some_and(Token::is_word) && !atoms {
                written.text.push(b' ');
            }
            let behind_comma = before.is_some_and(|before| before.is(b','));
            if behind_comma {
                written.text.push(b' ');
            }
            before = Some(token);
            match token {
                Token::Atom(text) | Token::Quoted(text) => written.text.extend_from_slice(text),
                Token::Literal(text) => {
                    written.text.push(b'[');
                    written.text.extend_from_slice(text);
                    written.text.push(b']');
                }
                Token::Comment(_) => {}
                Token::Operator(byte) => {
                    if *byte == b'<' && !written.text.is_empty() && !behind_comma {
                        written.text.push(b' ');
                    }
                    written.push(*byte);
                }
            }
        }
        written
    }

    /// The address without quoting.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same as an address of envelopes and tables.
    pub fn to_internal(&self) -> Address {
        Address::new(&self.text)
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Where an operator stands for the first time.
    pub fn first(&self, operator: u8) -> Option<usize> {
        self.operators.iter().copied().find(|&at| self.text[at] == operator)
    }

    /// Where an operator stands for the last time.
    pub fn last(&self, operator: u8) -> Option<usize> {
        self.operators.iter().copied().rev().find(|&at| self.text[at] == operator)
    }

    /// What stands in front of a place and behind it.
    pub fn split(&self, at: usize) -> (Written, Written) {
        let part = |from: usize, to: usize| Written {
            text: self.text[from..to].to_vec(),
            operators: self
                .operators
                .iter()
                .filter(|&&operator| (from..to).contains(&operator))
                .map(|operator| operator - from)
                .collect(),
        };
        (part(0, at), part((at + 1).min(self.text.len()), self.text.len()))
    }

    /// Without the blank that stood in front of `<`.
    pub fn trimmed(self) -> Written {
        match self.text.first() {
            Some(b' ') if self.operators.contains(&1) => Written {
                text: self.text[1..].to_vec(),
                operators: self.operators.iter().filter(|&&at| at > 0).map(|at| at - 1).collect(),
            },
            _ => self,
        }
    }

    /// Two parts with an operator between them.
    pub fn join(&self, operator: u8, tail: &Written) -> Written {
        let mut whole = self.clone();
        whole.push(operator);
        let shift = whole.text.len();
        whole.text.extend_from_slice(&tail.text);
        whole.operators.extend(tail.operators.iter().map(|at| at + shift));
        whole
    }

    /// An operator more at the end.
    pub fn push(&mut self, operator: u8) {
        self.operators.push(self.text.len());
        self.text.push(operator);
    }

    /// More text at the end, with no operators but dots.
    pub fn push_domain(&mut self, text: &[u8]) {
        let shift = self.text.len();
        self.operators.extend(text.iter().enumerate().filter(|(_, b)| **b == b'.').map(|(at, _)| at + shift));
        self.text.extend_from_slice(text);
    }

    /// One character less at the end.
    pub fn pop(&mut self) {
        self.text.pop();
        self.operators.retain(|&at| at < self.text.len());
    }

    /// The form with quotes where they must be: the local part alone has them.
    pub fn to_external(&self) -> Vec<u8> {
        // A source route stays in front as it is.
        let route = match self.text.first() {
            Some(b'@') => memchr::memchr(b':', &self.text).map_or(0, |colon| colon + 1),
            _ => 0,
        };
        let rest = &self.text[route..];
        let (local, domain) = match memchr::memrchr(b'@', rest) {
            Some(at) => rest.split_at(at),
            None => (rest, &b""[..]),
        };
        let mut out = Vec::with_capacity(self.text.len() + 2);
        out.extend_from_slice(&self.text[..route]);
        match is_dot_string(local) || (route > 0 && rest.is_empty()) {
            true => out.extend_from_slice(local),
            false => quote(local, &mut out),
        }
        out.extend_from_slice(domain);
        out
    }

    /// The same, with what a header may not have in a domain taken off: quotes.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let mut out = self.to_external();
        let Some(at) = memchr::memrchr(b'@', &out) else { return out };
        let domain = out.split_off(at + 1);
        if domain.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
            return [out, domain].concat();
        }
        let mut before = Some(&Token::Operator(b'@'));
        let tokens = scan(&domain, TOKENS_MAX);
        for token in &tokens {
            match token {
                Token::Atom(text) | Token::Quoted(text) => {
                    if before.is_some_and(Token::is_word) {
                        out.push(b' ');
                    }
                    out.extend_from_slice(text);
                }
                token => write_one(token, before, &mut out),
            }
            before = Some(token);
        }
        out
    }
}

/// Words of an address as text, to see whether rewriting changes it.
pub(crate) fn shown(words: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before: Option<&Token> = None;
    for word in words {
        let atoms = matches!((before, word), (Some(Token::Atom(_)), Token::Atom(_)));
        write_one(word, before.filter(|_| !atoms), &mut out);
        before = Some(word);
    }
    out
}
