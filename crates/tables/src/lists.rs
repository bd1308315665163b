//! Lists of domains, names, hosts and addresses, such as mynetworks and relay_domains.
//!
//! Postfix: match_list(3). Items are tried in order and the first that fits decides; `!` in front of an item
//! turns its "yes" into "no"; `/file` stands for the items in the file, `type:table` for the table's keys.

use crate::lookup::{Lookup, now};
use crate::search::{self, Key, Parents};
use crate::table::{Settings, Table};
use config::lines::logical_lines;
use config::words;
use mail::fold;
use std::net::IpAddr;

/// Items that one list may have, the files it names included.
const ITEMS_MAX: usize = 1_000_000;

/// Files within files; deeper is taken for a file that names itself.
const FILE_DEPTH_MAX: u32 = 10;

/// A question that a table of the list could not answer; the text says why. Whoever asked defers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

#[derive(Clone, Debug)]
struct Item {
    pattern: Pattern,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    /// A name, folded.
    Name(String),
    /// An address with the bits that count.
    Network(IpAddr, u8),
    Table(Table),
    /// A file that cannot be read: the question cannot be answered.
    Unreadable(String),
}

#[derive(Clone, Debug, Default)]
struct Items(Vec<Item>);

impl Items {
    fn parse(list: &[String], networks: bool, settings: &Settings) -> Result<Items, Vec<String>> {
        let (mut items, mut errors) = (Items::default(), Vec::new());
        for word in list {
            items.add(word, false, networks, settings, 0, &mut errors);
        }
        if errors.is_empty() { Ok(items) } else { Err(errors) }
    }

    fn add(
        &mut self,
        word: &str,
        outer: bool,
        networks: bool,
        settings: &Settings,
        depth: u32,
        errors: &mut Vec<String>,
    ) {
        let bare = word.trim_start_matches('!');
        let negated = outer ^ ((word.len() - bare.len()) % 2 == 1);
        if bare.is_empty() {
            errors.push(format!("expected a name, address, /file or type:table behind `!`, found `{word}`"));
            return;
        }
        if self.0.len() >= ITEMS_MAX {
            errors.push(format!("expected at most {ITEMS_MAX} items, found more at `{word}`"));
            return;
        }
        if bare.starts_with('/') {
            return self.add_file(bare, negated, networks, settings, depth, errors);
        }
        let pattern = if !bare.starts_with('[') && bare.contains(':') {
            match Table::open(bare, settings) {
                Ok(table) => Ok(Pattern::Table(table)),
                Err(error) => Err(error.to_string() + ipv6_hint(bare, networks)),
            }
        } else if networks {
            network(bare)
        } else {
            Ok(Pattern::Name(fold(bare, true).into_owned()))
        };
        match pattern {
            Ok(pattern) => self.0.push(Item { pattern, negated }),
            Err(text) => errors.push(text),
        }
    }

    fn add_file(
        &mut self,
        path: &str,
        negated: bool,
        networks: bool,
        settings: &Settings,
        depth: u32,
        errors: &mut Vec<String>,
    ) {
        if depth >= FILE_DEPTH_MAX {
            errors.push(format!("{path}: expected at most {FILE_DEPTH_MAX} files within each other"));
            return;
        }
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                let text = format!("{path}: cannot be read: {error}");
                (settings.warn)(&text);
                return self.0.push(Item { pattern: Pattern::Unreadable(text), negated });
            }
        };
        for line in logical_lines(&text).lines {
            let before = errors.len();
            for word in words::list(&line.text) {
                self.add(&word, negated, networks, settings, depth + 1, errors);
            }
            for error in &mut errors[before..] {
                *error = format!("{path}:{}: {error}", line.line());
            }
        }
    }

    /// The first item that fits decides.
    async fn search(
        &self,
        fits: impl AsyncFn(&Pattern) -> Result<bool, Unanswered>,
    ) -> Result<bool, Unanswered> {
        for item in &self.0 {
            if fits(&item.pattern).await? {
                return Ok(!item.negated);
            }
        }
        Ok(false)
    }
}

fn ipv6_hint(word: &str, networks: bool) -> &'static str {
    let address = word.split('/').next().unwrap_or_default();
    if networks && address.parse::<IpAddr>().is_ok() { " (IPv6 addresses stand in `[…]`)" } else { "" }
}

/// `192.0.2.0/24`, `[2001:db8::]/32`, `[2001:db8::/32]`, `192.0.2.7`; otherwise a host's name.
fn network(word: &str) -> Result<Pattern, String> {
    let unbracketed = word.replacen(['[', ']'], "", 2);
    let (text, bits) = match unbracketed.split_once('/') {
        Some((text, bits)) => (text, Some(bits)),
        None => (unbracketed.as_str(), None),
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        if bits.is_some() || word.starts_with('[') {
            return Err(format!("expected a network like 192.0.2.0/24 or [2001:db8::]/32, found `{word}`"));
        }
        return Ok(Pattern::Name(fold(word, true).into_owned()));
    };
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits.map(str::parse::<u8>) {
        None => all,
        Some(Ok(bits)) if bits <= all => bits,
        Some(_) => return Err(format!("expected a prefix length from 0 to {all}, found `{word}`")),
    };
    let first = masked(address, bits);
    if first != address {
        let first = if first.is_ipv4() { format!("{first}/{bits}") } else { format!("[{first}]/{bits}") };
        return Err(format!(
            "expected a network whose host bits are zero, perhaps `{first}`, found `{word}`"
        ));
    }
    Ok(Pattern::Network(address, bits))
}

/// `address` with all but its first `bits` bits cleared.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => IpAddr::from((u32::from(a) & mask_u128(bits, 32) as u32).to_be_bytes()),
        IpAddr::V6(a) => IpAddr::from((u128::from(a) & mask_u128(bits, 128)).to_be_bytes()),
    }
}

fn mask_u128(bits: u8, width: u32) -> u128 {
    u128::MAX.checked_shl(width - u32::from(bits)).unwrap_or(0)
}

async fn table_has(table: &Table, key: &str) -> Result<bool, Unanswered> {
    match table.lookup(key).await {
        Lookup::Found(_) => Ok(true),
        Lookup::NotFound => Ok(false),
        Lookup::TempFail(text) => Err(Unanswered(text)),
    }
}

async fn table_has_any(table: &Table, keys: Vec<Key>) -> Result<bool, Unanswered> {
    for key in keys {
        if (!key.part || table.takes_parts()) && table_has(table, &key.text).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn must_be_now<T>(answer: Option<Result<T, Unanswered>>) -> Result<T, Unanswered> {
    answer.unwrap_or_else(|| Err(Unanswered("a table has to be waited for".to_owned())))
}

/// A list of names: mydestination, virtual_mailbox_domains, virtual_alias_domains … Case does not matter.
#[derive(Clone, Debug, Default)]
pub struct NameList(Items);

impl NameList {
    /// Opens a list from its words; the errors are texts for the parameter.
    pub fn parse(list: &[String], settings: &Settings) -> Result<NameList, Vec<String>> {
        Items::parse(list, false, settings).map(NameList)
    }

    /// Whether the list has no item.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Whether `name` is in the list.
    pub async fn matches(&self, name: &str) -> Result<bool, Unanswered> {
        let folded = fold(name, true);
        // No `search` here: with a closure the future could not be sent to another thread, as tables with a `domain`
        // list of their own want it.
        for item in &self.0.0 {
            let fits = match &item.pattern {
                Pattern::Name(item) => *item == folded,
                Pattern::Network(..) => false,
                Pattern::Table(table) => table_has(table, name).await?,
                Pattern::Unreadable(text) => return Err(Unanswered(text.clone())),
            };
            if fits {
                return Ok(!item.negated);
            }
        }
        Ok(false)
    }

    /// `matches` for lists whose tables hold their content in memory.
    pub fn matches_now(&self, name: &str) -> Result<bool, Unanswered> {
        must_be_now(now(self.matches(name)))
    }
}

/// A list of domains that stand for their subdomains in the list's style: relay_domains …
#[derive(Clone, Debug)]
pub struct DomainList(Items, Parents);

impl DomainList {
    /// A list without items.
    pub fn empty(parents: Parents) -> DomainList {
        DomainList(Items::default(), parents)
    }

    /// Opens a list from its words; `parents` says how subdomains are meant.
    pub fn parse(list: &[String], parents: Parents, settings: &Settings) -> Result<DomainList, Vec<String>> {
        Ok(DomainList(Items::parse(list, false, settings)?, parents))
    }

    /// Whether the list has no item.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Whether `domain` or, in the list's style, a parent of it is in the list.
    pub async fn matches(&self, domain: &str) -> Result<bool, Unanswered> {
        let folded = fold(domain, true);
        let fits = async |pattern: &Pattern| domain_fits(pattern, &folded, self.1).await;
        self.0.search(fits).await
    }

    /// `matches` for lists whose tables hold their content in memory.
    pub fn matches_now(&self, domain: &str) -> Result<bool, Unanswered> {
        must_be_now(now(self.matches(domain)))
    }
}

async fn domain_fits(pattern: &Pattern, domain: &str, parents: Parents) -> Result<bool, Unanswered> {
    match pattern {
        Pattern::Name(item) => Ok(item == domain
            || match domain.strip_suffix(item.as_str()) {
                None | Some("") => false,
                Some(rest) => match parents {
                    Parents::Bare => rest.ends_with('.'),
                    Parents::Dotted => item.starts_with('.'),
                },
            }),
        Pattern::Network(..) => Ok(false),
        Pattern::Table(table) => table_has_any(table, search::domain(domain, parents)).await,
        Pattern::Unreadable(text) => Err(Unanswered(text.clone())),
    }
}

/// A list of clients by network, address or host name: mynetworks, debug_peer_list …
#[derive(Clone, Debug)]
pub struct AddressList(Items, Parents);

impl AddressList {
    /// A list without items.
    pub fn empty(parents: Parents) -> AddressList {
        AddressList(Items::default(), parents)
    }

    /// Opens a list from its words; `parents` is for host names in it.
    pub fn parse(list: &[String], parents: Parents, settings: &Settings) -> Result<AddressList, Vec<String>> {
        Ok(AddressList(Items::parse(list, true, settings)?, parents))
    }

    /// Whether the list has no item.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// Whether a client with this address, and this name where it was confirmed, is in the list.
    pub async fn matches(&self, name: Option<&str>, address: IpAddr) -> Result<bool, Unanswered> {
        self.has(name, Some(address.to_canonical())).await
    }

    /// Whether a client of which nobody knows the address is in the list: its name decides.
    pub async fn matches_unknown(&self, name: Option<&str>) -> Result<bool, Unanswered> {
        self.has(name, None).await
    }

    async fn has(&self, name: Option<&str>, address: Option<IpAddr>) -> Result<bool, Unanswered> {
        let name = name.map(|name| fold(name, true));
        let fits = async |pattern: &Pattern| {
            if let Some(name) = &name
                && domain_fits(pattern, name, self.1).await?
            {
                return Ok(true);
            }
            match pattern {
                Pattern::Network(network, bits) => Ok(address.is_some_and(|address| {
                    network.is_ipv4() == address.is_ipv4() && masked(address, *bits) == *network
                })),
                Pattern::Table(table) => match address {
                    Some(address) => table_has(table, &address.to_string()).await,
                    None => Ok(false),
                },
                Pattern::Unreadable(text) => Err(Unanswered(text.clone())),
                Pattern::Name(_) => Ok(false),
            }
        };
        self.0.search(fits).await
    }

    /// `matches` for lists whose tables hold their content in memory.
    pub fn matches_now(&self, name: Option<&str>, address: IpAddr) -> Result<bool, Unanswered> {
        must_be_now(now(self.matches(name, address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Result<AddressList, Vec<String>> {
        AddressList::parse(&words::list(list), Parents::Bare, &Settings::default())
    }

    #[test]
    fn a_client_without_an_address_is_in_no_network() {
        let list = addresses("0.0.0.0/0 [::]/0 inline:{unknown=yes} friend.example").unwrap();
        let has = |name| crate::now(list.matches_unknown(Some(name)));
        assert!(matches!(has("friend.example"), Some(Ok(true))));
        assert!(matches!(has("x.example"), Some(Ok(false))));
    }

    #[test]
    fn networks_match_their_addresses_and_no_others() {
        let list =
            addresses("127.0.0.0/8, !192.0.2.9 192.0.2.0/24 [::1]/128 [2001:db8::/32] 198.51.100.7").unwrap();
        let has = |a: &str| list.matches_now(None, a.parse().unwrap()).unwrap();
        for inside in ["127.1.2.3", "192.0.2.8", "::1", "2001:db8:1::1", "198.51.100.7", "::ffff:127.0.0.1"] {
            assert!(has(inside), "{inside}");
        }
        for outside in ["128.0.0.1", "192.0.2.9", "::2", "2001:db9::1", "198.51.100.8", "::7f00:1"] {
            assert!(!has(outside), "{outside}");
        }
        assert!(addresses("0.0.0.0/0").unwrap().matches_now(None, "1.2.3.4".parse().unwrap()).unwrap());
    }

    #[test]
    fn bad_networks_are_told_with_a_remedy() {
        let errors = addresses("192.0.2.1/24 [::1]/129 ::1 [x] a/b !").unwrap_err();
        let kinds: Vec<&str> = crate::kinds::KINDS.iter().map(|kind| kind.name).collect();
        let errors: Vec<String> = errors.iter().map(|e| e.replace(&kinds.join(", "), "KINDS")).collect();
        assert_eq!(
            errors,
            [
                "expected a network whose host bits are zero, perhaps `192.0.2.0/24`, found `192.0.2.1/24`",
                "expected a prefix length from 0 to 128, found `[::1]/129`",
                "::1: expected a table type out of KINDS, found `` (IPv6 addresses stand in `[…]`)",
                "expected a network like 192.0.2.0/24 or [2001:db8::]/32, found `[x]`",
                "expected a network like 192.0.2.0/24 or [2001:db8::]/32, found `a/b`",
                "expected a name, address, /file or type:table behind `!`, found `!`",
            ]
        );
    }

    #[test]
    fn names_of_confirmed_clients_match_too() {
        let list = addresses("example.org").unwrap();
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(list.matches_now(Some("Mx.Example.org"), address), Ok(true));
        assert_eq!(list.matches_now(None, address), Ok(false));
    }

    #[test]
    fn domains_stand_for_subdomains_in_the_style_of_the_list() {
        let list = |text: &str, parents| {
            DomainList::parse(&words::list(text), parents, &Settings::default()).unwrap()
        };
        let bare = list("example.org", Parents::Bare);
        let dotted = list("example.org .example.net inline:{.table.org=x}", Parents::Dotted);
        for (domain, in_bare, in_dotted) in [
            ("Example.ORG", true, true),
            ("a.example.org", true, false),
            ("badexample.org", false, false),
            ("a.example.net", false, true),
            ("example.net", false, false),
            ("x.table.org", false, true),
            ("table.org", false, false),
        ] {
            assert_eq!(bare.matches_now(domain), Ok(in_bare), "{domain}");
            assert_eq!(dotted.matches_now(domain), Ok(in_dotted), "{domain}");
        }
    }

    #[test]
    fn the_first_item_that_fits_decides_and_files_stand_for_their_items() {
        let path = std::env::temp_dir().join(format!("names-{}", std::process::id()));
        std::fs::write(&path, "# domains\na.org\n  b.org, !c.org\n").unwrap();
        let list = |text: &str| NameList::parse(&words::list(text), &Settings::default()).unwrap();
        let file = list(&format!("{} static:all", path.display()));
        assert_eq!(file.matches_now("b.org"), Ok(true));
        assert_eq!(file.matches_now("c.org"), Ok(false));
        assert_eq!(file.matches_now("d.org"), Ok(true));
        let negated = list(&format!("!{} d.org", path.display()));
        assert_eq!((negated.matches_now("a.org"), negated.matches_now("d.org")), (Ok(false), Ok(true)));
        std::fs::remove_file(&path).unwrap();
        let gone = list(&format!("x.org {}", path.display()));
        assert_eq!(gone.matches_now("x.org"), Ok(true));
        assert!(gone.matches_now("y.org").is_err());
        assert!(list("fail:now").matches_now("x").is_err());
    }
}
