//! Answers for tables to processes below another root: what their `proxy:` tables ask, in the protocol of socketmap.
//!
//! Postfix: proxymap(8), which reads main.cf's `proxy_read_maps` to know what it may open; here that is what the
//! configuration names as `proxy:` tables anyway.

use crate::showq::accept_lists;
use net::Shutdown;
use observe::Tag;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tables::{Lookup, Settings, Table, TableError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{UnixListener, UnixStream};

/// Connections at once; each asking process keeps a few for each table.
const CONNECTIONS_MAX: usize = 256;

/// Bytes of a question; an address has at most some hundred.
const QUESTION_MAX: usize = 100_000;

/// The tables of one configuration that may be asked for.
pub struct Proxied {
    settings: Settings,
    /// As they are written, without `proxy:`.
    allowed: Vec<String>,
    /// Opened when they are asked for first.
    open: Mutex<HashMap<String, Table>>,
}

impl Proxied {
    /// Those tables, opened with these settings.
    pub fn new(allowed: Vec<String>, settings: Settings) -> Proxied {
        Proxied { settings, allowed, open: Mutex::default() }
    }

    /// The table and the key of a question; nothing where no such table may be asked for.
    fn split<'a>(&self, question: &'a str) -> Option<(&'a str, &'a str)> {
        let names =
            |spec: &&String| question.strip_prefix(spec.as_str()).is_some_and(|rest| rest.starts_with(' '));
        let spec = self.allowed.iter().filter(names).max_by_key(|spec| spec.len())?;
        Some((&question[..spec.len()], &question[spec.len() + 1..]))
    }

    fn table(&self, spec: &str) -> Result<Table, TableError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = open.get(spec) {
            return Ok(table.clone());
        }
        let table = Table::open(spec, &self.settings)?;
        open.insert(spec.to_owned(), table.clone());
        Ok(table)
    }

    async fn answer(&self, question: &str) -> String {
        let Some((spec, key)) = self.split(question) else {
            return "PERM no such table in the configuration".to_owned();
        };
        match self.table(spec) {
            Err(error) => format!("PERM {error}"),
            Ok(table) => match table.lookup(key).await {
                Lookup::Found(value) => format!("OK {value}"),
                Lookup::NotFound => "NOTFOUND ".to_owned(),
                Lookup::TempFail(text) => format!("TEMP {text}"),
            },
        }
    }
}

/// Serves questions until the shutdown. It wants a `LocalSet` around it. `tables` gives what is in force.
pub async fn serve_tables(
    listener: UnixListener,
    tables: impl Fn() -> Arc<Proxied> + Clone + 'static,
    tag: Tag,
    shutdown: Shutdown,
) {
    let serve = move |socket: UnixStream| {
        let tables = tables.clone();
        async move { answer_all(tables, BufStream::new(socket)).await }
    };
    accept_lists("private/proxymap", listener, CONNECTIONS_MAX, &tag, shutdown, serve).await;
}

async fn answer_all(tables: impl Fn() -> Arc<Proxied>, mut stream: BufStream<UnixStream>) -> io::Result<()> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "expected a netstring");
    loop {
        let mut length = Vec::new();
        if (&mut stream).take(20).read_until(b':', &mut length).await? == 0 {
            return Ok(());
        }
        let length = std::str::from_utf8(&length).ok().and_then(|text| text.strip_suffix(':')?.parse().ok());
        let length: usize = length.filter(|length| *length <= QUESTION_MAX).ok_or_else(malformed)?;
        let mut question = vec![0; length + 1];
        stream.read_exact(&mut question).await?;
        if question.pop() != Some(b',') {
            return Err(malformed());
        }
        let answer = tables().answer(&String::from_utf8_lossy(&question)).await;
        stream.write_all(format!("{}:{answer},", answer.len()).as_bytes()).await?;
        stream.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_of_the_configuration_answer() {
        let allowed = vec!["inline:{ a b = 1 }".to_owned(), "static:x".to_owned(), "nosuch:x".to_owned()];
        let proxied = Proxied::new(allowed, Settings::default());
        let answer = |question| tables::wait(proxied.answer(question));
        assert_eq!(answer("static:x key with blanks"), "OK x");
        assert_eq!(answer("static:y key"), "PERM no such table in the configuration");
        assert_eq!(answer("static:xkey"), "PERM no such table in the configuration");
        assert!(
            answer("nosuch:x key").starts_with("PERM nosuch:x: expected a table type"),
            "{}",
            answer("nosuch:x key")
        );
    }
}
