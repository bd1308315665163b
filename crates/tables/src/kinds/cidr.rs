//! `cidr:/file`, `cidr:{ { network result } … }`: addresses by their networks, the first that fits.
//!
//! Postfix: cidr_table(5). Warnings are in its words.

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::networks::{Network, Networks, number};
use crate::rules::{Held, Line, Odd, Rules, Step, Steps};
use crate::table::{Settings, Source, TableError};
use config::lines::is_space;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind `cidr`.
pub const KIND: Kind = Kind { name: "cidr", open };

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    Ok(Box::new(Cidr(Held::open(name, spec, settings)?)))
}

struct Cidr(Held<Table>);

struct Table {
    networks: Networks,
    /// The results of the steps; blocks have none.
    results: Vec<Box<str>>,
}

impl Source for Cidr {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        let table = match self.0.get() {
            Ok(table) => table,
            Err(text) => return Lookup::TempFail(text).into(),
        };
        let found = key.parse().ok().and_then(|address| table.networks.find(address));
        match found.and_then(|step| table.results.get(step)) {
            Some(result) => Lookup::Found(result.to_string()),
            None => Lookup::NotFound,
        }
        .into()
    }

    fn ready(&self) -> Result<(), String> {
        self.0.get().map(drop)
    }

    fn folds(&self) -> bool {
        false
    }

    fn takes_parts(&self) -> bool {
        false
    }
}

impl Rules for Table {
    const KIND: &'static str = "cidr";
    const STRAY_END: &'static str = "ENDIF without IF: skipping this rule";
    const RULES_MAX: usize = 1 << 24;
    type Condition = Network;
    type Rule = (Network, Box<str>);

    fn line(text: &str, line: u32, odd: &Odd<'_>) -> Line<Network, Self::Rule> {
        read(text).unwrap_or_else(|text| {
            odd.at(line, &format!("{text}: skipping this rule"));
            Line::Skipped
        })
    }

    fn build(steps: Steps<Network, Self::Rule>) -> Self {
        let networks = Networks::of(&steps.0, |(network, _)| *network);
        let result = |step| match step {
            Step::Rule((_, result)) => result,
            Step::Block { .. } => Box::default(),
        };
        Table { networks, results: steps.0.into_iter().map(result).collect() }
    }
}

/// `network result`, `!network result`, `if network`, `if !network`, `endif`.
fn read(text: &str) -> Result<Line<Network, (Network, Box<str>)>, String> {
    let keyword = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (keyword, rest) = text.split_at(keyword);
    if keyword.eq_ignore_ascii_case("endif") {
        let garbage = !rest.trim_matches(is_space).is_empty();
        return if garbage { Err("garbage after ENDIF".to_owned()) } else { Ok(Line::End { extra: false }) };
    }
    if keyword.eq_ignore_ascii_case("if") {
        let (negated, pattern) = negation(rest.trim_start_matches(is_space));
        return Ok(Line::If(network(pattern, negated)?));
    }
    let (negated, text) = negation(text);
    let end = text.find(is_space).unwrap_or(text.len());
    let (pattern, result) = (&text[..end], text[end..].trim_matches(is_space));
    let network = network(pattern, negated)?;
    match result.is_empty() {
        true => Err("no lookup result".to_owned()),
        false => Ok(Line::Rule((network, result.into()))),
    }
}

/// Whether the `!`s in front of a pattern negate it, and the pattern.
fn negation(text: &str) -> (bool, &str) {
    let pattern = text.trim_start_matches(|c| c == '!' || is_space(c));
    let marks = text[..text.len() - pattern.len()].matches('!').count();
    (marks % 2 == 1, pattern)
}

/// `192.0.2.0/24`, `2001:db8::/32`, `192.0.2.7`; each also with its address, or the whole, in `[…]`.
fn network(pattern: &str, negated: bool) -> Result<Network, String> {
    if pattern.is_empty() {
        return Err("no address pattern".to_owned());
    }
    let (address, bits) = divided(pattern)?;
    // As it is told to the administrator: without brackets.
    let pattern = bits.map_or(address.to_owned(), |bits| format!("{address}/{bits}"));
    // Postfix tells the families apart like this too, before it looks at the address.
    let width: u32 = if address.contains(':') { 128 } else { 32 };
    let bits = match bits {
        None => width,
        Some(bits) if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(format!("bad mask value in \"{pattern}\""));
        }
        Some(bits) => match bits.parse() {
            Ok(bits) if bits <= width => bits,
            _ => return Err(format!("bad mask length in \"{pattern}\"")),
        },
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        let what = if pattern.contains('/') { "bad network value in" } else { "bad address pattern:" };
        return Err(format!("{what} \"{pattern}\""));
    };
    let (is_ipv4, first) = number(address);
    let hosts = 1u128.checked_shl(width - bits).map_or(u128::MAX, |size| size - 1);
    if first & hosts != 0 {
        let network = first & !hosts;
        let network = match is_ipv4 {
            true => Ipv4Addr::from(network as u32).to_string(),
            // As the C library writes it.
            false if network >> 32 == 0 && network >> 16 != 0 => {
                format!("::{}", Ipv4Addr::from(network as u32))
            }
            false => Ipv6Addr::from(network).to_string(),
        };
        return Err(format!(
            "non-null host address bits in \"{pattern}\", perhaps you should use \"{network}/{bits}\" instead"
        ));
    }
    Ok(Network { is_ipv4, first, last: first | hosts, negated })
}

/// A pattern's address and the number of bits that count, if it has one. `[…]` may stand around the address or the whole.
fn divided(pattern: &str) -> Result<(&str, Option<&str>), String> {
    let in_two =
        |text| str::split_once(text, '/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Some(inner) = pattern.strip_prefix('[') else { return Ok(in_two(pattern)) };
    let Some((inside, after)) = inner.split_once(']') else {
        return Err(format!("missing ']' character after \"{pattern}\""));
    };
    match after.strip_prefix('/') {
        Some(bits) => Ok((inside, Some(bits))),
        None if after.is_empty() => Ok(in_two(inside)),
        None => Err(format!("garbage after \"[{inside}]\"")),
    }
}
