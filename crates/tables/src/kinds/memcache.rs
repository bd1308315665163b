//! `memcache:/file`: a memcached server, and a table behind it that is asked for what the server does not have.
//!
//! Postfix: memcache_table(5). What the table behind (`backup`) knows is put into the server, so that the next lookup
//! finds it there; where the server is down, the table behind answers alone.

use super::Kind;
use crate::endpoint::{Endpoint, Stream, broken, quiet};
use crate::expansion::{Expansion, Template};
use crate::lookup::{Lookup, LookupFuture};
use crate::pool::{Client, Failure, Limits, Order, Pool};
use crate::table::{Settings, Source, Table, TableError};
use crate::table_config::TableConfig;
use std::borrow::Cow;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

/// The kind `memcache`.
pub const KIND: Kind = Kind { name: "memcache", open };

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let mut config = TableConfig::open(KIND.name, name, spec, settings)?;
    let server = config.text("memcache").unwrap_or_else(|| "inet:localhost:11211".to_owned());
    let endpoint = Endpoint::parse(&server, settings).map_err(|text| config.wrong("memcache", text)).ok();
    let backup = config.text("backup").filter(|spec| !spec.is_empty());
    let backup = backup.and_then(|spec| {
        Table::open(&spec, settings).map_err(|error| config.wrong("backup", error.to_string())).ok()
    });
    let format = config.text("key_format").unwrap_or_else(|| "%s".to_owned());
    let key_format = Template::parse(&format).map_err(|text| config.wrong("key_format", text)).ok();
    let domain = config.list("domain");
    let domain = Expansion::new("%s", &domain, 0, settings)
        .map_err(|errors| errors.into_iter().for_each(|(name, text)| config.wrong(name, text)))
        .ok();
    let (flags, ttl) = (config.number("flags", 0), config.number("ttl", 3600));
    let data_bytes_max = at_least_one(&mut config, "data_size_limit", 10_240);
    let line_bytes_max = at_least_one(&mut config, "line_size_limit", 1024);
    let tries = at_least_one(&mut config, "max_try", 2);
    let pause = at_least_one(&mut config, "retry_pause", 1);
    let timeout = Duration::from_secs(at_least_one(&mut config, "timeout", 2).into());
    config.finish()?;
    let (Some(endpoint), Some(key_format), Some(domain)) = (endpoint, key_format, domain) else {
        return Err(TableError::new(spec, "expected settings without mistakes"));
    };
    let limits = Limits {
        connect: timeout,
        query: timeout,
        tries,
        pause: Duration::from_secs(pause.into()),
        ..Limits::default()
    };
    let hosts = vec![endpoint.to_string()];
    let protocol = Protocol { endpoint, data_bytes_max: data_bytes_max as usize, line_bytes_max };
    let server = Pool::new(protocol, hosts, Order::InTurn, limits);
    let spec = spec.to_owned();
    Ok(Box::new(Memcache { spec, server, backup, key_format, domain, flags, ttl }))
}

fn at_least_one(config: &mut TableConfig<'_>, name: &'static str, default: i32) -> u32 {
    let number = config.number(name, default);
    u32::try_from(number).ok().filter(|&number| number > 0).unwrap_or_else(|| {
        config.wrong(name, format!("expected a number of at least 1, found `{number}`"));
        default.unsigned_abs()
    })
}

struct Memcache {
    spec: String,
    server: Pool<Protocol>,
    backup: Option<Table>,
    /// Makes the server's key of ours.
    key_format: Template,
    /// Says which keys are asked for at all.
    domain: Expansion,
    flags: i32,
    ttl: i32,
}

impl Source for Memcache {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(async move {
            match self.domain.admits(key).await {
                Ok(true) => self.find(key).await,
                Ok(false) => Lookup::NotFound,
                Err(error) => Lookup::TempFail(format!("{}: domain: {}", self.spec, error.0)),
            }
        }))
    }
}

impl Memcache {
    async fn find(&self, key: &str) -> Lookup {
        let Some(name) = self.key_format.for_key(key, Cow::Borrowed) else { return Lookup::NotFound };
        // The protocol has no way to write a blank in a key.
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0) {
            return Lookup::NotFound;
        }
        let answer = self.server.ask(Request::Get(name.clone())).await;
        if let Ok(Some(value)) = answer {
            return Lookup::Found(value);
        }
        let Some(backup) = &self.backup else {
            return match answer {
                Ok(_) => Lookup::NotFound,
                Err(text) => Lookup::TempFail(format!("{}: {text}", self.spec)),
            };
        };
        let found = backup.lookup(key).await;
        if let (Ok(_), Lookup::Found(value)) = (answer, &found) {
            // That it cannot be put there costs the next lookup some time, and nobody else.
            let (value, flags, ttl) = (value.clone(), self.flags, self.ttl);
            let _ = self.server.ask(Request::Set { name, flags, ttl, value }).await;
        }
        found
    }
}

enum Request {
    Get(String),
    Set { name: String, flags: i32, ttl: i32, value: String },
}

struct Protocol {
    endpoint: Endpoint,
    data_bytes_max: usize,
    line_bytes_max: u32,
}

impl Client for Protocol {
    type Connection = Stream;
    type Request = Request;
    /// The value of a key that the server has.
    type Answer = Option<String>;

    async fn connect(&self, _: &str) -> Result<Stream, String> {
        self.endpoint.connect().await.map_err(|error| error.to_string())
    }

    async fn query(&self, stream: &mut Stream, request: &Request) -> Result<Option<String>, Failure> {
        quiet(stream)?;
        match request {
            Request::Get(name) => self.get(stream, name).await,
            Request::Set { value, .. } if value.len() > self.data_bytes_max => Ok(None),
            Request::Set { name, flags, ttl, value } => {
                let text = format!("set {name} {flags} {ttl} {}\r\n{value}\r\n", value.len());
                self.send(stream, &text).await?;
                match self.line(stream).await?.as_str() {
                    "STORED" => Ok(None),
                    other => Err(unexpected("STORED", other)),
                }
            }
        }
    }
}

impl Protocol {
    async fn get(&self, stream: &mut Stream, name: &str) -> Result<Option<String>, Failure> {
        self.send(stream, &format!("get {name}\r\n")).await?;
        let line = self.line(stream).await?;
        if line == "END" {
            return Ok(None);
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let length = match words[..] {
            // memcached gives no key but the one that was asked for.
            ["VALUE", key, _, length, ..] if key == name => length.parse::<usize>().ok(),
            _ => None,
        };
        let Some(length) = length else { return Err(unexpected("VALUE or END", &line)) };
        if length > self.data_bytes_max {
            let most = self.data_bytes_max;
            return Err(Failure::Server(format!(
                "expected at most {most} bytes of data (data_size_limit), found {length}"
            )));
        }
        let mut data = vec![0; length + 2];
        stream.read_exact(&mut data).await.map_err(broken)?;
        let end = self.line(stream).await?;
        if !data.ends_with(b"\r\n") || end != "END" {
            return Err(unexpected("END behind the data", &end));
        }
        data.truncate(length);
        // A zero byte ends texts in Postfix.
        data.truncate(data.iter().position(|&byte| byte == 0).unwrap_or(length));
        match String::from_utf8(data) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Failure::Request(format!("key `{name}`: expected a value in UTF-8"))),
        }
    }

    async fn send(&self, stream: &mut Stream, text: &str) -> Result<(), Failure> {
        stream.write_all(text.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)
    }

    /// A line without its end.
    async fn line(&self, stream: &mut Stream) -> Result<String, Failure> {
        let mut line = Vec::new();
        let most = u64::from(self.line_bytes_max);
        stream.take(most + 1).read_until(b'\n', &mut line).await.map_err(broken)?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            None if line.len() as u64 > most => {
                Err(Failure::Server(format!("expected a line of at most {most} bytes (line_size_limit)")))
            }
            None if line.is_empty() => Err(Failure::Server("the server closed the connection".to_owned())),
            None => Err(unexpected("a line", &String::from_utf8_lossy(&line))),
        }
    }
}

/// The failure that a line is which was not expected.
fn unexpected(expected: &str, found: &str) -> Failure {
    let shown: String = found.chars().take(100).filter(|c| !c.is_control()).collect();
    Failure::Server(format!("expected {expected}, found `{shown}`"))
}
