//! `socketmap:inet:host:port:name`, `socketmap:unix:path:name`: a server that speaks netstrings.
//!
//! Postfix: socketmap_table(5). `NAME KEY` is answered with `OK VALUE`, `NOTFOUND `, or `TEMP`, `TIMEOUT` or `PERM` and a
//! reason, all of which make mail wait. The server's name of the table stands behind the last colon.

use super::Kind;
use crate::endpoint::{Endpoint, Stream, broken, quiet};
use crate::lookup::{Lookup, LookupFuture};
use crate::pool::{Client, Failure, Limits, Order, Pool};
use crate::table::{Settings, Source, TableError};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The kind `socketmap`.
pub const KIND: Kind = Kind { name: "socketmap", open };

/// How long an answer may take, as in Postfix.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(100);

/// How long a connection may take to open; a host that is up and near answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a question to our own server and of its answer.
const PROXIED_BYTES_MAX: usize = 100_000;

/// Digits of a netstring's length that are read: more than any limit has.
const LENGTH_DIGITS_MAX: usize = 19;

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let wrong = |text: String| TableError::new(spec, text);
    let Some((place, table)) = name.rsplit_once(':') else {
        let text = format!("expected `inet:host:port:name` or `unix:path:name`, found `{name}`");
        return Err(wrong(text));
    };
    let endpoint =
        Endpoint::parse(place, settings).map_err(|text| wrong(format!("{text} in front of `:{table}`")))?;
    let size =
        |parameter: &str, default: usize| match (settings.parameter)(parameter) {
            None => Ok(default),
            Some(text) => text.parse::<usize>().ok().filter(|&size| size > 0).ok_or_else(|| {
                wrong(format!("{parameter}: expected a number of at least 1, found `{text}`"))
            }),
        };
    let reply_bytes_max = size("socketmap_max_reply_size", 100_000)?;
    let query_bytes_max = size("socketmap_max_query_size", 10_000)?;
    let limits = Limits { connect: CONNECT_TIMEOUT, query: ANSWER_TIMEOUT, ..Limits::default() };
    let hosts = vec![endpoint.to_string()];
    let protocol = Protocol { endpoint, reply_bytes_max };
    Ok(Box::new(Socketmap {
        spec: spec.to_owned(),
        table: table.to_owned(),
        takes_parts: false,
        query_bytes_max,
        pool: Pool::new(protocol, hosts, Order::InTurn, limits),
    }))
}

/// The table that our own server on `socket` calls `table`.
pub(super) fn proxied(socket: &Path, table: &str, spec: &str, takes_parts: bool) -> Box<dyn Source> {
    let endpoint = Endpoint::Unix(socket.to_owned());
    let hosts = vec![endpoint.to_string()];
    let protocol = Protocol { endpoint, reply_bytes_max: PROXIED_BYTES_MAX };
    Box::new(Socketmap {
        spec: spec.to_owned(),
        table: table.to_owned(),
        takes_parts,
        query_bytes_max: PROXIED_BYTES_MAX,
        pool: Pool::new(protocol, hosts, Order::InTurn, Limits::default()),
    })
}

struct Socketmap {
    spec: String,
    /// What the server calls the table.
    table: String,
    /// Whether parts of addresses may be asked for.
    takes_parts: bool,
    query_bytes_max: usize,
    pool: Pool<Protocol>,
}

impl Source for Socketmap {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        let question = format!("{} {key}", self.table);
        if question.len() > self.query_bytes_max {
            // No server is asked such a thing; Postfix makes mail wait as well.
            let (found, most) = (question.len(), self.query_bytes_max);
            let text = format!(
                "{}: expected a query of at most {most} bytes (socketmap_max_query_size), found {found}",
                self.spec
            );
            return Lookup::TempFail(text).into();
        }
        LookupFuture::Waiting(Box::pin(async move {
            let answer = self.pool.ask(format!("{}:{question},", question.len())).await;
            answer.unwrap_or_else(|text| Lookup::TempFail(format!("{}: {text}", self.spec)))
        }))
    }

    // What case and which parts count is for the server to say, as for patterns.
    fn folds(&self) -> bool {
        false
    }

    fn takes_parts(&self) -> bool {
        self.takes_parts
    }
}

struct Protocol {
    endpoint: Endpoint,
    reply_bytes_max: usize,
}

impl Client for Protocol {
    type Connection = Stream;
    type Request = String;
    type Answer = Lookup;

    async fn connect(&self, _: &str) -> Result<Stream, String> {
        self.endpoint.connect().await.map_err(|error| error.to_string())
    }

    async fn query(&self, stream: &mut Stream, question: &String) -> Result<Lookup, Failure> {
        quiet(stream)?;
        stream.write_all(question.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        answer(&netstring(stream, self.reply_bytes_max).await?)
    }
}

/// Reads one netstring: its length, `:`, its bytes, `,`.
async fn netstring(stream: &mut Stream, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let malformed = |found: u8| {
        let found = found.escape_ascii();
        Failure::Server(format!("expected a netstring such as `4:OK x,`, found `{found}` in its place"))
    };
    let mut length: usize = 0;
    for digits in 0.. {
        match stream.read_u8().await.map_err(broken)? {
            byte @ b'0'..=b'9' if digits < LENGTH_DIGITS_MAX => {
                length = length * 10 + usize::from(byte - b'0')
            }
            b':' => break,
            other => return Err(malformed(other)),
        }
        if length > bytes_max {
            return Err(Failure::Server(format!(
                "expected an answer of at most {bytes_max} bytes (socketmap_max_reply_size), found a longer one"
            )));
        }
    }
    let mut content = vec![0; length];
    stream.read_exact(&mut content).await.map_err(broken)?;
    match stream.read_u8().await.map_err(broken)? {
        b',' => Ok(content),
        other => Err(malformed(other)),
    }
}

/// What the content of a netstring says.
fn answer(content: &[u8]) -> Result<Lookup, Failure> {
    let (status, text) = match content.iter().position(|&byte| byte == b' ') {
        Some(at) => (&content[..at], &content[at + 1..]),
        None => (content, &content[content.len()..]),
    };
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().take(200).collect::<String>();
    match status {
        b"OK" if status.len() == content.len() => Ok(Lookup::NotFound),
        b"OK" => {
            // A zero byte ends texts in Postfix.
            let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
            String::from_utf8(text[..end].to_vec())
                .map(Lookup::Found)
                .map_err(|_| Failure::Request(format!("expected a value in UTF-8, found `{}`", shown(text))))
        }
        b"NOTFOUND" => Ok(Lookup::NotFound),
        b"TEMP" => Err(Failure::Request(format!("temporary error of the server: {}", shown(text)))),
        b"TIMEOUT" => Err(Failure::Request(format!("the server ran out of time: {}", shown(text)))),
        b"PERM" => Err(Failure::Request(format!("permanent error of the server: {}", shown(text)))),
        _ => Err(Failure::Request(format!(
            "expected OK, NOTFOUND, TEMP, TIMEOUT or PERM, found `{}`",
            shown(content)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_content_is_an_answer_or_an_error(content in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = answer(&content);
        }
    }
}
