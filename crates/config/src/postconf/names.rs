//! Which names are parameters: Postfix's own, and those that services of master.cf bring along.

use super::entry::Entry;
use crate::expand::names_in;
use crate::known::{self, Default};
use crate::parameters::{self, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Parameters whose `$name` mean something only when they are used: `$home`, `$client_address` …
pub(super) const RAW: [&str; 9] = [
    "command_execution_directory",
    "default_rbl_reply",
    "forward_path",
    "luser_relay",
    "mailbox_command",
    "postscreen_expansion_filter",
    "postscreen_reject_footer",
    "smtpd_expansion_filter",
    "smtpd_reject_footer",
];

/// Parameters that nobody may set.
pub(super) const READ_ONLY: [&str; 3] = ["process_id", "process_name", "service_name"];

/// Programs whose services have the parameters of a transport.
const TRANSPORTS: [&str; 6] = ["error", "lmtp", "local", "pipe", "smtp", "virtual"];
/// Programs whose services have a `_time_limit`.
const TIME_LIMITED: [&str; 2] = ["pipe", "spawn"];

/// Whether a parameter of this name is built in.
pub(super) fn is_builtin(name: &str) -> bool {
    known::find(name).is_some_and(|k| k.default != Default::None)
        || parameters::find(name).is_some_and(|p| !p.family)
}

/// Whether the default of a parameter refers to this one, which has none itself: an old name that may still be set.
pub(super) fn is_old(name: &str) -> bool {
    static OLD: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut found = BTreeSet::new();
        for known in known::all() {
            if let Default::Text(text) = known.default {
                // A default that cannot be read refers to nothing.
                let _ = names_in(text, &mut |name| {
                    found.insert(name.to_owned());
                });
            }
        }
        found
    });
    OLD.contains(name)
}

/// All names that are built in, sorted.
pub(super) fn builtin() -> Vec<&'static str> {
    let all = known::all().filter(|k| k.default != Default::None).map(|k| k.name);
    let mut names: Vec<&str> = all.chain(known::own()).collect();
    names.sort_unstable();
    names
}

/// The parameters that services bring along, with their defaults.
pub(super) fn of_services(services: &[Entry]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |name: String, default: &str| {
        if !is_builtin(&name) {
            found.insert(name, default.to_owned());
        }
    };
    for service in services {
        let (name, program) = (&service.fields[0], service.args[0].text.as_str());
        if TRANSPORTS.contains(&program) {
            Transport::PARAMETERS.iter().for_each(|p| add(format!("{name}_{}", p.name), p.default));
        }
        if TIME_LIMITED.contains(&program) {
            add(format!("{name}_time_limit"), "$command_time_limit");
        }
    }
    found
}

/// What follows the name of a table in the parameters that tables had before they had files of their own:
/// `ldap:NAME` and `NAME_server_host`.
fn table_suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "ldap" => &[
            "bind",
            "bind_dn",
            "bind_pw",
            "cache",
            "cache_expiry",
            "cache_size",
            "chase_referrals",
            "debuglevel",
            "dereference",
            "domain",
            "expansion_limit",
            "leaf_result_attribute",
            "query_filter",
            "recursion_limit",
            "result_attribute",
            "result_filter",
            "result_format",
            "scope",
            "search_base",
            "server_host",
            "server_port",
            "size_limit",
            "special_result_attribute",
            "start_tls",
            "terminal_result_attribute",
            "timeout",
            "tls_ca_cert_dir",
            "tls_ca_cert_file",
            "tls_cert",
            "tls_cipher_suite",
            "tls_key",
            "tls_random_file",
            "tls_require_cert",
            "version",
            "bind_mechs",
            "sasl_mechs",
            "sasl_realm",
            "sasl_authz_id",
            "sasl_minssf",
        ],
        "mysql" => &[
            "additional_conditions",
            "dbname",
            "domain",
            "expansion_limit",
            "hosts",
            "password",
            "query",
            "result_format",
            "select_field",
            "table",
            "user",
            "where_field",
            "option_file",
            "option_group",
            "tls_cert_file",
            "tls_key_file",
            "tls_CAfile",
            "tls_CApath",
            "tls_ciphers",
            "tls_verify_cert",
            "require_result_set",
            "charset",
        ],
        "pgsql" => &[
            "additional_conditions",
            "dbname",
            "domain",
            "expansion_limit",
            "hosts",
            "password",
            "query",
            "result_format",
            "select_field",
            "select_function",
            "table",
            "user",
            "where_field",
            "encoding",
        ],
        "sqlite" => &[
            "additional_conditions",
            "dbpath",
            "domain",
            "expansion_limit",
            "query",
            "result_format",
            "select_field",
            "table",
            "where_field",
        ],
        "memcache" => &[
            "backup",
            "data_size_limit",
            "domain",
            "flags",
            "key_format",
            "line_size_limit",
            "max_try",
            "memcache",
            "retry_pause",
            "timeout",
            "ttl",
        ],
        _ => &[],
    }
}

/// The parameters of the table that a word `[proxy:]type:name` names in the old way.
pub(super) fn of_table(word: &str) -> impl Iterator<Item = String> + '_ {
    let word = word.strip_prefix("proxy:").unwrap_or(word);
    let (kind, name) = word.split_once(':').unwrap_or_default();
    let suffixes = if name.starts_with(['/', '.']) { &[] } else { table_suffixes(kind) };
    suffixes.iter().map(move |suffix| format!("{name}_{suffix}"))
}
