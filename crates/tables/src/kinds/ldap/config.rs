//! The settings of an LDAP table.

use super::client::{Attributes, Directory, Login};
use super::{Ldap, tls};
use crate::expansion::{Expansion, Template};
use crate::pool::{Limits, Order, Pool};
use crate::table::{Settings, Source, TableError};
use crate::table_config::TableConfig;
use ldap3::{DerefAliases, Scope};
use std::time::Duration;

/// Searches one after another that a lookup may take the whole time-out for: groups within groups.
const SEARCHES_LATE: u32 = 3;

/// Settings that concern the library that Postfix uses, not the directory.
const OF_THE_LIBRARY: &[&str] =
    &["cache", "cache_expiry", "cache_size", "debuglevel", "tls_random_file", "tls_cipher_suite"];

/// Settings of SASL binds by other mechanisms than EXTERNAL.
const OF_OTHER_MECHANISMS: [&str; 3] = ["bind_mechs", "sasl_realm", "sasl_authz_id"];

/// Opens `ldap:name`.
pub(super) fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let mut config = TableConfig::open(super::KIND.name, name, spec, settings)?;
    let servers = servers(&mut config);
    let search_base = config.required("search_base", "the name of an entry such as dc=example,dc=org");
    let search_base = template(&mut config, "search_base", &search_base);
    let filter = config.text("query_filter").unwrap_or_else(|| "(mailacceptinggeneralid=%s)".to_owned());
    let query_filter = template(&mut config, "query_filter", &filter);
    if query_filter.as_ref().is_some_and(Template::is_literal) && !filter.is_empty() {
        config.warn("query_filter", format!("expected a filter with %s or the like, found `{filter}`"));
    }
    let (expansion, expansion_limit) = expansion(&mut config);
    let attributes = attributes(&mut config);
    let recursion_limit = at_least_one(&mut config, "recursion_limit", 1000);
    let size_limit = config.number("size_limit", expansion_limit).max(0);
    let timeout = Duration::from_secs(at_least_one(&mut config, "timeout", 10).into());
    let (scope, dereference) = (scope(&mut config), dereference(&mut config));
    let login = login(&mut config);
    pass_over_what_is_not_built(&mut config);
    let chases = yes_or_one(&mut config, "chase_referrals");
    let ldaps = chases || servers.iter().any(|url| url.starts_with("ldaps:"));
    let connection = tls::settings(&mut config, ldaps);
    config.finish()?;
    let (Some(search_base), Some(query_filter), Some(expansion), Some(connection)) =
        (search_base, query_filter, expansion, connection)
    else {
        return Err(TableError::new(spec, "expected settings without mistakes"));
    };
    let limits = Limits { connect: timeout, query: timeout * SEARCHES_LATE, ..Limits::default() };
    let directory = Directory {
        spec: spec.to_owned(),
        warn: settings.warn.clone(),
        connection,
        login,
        scope,
        dereference,
        attributes,
        recursion_limit,
        size_limit,
        timeout,
        chases,
    };
    let servers = Pool::new(directory, servers, Order::InTurn, limits);
    Ok(Box::new(Ldap { spec: spec.to_owned(), search_base, query_filter, expansion, servers }))
}

fn template(config: &mut TableConfig<'_>, name: &'static str, text: &str) -> Option<Template> {
    match Template::parse(text) {
        Ok(_) if text.is_empty() && name == "query_filter" => {
            config.wrong(name, "expected a filter such as (mail=%s), found nothing");
            None
        }
        Ok(template) => Some(template),
        Err(error) => {
            config.wrong(name, error);
            None
        }
    }
}

/// `server_host` as URLs: with a scheme, a host and a port each, at least one.
fn servers(config: &mut TableConfig<'_>) -> Vec<String> {
    let number = config.number("server_port", 389);
    let port = u16::try_from(number).unwrap_or(0);
    if port == 0 {
        config.wrong("server_port", format!("expected a port from 1 to 65535, found `{number}`"));
    }
    let words = match config.text("server_host") {
        None => vec!["localhost".to_owned()],
        Some(_) => config.list("server_host"),
    };
    if words.is_empty() {
        config.wrong("server_host", "expected a host or an LDAP URL, found nothing");
    }
    let mut urls = Vec::new();
    for word in &words {
        match server(word, port) {
            Ok(url) => urls.push(url),
            Err(text) => config.wrong("server_host", text),
        }
    }
    if urls.is_empty() { vec![String::new()] } else { urls }
}

/// One server as a URL; what stands behind the port of an LDAP URL (a base, a filter) counts for nothing.
pub(super) fn server(word: &str, port: u16) -> Result<String, String> {
    let expected = || {
        format!(
            "expected a host, host:port, or an LDAP URL such as ldap://host:389, ldaps:// or ldapi://%2Fpath, found `{word}`"
        )
    };
    let (scheme, rest) = match word.split_once("://") {
        Some((scheme, rest)) => {
            (scheme.to_ascii_lowercase(), rest.split(['/', '?']).next().unwrap_or_default())
        }
        None => ("ldap".to_owned(), word),
    };
    let default = match scheme.as_str() {
        "ldap" if word.contains("://") => 389,
        "ldap" => port,
        "ldaps" => 636,
        "ldapi" if rest.is_empty() => return Err(expected()),
        "ldapi" => return Ok(format!("ldapi://{rest}")),
        _ => return Err(expected()),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().map_err(|_| expected())?),
        _ => (rest, default),
    };
    if port == 0 || host.contains([' ', '@', '#', '%', '\\']) {
        return Err(expected());
    }
    Ok(format!("{scheme}://{}:{port}", if host.is_empty() { "localhost" } else { host }))
}

/// `result_format` (or `result_filter`, its name before Postfix 2.2), `domain` and `expansion_limit`.
fn expansion(config: &mut TableConfig<'_>) -> (Option<Expansion>, i32) {
    let old = config.text("result_filter");
    let format = config.text("result_format").or(old).unwrap_or_else(|| "%s".to_owned());
    let domain = config.list("domain");
    let limit = config.number("expansion_limit", 0);
    let expansion = Expansion::new(&format, &domain, limit, config.settings());
    let expansion = expansion.map_err(|errors| {
        errors.into_iter().for_each(|(name, text)| config.wrong(name, text));
    });
    (expansion.ok(), limit)
}

fn attributes(config: &mut TableConfig<'_>) -> Attributes {
    let result = match config.text("result_attribute") {
        None => vec!["maildrop".to_owned()],
        Some(_) => config.list("result_attribute"),
    };
    let attributes = Attributes {
        result,
        terminal: config.list("terminal_result_attribute"),
        leaf: config.list("leaf_result_attribute"),
        special: config.list("special_result_attribute"),
    };
    if attributes.all().next().is_none() {
        config.warn("result_attribute", "expected at least one attribute, found none; nothing will be found");
    }
    attributes
}

fn at_least_one(config: &mut TableConfig<'_>, name: &'static str, default: i32) -> u32 {
    let number = config.number(name, default);
    u32::try_from(number).ok().filter(|&number| number > 0).unwrap_or_else(|| {
        config.wrong(name, format!("expected a number of at least 1, found `{number}`"));
        default.unsigned_abs()
    })
}

fn scope(config: &mut TableConfig<'_>) -> Scope {
    let text = config.text("scope").unwrap_or_else(|| "sub".to_owned());
    match text.to_ascii_lowercase().as_str() {
        "sub" => Scope::Subtree,
        "base" => Scope::Base,
        "one" => Scope::OneLevel,
        _ => {
            config.warn("scope", format!("expected sub, base or one, found `{text}`; sub is used"));
            Scope::Subtree
        }
    }
}

fn dereference(config: &mut TableConfig<'_>) -> DerefAliases {
    match config.number("dereference", 0) {
        0 => DerefAliases::Never,
        1 => DerefAliases::Searching,
        2 => DerefAliases::Finding,
        3 => DerefAliases::Always,
        other => {
            config.warn("dereference", format!("expected 0, 1, 2 or 3, found `{other}`; 0 is used"));
            DerefAliases::Never
        }
    }
}

/// How to bind: nothing where `bind` says not to.
fn login(config: &mut TableConfig<'_>) -> Option<Login> {
    let bind = config.text("bind").unwrap_or_else(|| "yes".to_owned());
    let simple = Login::Simple {
        name: config.text("bind_dn").unwrap_or_default(),
        password: config.text("bind_pw").unwrap_or_default(),
    };
    let (mechanisms, minssf) = (config.list("sasl_mechs"), config.number("sasl_minssf", 0));
    let others = OF_OTHER_MECHANISMS.map(|name| (name, config.text(name).unwrap_or_default()));
    match bind.to_ascii_lowercase().as_str() {
        "yes" | "simple" => Some(simple),
        "no" | "none" => None,
        "sasl" => {
            if mechanisms.is_empty() || mechanisms.iter().any(|name| !name.eq_ignore_ascii_case("EXTERNAL")) {
                let text = format!(
                    "expected sasl_mechs = EXTERNAL, the one that is built in, found `{}`; or write `bind = simple` \
                     with bind_dn and bind_pw, over ldaps://",
                    mechanisms.join(" ")
                );
                config.wrong(if mechanisms.is_empty() { "bind" } else { "sasl_mechs" }, text);
            }
            for (name, value) in others.iter().filter(|(_, value)| !value.is_empty()) {
                config.wrong(name, format!("expected nothing with the mechanism EXTERNAL, found `{value}`"));
            }
            if minssf > 0 {
                config.warn("sasl_minssf", "EXTERNAL encrypts nothing by itself; it is ignored");
            }
            Some(Login::External)
        }
        _ => {
            config.wrong("bind", format!("expected yes, simple, sasl, no or none, found `{bind}`"));
            None
        }
    }
}

/// Passes over what concerns Postfix's library alone.
fn pass_over_what_is_not_built(config: &mut TableConfig<'_>) {
    let version = config.number("version", 3);
    if version != 3 {
        config.warn("version", format!("expected 3, found `{version}`; 3 is used"));
    }
    for name in OF_THE_LIBRARY {
        if config.text(name).is_some_and(|value| !value.is_empty()) {
            config.warn(name, "the LDAP library of this program has no such setting; it is ignored");
        }
    }
}

/// `yes` or `no`, which Postfix's own examples write as 1 and 0.
fn yes_or_one(config: &mut TableConfig<'_>, name: &'static str) -> bool {
    match config.text(name).as_deref() {
        Some("0") => false,
        Some("1") => true,
        _ => config.yes_no(name, false),
    }
}

#[cfg(test)]
mod tests {
    use super::server;

    #[test]
    fn servers_are_read_in_each_form() {
        for (word, expected) in [
            ("localhost", "ldap://localhost:3890"),
            ("a.example.org:1444", "ldap://a.example.org:1444"),
            ("[::1]:7", "ldap://[::1]:7"),
            ("[::1]", "ldap://[::1]:3890"),
            ("ldap://a", "ldap://a:389"),
            ("LDAPS://a", "ldaps://a:636"),
            ("ldap://a:7/dc=x?mail", "ldap://a:7"),
            ("ldap:///", "ldap://localhost:389"),
            ("ldapi://%2Frun%2Fldapi", "ldapi://%2Frun%2Fldapi"),
        ] {
            assert_eq!(server(word, 3890).as_deref(), Ok(expected), "{word}");
        }
        for word in ["http://a", "ldapi:///run/ldapi", "ldap://a:x", "ldap://a:0", "a:", "ldap://u@a"] {
            assert!(server(word, 389).is_err(), "{word}");
        }
    }
}
