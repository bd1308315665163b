//! Which tables of a configuration cannot be opened: by their kind, or as things stand.

use crate::kinds;
use crate::table::{Settings, Table, TableError};
use config::kinds::{Kind, List, Restrictions, Tables};
use config::known::State;
use config::{Config, Error, Origin, ServiceLine, parameters, words};
use std::collections::{BTreeSet, HashMap};

/// The tables of kinds that do not exist, or not yet, wherever a parameter that we honour was set to one. Opens nothing.
pub fn unknown_kinds(config: &Config) -> Vec<Error> {
    let mut errors = Vec::new();
    each(config, &mut |spec, parameter, origin, honoured| {
        if let (true, Err(error)) = (honoured, kinds::check(spec)) {
            errors.push(error.of_parameter(Some(origin.clone()), parameter));
        }
    });
    errors
}

/// The tables that cannot answer as things stand: a file is not there, cannot be read or makes no sense. Each is
/// opened once. Kinds that do not exist are left to [`unknown_kinds`].
pub fn unopenable(config: &Config, settings: &Settings) -> Vec<Error> {
    let counts = |table: &Named| table.honoured && kinds::check(&table.spec).is_ok();
    let found = survey(config, settings).into_iter().filter(counts);
    found.filter_map(|table| table.failure).collect()
}

/// A table that a parameter names.
#[derive(Clone, Debug)]
pub struct Named {
    /// The table as it is written.
    pub spec: String,
    /// The parameter.
    pub parameter: String,
    /// Whether anything reads the parameter.
    pub honoured: bool,
    /// Where that was set.
    pub origin: Origin,
    /// Why the table cannot answer as things stand.
    pub failure: Option<Error>,
}

/// Every table that a parameter was set to, with whether it can answer as things stand.
pub fn survey(config: &Config, settings: &Settings) -> Vec<Named> {
    let (mut all, mut known) = (Vec::new(), HashMap::new());
    each(config, &mut |spec, parameter, origin, honoured| {
        let failure = known.entry(spec.to_owned()).or_insert_with(|| failure(spec, settings));
        let failure = failure.as_ref().map(|error| error.of_parameter(Some(origin.clone()), parameter));
        let (spec, parameter) = (spec.to_owned(), parameter.to_owned());
        all.push(Named { spec, parameter, honoured, origin: origin.clone(), failure });
    });
    all
}

fn failure(spec: &str, settings: &Settings) -> Option<TableError> {
    match Table::open(spec, settings) {
        Ok(table) => table.ready().err().map(|text| {
            let text = text.strip_prefix(&format!("{spec}: ")).unwrap_or(&text).to_owned();
            TableError::new(spec, text)
        }),
        Err(error) => Some(error),
    }
}

/// The tables behind `proxy:` that any honoured parameter names, be it by its default; without `proxy:`.
pub fn proxied(config: &Config) -> Vec<String> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let scopes = std::iter::once(None).chain(config.services().iter().map(Some));
    for scope in scopes.map(|service| config.scope(service)) {
        for parameter in parameters::VIEWS.iter().flat_map(|(_, list)| *list).filter(|p| !p.family) {
            let Ok(value) = scope.expanded(parameter.name) else { continue };
            if value.contains("proxy:") && seen.insert(value.clone()) {
                let words = words::list(&value);
                let words = words.iter().flat_map(|word| words::list(words::unbraced(word).unwrap_or(word)));
                let specs =
                    words.filter_map(|w| Some(w.trim_start_matches('!').strip_prefix("proxy:")?.to_owned()));
                found.extend(specs);
            }
        }
    }
    found.into_iter().collect()
}

/// Sees a table, the parameter that names it, where that was set, and whether it is honoured.
type Visit<'a> = &'a mut dyn FnMut(&str, &str, &Origin, bool);

/// Calls `visit` for each table that a parameter was set to.
fn each(config: &Config, visit: Visit<'_>) {
    for (name, entry) in config.main().iter() {
        each_of(config, None, name, &entry.origin, visit);
    }
    for service in config.services() {
        for ((name, _), origin) in service.overrides.iter().zip(&service.override_origins) {
            each_of(config, Some(service), name, origin, visit);
        }
    }
}

fn each_of(config: &Config, service: Option<&ServiceLine>, name: &str, origin: &Origin, visit: Visit<'_>) {
    let known = config::known::find(name);
    let kind = match (parameters::find(name), known) {
        (Some(parameter), _) => parameter.kind.to_owned(),
        (None, Some(known)) => known.kind(),
        (None, None) => return,
    };
    let kind = kind.split(':').next().unwrap_or_default();
    if ![List::NAME, Restrictions::NAME, Tables::NAME].contains(&kind) {
        return;
    }
    let honoured = known.is_none_or(|known| known.state == State::Honoured);
    // A value that cannot be expanded is an error of loading already.
    let Ok(value) = config.scope(service).expanded(name) else { return };
    // The service behind it may be `unix:…`, which is no table.
    let mut is_policy_service = false;
    for word in words::list(&value) {
        let word = words::unbraced(&word).unwrap_or(&word);
        let was_policy_service = std::mem::take(&mut is_policy_service);
        for spec in words::list(word).iter().map(|spec| spec.trim_start_matches('!')) {
            if was_policy_service || std::mem::take(&mut is_policy_service) {
                continue;
            }
            is_policy_service = spec == "check_policy_service";
            let is_table = spec.split_once(':').is_some_and(|(kind, _)| kinds::is_known(kind));
            if kind == Tables::NAME || is_table {
                visit(spec, name, origin, honoured);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    #[test]
    fn proxied_tables_are_found_in_defaults_and_services_too() {
        let main = "alias_maps = proxy:btree:/a\nmynetworks = !proxy:cidr:/n, ::1\n";
        let master = "smtp inet n - y - - smtpd -o { smtpd_client_restrictions = { check_client_access proxy:inline:{ a=b } } }\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, master, Host::default()).unwrap();
        assert_eq!(proxied(&config), ["btree:/a", "cidr:/n", "inline:{ a=b }", "unix:passwd.byname"]);
    }

    #[test]
    fn a_policy_service_on_a_socket_is_no_table() {
        let main = "smtpd_recipient_restrictions = check_policy_service unix:private/a, \
                    check_policy_service { unix:private/b, timeout=5s }, { check_policy_service unix:private/c }, \
                    check_client_access unix:nosuch\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
        let found = survey(&config, &Settings::default());
        let specs: Vec<&str> = found.iter().map(|table| table.spec.as_str()).collect();
        assert_eq!(specs, ["unix:nosuch"]);
    }

    #[test]
    fn tables_that_cannot_answer_are_told_where_they_stand() {
        let main = "transport_maps = texthash:/nonexistent/t\nvirtual_mailbox_maps = static:x texthash:/nonexistent/t\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
        let found: Vec<String> =
            unopenable(&config, &Settings::default()).iter().map(ToString::to_string).collect();
        let why = "texthash:/nonexistent/t: cannot be read: No such file or directory (os error 2)";
        assert_eq!(
            found,
            [
                format!("/etc/postfix/main.cf:1: transport_maps: {why}"),
                format!("/etc/postfix/main.cf:2: virtual_mailbox_maps: {why}")
            ]
        );
    }

    #[test]
    fn tables_of_missing_kinds_are_told_where_they_stand() {
        let main = "transport_maps = sdbm:/etc/postfix/transport, texthash:/x\nmynetworks = [::1]/128 netinfo:/etc/n\n\
                    smtpd_client_restrictions = { check_client_access proxy:nis:/a }\nrelayhost = [h]:25\n\
                    inet_interfaces = ::1\nrecipient_delimiter = sdbm:/l\nalias_maps = sdbm:/etc/aliases\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
        let found: Vec<String> = unknown_kinds(&config).iter().map(ToString::to_string).collect();
        let heads: Vec<&str> = found.iter().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(
            heads,
            [
                "/etc/postfix/main.cf:7: alias_maps: sdbm:/etc/aliases: tables of type `sdbm` are not supported",
                "/etc/postfix/main.cf:2: mynetworks: netinfo:/etc/n: tables of type `netinfo` are not supported",
                "/etc/postfix/main.cf:3: smtpd_client_restrictions: proxy:nis:/a: tables of type `nis` are not supported",
                "/etc/postfix/main.cf:1: transport_maps: sdbm:/etc/postfix/transport: tables of type `sdbm` are not supported",
            ]
        );
    }
}
