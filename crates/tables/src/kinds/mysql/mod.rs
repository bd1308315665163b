//! `mysql:/file`: a query to MySQL or MariaDB.
//!
//! Postfix: mysql_table(5). Each field of each row is a result. A query goes as text, as Postfix sends it; a stored
//! procedure gives one set of rows, or none where `require_result_set` allows that.

mod options;
mod tls;

use self::options::Options;
use super::Kind;
use crate::hosts::Host;
use crate::lookup::LookupFuture;
use crate::pool::{Client, Failure, Order, Pool};
use crate::sql::{Fields, Question, Sql};
use crate::table::{Settings, Source, TableError};
use crate::table_config::TableConfig;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, IoError, Opts, OptsBuilder, Value};
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

/// The kind `mysql`.
pub const KIND: Kind = Kind { name: "mysql", open };

/// Where `localhost` listens: MySQL's clients take it for a socket, never for TCP. The first of these that exists.
const SOCKETS: &[&str] = &["/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock", "/tmp/mysql.sock"];

/// The port where neither `hosts` nor an option file names one.
const PORT: u16 = 3306;

/// Bytes of the longest packet that we take, as MySQL's own client.
const PACKET_BYTES_MAX: usize = 16 << 20;

/// How long a goodbye may take; the server that does not read it sees the connection close.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let mut config = TableConfig::open(KIND.name, name, spec, settings)?;
    let options = Options::read(&mut config);
    let servers = servers(&mut config, &options);
    let limits = crate::sql::limits(&mut config);
    let needs_rows = config.yes_no("require_result_set", true);
    charset(&mut config, &options);
    let sql = Sql::read(&mut config, None);
    config.finish()?;
    let sql = sql.expect("what is wrong with the query was told by the settings");
    let names = servers.iter().map(|(name, _)| name.clone()).collect();
    let pool = Pool::new(Servers { servers, needs_rows }, names, Order::Random, limits);
    Ok(Box::new(Mysql { sql, pool }))
}

struct Mysql {
    sql: Sql,
    pool: Pool<Servers>,
}

impl Source for Mysql {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(self.sql.lookup(key, |question| self.pool.ask(question))))
    }
}

/// The servers of `hosts` by their names, with what is needed to log in; mistakes are noted.
fn servers(config: &mut TableConfig<'_>, options: &Options) -> Vec<(String, Opts)> {
    let mut hosts = config.list("hosts");
    if hosts.is_empty() {
        hosts.push("localhost".to_owned());
    }
    let [user, password] = ["user", "password"].map(|name| config.text(name).filter(|text| !text.is_empty()));
    // The file's password is for clients that ask for none: Postfix sends an empty one of its own.
    let user = user.or_else(|| options.text("user"));
    let dbname = config.required("dbname", "the name of a database");
    let tls = tls::settings(config, options);
    let default_port = default_port(config, options);
    let mut servers = Vec::new();
    for name in hosts {
        let login = OptsBuilder::default()
            .user(user.clone())
            .pass(password.clone())
            .db_name(Some(dbname.clone()))
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .wait_timeout(Some(usize::MAX))
            .stmt_cache_size(0);
        let place = match Host::parse(&name) {
            Ok(host) => meant(host, options),
            Err(error) => {
                config.wrong("hosts", error);
                continue;
            }
        };
        let login = match place {
            Host::Unix(path) => login.socket(Some(path)),
            Host::Inet(host, port) => {
                login.ip_or_hostname(host).tcp_port(port.unwrap_or(default_port)).ssl_opts(tls.clone())
            }
        };
        servers.push((name, login.into()));
    }
    servers
}

/// Where a host listens: `localhost` is what an option file says, and the socket of this host where it says nothing.
fn meant(host: Host, options: &Options) -> Host {
    match &host {
        Host::Inet(name, _) if name == "localhost" => {}
        _ => return host,
    }
    if let Some(other) = options.text("host").filter(|other| other != "localhost") {
        return Host::Inet(other, None);
    }
    let there = || SOCKETS.iter().find(|path| Path::new(path).exists()).unwrap_or(&SOCKETS[0]);
    Host::Unix(options.text("socket").unwrap_or_else(|| there().to_string()))
}

/// The port where `hosts` names none.
fn default_port(config: &mut TableConfig<'_>, options: &Options) -> u16 {
    let Some(port) = options.text("port") else { return PORT };
    port.parse().ok().filter(|&port| port > 0).unwrap_or_else(|| {
        config.wrong("option_file", format!("expected a port from 1 to 65535, found `{port}`"));
        PORT
    })
}

/// Text goes in UTF-8, whatever is set: the server converts it.
fn charset(config: &mut TableConfig<'_>, options: &Options) {
    if let Some(value) = config.text("charset").or_else(|| options.text("default_character_set"))
        && !["utf8mb4", "utf8mb3", "utf8"].contains(&value.to_lowercase().as_str())
    {
        config.warn(
            "charset",
            format!("expected utf8mb4, found `{value}`; utf8mb4 is used, the server converts it"),
        );
    }
}

/// How the pool speaks to the servers.
struct Servers {
    servers: Vec<(String, Opts)>,
    needs_rows: bool,
}

/// An open session.
struct Session {
    /// Taken out when the session ends.
    connection: Option<Conn>,
    /// Whether `\` is an ordinary character within `'…'` (NO_BACKSLASH_ESCAPES).
    plain_backslash: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // The library would first read the rest of an answer, which may never come. Nobody has to wait for the goodbye.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(tokio::time::timeout(GOODBYE_MAX, connection.disconnect()));
        }
    }
}

impl Client for Servers {
    type Connection = Session;
    type Request = Question;
    type Answer = Fields;

    async fn connect(&self, host: &str) -> Result<Session, String> {
        let (_, options) = self.servers.iter().find(|(name, _)| name == host).ok_or("no such server")?;
        let connected = match Conn::new(options.clone()).await {
            Err(error) => match tls::under_its_own_name(options, &error) {
                Some(options) => Conn::new(options).await,
                None => Err(error),
            },
            connected => connected,
        };
        let connection = connected.map_err(|error| detailed(&error))?;
        let mut session = Session { connection: Some(connection), plain_backslash: false };
        session.plain_backslash = agree(session.open()).await.map_err(|error| detailed(&error))?;
        Ok(session)
    }

    async fn query(&self, session: &mut Session, question: &Question) -> Result<Fields, Failure> {
        let text = question.text(if session.plain_backslash { doubled } else { escaped });
        let fields = fields(session.open(), &text).await.map_err(|error| failure(&error))?;
        match fields {
            None if self.needs_rows => Err(Failure::Request(
                "expected a query with a result set, found none (require_result_set = yes)".to_owned(),
            )),
            fields => Ok(fields.unwrap_or_default()),
        }
    }
}

impl Session {
    fn open(&mut self) -> &mut Conn {
        self.connection.as_mut().expect("a session is open until it ends")
    }
}

/// Sees to it that the server takes our text for UTF-8 (in some other encodings a `\` may be half of a character), and
/// tells whether `\` is an ordinary character there.
async fn agree(connection: &mut Conn) -> Result<bool, Error> {
    let known = "SELECT @@character_set_client, @@sql_mode";
    let (charset, mode) = connection.query_first::<(String, String), _>(known).await?.unwrap_or_default();
    if charset != "utf8mb4" {
        connection.query_drop("SET NAMES utf8mb4").await?;
    }
    Ok(mode.split(',').any(|word| word == "NO_BACKSLASH_ESCAPES"))
}

/// As MySQL's client library escapes text.
fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\n', '\r', '\\', '\'', '"', '\x1a']) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\\0"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x1a' => out.push_str("\\Z"),
            '\\' | '\'' | '"' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.into()
}

/// As MySQL's client library escapes text where `\` is an ordinary character: the quote is doubled.
fn doubled(text: &str) -> Cow<'_, str> {
    if text.contains('\'') { text.replace('\'', "''").into() } else { text.into() }
}

/// The fields of the one set of rows; nothing where there is none. A second set is an error.
async fn fields(connection: &mut Conn, query: &str) -> Result<Option<Fields>, Error> {
    let mut result = connection.query_iter(query).await?;
    let mut fields = None;
    loop {
        let has_rows = !result.columns_ref().is_empty();
        if has_rows && fields.is_some() {
            result.drop_result().await?;
            return Err(Error::Other("expected one result set, found more".into()));
        }
        let mut found = Fields::default();
        while let Some(row) = result.next().await? {
            for column in 0..row.len() {
                found.push(match row.as_ref(column) {
                    Some(Value::Bytes(bytes)) => Some(bytes),
                    _ => None,
                });
            }
        }
        if has_rows {
            fields = Some(found);
        }
        if result.is_empty() {
            return Ok(fields);
        }
    }
}

/// Whose fault it is: the question's where the server says so and stays well, the server's elsewhere.
fn failure(error: &Error) -> Failure {
    let text = detailed(error);
    match error {
        Error::Server(answer) if !answer.state.starts_with("08") && !SERVER_CODES.contains(&answer.code) => {
            Failure::Request(text)
        }
        Error::Other(_) => Failure::Request(text),
        _ => Failure::Server(text),
    }
}

/// Errors for which another server, or a new connection, may do better: shutdown in progress, lock wait timeout,
/// deadlock, connection killed, disk full, out of memory, too many connections, query interrupted.
const SERVER_CODES: &[u16] = &[1053, 1205, 1213, 1927, 1021, 1037, 1038, 1040, 1041, 1317];

/// The error in the server's words, or the library's.
fn detailed(error: &Error) -> String {
    match error {
        Error::Server(answer) => answer.message.clone(),
        Error::Io(IoError::Io(error)) => error.to_string(),
        Error::Io(IoError::Tls(error)) => format!("TLS: {error}"),
        Error::Other(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_as_the_mode_of_the_server_wants_it() {
        assert_eq!(escaped("o'x\\\"\n\r\x1a\0é"), "o\\'x\\\\\\\"\\n\\r\\Z\\0é");
        assert_eq!(escaped("plain"), "plain");
        assert_eq!(doubled("o'x\\\"\n"), "o''x\\\"\n");
    }
}
