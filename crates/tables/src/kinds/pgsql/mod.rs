//! `pgsql:/file`: a query to PostgreSQL.
//!
//! Postfix: pgsql_table(5). Each field of each row is a result. A query goes as text in the simple protocol, as
//! Postfix sends it, so that every server and pooler takes it; of several statements the last one's rows count.

mod tls;
mod uri;

use super::Kind;
use crate::hosts::Host;
use crate::lookup::LookupFuture;
use crate::pool::{Client, Failure, Order, Pool};
use crate::sql::{Fields, Question, Sql};
use crate::table::{Settings, Source, TableError};
use crate::table_config::TableConfig;
use futures_util::TryStreamExt;
use std::borrow::Cow;
use std::pin::pin;
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::{Config, Error, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use uri::TlsParameters;

/// The kind `pgsql`.
pub const KIND: Kind = Kind { name: "pgsql", open };

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let mut config = TableConfig::open(KIND.name, name, spec, settings)?;
    let servers = servers(&mut config);
    let limits = crate::sql::limits(&mut config);
    encoding(&mut config);
    let sql = Sql::read(&mut config, Some("select_function"));
    config.finish()?;
    let sql = sql.expect("what is wrong with the query was told by the settings");
    let names = servers.iter().map(|server| server.name.clone()).collect();
    Ok(Box::new(Pgsql { sql, pool: Pool::new(Servers(servers), names, Order::Random, limits) }))
}

struct Pgsql {
    sql: Sql,
    pool: Pool<Servers>,
}

impl Source for Pgsql {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(self.sql.lookup(key, |question| self.pool.ask(question))))
    }
}

/// One of the servers, with what is needed to log in.
struct Server {
    /// As it was written, without a password.
    name: String,
    config: Config,
    tls: MakeRustlsConnect,
}

/// The servers of `hosts`, each with user, password and dbname; mistakes are noted.
fn servers(config: &mut TableConfig<'_>) -> Vec<Server> {
    let mut hosts = config.list("hosts");
    if hosts.is_empty() {
        hosts.push("localhost".to_owned());
    }
    let [user, password, dbname] =
        ["user", "password", "dbname"].map(|name| config.text(name).filter(|value| !value.is_empty()));
    let mut servers = Vec::new();
    for text in &hosts {
        let mut server = match server(text, config.settings()) {
            Ok(server) => server,
            Err(error) => {
                config.wrong("hosts", error);
                continue;
            }
        };
        let login = &mut server.config;
        // What a URI says goes before the settings.
        if let Some(user) = user.as_ref().filter(|_| login.get_user().is_none()) {
            login.user(user);
        }
        if let Some(password) = password.as_ref().filter(|_| login.get_password().is_none()) {
            login.password(password);
        }
        if let Some(dbname) = dbname.as_ref().filter(|_| login.get_dbname().is_none()) {
            login.dbname(dbname);
        }
        if login.get_dbname().is_none() {
            config.wrong("dbname", "expected the name of a database, found nothing");
        }
        login.application_name("posthaste");
        servers.push(server);
    }
    servers
}

fn server(text: &str, settings: &Settings) -> Result<Server, String> {
    let (name, (config, tls)) = match uri::is_uri(text) {
        true => (uri::without_password(text), uri::parse(text)?),
        false => (text.to_owned(), (plain(&Host::parse(text)?), TlsParameters::default())),
    };
    Ok(Server { name, config, tls: tls::connector(&tls, settings)? })
}

fn plain(host: &Host) -> Config {
    let mut config = Config::new();
    match host {
        Host::Unix(directory) => config.host_path(directory),
        Host::Inet(host, None) => config.host(host),
        Host::Inet(host, Some(port)) => config.host(host).port(*port),
    };
    config
}

/// Text goes in UTF-8, whatever is set: the server converts it to the encoding of its database.
fn encoding(config: &mut TableConfig<'_>) {
    if let Some(value) = config.text("encoding")
        && !["utf8", "utf-8", "unicode"].contains(&value.to_lowercase().as_str())
    {
        config.warn(
            "encoding",
            format!("expected UTF8, found `{value}`; UTF8 is used, the server converts it"),
        );
    }
}

/// How the pool speaks to the servers.
struct Servers(Vec<Server>);

/// An open session; the task that moves its bytes ends with it.
struct Session {
    client: tokio_postgres::Client,
    moves: JoinHandle<()>,
    /// Whether `\` is an ordinary character within `'…'` (standard_conforming_strings).
    plain_backslash: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        // A session that was left may still wait for an answer that nobody wants.
        self.moves.abort();
    }
}

impl Client for Servers {
    type Connection = Session;
    type Request = Question;
    type Answer = Fields;

    async fn connect(&self, host: &str) -> Result<Session, String> {
        let server = self.0.iter().find(|server| server.name == host).ok_or("no such server")?;
        let (client, connection) =
            server.config.connect(server.tls.clone()).await.map_err(|error| detailed(&error))?;
        // A server that does not say is older than the setting, and takes `\` for special.
        let plain_backslash = connection.parameter("standard_conforming_strings") == Some("on");
        let moves = tokio::spawn(async move {
            // An error reaches the one who asks, too.
            let _ = connection.await;
        });
        Ok(Session { client, moves, plain_backslash })
    }

    async fn query(&self, session: &mut Session, question: &Question) -> Result<Fields, Failure> {
        let escape = if session.plain_backslash { escaped } else { escaped_with_backslash };
        fields(&session.client, &question.text(escape)).await.map_err(|error| failure(&error))
    }
}

/// Within `'…'` the quote is doubled.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains('\'') { text.replace('\'', "''").into() } else { text.into() }
}

/// As [`escaped`], where `\` is special.
fn escaped_with_backslash(text: &str) -> Cow<'_, str> {
    if text.contains('\\') { escaped(text).replace('\\', "\\\\").into() } else { escaped(text) }
}

/// The fields of the last statement; one that gives no rows, such as UPDATE, has none.
async fn fields(client: &tokio_postgres::Client, query: &str) -> Result<Fields, Error> {
    let mut messages = pin!(client.simple_query_raw(query).await?);
    let (mut fields, mut has_rows) = (Fields::default(), false);
    while let Some(message) = messages.try_next().await? {
        match message {
            SimpleQueryMessage::RowDescription(_) => (fields, has_rows) = (Fields::default(), true),
            SimpleQueryMessage::Row(row) => {
                for column in 0..row.len() {
                    fields.push(row.try_get(column)?.map(str::as_bytes));
                }
            }
            SimpleQueryMessage::CommandComplete(_) => {
                if !has_rows {
                    fields = Fields::default();
                }
                has_rows = false;
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// Whose fault it is: the question's where the server says so and stays well, the server's elsewhere.
fn failure(error: &Error) -> Failure {
    let text = detailed(error);
    let Some(answer) = error.as_db_error() else { return Failure::Server(text) };
    let well = answer.parsed_severity() == Some(Severity::Error)
        && !SERVER_CLASSES.iter().any(|class| answer.code().code().starts_with(class));
    if well { Failure::Request(text) } else { Failure::Server(text) }
}

/// Classes of errors for which another server, or a new connection, may do better: connection exceptions, broken
/// transactions, rollbacks (also those of a standby's recovery), lack of resources, an operator's intervention, errors
/// of the system, errors of the server itself.
const SERVER_CLASSES: &[&str] = &["08", "25", "40", "53", "57", "58", "XX"];

/// The error with what lies behind it; the library's own text leaves that to its source.
fn detailed(error: &Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return format!("{}: {}", answer.severity(), answer.message());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled_and_backslashes_where_they_are_special() {
        assert_eq!(escaped(r"o'x\'"), r"o''x\''");
        assert_eq!(escaped_with_backslash(r"o'x\'"), r"o''x\\''");
        assert_eq!(escaped_with_backslash("jörg"), "jörg");
    }
}
