//! `sqlite:/file`: a query to a SQLite database, whose file is read by this process itself.
//!
//! Postfix: sqlite_table(5). Unlike Postfix we open the database for reading only. A thread of its own keeps the
//! connection, since SQLite blocks; a query that takes too long is interrupted.

use super::Kind;
use crate::lookup::LookupFuture;
use crate::service::Worker;
use crate::sql::{Fields, QUERY_MAX, Question, Sql};
use crate::table::{Settings, Source, TableError};
use crate::table_config::TableConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags};
use std::borrow::Cow;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// The kind `sqlite`.
pub const KIND: Kind = Kind { name: "sqlite", open };

/// Steps of SQLite's virtual machine between two looks at the clock: well under a millisecond.
const STEPS: i32 = 10_000;

/// SQLite's name for an empty database without a file.
const IN_MEMORY: &str = ":memory:";

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let mut config = TableConfig::open(KIND.name, name, spec, settings)?;
    let path = config.required("dbpath", "the file of a SQLite database");
    let sql = Sql::read(&mut config, None);
    config.finish()?;
    let path = if path == IN_MEMORY { PathBuf::from(IN_MEMORY) } else { settings.path(&path) };
    if has_log(&path) {
        settings.writes_beside(&path);
    }
    // Opened now, while the file is in reach: later this process may have given up its rights.
    let mut database = Database::new(path.clone());
    if let Err(text) = database.open_again() {
        (settings.warn)(&format!("{spec}: {text}"));
    }
    let first = Mutex::new(Some(database));
    let make = move || {
        let first = first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        first.unwrap_or_else(|| Database::new(path.clone()))
    };
    let sql = sql.expect("what is wrong with the query was told by the settings");
    Ok(Box::new(Sqlite { sql, worker: Worker::new("tables-sqlite", make) }))
}

/// Whether a database has a write-ahead log: bytes 18 and 19 of its header are 2. Who reads it keeps a file beside it.
fn has_log(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18..] == [2, 2]
}

struct Sqlite {
    sql: Sql,
    worker: Worker<Database>,
}

impl Source for Sqlite {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        LookupFuture::Waiting(Box::pin(self.sql.lookup(key, |question| self.ask(question))))
    }
}

impl Sqlite {
    async fn ask(&self, question: Question) -> Result<Fields, String> {
        let deadline = Instant::now() + QUERY_MAX;
        let answer = self.worker.ask(move |database| database.query(&question, deadline)).await;
        answer.map_err(|gone| gone.to_string())?
    }
}

/// A database file, opened where that was possible.
struct Database {
    path: PathBuf,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    /// Which file it is: another may have taken its name since.
    file: File,
    /// Whether it has a write-ahead log.
    has_log: bool,
}

/// Device and inode.
type File = Option<(u64, u64)>;

fn file(path: &Path) -> File {
    std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

impl Database {
    fn new(path: PathBuf) -> Database {
        Database { path, open: None }
    }

    fn open_again(&mut self) -> Result<&Open, String> {
        self.open = None;
        let file = file(&self.path);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)
            .and_then(|connection| connection.busy_timeout(QUERY_MAX / 2).map(|()| connection))
            .map_err(|error| format!("{}: cannot be opened: {error}", self.path.display()))?;
        let has_log = has_log(&self.path);
        Ok(self.open.insert(Open { connection, file, has_log }))
    }

    /// The connection to the file that has the name now; where that is out of sight, to the one that was opened.
    fn opened(&mut self) -> Result<&Open, String> {
        let now = file(&self.path);
        match &self.open {
            Some(open) if now.is_none() || open.file == now => {}
            _ => {
                self.open_again()?;
            }
        }
        Ok(self.open.as_ref().expect("it was opened above"))
    }

    fn query(&mut self, question: &Question, deadline: Instant) -> Result<Fields, String> {
        let late = || format!("no answer within {} s", QUERY_MAX.as_secs());
        if Instant::now() >= deadline {
            return Err(late());
        }
        let Open { connection, has_log, .. } = self.opened()?;
        let text = question.text(escaped);
        let asked = connection
            .progress_handler(STEPS, Some(move || Instant::now() >= deadline))
            .and_then(|()| first_fields(connection, &text));
        asked.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => late(),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) if *has_log => {
                format!("{error} (it has a write-ahead log: mail_owner must be able to make files beside it)")
            }
            _ => error.to_string(),
        })
    }
}

/// SQLite knows one special character within `'…'`: the quote itself.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains('\'') { text.replace('\'', "''").into() } else { text.into() }
}

/// The first column of each row; the others count for nothing, as in Postfix.
fn first_fields(connection: &Connection, query: &str) -> rusqlite::Result<Fields> {
    let mut fields = Fields::default();
    // Of several statements the first counts, as in Postfix.
    let Some(mut statement) = Batch::new(connection, query).next()? else { return Ok(fields) };
    if statement.column_count() == 0 {
        statement.raw_execute()?;
        return Ok(fields);
    }
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        match row.get_ref(0)? {
            ValueRef::Null => {}
            ValueRef::Text(text) | ValueRef::Blob(text) => fields.push(Some(text)),
            ValueRef::Integer(number) => fields.push(Some(number.to_string().as_bytes())),
            // SQLite says how a number is written.
            ValueRef::Real(number) => {
                let text: String =
                    connection.query_row("SELECT CAST(? AS TEXT)", [number], |row| row.get(0))?;
                fields.push(Some(text.as_bytes()));
            }
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_end_is_interrupted() {
        let directory = std::env::temp_dir().join(format!("sqlite-late-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        let mut database = Database::new(path);
        let connection = &database.opened().unwrap().connection;
        let deadline = Instant::now() + std::time::Duration::from_millis(20);
        connection.progress_handler(STEPS, Some(move || Instant::now() >= deadline)).unwrap();
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT count(*) FROM n";
        let error = first_fields(connection, endless).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
