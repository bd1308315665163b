//! A table, opened from its `type:name`.

use crate::kinds;
use crate::lookup::{Lookup, LookupFuture, now};
use config::parameters::Global;
use config::{Config, Ports};
use mail::fold;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Takes a warning.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// Answers with the value of a parameter.
pub type Parameter = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The tables that are open, by what they are trusted with and how they are written; it keeps none of them open.
#[derive(Clone, Default)]
pub struct Opened(Arc<Mutex<OpenedMap>>);

type OpenedMap = HashMap<(Trust, String), Weak<Inner>>;

impl Opened {
    fn get(&self, trust: Trust, spec: &str) -> Option<Arc<Inner>> {
        let opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(&(trust, spec.to_owned()))?.upgrade()
    }

    fn put(&self, trust: Trust, inner: &Arc<Inner>) {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        opened.insert((trust, inner.spec.clone()), Arc::downgrade(inner));
    }
}

/// Directories of the files that tables are made of; clones share them.
#[derive(Clone, Default)]
pub struct Directories(Arc<Mutex<BTreeSet<PathBuf>>>);

impl Directories {
    /// Those of all tables that were opened so far.
    pub fn all(&self) -> Vec<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// What is expected of tables whose answers have power: Postfix calls their data security-sensitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Any table will do.
    #[default]
    Any,
    /// An answer must not be made of the key, which a stranger writes: rules with substitution are skipped.
    NoSubstitution,
    /// Nor may it come from a server that does not prove who it is.
    Authenticated,
}

/// What tables need to know of their surroundings.
#[derive(Clone)]
pub struct Settings {
    /// Whether keys are folded as UTF-8 (`smtputf8_enable`).
    pub utf8: bool,
    /// Whether keys are folded to lower case at all; `postmap -f` leaves them as they are.
    pub fold: bool,
    /// Where relative file names start (`queue_directory`); nothing leaves them to the process.
    pub directory: Option<PathBuf>,
    /// Whether files that change are read again; not where they will be out of sight (chroot).
    pub follow_changes: bool,
    /// Whether the process has, or will have, another root than the host: its users cannot be asked for then.
    pub chrooted: bool,
    /// The expanded value of a parameter of main.cf, for kinds that have some (`socketmap_max_reply_size`, the settings
    /// of `mysql:name` without a file …); nothing where there is none.
    pub parameter: Parameter,
    /// The names that an `inet:host:port` may have for a port.
    pub ports: Ports,
    /// The socket by which a process below another root asks for its `proxy:` tables.
    pub proxy: Option<PathBuf>,
    /// What the tables are trusted with.
    pub trust: Trust,
    /// The tables that are open already.
    pub opened: Opened,
    /// The tables of the configuration before this one, in a process that gave up root after it had opened them: what only
    /// root may read is kept from there.
    pub before: Opened,
    /// Collects the directories of the files that tables are made of, for who confines the process.
    pub directories: Directories,
    /// Those of them in which tables make files of their own: a reader of SQLite's write-ahead log does.
    pub written: Directories,
    /// Takes warnings: a duplicate key, a file that cannot be read. Called from any thread; must not block.
    pub warn: Warn,
    /// Takes what `debug:` tells of each lookup; as `warn`.
    pub note: Warn,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            utf8: true,
            fold: true,
            directory: None,
            follow_changes: true,
            chrooted: false,
            ports: Ports::default(),
            proxy: None,
            trust: Trust::Any,
            opened: Opened::default(),
            before: Opened::default(),
            directories: Directories::default(),
            written: Directories::default(),
            parameter: Arc::new(|_| None),
            warn: Arc::new(|_| {}),
            note: Arc::new(|_| {}),
        }
    }
}

impl Settings {
    /// What tables of this configuration need to know; warnings go nowhere.
    pub fn of(config: &Config) -> Result<Settings, config::Errors> {
        let global = Global::read(config, None)?;
        let config = config.clone();
        Ok(Settings {
            ports: config.ports().clone(),
            utf8: global.smtputf8_enable,
            directory: Some(global.queue_directory.into()),
            parameter: Arc::new(move |name| {
                let scope = config.scope(None);
                scope.find(name)?;
                scope.expanded(name).ok()
            }),
            ..Settings::default()
        })
    }

    /// The same for tables that are trusted with more; they are not shared with others.
    pub fn with_trust(&self, trust: Trust) -> Settings {
        Settings { trust, ..self.clone() }
    }

    /// Notes that a table makes files beside this one.
    #[cfg(feature = "sqlite")]
    pub(crate) fn writes_beside(&self, path: &Path) {
        if let Some(parent) = path.parent() {
            self.written.0.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_owned());
        }
    }

    /// Where a socket is, as the process sees it when it connects. A chrooted one has queue_directory as its root then,
    /// and as its working directory: a relative path leads there still, and an absolute one is tried below it.
    pub(crate) fn socket(&self, path: &str) -> PathBuf {
        if self.chrooted { PathBuf::from(path) } else { self.path(path) }
    }

    /// `name` as a path, below `directory` where it is relative. The directory is noted.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = match &self.directory {
            Some(directory) => directory.join(name),
            None => Path::new(name).to_owned(),
        };
        if let Some(parent) = path.parent() {
            self.directories.0.lock().unwrap_or_else(PoisonError::into_inner).insert(parent.to_owned());
        }
        path
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings {{ utf8: {}, directory: {:?} }}", self.utf8, self.directory)
    }
}

/// Why a table cannot be used at all: the administrator has to change the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    /// The table as it was written.
    pub spec: String,
    /// What was expected, or what to do.
    pub text: String,
}

impl TableError {
    pub(crate) fn new(spec: &str, text: impl Into<String>) -> Self {
        TableError { spec: spec.to_owned(), text: text.into() }
    }

    /// The error as one of a parameter's value, with where that stands.
    pub(crate) fn of_parameter(&self, origin: Option<config::Origin>, parameter: &str) -> config::Error {
        config::Error::new(origin, parameter, self.to_string())
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.spec, self.text)
    }
}

impl std::error::Error for TableError {}

/// Keys with their values.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What a kind of table makes of a name: something that answers for keys.
pub trait Source: Send + Sync {
    /// Looks up a key, folded where [`Source::folds`] says so.
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a>;

    /// Whether lookups can be answered as things stand; the error says what keeps them from it. Asks no server.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether keys are folded to lower case first; not so for patterns, which say themselves how case counts.
    fn folds(&self) -> bool {
        true
    }

    /// Whether parts of an address (`example.org` of `ann@example.org`) may be looked up; not so for patterns.
    fn takes_parts(&self) -> bool {
        true
    }

    /// All entries, for `postmap -s`; nothing where they cannot be listed.
    fn entries(&self) -> Option<Result<Entries, String>> {
        None
    }
}

/// An open table; clones share it.
#[derive(Clone)]
pub struct Table(Arc<Inner>);

struct Inner {
    spec: String,
    utf8: bool,
    warn: Warn,
    fold: bool,
    source: Box<dyn Source>,
}

impl Table {
    /// Opens `type:name`, once for all who open it with the same settings. A file that cannot be read is a warning, and
    /// lookups fail for the time being, as in Postfix.
    pub fn open(spec: &str, settings: &Settings) -> Result<Table, TableError> {
        if let Some(inner) = settings.opened.get(settings.trust, spec) {
            return Ok(Table(inner));
        }
        let source = kinds::open(spec, settings);
        if let Some(kept) = settings.before.get(settings.trust, spec)
            && source.as_ref().map_or(true, |source| source.ready().is_err())
            && kept.source.ready().is_ok()
        {
            (settings.warn)(&format!(
                "{spec}: what was read when this process started is used until it starts again"
            ));
            settings.opened.put(settings.trust, &kept);
            return Ok(Table(kept));
        }
        let source = source?;
        let (utf8, fold, warn) = (settings.utf8, settings.fold, settings.warn.clone());
        let inner = Arc::new(Inner { spec: spec.to_owned(), utf8, fold, warn, source });
        settings.opened.put(settings.trust, &inner);
        Ok(Table(inner))
    }

    /// `type:name` as it was written.
    pub fn spec(&self) -> &str {
        &self.0.spec
    }

    /// Looks up `key`, in whatever case. That the table could not be asked is a warning, too: it names the table, and
    /// the key where the table has no reason to tell.
    pub async fn lookup(&self, key: &str) -> Lookup {
        let answer = self.ask(key).await;
        match &answer {
            Lookup::TempFail(text) if text == self.spec() => {
                (self.0.warn)(&format!("{text} lookup error for \"{key}\""));
            }
            Lookup::TempFail(text) => (self.0.warn)(text),
            _ => {}
        }
        answer
    }

    /// `lookup` without the warning, for tables made of tables: the whole warns.
    pub(crate) async fn ask(&self, key: &str) -> Lookup {
        let key = match self.folds() {
            true => fold(key, self.0.utf8),
            false => Cow::Borrowed(key),
        };
        self.0.source.lookup(&key).await
    }

    /// Whether a value that was found is empty, which no search takes for an answer: a pattern may give one. A warning
    /// tells so, in Postfix's words.
    pub fn found_nothing_in(&self, key: &str, value: &str) -> bool {
        if value.is_empty() {
            (self.0.warn)(&format!("{} lookup of {key} returns an empty string result", self.spec()));
            (self.0.warn)(&format!("{} should return NO RESULT in case of NOT FOUND", self.spec()));
        }
        value.is_empty()
    }

    /// Looks up `key` in a table that holds its content in memory; others fail for the time being.
    pub fn lookup_now(&self, key: &str) -> Lookup {
        now(self.lookup(key))
            .unwrap_or_else(|| Lookup::TempFail(format!("{}: has to be waited for", self.spec())))
    }

    /// Whether lookups can be answered as things stand: a file is there and can be read. Asks no server.
    pub fn ready(&self) -> Result<(), String> {
        self.0.source.ready()
    }

    /// All entries of the table; nothing where they cannot be listed.
    pub fn entries(&self) -> Option<Result<Entries, String>> {
        self.0.source.entries()
    }

    /// Whether keys are folded to lower case.
    pub(crate) fn folds(&self) -> bool {
        self.0.fold && self.0.source.folds()
    }

    /// Whether parts of an address may be looked up in this table.
    pub fn takes_parts(&self) -> bool {
        self.0.source.takes_parts()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({})", self.spec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    #[test]
    fn kinds_ask_main_cf_for_their_parameters() {
        let main_cf = "socketmap_max_query_size = 77\nsocketmap_max_reply_size = 78\n";
        let config =
            Config::parse(Path::new("/etc/postfix"), main_cf, "", Host::default()).expect("it parses");
        let settings = Settings::of(&config).expect("the values are right");
        let asked =
            ["socketmap_max_query_size", "socketmap_max_reply_size"].map(|name| (settings.parameter)(name));
        assert_eq!(asked, [Some("77".to_owned()), Some("78".to_owned())]);
    }
}
