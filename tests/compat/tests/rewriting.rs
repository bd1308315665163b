//! Addresses of a grammar, rewritten and resolved by Postfix's trivial-rewrite and by ours: the answers are the same.
//!
//! `ADDRESSES` says how many (2,000 without it), `SEED` which. In a world with Debian's Postfix this program asks
//! `private/rewrite` for the canonical form of each address and for its transport; ours are computed beside it by the
//! same main.cf.

use compat::grammar::Grammar;
use compat::ring;
use config::Config;
use mail::{Address, AddressHeader, Written};
use rewrite::{AddressClass, Resolved, Resolver, Rules};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;
use testkit::{case, mta, world};

/// Where trivial-rewrite listens.
const SOCKET: &str = "/var/spool/postfix/private/rewrite";

/// Differences that are shown.
const SHOWN_MAX: usize = 40;

/// The settings of each run, over the ground settings of the cases.
const SETTINGS: [&str; 2] = [
    "",
    "append_dot_mydomain = yes\nswap_bangpath = no\nallow_percent_hack = no\nresolve_dequoted_address = no\n\
     resolve_null_domain = yes\nresolve_numeric_domain = yes\nallow_untrusted_routing = yes\n",
];

/// The classes of both.
const CLASSES: &str = "mydestination = mail.example.com, localhost.example.com\nrelay_domains = relay.example\n\
                       virtual_alias_domains = alias.example\nvirtual_mailbox_domains = box.example\n";

fn main() -> ExitCode {
    ring::program(inside, all)
}

fn all() -> Result<(), String> {
    if let Err(why) = world::available() {
        if std::env::var_os("CI").is_some() {
            return Err(why);
        }
        println!("skipped: {why}");
        return Ok(());
    }
    world::fetch()?;
    for settings in 0..SETTINGS.len() {
        let output = world::run_self("postfix", &["--inside", &settings.to_string()], &[], "")?;
        print!("{}", String::from_utf8_lossy(&output.stdout));
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    Ok(())
}

fn inside(word: &str) -> Result<(), String> {
    let settings: usize = word.parse().unwrap_or(0);
    let (count, seed) = (ring::number("ADDRESSES", 2_000), ring::number("SEED", 1));
    let mut postfix = mta::by_name("postfix")?;
    let ground = case::CaseFile::default().main_cf();
    postfix.configure(&[&ground, CLASSES, SETTINGS[settings]].concat(), case::MASTER)?;
    postfix.start(25)?;
    let directory = std::path::Path::new(mta::CONFIG_DIRECTORY);
    let config = Config::load(directory).map_err(|e| e.to_string())?;
    let tables = tables::Settings::default();
    let resolver = Resolver::new(rewrite::Settings::open(&config, &tables).map_err(|e| e.to_string())?);
    let ours = Ours { rules: Rules::read(&config).map_err(|e| e.to_string())?, resolver };
    let mut oracle = Oracle::connect()?;
    let (mut grammar, mut differences) = (Grammar::new(seed), Vec::new());
    for _ in 0..count {
        let written = grammar.address();
        if is_beyond(&parse(&written).to_internal()) {
            continue;
        }
        for Answers { what, asked, theirs, own } in ours.compare(&mut oracle, &written)? {
            if theirs != own {
                differences.push(format!("{what} of {asked:?}: Postfix {theirs:?}, Posthaste {own:?}"));
            }
        }
    }
    postfix.stop()?;
    if differences.is_empty() {
        println!("settings {settings}: {count} addresses, seed {seed}: the same answers");
        return Ok(());
    }
    let (all, shown) = (differences.len(), differences.iter().take(SHOWN_MAX));
    Err(format!(
        "settings {settings}, seed {seed}: {all} differences\n{}",
        shown.cloned().collect::<Vec<_>>().join("\n")
    ))
}

struct Ours {
    rules: Rules,
    resolver: Resolver,
}

impl Ours {
    /// All that is asked of an address.
    fn compare(&self, oracle: &mut Oracle, written: &str) -> Result<Vec<Answers>, String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let internal = parse(written).to_internal();
        let canonical = self.rules.canonical(&internal);
        let asked = text(&internal.to_external());
        let answer = oracle.ask(&[("request", "rewrite"), ("rule", "local"), ("address", &asked)])?;
        let theirs = unquoted(answer.get("address").ok_or_else(|| format!("{asked:?}: no answer"))?);
        let mut all =
            vec![Answers { what: "canonical form", asked, theirs, own: text(canonical.as_bytes()) }];
        for address in [&internal, &canonical] {
            let asked = text(address.as_bytes());
            let answer = oracle.ask(&[("request", "resolve"), ("sender", ""), ("address", &asked)])?;
            let own = own_route(self.resolver.resolve_now(address, &Address::null()));
            all.push(Answers { what: "route", asked, theirs: their_route(&answer), own });
        }
        Ok(all)
    }
}

/// One question with the answers of both.
struct Answers {
    what: &'static str,
    asked: String,
    theirs: String,
    own: String,
}

/// Where Postfix's scanner, which reads an envelope's address as if it stood in a header, loses blanks and quotes or sees
/// comments and literals within a local part: such an address is another one behind it. Ours stays as it is.
fn is_beyond(address: &Address) -> bool {
    let (local, domain) = (address.local_part(), address.domain().unwrap_or_default());
    let literal = domain.starts_with(b"[") && domain.ends_with(b"]");
    let inner = if literal { &domain[1..domain.len() - 1] } else { domain };
    let is_odd = |byte: &u8| b"\"\\()<>[]:; ".contains(byte);
    let routes = local.iter().any(|byte| b"@!%".contains(byte));
    inner.iter().any(|byte| is_odd(byte) && !(literal && *byte == b':'))
        || (routes && local.iter().any(is_odd))
        // `@[IPv6:` looks like a source route.
        || ((local.is_empty() || local.starts_with(b"@")) && inner.contains(&b':'))
        // Nobody at a bare IPv4 address of ours stays nobody there.
        || (local.is_empty() && !literal && inner.iter().all(|byte| b"0123456789.".contains(byte)))
        // Postfix does not count the numbers of an IPv6 address; nothing connects to such a one.
        || (inner.contains(&b':') && !is_ipv6(inner))
}

fn is_ipv6(literal: &[u8]) -> bool {
    let text = String::from_utf8_lossy(literal).to_ascii_lowercase();
    text.strip_prefix("ipv6:").unwrap_or(&text).parse::<std::net::Ipv6Addr>().is_ok()
}

/// An answer of Postfix's without its quotes, which it may put elsewhere than we do.
fn unquoted(address: &str) -> String {
    let (mut out, mut characters) = (String::new(), address.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => {}
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// An address as it stands in a header; where there are several, which the grammar avoids, the first.
fn parse(written: &str) -> Written {
    let header = AddressHeader::parse(written.as_bytes(), usize::MAX);
    if header.is_empty() { Written::default() } else { header.address(0) }
}

/// Transport, nexthop, recipient, class and whether the local part routes on.
fn own_route(resolved: Resolved) -> String {
    match resolved {
        Resolved::Route(route) => {
            let class = match route.class {
                AddressClass::Local => "local",
                AddressClass::VirtualAlias => "virtual alias",
                AddressClass::VirtualMailbox => "virtual mailbox",
                AddressClass::Relay => "relay",
                AddressClass::Default => "default",
            };
            let recipient = String::from_utf8_lossy(route.recipient.as_bytes()).into_owned();
            let routed = if route.routed { ", routed" } else { "" };
            format!("{}:{} {recipient} ({class}{routed})", route.transport, route.nexthop)
        }
        Resolved::Invalid { .. } => "invalid".into(),
        Resolved::TempFail { reason, .. } => reason,
    }
}

fn their_route(answer: &BTreeMap<String, String>) -> String {
    let get = |name: &str| answer.get(name).map_or("", String::as_str);
    let flags: u32 = get("flags").parse().unwrap_or(0);
    if flags & 4 != 0 {
        return "invalid".into();
    }
    let class = match flags & 0x1f00 {
        0x100 => "local",
        0x200 => "virtual alias",
        0x400 => "virtual mailbox",
        0x800 => "relay",
        0x1000 => "default",
        _ => "no class",
    };
    let routed = if flags & 2 != 0 { ", routed" } else { "" };
    format!("{}:{} {} ({class}{routed})", get("transport"), get("nexthop"), get("recipient"))
}

/// A connection to trivial-rewrite. One for all questions: each process of Postfix's ends after a hundred of them.
struct Oracle(UnixStream);

impl Oracle {
    fn connect() -> Result<Oracle, String> {
        let failed = |e: std::io::Error| format!("{SOCKET}: {e}");
        let mut stream = UnixStream::connect(SOCKET).map_err(failed)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(failed)?;
        // Its greeting names the protocol.
        read_attributes(&mut stream).map_err(failed)?;
        Ok(Oracle(stream))
    }

    /// The attributes of an answer. Of two with the same name the later counts.
    fn ask(&mut self, attributes: &[(&str, &str)]) -> Result<BTreeMap<String, String>, String> {
        let failed = |e: std::io::Error| format!("{SOCKET}: {attributes:?}: {e}");
        let words = attributes.iter().flat_map(|(name, value)| [*name, "\0", *value, "\0"]);
        let request = words.chain(["\0"]).collect::<String>();
        self.0.write_all(request.as_bytes()).map_err(failed)?;
        read_attributes(&mut self.0).map_err(failed)
    }
}

/// Names and values, each with a NUL behind it, up to an empty name.
fn read_attributes(stream: &mut UnixStream) -> std::io::Result<BTreeMap<String, String>> {
    let (mut all, mut name) = (BTreeMap::new(), None::<String>);
    let (mut text, mut byte) = (Vec::new(), [0]);
    loop {
        stream.read_exact(&mut byte)?;
        if byte != [0] {
            text.push(byte[0]);
            continue;
        }
        let word = String::from_utf8_lossy(&std::mem::take(&mut text)).into_owned();
        match name.take() {
            Some(name) => drop(all.insert(name, word)),
            None if word.is_empty() => return Ok(all),
            None => name = Some(word),
        }
    }
}
