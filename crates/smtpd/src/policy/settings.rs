//! What stands behind `check_policy_service`: an endpoint, or one with settings of its own in braces.
//!
//! `inet:host:port`, `unix:path`, `{ inet:host:port, timeout=10s, { default_action = DUNNO x } }`.

use config::Scope;
use config::kinds::{self, Kind, Limits};
use config::words;
use std::time::Duration;
use tables::Endpoint;

/// What holds for a policy service that has no settings of its own, and what every service is told.
#[derive(Clone)]
pub struct Defaults {
    rules: Rules,
    /// The parameter `compatibility_level`.
    pub compatibility_level: String,
    /// The parameter `mail_version`.
    pub mail_version: String,
    places: tables::Settings,
}

/// How one policy service is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rules {
    pub default_action: String,
    pub policy_context: String,
    pub timeout: Duration,
    pub try_limit: u64,
    pub retry_delay: Duration,
    pub max_idle: Duration,
    pub max_ttl: Duration,
    pub request_limit: u64,
}

/// One policy service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    /// The word as it is written.
    pub spec: String,
    /// The endpoint without its type, as the log names it.
    pub name: String,
    pub endpoint: Endpoint,
    pub rules: Rules,
}

impl Default for Defaults {
    /// Of an empty main.cf, for a configuration that is not used in the end.
    fn default() -> Defaults {
        let config = config::Config::parse(std::path::Path::new(""), "", "", config::Host::default());
        let config = config.expect("nothing is wrong with an empty main.cf");
        Defaults::read(&config.scope(None), &tables::Settings::default()).expect("defaults can be read")
    }
}

impl Defaults {
    /// Reads the parameters; `places` knows where sockets are.
    pub fn read(scope: &Scope<'_>, places: &tables::Settings) -> Result<Defaults, config::Errors> {
        let p = config::parameters::Policy::read_in(scope)?;
        if p.smtpd_policy_service_default_action.is_empty() {
            const NAME: &str = "smtpd_policy_service_default_action";
            return Err(scope.error(NAME, "expected an action, found nothing").into());
        }
        // The list of all parameters has these, so that they can be read; their own readers tell mistakes.
        let text = |name: &str| scope.expanded(name).unwrap_or_default();
        Ok(Defaults {
            rules: Rules {
                default_action: p.smtpd_policy_service_default_action,
                policy_context: p.smtpd_policy_service_policy_context,
                timeout: p.smtpd_policy_service_timeout,
                try_limit: p.smtpd_policy_service_try_limit,
                retry_delay: p.smtpd_policy_service_retry_delay,
                max_idle: p.smtpd_policy_service_max_idle,
                max_ttl: p.smtpd_policy_service_max_ttl,
                request_limit: p.smtpd_policy_service_request_limit,
            },
            compatibility_level: text("compatibility_level"),
            mail_version: text("mail_version"),
            places: places.clone(),
        })
    }

    /// Reads a word of a restriction list; the error says what was expected.
    pub(super) fn service(&self, word: &str) -> Result<Service, String> {
        let Some(inner) = words::unbraced(word) else { return self.plain(word) };
        let mut parts = words::words(inner, words::is_list_separator).map(|(_, part)| part);
        let Some(spec) = parts.next() else {
            return Err("expected `{ inet:host:port, name=value… }`, found nothing in the braces".to_owned());
        };
        let mut service = Service { spec: word.to_owned(), ..self.plain(spec)? };
        for part in parts {
            let setting = words::unbraced(part).unwrap_or(part);
            let Some((name, value)) = setting.split_once('=') else {
                return Err(format!("expected `name=value` behind {spec}, found `{part}`"));
            };
            service.rules.set(name.trim(), value.trim())?;
        }
        Ok(service)
    }

    fn plain(&self, spec: &str) -> Result<Service, String> {
        let endpoint = Endpoint::parse(spec, &self.places)?;
        let name = spec.split_once(':').map_or(spec, |(_, name)| name).to_owned();
        Ok(Service { spec: spec.to_owned(), name, endpoint, rules: self.rules.clone() })
    }
}

impl Rules {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let of = |why: String| format!("{name}: {why}");
        let time = || {
            kinds::Duration::read(value, &Limits { default: "1s", ..Limits::range("1s", 1..) }).map_err(of)
        };
        let count = |min: u64| kinds::Count::read(value, &Limits::range("1", min..)).map_err(of);
        let text = || match value {
            "" => Err(of("expected a text, found nothing".to_owned())),
            text => Ok(text.to_owned()),
        };
        match name {
            "default_action" => self.default_action = text()?,
            "policy_context" => self.policy_context = text()?,
            "timeout" => self.timeout = time()?,
            "try_limit" => self.try_limit = count(1)?,
            "retry_delay" => self.retry_delay = time()?,
            "max_idle" => self.max_idle = time()?,
            "max_ttl" => self.max_ttl = time()?,
            "request_limit" => self.request_limit = count(0)?,
            _ => {
                return Err(format!(
                    "expected default_action, policy_context, timeout, try_limit, retry_delay, max_idle, max_ttl or \
                     request_limit in front of `=`, found `{name}`"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::Path;

    /// The defaults of a main.cf.
    pub(crate) fn defaults(main_cf: &str) -> Defaults {
        let config =
            config::Config::parse(Path::new("/etc/postfix"), main_cf, "", config::Host::default()).unwrap();
        let places =
            tables::Settings { directory: Some("/var/spool/postfix".into()), ..tables::Settings::default() };
        Defaults::read(&config.scope(None), &places).unwrap()
    }

    #[test]
    fn a_service_is_an_endpoint_or_one_with_settings_in_braces() {
        let defaults = defaults("smtpd_policy_service_timeout = 7s\n");
        let plain = defaults.service("unix:private/policy").unwrap();
        assert_eq!(plain.endpoint, Endpoint::Unix(Path::new("/var/spool/postfix/private/policy").into()));
        assert_eq!((plain.name.as_str(), plain.rules.timeout.as_secs()), ("private/policy", 7));
        let word = "{ inet:localhost:10023, default_action=DUNNO, { policy_context = a b } try_limit=3 retry_delay=2m, \
                    max_idle=5 max_ttl=6, request_limit=0 }";
        let own = defaults.service(word).unwrap();
        assert_eq!((own.name.as_str(), own.spec.as_str()), ("localhost:10023", word));
        assert_eq!(own.rules.default_action, "DUNNO");
        assert_eq!(own.rules.policy_context, "a b");
        let times = [own.rules.timeout, own.rules.retry_delay, own.rules.max_idle, own.rules.max_ttl];
        assert_eq!(times.map(|time| time.as_secs()), [7, 120, 5, 6]);
        assert_eq!((own.rules.try_limit, own.rules.request_limit), (3, 0));
    }

    #[test]
    fn each_parameter_counts_for_services_without_settings_of_their_own() {
        let rules = defaults(
            "smtpd_policy_service_default_action = DUNNO
            smtpd_policy_service_policy_context = here
            smtpd_policy_service_timeout = 11s
            smtpd_policy_service_try_limit = 12
            smtpd_policy_service_retry_delay = 13s
            smtpd_policy_service_max_idle = 14s
            smtpd_policy_service_max_ttl = 15s
            smtpd_policy_service_request_limit = 16
            "
            .replace("            ", "")
            .as_str(),
        )
        .rules;
        assert_eq!((rules.default_action.as_str(), rules.policy_context.as_str()), ("DUNNO", "here"));
        let times = [rules.timeout, rules.retry_delay, rules.max_idle, rules.max_ttl];
        assert_eq!(times.map(|time| time.as_secs()), [11, 13, 14, 15]);
        assert_eq!((rules.try_limit, rules.request_limit), (12, 16));
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        let defaults = defaults("");
        for (word, expected) in [
            ("foo", "expected `inet:host:port` or `unix:path`, found `foo`"),
            ("foo:bar", "expected `inet:host:port` or `unix:path`, found `foo:bar`"),
            ("{ }", "expected `{ inet:host:port, name=value… }`, found nothing in the braces"),
            ("{ inet:a:1 timeout }", "expected `name=value` behind inet:a:1, found `timeout`"),
            ("{ inet:a:1, default_action= }", "default_action: expected a text, found nothing"),
            ("{ inet:a:1, try_limit=0 }", "try_limit: expected a number from 1 to 4294967295, found `0`"),
            (
                "{ inet:a:1, timeout=0 }",
                "timeout: expected a time of at least 1s (units s m h d w), found `0`",
            ),
        ] {
            assert_eq!(defaults.service(word).unwrap_err(), expected);
        }
        assert!(defaults.service("{ inet:a:1, foo=bar }").unwrap_err().ends_with("found `foo`"));
        let none = "smtpd_policy_service_default_action =\n";
        let config = config::Config::parse(Path::new("/etc/postfix"), none, "", config::Host::default());
        let wrong = Defaults::read(&config.unwrap().scope(None), &tables::Settings::default()).err().unwrap();
        assert_eq!(
            wrong.to_string(),
            "/etc/postfix/main.cf:1: smtpd_policy_service_default_action: expected an action, found nothing"
        );
    }
}
