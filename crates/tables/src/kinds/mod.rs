//! The kinds of tables, one file each.

mod btree;
mod cdb;
mod cidr;
mod debug;
mod environ;
mod fail;
mod hash;
mod indexed;
mod inline;
mod internal;
#[cfg(feature = "ldap")]
mod ldap;
mod lmdb;
mod memcache;
#[cfg(feature = "mysql")]
mod mysql;
mod pcre;
#[cfg(feature = "pgsql")]
mod pgsql;
mod pipemap;
mod proxy;
mod randmap;
mod regexp;
mod socketmap;
#[cfg(feature = "sqlite")]
mod sqlite;
mod static_;
mod tcp;
mod texthash;
mod unionmap;
mod unix;

use crate::lookup::{Lookup, LookupFuture};
use crate::table::{Settings, Source, TableError, Trust};
use std::cell::RefCell;

/// Opens the table of a name; the whole `type:name` is passed for errors.
type Open = fn(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError>;

/// A kind of table: the name in front of the colon, and how one is opened from what stands behind it.
pub struct Kind {
    /// The name in front of the colon.
    pub name: &'static str,
    /// Opens a table of this kind.
    pub open: Open,
}

/// All kinds, sorted by name.
pub const KINDS: &[Kind] = &[
    btree::KIND,
    cdb::KIND,
    cidr::KIND,
    debug::KIND,
    environ::KIND,
    fail::KIND,
    hash::KIND,
    inline::KIND,
    internal::KIND,
    #[cfg(feature = "ldap")]
    ldap::KIND,
    lmdb::KIND,
    memcache::KIND,
    #[cfg(feature = "mysql")]
    mysql::KIND,
    pcre::KIND,
    #[cfg(feature = "pgsql")]
    pgsql::KIND,
    pipemap::KIND,
    proxy::KIND,
    randmap::KIND,
    regexp::KIND,
    socketmap::KIND,
    #[cfg(feature = "sqlite")]
    sqlite::KIND,
    static_::KIND,
    tcp::KIND,
    texthash::KIND,
    unionmap::KIND,
    unix::KIND,
];

/// Kinds whose servers do not prove who they are; sorted by name.
const UNAUTHENTICATED: &[&str] = &["memcache", "socketmap", "tcp"];

/// Kinds that need a library of their own, and so a feature of their name; sorted.
pub const FEATURES: &[&str] = &["ldap", "mysql", "pgsql", "sqlite"];

/// Kinds of Postfix that stay out, with what to do instead; sorted by name.
pub const REFUSED: &[(&str, &str)] = &[
    ("dbm", DATABASE),
    ("mongodb", "export the collection to a file and write `texthash:`, or put `socketmap:` in front of it"),
    ("netinfo", DIRECTORY),
    ("nis", DIRECTORY),
    ("nisplus", DIRECTORY),
    ("sdbm", DATABASE),
];

const DATABASE: &str = "write `lmdb:` or `cdb:` with the same file name and run `postmap` on it again";
const DIRECTORY: &str =
    "export it to a file (`ypcat -k MAP`) and write `texthash:`, or `ldap:` where it moved there";

/// Tables that one is made of, within each other (`proxy:`, `debug:`) or side by side. Opening goes as deep.
const MADE_OF_MAX: usize = 100;

/// Opens `type:name`.
pub(crate) fn open(spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let _opening = Opening::enter(spec)?;
    open_inner(spec, spec, settings)
}

/// A table whose answers are not trusted with what they are for.
struct Refusing(String);

impl Source for Refusing {
    fn lookup<'a>(&'a self, _: &'a str) -> LookupFuture<'a> {
        Lookup::TempFail(self.0.clone()).into()
    }
}

/// Opens the `type:name` that is what `spec` is about, for kinds that stand in front of another.
fn open_inner(inner: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let kind = check_inner(inner, spec)?;
    let made_of = ["proxy:", "debug:", "unionmap:", "pipemap:"].map(|kind| spec.matches(kind).count());
    if made_of.iter().sum::<usize>() > MADE_OF_MAX {
        return Err(TableError::new(spec, format!("expected at most {MADE_OF_MAX} tables within one")));
    }
    if settings.trust == Trust::Authenticated && UNAUTHENTICATED.contains(&kind.name) {
        // No mistake of the configuration: who asks the same table for less may have its answers.
        let text = "map is not allowed for security-sensitive data: anybody could stand in for the server";
        return Ok(Box::new(Refusing(format!("{spec}: {text}"))));
    }
    let (_, name) = inner.split_once(':').unwrap_or_default();
    (kind.open)(name, spec, settings)
}

thread_local! {
    /// The tables that are being opened, each for the one before it (`domain = ldap:FILE` in another's file).
    static OPENING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// One table that is being opened.
struct Opening;

impl Opening {
    fn enter(spec: &str) -> Result<Opening, TableError> {
        OPENING.with_borrow_mut(|opening| {
            if opening.iter().any(|other| other == spec) {
                let text = "expected another table, found one whose own settings name it";
                return Err(TableError::new(spec, text));
            }
            opening.push(spec.to_owned());
            Ok(Opening)
        })
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        OPENING.with_borrow_mut(|opening| opening.pop());
    }
}

/// The kind of `type:name`, or what is wrong with it; opens nothing.
pub fn check(spec: &str) -> Result<&'static Kind, TableError> {
    check_inner(spec, spec)
}

/// The kind of `inner`, which `spec` is about.
fn check_inner(inner: &str, spec: &str) -> Result<&'static Kind, TableError> {
    // Of kinds that stand in front of another, that one has to be right as well.
    let innermost = inner.trim_start_matches("proxy:").trim_start_matches("debug:");
    let kind = |text: &str| {
        let Some((kind, _)) = text.split_once(':') else {
            return Err(TableError::new(spec, "expected a lookup table written `type:name`"));
        };
        find(kind, spec)
    };
    kind(innermost)?;
    kind(inner)
}

fn find(kind: &str, spec: &str) -> Result<&'static Kind, TableError> {
    if let Some(kind) = KINDS.iter().find(|k| k.name == kind) {
        return Ok(kind);
    }
    Err(match FEATURES.iter().find(|name| **name == kind) {
        Some(name) => {
            let text =
                format!("tables of type `{name}` are not in this program: build it with `--features {name}`");
            TableError::new(spec, text)
        }
        None => match REFUSED.iter().find(|(name, _)| *name == kind) {
            Some((name, advice)) => {
                TableError::new(spec, format!("tables of type `{name}` are not supported; {advice}"))
            }
            None => {
                TableError::new(spec, format!("expected a table type out of {}, found `{kind}`", names()))
            }
        },
    })
}

/// The names of all kinds that this build has, for readers.
pub(crate) fn names() -> String {
    KINDS.iter().map(|k| k.name).collect::<Vec<_>>().join(", ")
}

/// Whether `name` is the name of a kind, be it built or not.
pub(crate) fn is_known(name: &str) -> bool {
    KINDS.iter().any(|k| k.name == name)
        || FEATURES.contains(&name)
        || REFUSED.iter().any(|(n, _)| *n == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_kinds_are_sorted() {
        assert!(KINDS.is_sorted_by_key(|k| k.name));
        assert!(FEATURES.is_sorted() && REFUSED.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn each_setting_of_a_kind_is_read() {
        use std::collections::BTreeSet;
        use std::sync::{Arc, Mutex};
        let mut kinds = 0;
        for kind in KINDS {
            let known: BTreeSet<String> =
                config::table_settings::of_kind(kind.name).map(|name| format!("t_{name}")).collect();
            let asked = Arc::new(Mutex::new(BTreeSet::new()));
            let sink = asked.clone();
            let parameter = Arc::new(move |name: &str| {
                sink.lock().unwrap().insert(name.to_owned());
                None
            });
            let settings = Settings { parameter, ..Settings::default() };
            if !known.is_empty() {
                // Whether it can be opened without any setting is another matter.
                let _ = (kind.open)("t", "x:t", &settings);
                assert_eq!(*asked.lock().unwrap(), known, "{}", kind.name);
                kinds += 1;
            }
        }
        assert!(kinds > 0);
    }

    #[test]
    fn whose_rights_a_delivery_has_is_not_asked_of_strangers() {
        let settings = Settings::default().with_trust(Trust::Authenticated);
        for spec in ["socketmap:inet:127.0.0.1:1:x", "tcp:127.0.0.1:1", "memcache:/x"] {
            let table = crate::Table::open(spec, &settings).expect("others may ask it");
            let answer = table.lookup_now("ann");
            let refused = |text: &String| text.contains("not allowed for security-sensitive data");
            assert!(matches!(&answer, Lookup::TempFail(text) if refused(text)), "{spec}: {answer:?}");
        }
        assert!(open("inline:{a=b}", &settings).is_ok());
    }

    #[test]
    fn tables_made_of_tables_have_a_bound() {
        let settings = Settings::default();
        assert!(open(&format!("{}static:x", "proxy:".repeat(99)), &settings).is_ok());
        for spec in [
            "proxy:".repeat(101) + "static:x",
            "proxy:debug:".repeat(9999) + "static:x",
            "unionmap:{".repeat(9999) + "static:x" + &"}".repeat(9999),
        ] {
            assert!(open(&spec, &settings).is_err_and(|error| error.text.contains("at most 100 tables")));
        }
    }

    #[test]
    fn what_a_stranger_writes_does_not_say_where_mail_goes() {
        for (trust, found) in [(Trust::Any, "smtp:[x]"), (Trust::NoSubstitution, "fixed")] {
            let settings = Settings::default().with_trust(trust);
            let spec = "regexp:{{/^(.*)@far/ smtp:[$1]} {/@far/ fixed}}";
            let table = crate::Table::open(spec, &settings).expect("two rules");
            assert_eq!(table.lookup_now("x@far"), crate::Lookup::Found(found.to_owned()));
        }
    }

    #[test]
    fn a_kind_that_is_missing_is_told_with_what_to_do() {
        let error = |spec| check(spec).err().map(|e| e.to_string()).unwrap_or_default();
        assert_eq!(
            error("sdbm:/etc/postfix/virtual"),
            "sdbm:/etc/postfix/virtual: tables of type `sdbm` are not supported; \
             write `lmdb:` or `cdb:` with the same file name and run `postmap` on it again"
        );
        assert_eq!(
            error("hsah:x"),
            format!("hsah:x: expected a table type out of {}, found `hsah`", names())
        );
        assert_eq!(
            error("nis:mail.aliases"),
            "nis:mail.aliases: tables of type `nis` are not supported; export it to a file (`ypcat -k MAP`) and \
             write `texthash:`, or `ldap:` where it moved there"
        );
        assert_eq!(error("/etc/x"), "/etc/x: expected a lookup table written `type:name`");
        assert!(check("proxy:texthash:/x").is_ok());
    }
}
