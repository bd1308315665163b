//! What is set but not honoured, and what looks like a slip: the findings of `posthaste check` and of the start.

use crate::config::Config;
use crate::error::{Error, Origin};
use crate::known::{self, Default, State};
use crate::master_cf::ServiceLine;
use crate::parameters;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::LazyLock;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The mail system does not start.
    Error,
    /// It starts; the administrator should know.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where, about what, and what to do.
    pub error: Error,
}

impl Finding {
    fn warning(error: Error) -> Finding {
        Finding { severity: Severity::Warning, error }
    }
}

impl fmt::Display for Finding {
    /// The error's line; a warning says so behind the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "{}", self.error),
            Severity::Warning => {
                if let Some(origin) = &self.error.origin {
                    write!(f, "{origin}: ")?;
                }
                f.write_str("warning: ")?;
                write!(f, "{}", Error { origin: None, ..self.error.clone() })
            }
        }
    }
}

/// The findings as `posthaste check` prints them, one a line.
pub fn report(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// The parameter that lets dangerous ones pass.
const ACCEPT: &str = "posthaste_accept_missing";

impl Config {
    /// Everything that was set and is not honoured, or looks like a slip: errors before warnings, each in the files'
    /// order. Wrong values are errors of `load` already.
    pub fn check(&self) -> Vec<Finding> {
        let accepted: BTreeSet<String> =
            crate::words::list(&self.text(ACCEPT).unwrap_or_default()).into_iter().collect();
        let findings = self.warnings().cloned().map(Finding::warning).collect();
        let mut settings =
            Settings { config: self, names: self.used_names(), accepted, met: BTreeSet::new(), findings };
        for (name, entry) in self.main().iter() {
            settings.check(None, name, &entry.origin);
        }
        for service in self.services() {
            for ((name, _), origin) in service.overrides.iter().zip(&service.override_origins) {
                settings.check(Some(service), name, origin);
            }
        }
        let Settings { accepted, met, mut findings, .. } = settings;
        findings.extend(self.old_defaults());
        let origin = self.main().get(ACCEPT).map(|entry| entry.origin.clone());
        for name in accepted.difference(&met) {
            let text = format!("`{name}` is set nowhere, or needs no acceptance");
            findings.push(Finding::warning(Error::new(origin.clone(), ACCEPT, text)));
        }
        findings.sort_by(|a, b| (a.severity, &a.error).cmp(&(b.severity, &b.error)));
        findings
    }

    /// Defaults of old releases that hold because compatibility_level is low, where a setting would change them.
    fn old_defaults(&self) -> Option<Finding> {
        const NOW: &str = "3.12";
        let (scope, today) = (self.scope(None), [("compatibility_level", NOW)]);
        let today = self.scope(None).with(&today);
        let mut held = Vec::new();
        for name in [
            "append_dot_mydomain",
            "smtpd_relay_restrictions",
            "relay_domains",
            "mynetworks_style",
            "smtputf8_enable",
        ] {
            let (old, new) = (scope.expanded(name).ok()?, today.expanded(name).ok()?);
            if self.main().get(name).is_none() && old != new {
                held.push(format!("{name}={old}"));
            }
        }
        let origin = self.main().get("compatibility_level").map(|entry| entry.origin.clone());
        let text =
            format!("defaults of old releases hold: {}; set it to {NOW} for those of today", held.join(", "));
        (!held.is_empty()).then(|| Finding::warning(Error::new(origin, "compatibility_level", text)))
    }

    /// The errors among the findings; the mail system must not start with them.
    pub fn refuse_dangerous(&self) -> Result<(), crate::Errors> {
        let errors = self.check().into_iter().filter(|f| f.severity == Severity::Error).map(|f| f.error);
        crate::Errors::check(errors.collect())
    }

    /// Whether this is a name that some value uses, or a parameter that belongs to a transport.
    fn is_used(&self, name: &str, used: &BTreeSet<String>) -> bool {
        let of_service = |s: &ServiceLine| name.strip_prefix(s.name.as_str()).is_some_and(is_suffix);
        used.contains(name) || self.services().iter().any(of_service)
    }

    /// The names that values, defaults and arguments of services use, and those of restriction classes.
    fn used_names(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut note = |text: &str| {
            // What cannot be read is told where the value is; up to there its names count.
            let _ = crate::expand::names_in(text, &mut |name| {
                found.insert(name.to_owned());
            });
        };
        self.main().iter().for_each(|(_, entry)| note(&entry.value));
        for service in self.services() {
            service.overrides.iter().for_each(|(_, value)| note(value));
            service.args.iter().for_each(|arg| note(arg));
        }
        for known in known::all() {
            if let Default::Text(text) = known.default {
                note(text);
            }
        }
        found.extend(crate::words::list(&self.text("smtpd_restriction_classes").unwrap_or_default()));
        found
    }
}

/// The settings of both files as they are looked at.
struct Settings<'a> {
    config: &'a Config,
    /// Names that some value uses.
    names: BTreeSet<String>,
    /// What `ACCEPT` lets pass, and which of it was met.
    accepted: BTreeSet<String>,
    met: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl Settings<'_> {
    fn check(&mut self, service: Option<&ServiceLine>, name: &str, origin: &Origin) {
        let subject = match service {
            Some(_) => format!("-o {name}"),
            None => name.to_owned(),
        };
        // Of `<transport>_<suffix>` the manuals' `transport_<suffix>` is in the list.
        let family = || parameters::find(name).filter(|p| p.family && self.config.is_used(name, &self.names));
        let listed = known::find(name)
            .or_else(|| family().and_then(|p| known::find(&format!("transport_{}", p.name))));
        let Some(known) = listed else {
            if parameters::find(name).is_none_or(|p| p.family) && !self.config.is_used(name, &self.names) {
                let text = format!("unused parameter{}", similar(name));
                self.findings.push(Finding::warning(Error::new(Some(origin.clone()), subject, text)));
            }
            return;
        };
        let (text, dangerous) = match known.state {
            State::Honoured | State::NoMeaning(_) => return,
            State::Later(text) => (text, false),
            State::Dangerous(text) => (text, true),
        };
        let scope = self.config.scope(service);
        let value = match scope.expanded(name) {
            Ok(value) => value,
            Err(error) => return self.findings.push(Finding { severity: Severity::Error, error }),
        };
        let default = scope.default(name).and_then(|raw| scope.expand(&raw).ok()).unwrap_or_default();
        if value == default || known.is_harmless(&value) {
            return;
        }
        let error = |text: String| Error::new(Some(origin.clone()), subject.clone(), text);
        if !dangerous {
            self.findings.push(Finding::warning(error(format!("not honoured yet: {text}"))));
        } else if self.accepted.contains(name) {
            self.met.insert(name.to_owned());
            self.findings.push(Finding::warning(error(format!("not honoured yet, accepted by {ACCEPT}"))));
        } else {
            let text = format!("{text} (found `{value}`; `{ACCEPT} = {name}` starts nevertheless)");
            self.findings.push(Finding { severity: Severity::Error, error: error(text) });
        }
    }
}

/// Whether a transport's name before this makes a parameter.
fn is_suffix(rest: &str) -> bool {
    let families = parameters::Transport::PARAMETERS.iter().chain(parameters::Spawned::PARAMETERS);
    rest.strip_prefix('_').is_some_and(|suffix| families.into_iter().any(|p| p.name == suffix))
}

/// ` (did you mean …?)` where a known name differs in a letter or two.
fn similar(name: &str) -> String {
    static NAMES: LazyLock<Vec<&str>> =
        LazyLock::new(|| known::all().map(|k| k.name).chain(known::own()).collect());
    let close = NAMES.iter().map(|known| (distance(name, known), *known)).filter(|(d, _)| *d <= 2).min();
    close.map_or(String::new(), |(_, known)| format!(" (did you mean {known}?)"))
}

/// Letters that must be changed, added or taken away to make `b` of `a`.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Host;
    use std::path::Path;

    fn findings(main: &str, master: &str) -> String {
        report(&Config::parse(Path::new("/etc/postfix"), main, master, Host::default()).unwrap().check())
    }

    #[test]
    fn a_stock_debian_configuration_starts_with_warnings_only() {
        let main = "smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)\nbiff = no\nappend_dot_mydomain = no\n\
                    readme_directory = no\ncompatibility_level = 3.6\n\
                    smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem\n\
                    smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key\nsmtpd_tls_security_level=may\n\
                    smtp_tls_CApath=/etc/ssl/certs\nsmtp_tls_security_level=may\n\
                    smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache\n\
                    smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination\n\
                    myhostname = mail.example.com\nalias_maps = hash:/etc/aliases\nalias_database = hash:/etc/aliases\n\
                    mydestination = $myhostname, localhost\nrelayhost =\nmynetworks = 127.0.0.0/8 [::1]/128\n\
                    mailbox_size_limit = 0\nrecipient_delimiter = +\ninet_interfaces = all\ninet_protocols = all\n";
        let master = "smtp inet n - y - - smtpd\nrelay unix - - y - - smtp\n  -o syslog_name=postfix/$service_name\n\
                      maildrop unix - n n - - pipe\n  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}\n";
        assert_eq!(
            findings(main, master),
            "/etc/postfix/main.cf:6: warning: smtpd_tls_cert_file: not honoured yet: comes with TLS\n\
             /etc/postfix/main.cf:7: warning: smtpd_tls_key_file: not honoured yet: comes with TLS\n\
             /etc/postfix/main.cf:9: warning: smtp_tls_CApath: not honoured yet: comes with TLS\n\
             /etc/postfix/main.cf:11: warning: smtp_tls_session_cache_database: not honoured yet: comes with TLS\n"
        );
    }

    #[test]
    fn what_would_lose_protection_stops_the_start_also_from_master_cf() {
        let text = findings(
            "smtp_tls_security_level = encrypt\ncompatibility_level = 3.12\nsmtpd_milters = inet:127.0.0.1:8891\nheader_checks =\n",
            "submission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n  -o smtpd_sasl_auth_enable=yes\n",
        );
        let heads: Vec<_> = text.lines().map(|line| line.split(';').next().unwrap()).collect();
        assert_eq!(
            heads,
            [
                "/etc/postfix/main.cf:1: smtp_tls_security_level: TLS is not built yet, so mail would be sent in clear",
                "/etc/postfix/main.cf:3: smtpd_milters: milters are not built yet, so mail would pass unchecked",
                "/etc/postfix/master.cf:2: -o smtpd_tls_security_level: TLS is not built yet, so mail would be taken in clear",
                "/etc/postfix/master.cf:3: -o smtpd_sasl_auth_enable: AUTH is not built yet, so clients could not log in",
            ]
        );
        assert!(text.contains(
            "(found `encrypt`; `posthaste_accept_missing = smtp_tls_security_level` starts nevertheless)"
        ));
    }

    #[test]
    fn defaults_of_old_releases_are_told() {
        assert_eq!(
            findings("smtpd_relay_restrictions = permit_mynetworks, reject\nmydestination = a.example\n", ""),
            "warning: compatibility_level: defaults of old releases hold: append_dot_mydomain=yes, \
             relay_domains=a.example, mynetworks_style=subnet, smtputf8_enable=no; set it to 3.12 for those of today\n"
        );
    }

    #[test]
    fn parameters_of_a_transport_are_known_by_its_name() {
        let main = "compatibility_level = 3.6\nfoo_delivery_slot_cost = 3\nbar_delivery_slot_cost = 3\n";
        let found = findings(main, "foo unix - - n - - smtp\n");
        assert!(found.contains("bar_delivery_slot_cost") && !found.contains("foo_"), "{found}");
    }

    #[test]
    fn an_accepted_name_passes_and_one_too_many_is_told() {
        let text = findings(
            "smtpd_milters = unix:/m\nposthaste_accept_missing = smtpd_milters header_checks\ncompatibility_level=3.6",
            "",
        );
        assert_eq!(
            text,
            "/etc/postfix/main.cf:1: warning: smtpd_milters: not honoured yet, accepted by posthaste_accept_missing\n\
             /etc/postfix/main.cf:2: warning: posthaste_accept_missing: `header_checks` is set nowhere, or needs no acceptance\n"
        );
    }

    #[test]
    fn a_name_that_nothing_uses_is_told_with_the_one_that_was_meant() {
        let text = findings(
            "compatibility_level = 3.6\nmynetwork = 127.0.0.0/8\nmua_x = permit\nsmtpd_client_restrictions = $mua_x\nfoo_time_limit = 1s\n\
             foo_destination_rate_delay = 1s\nslow_destination_rate_delay = 1s\n",
            "foo unix - n n - - pipe\n  user=x argv=/bin/true\n",
        );
        assert_eq!(
            text,
            "/etc/postfix/main.cf:2: warning: mynetwork: unused parameter (did you mean mynetworks?)\n\
             /etc/postfix/main.cf:7: warning: slow_destination_rate_delay: unused parameter\n"
        );
    }
}
