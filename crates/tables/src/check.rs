//! Which tables of a configuration cannot be opened by their kind; opens nothing.

use crate::kinds;
use config::kinds::{Kind, List, Tables};
use config::{Config, Error, Origin, ServiceLine, parameters, words};

/// A parameter whose tables may be missing: smtpd takes all local recipients then, and nobody delivers to them yet.
const LENIENT: &str = "local_recipient_maps";

/// The tables of kinds that do not exist, or not yet, wherever a parameter that we honour was set to one.
pub fn unknown_kinds(config: &Config) -> Vec<Error> {
    let mut errors = Vec::new();
    for (name, entry) in config.main().iter() {
        check(config, None, name, &entry.origin, &mut errors);
    }
    for service in config.services() {
        for ((name, _), origin) in service.overrides.iter().zip(&service.override_origins) {
            check(config, Some(service), name, origin, &mut errors);
        }
    }
    errors
}

fn check(
    config: &Config,
    service: Option<&ServiceLine>,
    name: &str,
    origin: &Origin,
    errors: &mut Vec<Error>,
) {
    let kind = parameters::find(name).map(|p| p.kind);
    let honoured = config::known::find(name).is_none_or(|k| k.state == config::known::State::Honoured);
    if name == LENIENT || !honoured || !(kind == Some(List::NAME) || kind == Some(Tables::NAME)) {
        return;
    }
    // A value that cannot be expanded is an error of loading already.
    let Ok(value) = config.scope(service).expanded(name) else { return };
    for word in words::list(&value) {
        let word = words::unbraced(&word).unwrap_or(&word);
        for spec in words::list(word).iter().map(|spec| spec.trim_start_matches('!')) {
            let missing = spec.split_once(':').is_some_and(|(kind, _)| kinds::is_known(kind));
            if (kind == Some(Tables::NAME) || missing)
                && let Err(error) = kinds::check(spec)
            {
                errors.push(error.of_parameter(Some(origin.clone()), name));
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
    fn tables_of_missing_kinds_are_told_where_they_stand() {
        let main = "transport_maps = hash:/etc/postfix/transport, texthash:/x\nmynetworks = [::1]/128 cidr:/etc/n\n\
                    smtpd_client_restrictions = { check_client_access proxy:btree:/a }\nrelayhost = [h]:25\n\
                    inet_interfaces = ::1\nlocal_recipient_maps = hash:/l\nalias_maps = hash:/etc/aliases\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
        let found: Vec<String> = unknown_kinds(&config).iter().map(ToString::to_string).collect();
        let heads: Vec<&str> = found.iter().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(
            heads,
            [
                "/etc/postfix/main.cf:2: mynetworks: cidr:/etc/n: tables of type `cidr` are not supported yet",
                "/etc/postfix/main.cf:3: smtpd_client_restrictions: proxy:btree:/a: tables of type `btree` are not supported yet",
                "/etc/postfix/main.cf:1: transport_maps: hash:/etc/postfix/transport: tables of type `hash` are not supported yet",
            ]
        );
    }
}
