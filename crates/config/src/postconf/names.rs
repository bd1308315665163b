//! Which names are parameters: Postfix's own, and those that services of master.cf bring along.

use super::entry::Entry;
use crate::expand::names_in;
use crate::known::{self, Default};
use crate::parameters::{self, Transport};
use crate::table_settings;
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

/// Type and file of the table that a word `[proxy:]type:/path` names, where the file holds its settings.
pub(super) fn file_of_table(word: &str) -> Option<(&str, &str)> {
    let (kind, path) = word.strip_prefix("proxy:").unwrap_or(word).split_once(':')?;
    let has_file = path.starts_with('/') && table_settings::of_kind(kind).next().is_some();
    has_file.then_some((kind, path))
}

/// The parameters of the table that a word `[proxy:]type:name` names in the old way.
pub(super) fn of_table(word: &str) -> impl Iterator<Item = String> + '_ {
    let word = word.strip_prefix("proxy:").unwrap_or(word);
    let (kind, name) = word.split_once(':').unwrap_or_default();
    let kind = if name.starts_with(['/', '.']) { "" } else { kind };
    table_settings::of_kind(kind).map(move |setting| format!("{name}_{setting}"))
}
