//! `tcp:host:port`: a server that speaks one line for a question and one for its answer.
//!
//! Postfix: tcp_table(5). `get KEY` is answered with `200 VALUE`, `500 no such key` or `400 try again`; `%XX` stands for
//! bytes that would not do in a line.

use super::Kind;
use crate::endpoint::{Endpoint, Stream, broken, quiet};
use crate::lookup::{Lookup, LookupFuture};
use crate::pool::{Client, Failure, Limits, Order, Pool};
use crate::table::{Settings, Source, TableError};
use std::fmt::Write;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// The kind `tcp`.
pub const KIND: Kind = Kind { name: "tcp", open };

/// How long an answer may take, as in Postfix.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(100);

/// How long a connection may take to open; a host that is up and near answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer with its line end, as in Postfix; a longer one costs the connection.
const ANSWER_BYTES_MAX: usize = 4096;

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let endpoint = Endpoint::inet(name, settings).map_err(|text| TableError::new(spec, text))?;
    let limits = Limits { connect: CONNECT_TIMEOUT, query: ANSWER_TIMEOUT, ..Limits::default() };
    let hosts = vec![endpoint.to_string()];
    Ok(Box::new(Tcp {
        spec: spec.to_owned(),
        pool: Pool::new(Protocol(endpoint), hosts, Order::InTurn, limits),
    }))
}

struct Tcp {
    spec: String,
    pool: Pool<Protocol>,
}

impl Source for Tcp {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        let question = format!("get {}\n", encode(key));
        LookupFuture::Waiting(Box::pin(async move {
            let answer = self.pool.ask(question).await;
            answer.unwrap_or_else(|text| Lookup::TempFail(format!("{}: {text}", self.spec)))
        }))
    }

    // What case and which parts count is for the server to say, as for patterns.
    fn folds(&self) -> bool {
        false
    }

    fn takes_parts(&self) -> bool {
        false
    }
}

struct Protocol(Endpoint);

impl Client for Protocol {
    type Connection = Stream;
    type Request = String;
    type Answer = Lookup;

    async fn connect(&self, _: &str) -> Result<Stream, String> {
        self.0.connect().await.map_err(|error| error.to_string())
    }

    async fn query(&self, stream: &mut Stream, question: &String) -> Result<Lookup, Failure> {
        quiet(stream)?;
        stream.write_all(question.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut line = Vec::new();
        stream.take(ANSWER_BYTES_MAX as u64).read_until(b'\n', &mut line).await.map_err(broken)?;
        match line.pop() {
            Some(b'\n') => answer(&line),
            None => Err(Failure::Server("the server closed the connection".to_owned())),
            Some(_) => Err(Failure::Server(format!(
                "expected an answer of at most {ANSWER_BYTES_MAX} bytes that ends in a newline"
            ))),
        }
    }
}

/// What a line says; one that is no answer costs the connection, since nobody knows what comes next.
fn answer(line: &[u8]) -> Result<Lookup, Failure> {
    let shown = || String::from_utf8_lossy(line).chars().take(100).collect::<String>();
    let malformed =
        || Failure::Server(format!("expected `200 value`, `400 text` or `500 text`, found `{}`", shown()));
    let (code, text) = match line {
        [a, b, c, space, text @ ..] if space.is_ascii_whitespace() => ([*a, *b, *c], text),
        _ => return Err(malformed()),
    };
    if !code.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let text = decode(text).ok_or_else(malformed)?;
    match code[0] {
        b'2' => String::from_utf8(text)
            .map(Lookup::Found)
            .map_err(|_| Failure::Request(format!("expected a value in UTF-8, found `{}`", shown()))),
        b'5' => Ok(Lookup::NotFound),
        b'4' => Err(Failure::Request(format!("the server says `{}`", shown()))),
        _ => Err(malformed()),
    }
}

/// `key` with `%XX` for what is `%`, white space or not printable.
fn encode(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'%' | 0..=b' ' | 0x7f.. => write!(out, "%{byte:02X}").expect("a String takes all"),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// The bytes of an encoded text up to a zero byte, which ends texts in Postfix; nothing where `%` is not followed by
/// two hexadecimal digits.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
        out.push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            byte => byte,
        });
    }
    out.truncate(out.iter().position(|&byte| byte == 0).unwrap_or(out.len()));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_encoded_as_postfix_encodes_them() {
        assert_eq!(encode("a b%c\t~\x7fÄ"), "a%20b%25c%09~%7F%C3%84");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same(key in "[^\0]*") {
            let encoded = encode(&key);
            prop_assert!(encoded.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(decode(encoded.as_bytes()), Some(key.into_bytes()));
        }

        #[test]
        fn any_line_is_an_answer_or_an_error(line in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = answer(&line);
        }
    }
}
