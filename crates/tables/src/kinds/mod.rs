//! The kinds of tables, one file each.

mod btree;
mod cdb;
mod fail;
mod hash;
mod indexed;
mod inline;
mod lmdb;
mod memcache;
mod socketmap;
#[cfg(feature = "sqlite")]
mod sqlite;
mod static_;
mod tcp;
mod texthash;

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
    fail::KIND,
    hash::KIND,
    inline::KIND,
    lmdb::KIND,
    memcache::KIND,
    socketmap::KIND,
    #[cfg(feature = "sqlite")]
    sqlite::KIND,
    static_::KIND,
    tcp::KIND,
    texthash::KIND,
];

/// Kinds whose servers do not prove who they are; sorted by name.
const UNAUTHENTICATED: &[&str] = &["memcache", "socketmap", "tcp"];

/// Kinds of Postfix that are not built yet, with what to do instead; sorted by name.
pub const NOT_YET: &[(&str, &str)] = &[
    ("cidr", "write `inline:` or `texthash:` with single addresses and their networks (192.0.2) for now"),
    ("environ", "write `inline:{ name=value }` for now"),
    ("internal", "write `texthash:` with a file for now"),
    ("ldap", OUTSIDE),
    ("mysql", OUTSIDE),
    ("pcre", PATTERNS),
    ("pgsql", OUTSIDE),
    ("pipemap", "name the tables one by one for now"),
    ("proxy", "leave out `proxy:`"),
    ("randmap", "write `static:` with one of the values for now"),
    ("regexp", PATTERNS),
    ("sqlite", "this program was built without them: build it with `--features sqlite`"),
    ("unionmap", "name the tables one by one for now"),
    ("unix", "write `texthash:` with a file of the names for now"),
];

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
const OUTSIDE: &str = "export it to a file and write `texthash:` for now";
const PATTERNS: &str = "write the addresses and domains into a file and `texthash:` for now";

/// Opens `type:name`.
pub(crate) fn open(spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let kind = check(spec)?;
    let (_, name) = inner(spec).split_once(':').unwrap_or_default();
    if settings.trust == Trust::Authenticated && UNAUTHENTICATED.contains(&kind.name) {
        let text = "map is not allowed for security-sensitive data: anybody could stand in for the server; \
                    write the entries into a file";
        return Err(TableError::new(spec, text));
    }
    let _opening = Opening::enter(spec)?;
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
    let Some((kind, _)) = inner(spec).split_once(':') else {
        return Err(TableError::new(spec, "expected a lookup table written `type:name`"));
    };
    if let Some(kind) = KINDS.iter().find(|k| k.name == kind) {
        return Ok(kind);
    }
    Err(match NOT_YET.iter().find(|(name, _)| *name == kind) {
        Some((name, advice)) => {
            TableError::new(spec, format!("tables of type `{name}` are not supported yet; {advice}"))
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
    KINDS.iter().any(|k| k.name == name) || NOT_YET.iter().chain(REFUSED).any(|(n, _)| *n == name)
}

/// `spec` without `proxy:`: what Postfix asks its proxymap process for, we ask ourselves.
fn inner(spec: &str) -> &str {
    spec.strip_prefix("proxy:").filter(|rest| rest.contains(':')).unwrap_or(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_kinds_are_sorted() {
        assert!(KINDS.is_sorted_by_key(|k| k.name));
        assert!(NOT_YET.is_sorted_by_key(|(name, _)| *name) && REFUSED.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn whose_rights_a_delivery_has_is_not_asked_of_strangers() {
        let settings = Settings::default().with_trust(Trust::Authenticated);
        for spec in ["socketmap:inet:127.0.0.1:1:x", "tcp:127.0.0.1:1", "memcache:/x"] {
            let error = open(spec, &settings).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("not allowed for security-sensitive data"), "{spec}: {error}");
        }
        assert!(open("inline:{a=b}", &settings).is_ok());
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
