//! What of a line of master.cf has no effect although it asks for something: told as for parameters.
//!
//! Columns that have no meaning here (docs/differences.md says which and why) are silent; what is not honoured yet is a
//! warning.

use crate::programs::{self, Place};
use config::{Config, Error, ServiceLine, ServiceType};

/// Programs whose `-o` settings are read on each of their lines.
const READ_SETTINGS: [&str; 9] =
    ["cleanup", "lmtp", "pipe", "postscreen", "qmgr", "smtp", "smtpd", "spawn", "virtual"];

/// Programs that take `flags=`, which the roles read.
const CLIENTS: [&str; 2] = ["lmtp", "smtp"];

/// Settings that name the service itself, which lines of all programs may have.
const OF_ANY: [&str; 1] = ["syslog_name"];

/// What the administrator should know about the lines; none of it keeps the mail system from starting.
pub fn warnings(config: &Config) -> Vec<Error> {
    let mut found = Vec::new();
    for service in config.services() {
        match programs::find(&service.command) {
            // Lines that listen on a port are told by the plan.
            None if service.kind != ServiceType::Inet => {
                let expected = "expected one of Postfix's programs";
                found.push(about(
                    service,
                    format!("{expected}, found `{}`: nobody serves it", service.command),
                ));
            }
            None => {}
            Some(Place::Nowhere(_)) => {}
            Some(Place::Process | Place::Elsewhere(_)) => {
                // Those of pipe and spawn belong to its commands.
                if service.command != "pipe" && service.command != "spawn" {
                    arguments(service, &mut found);
                }
                settings(config, service, &mut found);
            }
        }
    }
    found
}

fn about(service: &ServiceLine, text: String) -> Error {
    Error::new(Some(service.origin.clone()), format!("{}/{}", service.name, service.kind), text)
}

/// `-v` and `-D` ask for what is not there yet; other words are no arguments of these programs.
fn arguments(service: &ServiceLine, found: &mut Vec<Error>) {
    for word in &service.args {
        let text = match word.as_str() {
            _ if word.starts_with("flags=") && CLIENTS.contains(&service.command.as_str()) => continue,
            _ if !word.starts_with('-') => "no argument of this program; it is ignored",
            // Ours logs the dialogue then.
            _ if is_v(word) && service.command == "smtpd" => continue,
            _ if is_v(word) => "not honoured yet: verbose logging",
            "-D" => "not honoured yet: a debugger for each process",
            _ => "no option of this program; it is ignored",
        };
        found.push(about(service, format!("{}: `{word}`: {text}", service.command)));
    }
}

/// `-v`, once or more often.
fn is_v(word: &str) -> bool {
    word.len() > 1 && word[1..].bytes().all(|b| b == b'v')
}

/// Settings on a line whose program takes main.cf's values.
fn settings(config: &Config, service: &ServiceLine, found: &mut Vec<Error>) {
    let program = service.command.rsplit('/').next().unwrap_or_default();
    if READ_SETTINGS.contains(&program) {
        return;
    }
    for ((name, _), origin) in service.overrides.iter().zip(&service.override_origins) {
        let value = |service| config.scope(service).expanded(name).unwrap_or_default();
        if OF_ANY.contains(&name.as_str()) || value(Some(service)) == value(None) {
            continue;
        }
        let text = format!("not honoured yet on a line of {program}, where main.cf's value holds");
        found.push(Error::new(Some(origin.clone()), format!("-o {name}"), text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    fn told(master: &str) -> Vec<String> {
        let main = "compatibility_level = 3.12\nmaximal_queue_lifetime = 3d\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, master, Host::default()).unwrap();
        warnings(&config).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_stock_master_cf_has_no_warning() {
        let stock = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\ncleanup unix n - y - 0 cleanup\n\
                     qmgr unix n - n 300 1 qmgr\ntlsmgr unix - - y 1000? 1 tlsmgr\nrewrite unix - - y - - trivial-rewrite\n\
                     bounce unix - - y - 0 bounce\nverify unix - - y - 1 verify\nflush unix n - y 1000? 0 flush\n\
                     proxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\nsmtp unix - - y - - smtp\n\
                     relay unix - - y - - smtp\n  -o syslog_name=postfix/$service_name\nshowq unix n - y - - showq\n\
                     error unix - - y - - error\nretry unix - - y - - error\nlocal unix - n n - - local\n\
                     virtual unix - n n - - virtual\nlmtp unix - - y - - lmtp\nanvil unix - - y - 1 anvil\n\
                     scache unix - - y - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n\
                     maildrop unix - n n - - pipe\n  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient}\n";
        assert_eq!(told(stock), Vec::<String>::new());
    }

    #[test]
    fn what_is_asked_for_in_vain_is_told_with_its_line() {
        let master = "smtp inet n - n - - smtpd -v\nbounce unix - - n - 0 bounce\n  -o maximal_queue_lifetime=1d\n\
                      \x20 -o syslog_name=x\nfoo unix - - n - - nosuch\nsmtp unix - - n - - smtp -D x\n\
                      lmtp unix - - n - - lmtp -v\n";
        assert_eq!(
            told(master),
            [
                "/etc/postfix/master.cf:3: -o maximal_queue_lifetime: not honoured yet on a line of bounce, where main.cf's value holds",
                "/etc/postfix/master.cf:5: foo/unix: expected one of Postfix's programs, found `nosuch`: nobody serves it",
                "/etc/postfix/master.cf:6: smtp/unix: smtp: `-D`: not honoured yet: a debugger for each process",
                "/etc/postfix/master.cf:6: smtp/unix: smtp: `x`: no argument of this program; it is ignored",
                "/etc/postfix/master.cf:7: lmtp/unix: lmtp: `-v`: not honoured yet: verbose logging",
            ]
        );
    }
}
