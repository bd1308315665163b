//! Searches of a directory, and of what its entries refer to, deepest first in the order of the server's answer.

use super::reference::{ALL, Reference};
use super::referral::{self, Place};
use crate::pool::{Client, Failure};
use crate::service::within;
use ldap3::asn1::{PL, StructureTag};
use ldap3::{
    DerefAliases, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Scope, SearchOptions, parse_refs,
};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of all values of one lookup; a longer answer fails for the time being.
const VALUES_BYTES_MAX: usize = 16 << 20;

/// Searches of one lookup, so that groups that name each other many times come to an end.
const SEARCHES_MAX: u32 = 100_000;

/// Result codes of RFC 4511 that we tell apart.
const SUCCESS: u32 = 0;
const NO_SUCH_OBJECT: u32 = 32;
const REFERRAL: u32 = 10;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;

/// How the servers of a table are searched.
pub(super) struct Directory {
    pub(super) spec: String,
    pub(super) warn: Arc<dyn Fn(&str) + Send + Sync>,
    pub(super) connection: LdapConnSettings,
    /// Nothing where nobody logs in.
    pub(super) login: Option<Login>,
    pub(super) scope: Scope,
    pub(super) dereference: DerefAliases,
    pub(super) attributes: Attributes,
    /// Entries that refer to each other, one within the other.
    pub(super) recursion_limit: u32,
    /// Entries of one search; zero sets no limit.
    pub(super) size_limit: i32,
    /// How long one search may take.
    pub(super) timeout: Duration,
    /// Whether servers are asked that the directory refers to.
    pub(super) chases: bool,
}

/// Whom we are to the server.
pub(super) enum Login {
    /// An entry of the directory, by its password.
    Simple { name: String, password: String },
    /// Who the connection says: the user at the other end of a socket, or the owner of a certificate (SASL EXTERNAL).
    External,
}

/// The attributes of entries that count.
pub(super) struct Attributes {
    /// Whose values are results.
    pub(super) result: Vec<String>,
    /// Whose values are the only results of an entry that has them.
    pub(super) terminal: Vec<String>,
    /// Whose values are results of entries that refer to no others.
    pub(super) leaf: Vec<String>,
    /// Whose values refer to other entries.
    pub(super) special: Vec<String>,
}

impl Attributes {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.result.iter().chain(&self.terminal).chain(&self.leaf).chain(&self.special)
    }

    /// Those of them that a URL asks for; all where it names none.
    fn asked_by(&self, url: &[String]) -> Vec<String> {
        let asked = |name: &&String| url.is_empty() || has(url, name);
        self.all().filter(asked).cloned().collect()
    }
}

/// Names of attributes are the same in any case.
fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The search that a key stands for.
pub(super) struct Search {
    pub(super) base: String,
    pub(super) filter: String,
    /// Whether a base that does not exist only means that nothing is found.
    pub(super) base_may_miss: bool,
}

/// What is still to be done for a lookup.
enum Step {
    Value(String),
    Follow { value: String, depth: u32 },
}

impl Client for Directory {
    type Connection = ldap3::Ldap;
    type Request = Search;
    /// The values of the attributes, in order.
    type Answer = Vec<String>;

    async fn connect(&self, url: &str) -> Result<ldap3::Ldap, String> {
        let mut ldap = self.open(url).await?;
        let (name, bound) = match &self.login {
            None => return Ok(ldap),
            Some(Login::Simple { name, password }) => (name.as_str(), ldap.simple_bind(name, password).await),
            Some(Login::External) => ("EXTERNAL", ldap.sasl_external_bind().await),
        };
        let result = bound.map_err(|error| error.to_string())?;
        match result.rc {
            SUCCESS => Ok(ldap),
            _ => Err(format!("cannot bind as `{name}`: {result}")),
        }
    }

    async fn query(&self, ldap: &mut ldap3::Ldap, search: &Search) -> Result<Vec<String>, Failure> {
        let all = self.attributes.asked_by(&[]);
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let mut lookup =
            Lookup { directory: self, ldap, values: Vec::new(), bytes: 0, searches: 0, referrals: 0 };
        let found = lookup.search(&search.base, self.scope, &search.filter, all).await?;
        let Some(entries) = found else {
            return match search.base_may_miss {
                true => Ok(Vec::new()),
                false => Err(Failure::Request(format!("search base `{}` not found", search.base))),
            };
        };
        lookup.follow(steps(&self.attributes, &entries, 1)?).await?;
        Ok(lookup.values)
    }
}

impl Directory {
    /// A connection over which nobody has logged in.
    pub(super) async fn open(&self, url: &str) -> Result<ldap3::Ldap, String> {
        let opened = LdapConnAsync::with_settings(self.connection.clone(), url).await;
        let (connection, ldap) = opened.map_err(|error| error.to_string())?;
        // It ends when the last handle is dropped; an error shows with the next search.
        tokio::spawn(async move { connection.drive().await });
        Ok(ldap)
    }
}

/// A lookup under way.
struct Lookup<'a> {
    directory: &'a Directory,
    ldap: &'a mut ldap3::Ldap,
    values: Vec<String>,
    bytes: usize,
    searches: u32,
    referrals: u32,
}

/// What a search gave.
struct Answer {
    entries: Vec<Entry>,
    /// The URLs of other servers that hold parts of the answer, each in several forms.
    parts: Vec<Vec<String>>,
    result: LdapResult,
}

impl Lookup<'_> {
    /// Does the steps in order, those that come of a step before those behind it.
    async fn follow(&mut self, mut todo: Vec<Step>) -> Result<(), Failure> {
        todo.reverse();
        while let Some(step) = todo.pop() {
            match step {
                Step::Value(value) => {
                    self.bytes += value.len();
                    if self.bytes > VALUES_BYTES_MAX {
                        let text = format!("expected at most {VALUES_BYTES_MAX} bytes of values, found more");
                        return Err(Failure::Request(text));
                    }
                    self.values.push(value);
                }
                Step::Follow { value, depth } => {
                    let limit = self.directory.recursion_limit;
                    if depth >= limit {
                        return Err(Failure::Request(format!(
                            "expected entries within entries at most {limit} deep (recursion_limit), found `{value}` within"
                        )));
                    }
                    let entries = self.refer(&value).await?;
                    todo.extend(steps(&self.directory.attributes, &entries, depth + 1)?.into_iter().rev());
                }
            }
        }
        Ok(())
    }

    /// The entries that a value refers to.
    async fn refer(&mut self, value: &str) -> Result<Vec<Entry>, Failure> {
        let (base, attributes, scope, filter) = match Reference::parse(value).map_err(Failure::Request)? {
            Reference::Entry(name) => (name, Vec::new(), Scope::Base, ALL.to_owned()),
            Reference::Search { base, attributes, scope, filter } => (base, attributes, scope, filter),
        };
        let attributes = self.directory.attributes.asked_by(&attributes);
        if attributes.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.search(&base, scope, &filter, attributes).await?;
        if found.is_none() {
            (self.directory.warn)(&format!(
                "{}: `{value}` is not found; it is left out",
                self.directory.spec
            ));
        }
        Ok(found.unwrap_or_default())
    }

    /// The entries below a base, and below those that servers refer to; nothing where there is no base.
    async fn search(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: Vec<String>,
    ) -> Result<Option<Vec<Entry>>, Failure> {
        let (base, filter) = (base.to_owned(), filter.to_owned());
        let mut places = vec![Place { ldap: self.ldap.clone(), base, scope, filter, hops: 0 }];
        let mut found: Option<Vec<Entry>> = None;
        while let Some(mut place) = places.pop() {
            let Answer { entries, mut parts, result } = self.search_at(&mut place, &attributes).await?;
            if result.rc == REFERRAL && self.directory.chases {
                parts.push(result.refs);
            } else if told(&place.base, &result)? {
                found.get_or_insert_default().extend(entries);
            } else if place.hops > 0 {
                return Err(Failure::Request(format!("referred to `{}`, which is not there", place.base)));
            }
            if !self.directory.chases {
                continue;
            }
            for urls in parts {
                self.referrals += 1;
                places.push(referral::follow(self.directory, &place, &urls, self.referrals).await?);
            }
        }
        Ok(found)
    }

    /// One search.
    async fn search_at(&mut self, place: &mut Place, attributes: &[String]) -> Result<Answer, Failure> {
        self.searches += 1;
        if self.searches > SEARCHES_MAX {
            return Err(Failure::Request(format!("expected at most {SEARCHES_MAX} searches for a key")));
        }
        let timeout = self.directory.timeout;
        let options = SearchOptions::new()
            .deref(self.directory.dereference)
            .sizelimit(self.directory.size_limit)
            .timelimit(i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX));
        let Place { ldap, base, scope, filter, .. } = place;
        let answer = async {
            let (mut entries, mut parts, mut bytes) = (Vec::new(), Vec::new(), 0);
            let ldap = ldap.with_search_options(options);
            let mut stream = ldap.streaming_search(base, *scope, filter, attributes.to_vec()).await?;
            while let Some(item) = stream.next().await? {
                if item.is_ref() {
                    parts.push(parse_refs(item.0));
                } else if !item.is_intermediate() {
                    let entry = Entry::read(item.0);
                    bytes += entry.bytes();
                    entries.push(entry);
                }
                if bytes > VALUES_BYTES_MAX {
                    break;
                }
            }
            let result = stream.finish().await;
            Ok::<_, LdapError>((Answer { entries, parts, result }, bytes))
        };
        let searched = within(timeout, "answer to a search", answer).await.map_err(Failure::Server)?;
        let (answer, bytes) = searched.map_err(|error| match error {
            LdapError::FilterParsing => Failure::Request(format!("expected a filter, found `{filter}`")),
            error => Failure::Server(error.to_string()),
        })?;
        if bytes > VALUES_BYTES_MAX {
            let text = format!("expected at most {VALUES_BYTES_MAX} bytes of values, found more");
            return Err(Failure::Request(text));
        }
        Ok(answer)
    }
}

/// Whether a search found its base.
fn told(base: &str, result: &LdapResult) -> Result<bool, Failure> {
    match result.rc {
        SUCCESS => Ok(true),
        NO_SUCH_OBJECT => Ok(false),
        BUSY | UNAVAILABLE => Err(Failure::Server(result.to_string())),
        _ => Err(Failure::Request(format!("search below `{base}`: {result}"))),
    }
}

/// An entry: its attributes with their values in the server's order.
struct Entry(Vec<(String, Vec<Vec<u8>>)>);

impl Entry {
    /// Reads a SearchResultEntry (RFC 4511 4.5.2); what is not one has no attributes.
    fn read(tag: StructureTag) -> Entry {
        let list = constructed(tag).into_iter().nth(1).map(constructed).unwrap_or_default();
        let attributes = list.into_iter().filter_map(|attribute| {
            let mut parts = constructed(attribute).into_iter();
            let name = String::from_utf8(primitive(parts.next()?)?).ok()?;
            Some((name, constructed(parts.next()?).into_iter().filter_map(primitive).collect()))
        });
        Entry(attributes.collect())
    }

    fn bytes(&self) -> usize {
        self.0.iter().flat_map(|(_, values)| values).map(Vec::len).sum()
    }

    fn has_any(&self, names: &[String]) -> bool {
        self.0.iter().any(|(name, values)| !values.is_empty() && has(names, name))
    }
}

fn constructed(tag: StructureTag) -> Vec<StructureTag> {
    match tag.payload {
        PL::C(parts) => parts,
        PL::P(_) => Vec::new(),
    }
}

fn primitive(tag: StructureTag) -> Option<Vec<u8>> {
    match tag.payload {
        PL::P(bytes) => Some(bytes),
        PL::C(_) => None,
    }
}

/// What is to be done with entries: their values taken, and what they refer to followed.
fn steps(attributes: &Attributes, entries: &[Entry], depth: u32) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for entry in entries {
        let terminal = entry.has_any(&attributes.terminal);
        let leaf = !entry.has_any(&attributes.special);
        for (name, values) in &entry.0 {
            let value = match terminal {
                true => has(&attributes.terminal, name),
                false => has(&attributes.result, name) || leaf && has(&attributes.leaf, name),
            };
            let follow = !terminal && !value && has(&attributes.special, name);
            for bytes in values.iter().filter(|_| value || follow) {
                let Ok(value) = String::from_utf8(bytes.clone()) else {
                    return Err(Failure::Request(format!("expected a value of `{name}` in UTF-8")));
                };
                steps.push(if follow { Step::Follow { value, depth } } else { Step::Value(value) });
            }
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ldap3::asn1::{TagClass, parse_tag};
    use proptest::prelude::*;

    fn attributes(result: &str, terminal: &str, leaf: &str, special: &str) -> Attributes {
        let list = |names: &str| names.split_whitespace().map(str::to_owned).collect();
        Attributes {
            result: list(result),
            terminal: list(terminal),
            leaf: list(leaf),
            special: list(special),
        }
    }

    /// What becomes of one entry, in a line: values as they are, what is followed behind `>`.
    fn told(attributes: &Attributes, entry: &[(&str, &str)]) -> String {
        let entry = entry.iter().map(|(name, value)| (name.to_string(), vec![value.as_bytes().to_vec()]));
        let words =
            steps(attributes, &[Entry(entry.collect())], 1).unwrap().into_iter().map(|step| match step {
                Step::Value(value) => value,
                Step::Follow { value, depth } => format!(">{value}{depth}"),
            });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn attributes_count_by_what_else_an_entry_has() {
        let attributes = attributes("addr", "drop", "mail", "member");
        let entry = [("Member", "x"), ("MAIL", "m"), ("addr", "a"), ("cn", "c")];
        assert_eq!(told(&attributes, &entry), ">x1 a");
        assert_eq!(told(&attributes, &entry[1..]), "m a");
        assert_eq!(told(&attributes, &[&entry[..], &[("drop", "d")]].concat()), "d");
    }

    #[test]
    fn a_value_that_is_no_text_is_an_error_only_where_it_counts() {
        let entry = || vec![Entry(vec![("photo".to_owned(), vec![vec![0xff]])])];
        assert!(steps(&attributes("mail", "", "", ""), &entry(), 1).is_ok_and(|steps| steps.is_empty()));
        assert!(steps(&attributes("photo", "", "", ""), &entry(), 1).is_err());
    }

    proptest! {
        #[test]
        fn any_message_is_an_entry_with_some_attributes_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((_, tag)) = parse_tag(&bytes) {
                let _ = Entry::read(tag);
            }
            let _ = Entry::read(StructureTag { class: TagClass::Universal, id: 4, payload: PL::P(bytes) });
        }
    }
}
