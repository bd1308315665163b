//! The configuration of one instance: main.cf, master.cf and the host, and how a value is looked up in them.

use crate::error::{Error, Errors, Origin};
use crate::expand::{self, Names};
use crate::host::Host;
use crate::kinds::{Kind, Limits};
use crate::known::{self, Default};
use crate::main_cf::MainCf;
use crate::master_cf::{MasterCf, ServiceLine, ServiceType};
use crate::parameters;
use crate::port::Ports;
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// main.cf and master.cf of one instance; a snapshot that never changes.
#[derive(Clone, Debug)]
pub struct Config {
    directory: Arc<Path>,
    main: MainCf,
    master: MasterCf,
    host: Host,
    ports: Ports,
    /// The name in the file that myorigin names (Debian: `myorigin = /etc/mailname`).
    origin_from_file: Option<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The value, unexpanded.
    pub raw: Cow<'a, str>,
    /// Where it was set; nothing for a default.
    pub origin: Option<&'a Origin>,
}

impl Config {
    /// Reads main.cf and master.cf in `directory`; the error holds every mistake of both files, wrong values included.
    pub fn load(directory: &Path) -> Result<Config, Errors> {
        let (config, errors) = Config::survey(directory)?;
        Errors::check(errors)?;
        Ok(config)
    }

    /// [`Config::load`] for who has more to check: beside the mistakes a configuration in which each wrong value is
    /// left out, so that one mistake does not hide another. Fails only where a file cannot be read.
    pub fn survey(directory: &Path) -> Result<(Config, Vec<Error>), Errors> {
        let mut errors = Vec::new();
        let (main, master) =
            (read(directory, "main.cf", &mut errors), read(directory, "master.cf", &mut errors));
        Errors::check(errors)?;
        Ok(Config::survey_here(directory, &main, &master))
    }

    /// [`Config::survey`] of main.cf alone: enough to find the queue, so that a slip in master.cf keeps nobody from it.
    pub fn survey_main(directory: &Path) -> Result<(Config, Vec<Error>), Errors> {
        let mut errors = Vec::new();
        let main = read(directory, "main.cf", &mut errors);
        Errors::check(errors)?;
        Ok(Config::survey_here(directory, &main, ""))
    }

    fn survey_here(directory: &Path, main_cf: &str, master_cf: &str) -> (Config, Vec<Error>) {
        let (config, errors) = Config::survey_texts(directory, main_cf, master_cf, Host::this());
        (Config { ports: Ports::of_host(), ..config }, errors)
    }

    /// The configuration that the texts of two files give, as if they stood in `directory`.
    pub fn parse(directory: &Path, main_cf: &str, master_cf: &str, host: Host) -> Result<Config, Errors> {
        let (config, errors) = Config::survey_texts(directory, main_cf, master_cf, host);
        Errors::check(errors)?;
        Ok(config)
    }

    /// [`Config::survey`] of two texts, as if they stood in `directory`.
    pub fn survey_texts(
        directory: &Path,
        main_cf: &str,
        master_cf: &str,
        host: Host,
    ) -> (Config, Vec<Error>) {
        let (mut config, mut errors) = Config::lenient(directory, main_cf, master_cf, host);
        config.check_level(&mut errors);
        config.check_values(&mut errors);
        (config, errors)
    }

    /// What can be read of the two files, and what is wrong in their lines; for tools that show and edit.
    pub(crate) fn lenient(
        directory: &Path,
        main_cf: &str,
        master_cf: &str,
        host: Host,
    ) -> (Config, Vec<Error>) {
        let mut errors = Vec::new();
        let main = MainCf::parse(&directory.join("main.cf").into(), main_cf, &mut errors);
        let master = MasterCf::parse(&directory.join("master.cf").into(), master_cf, &mut errors);
        let origin_from_file = read_origin(&main, &mut errors);
        let (directory, ports) = (directory.into(), Ports::default());
        let config = Config { directory, main, master, host, ports, origin_from_file };
        (config, errors)
    }

    /// Sets a parameter as if main.cf did, in a line 0.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.main.set_quietly(name, value, self.directory.join("main.cf").into());
    }

    /// The directory of main.cf.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// main.cf as written.
    pub fn main(&self) -> &MainCf {
        &self.main
    }

    /// The services of master.cf in the file's order.
    pub fn services(&self) -> &[ServiceLine] {
        &self.master.services
    }

    /// The service of this name and type.
    pub fn service(&self, name: &str, kind: ServiceType) -> Option<&ServiceLine> {
        self.master.services.iter().find(|s| s.name == name && s.kind == kind)
    }

    /// Whether a service runs below queue_directory: what its column says, and where that says nothing, the default of
    /// the compatibility level. Postfix before 3.0 chrooted whatever did not say `n`.
    pub fn is_chrooted(&self, service: &ServiceLine) -> bool {
        service.chroot.unwrap_or_else(|| {
            let old = self.scope(None).expand("${{$compatibility_level} <level {1} ? {yes} : {no}}");
            old.is_ok_and(|text| text == "yes")
        })
    }

    /// What looks like a slip in either file but does not keep it from being used.
    pub fn warnings(&self) -> impl Iterator<Item = &Error> {
        self.main.warnings().iter().chain(&self.master.warnings)
    }

    /// The host that defaults are taken from.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The ports that the host knows by name.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// How `service` sees the parameters: its `-o` settings, then main.cf, then the defaults.
    pub fn scope<'a>(&'a self, service: Option<&'a ServiceLine>) -> Scope<'a> {
        Scope { config: self, service, extra: &[], working: 0 }
    }

    /// The expanded value of a parameter in main.cf, or its default; empty where it has none.
    pub fn text(&self, name: &str) -> Result<String, Error> {
        self.scope(None).expanded(name)
    }

    /// The level that defaults depend on: every other value would be as wrong as it.
    fn check_level(&mut self, errors: &mut Vec<Error>) {
        const NAME: &str = "compatibility_level";
        let Some(origin) = self.main.get(NAME).map(|entry| entry.origin.clone()) else { return };
        let level = self.text(NAME).and_then(|text| {
            let wrong = |text| Error::new(Some(origin.clone()), NAME, text);
            expand::level(&text).map(|_| ()).map_err(wrong)
        });
        if let Err(error) = level {
            errors.push(error);
            self.main.leave_out(NAME);
        }
    }

    /// Reads every value that was set, for the parameters whose type is known; wrong ones are left out.
    fn check_values(&mut self, errors: &mut Vec<Error>) {
        let main = self.main.iter().map(|(name, _)| (None, name));
        let overrides = self
            .services()
            .iter()
            .enumerate()
            .flat_map(|(n, s)| s.overrides.iter().map(move |(name, _)| (Some(n), name.as_str())));
        let mut wrong = Vec::new();
        for (service, name) in main.chain(overrides) {
            if let Some(parameter) = parameters::find(name)
                && let Err(error) = self.scope(service.map(|n| &self.services()[n])).check(name, parameter)
            {
                errors.push(error);
                wrong.push((service, name.to_owned()));
            }
        }
        for (service, name) in wrong {
            match service {
                None => self.main.leave_out(&name),
                Some(n) => self.master.services[n].leave_out(&name),
            }
        }
    }
}

/// The text of a configuration file.
fn read(directory: &Path, name: &str, errors: &mut Vec<Error>) -> String {
    use std::io::ErrorKind as K;
    let path = directory.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => {
            let advice = match error.kind() {
                K::NotFound => "; put it there, or name another configuration directory with -c",
                K::PermissionDenied => "; root and mail_owner must be allowed to read it",
                _ => "",
            };
            errors.push(Error::general(None, format!("{}: cannot be read: {error}{advice}", path.display())));
            String::new()
        }
    }
}

/// The first line of the file that myorigin names, if it names one.
fn read_origin(main: &MainCf, errors: &mut Vec<Error>) -> Option<String> {
    let entry = main.get("myorigin").filter(|entry| entry.value.starts_with('/'))?;
    let text = std::fs::read_to_string(&entry.value).map_err(|error| error.to_string());
    let first = text.map(|text| text.lines().next().unwrap_or_default().trim().to_owned());
    match first {
        Ok(name) if !name.is_empty() && !name.contains(['$', ' ']) => Some(name),
        Ok(name) => {
            let text = format!("expected a domain in the first line of {}, found `{name}`", entry.value);
            errors.push(Error::new(Some(entry.origin.clone()), "myorigin", text));
            None
        }
        Err(error) => {
            let text = format!("{}: cannot be read: {error}", entry.value);
            errors.push(Error::new(Some(entry.origin.clone()), "myorigin", text));
            None
        }
    }
}

/// The parameters as one service sees them.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    config: &'a Config,
    service: Option<&'a ServiceLine>,
    extra: &'a [(&'a str, &'a str)],
    /// Defaults that are being worked out, a bit for each of `COMPUTED`: a value that names itself ends there.
    working: u8,
}

/// Parameters whose defaults look at other parameters.
const COMPUTED: [&str; 3] = ["myhostname", "mydomain", "mynetworks"];

impl<'a> Scope<'a> {
    /// The same with settings that go before all others, such as `stress=yes`.
    pub fn with(self, extra: &'a [(&'a str, &'a str)]) -> Scope<'a> {
        Scope { extra, ..self }
    }

    /// The configuration behind this scope.
    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// The service whose view this is.
    pub fn service(&self) -> Option<&'a ServiceLine> {
        self.service
    }

    /// The unexpanded value of `name` and where it was set; nothing where it has neither setting nor default.
    pub fn find(&self, name: &str) -> Option<Found<'a>> {
        if let Some((_, value)) = self.extra.iter().find(|(n, _)| *n == name) {
            return Some(Found { raw: Cow::Borrowed(value), origin: None });
        }
        if let Some(found) = self.set(name) {
            return Some(found);
        }
        Some(Found { raw: self.default(name)?, origin: None })
    }

    /// The unexpanded value, if the service's line or main.cf sets it.
    fn set(&self, name: &str) -> Option<Found<'a>> {
        if is_forgotten(name) {
            return None;
        }
        if let Some((value, origin)) = self.service.and_then(|s| s.override_of(name)) {
            return Some(Found { raw: Cow::Borrowed(value), origin: Some(origin) });
        }
        let entry = self.config.main.get(name)?;
        if let ("myorigin", Some(text)) = (name, &self.config.origin_from_file) {
            return Some(Found { raw: Cow::Borrowed(text), origin: Some(&entry.origin) });
        }
        Some(Found { raw: Cow::Borrowed(&entry.value), origin: Some(&entry.origin) })
    }

    /// The unexpanded default of `name`.
    pub fn default(&self, name: &str) -> Option<Cow<'a, str>> {
        let service = self.service;
        match name {
            "service_name" => return Some(service.map_or("", |s| s.name.as_str()).into()),
            "process_name" => return Some(service.map_or("posthaste", |s| s.command.as_str()).into()),
            "config_directory" => return Some(self.config.directory.to_string_lossy()),
            _ => {}
        }
        match known::find(name) {
            Some(known) => match known.default {
                Default::Text(text) => Some(text.into()),
                Default::Computed => Some(self.computed(name).into()),
                Default::None => None,
            },
            None => parameters::find(name).map(|p| p.default.into()),
        }
    }

    fn computed(&self, name: &str) -> String {
        let bit = COMPUTED.iter().position(|n| *n == name).map_or(0, |at| 1 << at);
        if self.working & bit != 0 {
            return String::new();
        }
        let inner = Scope { working: self.working | bit, ..*self };
        let set = |name: &str| inner.set(name).and_then(|found| expand::expand(&found.raw, &inner).ok());
        match name {
            "myhostname" => self.config.host.myhostname(set("mydomain").as_deref()),
            "mydomain" => {
                let host = set("myhostname").unwrap_or_else(|| self.config.host.myhostname(None));
                host.split_once('.').map_or("localdomain", |(_, domain)| domain).to_owned()
            }
            "mynetworks" => {
                let value = |name: &str| inner.expanded(name).unwrap_or_default();
                let interfaces = crate::words::list(&value("inet_interfaces"));
                self.config.own_networks(&value("mynetworks_style"), &interfaces, &value("inet_protocols"))
            }
            "process_id" => std::process::id().to_string(),
            _ => String::new(),
        }
    }

    /// A mistake in the value of `name`, with where that was set; the text says what was expected and what was found.
    pub fn error(&self, name: &str, text: impl Into<String>) -> Error {
        Error::new(self.origin(name).cloned(), name, text)
    }

    /// Where the value of `name` was set; nothing where it is the default.
    pub fn origin(&self, name: &str) -> Option<&'a Origin> {
        self.find(name)?.origin
    }

    /// The expanded value; empty where it has none. The error names file and line.
    pub fn expanded(&self, name: &str) -> Result<String, Error> {
        match self.find(name) {
            None => Ok(String::new()),
            Some(found) => self.expand_found(name, &found),
        }
    }

    /// Expands a text in this scope, as the value of `name`.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        expand::expand(text, self)
    }

    fn expand_found(&self, name: &str, found: &Found<'_>) -> Result<String, Error> {
        self.expand(&found.raw).map_err(|text| Error::new(found.origin.cloned(), name, text))
    }

    /// The typed value of `name`, or of `fallback` (unexpanded) where it is not set; a mistake is added to `errors`.
    pub(crate) fn typed<K: Kind>(
        &self,
        name: &str,
        limits: &Limits,
        errors: &mut Vec<Error>,
    ) -> Option<K::Value> {
        let found = self.find(name).unwrap_or(Found { raw: limits.default.into(), origin: None });
        let text = match K::RAW {
            true => Ok(found.raw.clone().into_owned()),
            false => self.expand_found(name, &found),
        };
        let value = text.and_then(|text| {
            K::read(text.trim(), limits).map_err(|text| Error::new(found.origin.cloned(), name, text))
        });
        value.map_err(|error| errors.push(error)).ok()
    }

    fn check(&self, name: &str, parameter: &parameters::Parameter) -> Result<(), Error> {
        let mut errors = Vec::new();
        (parameter.check)(self, name, &parameter.limits(), &mut errors);
        errors.pop().map_or(Ok(()), Err)
    }
}

/// Whether `POSTHASTE_FORGET` names this parameter, whose settings then count for nothing. With it the test that
/// `honoured.tsv` names for a parameter is run as if no code read the parameter, and must fail; builds for use have it not.
fn is_forgotten(name: &str) -> bool {
    static FORGOTTEN: LazyLock<Vec<String>> = LazyLock::new(|| match cfg!(debug_assertions) {
        true => {
            std::env::var("POSTHASTE_FORGET").map_or_else(|_| Vec::new(), |names| crate::words::list(&names))
        }
        false => Vec::new(),
    });
    FORGOTTEN.iter().any(|forgotten| match known::family_suffix(forgotten) {
        None => forgotten == name,
        Some(suffix) => {
            let transport = name.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('_'));
            transport.is_some_and(|transport| transport != "default")
        }
    })
}

impl Names for Scope<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        self.find(name).map(|found| found.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::{Global, Smtpd, Transport};

    fn parse(main: &str, master: &str) -> Result<Config, Errors> {
        let host = Host { name: "host".into(), addresses: vec![("192.0.2.7".parse().unwrap(), 24)] };
        Config::parse(Path::new("/etc/postfix"), main, master, host)
    }

    #[test]
    fn a_wrong_value_hides_no_other_finding() {
        let (config, errors) = Config::survey_texts(
            Path::new("/etc/postfix"),
            "compatibility_level = 3.6\nsmtpd_timeout = soon\nsmtpd_milters = inet:127.0.0.1:8891\n",
            "smtp inet n - n - - smtpd\n  -o smtpd_recipient_limit=lots -o smtpd_helo_required=yes\n",
            Host::default(),
        );
        let wrong: Vec<_> = errors.iter().filter_map(|e| e.subject.as_deref()).collect();
        assert_eq!(wrong, ["smtpd_timeout", "smtpd_recipient_limit"]);
        assert!(config.main().get("smtpd_timeout").is_none());
        assert_eq!(config.services()[0].overrides, [("smtpd_helo_required".to_owned(), "yes".to_owned())]);
        let found: Vec<_> = config.check().into_iter().filter_map(|f| f.error.subject).collect();
        assert_eq!(found, ["smtpd_milters"]);
    }

    #[test]
    fn every_wrong_value_of_both_files_is_reported_at_once() {
        let errors = parse(
            "x = 1\nsmtpd_recipient_limit = lots\ninet_protocols = ipv5\nslow_destination_rate_delay = soon\n",
            "smtp inet n - n - - smtpd\n  -o smtpd_timeout=0\n",
        )
        .unwrap_err();
        assert_eq!(
            errors.to_string(),
            "/etc/postfix/main.cf:2: smtpd_recipient_limit: expected a number from 1 to 4294967295, found `lots`\n\
             /etc/postfix/main.cf:3: inet_protocols: expected words out of all, ipv4, ipv6, found `ipv5`\n\
             /etc/postfix/main.cf:4: slow_destination_rate_delay: expected a time like `30s` (units s m h d w; \
             without one s), found `soon`\n\
             /etc/postfix/master.cf:2: smtpd_timeout: expected a time of at least 1s (units s m h d w), found `0`"
        );
    }

    #[test]
    fn a_level_that_is_none_is_one_error_with_its_line() {
        for (level, found) in [("abc", "`abc`"), ("", "``"), ("3.x", "`3.x`"), ("3.6 # new", "`3.6 # new`")] {
            let main = format!("relayhost =\ncompatibility_level = {level}\nsmtpd_timeout = 10s\n");
            let expected = format!(
                "/etc/postfix/main.cf:2: compatibility_level: expected a compatibility level like 3.12, found {found}"
            );
            assert_eq!(parse(&main, "").unwrap_err().to_string(), expected);
        }
        assert!(parse("level = 3\ncompatibility_level = $level\n", "").is_ok());
    }

    #[test]
    fn a_lock_that_does_not_exist_is_an_error() {
        let main = "compatibility_level = 3.6\nmailbox_delivery_lock = fcntl, dotlok\n";
        let expected = "/etc/postfix/main.cf:2: mailbox_delivery_lock: expected words out of flock, fcntl, dotlock, \
                        found `dotlok`";
        assert_eq!(parse(main, "").unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_loop_is_told_with_its_names() {
        let errors = parse("compatibility_level = 3.6\nx = $y\ny = ${x}\nrelayhost = $x\n", "").unwrap_err();
        assert_eq!(
            errors.to_string(),
            "/etc/postfix/main.cf:4: relayhost: expected a definition that ends, found one that names itself: x -> y -> x"
        );
    }

    #[test]
    fn names_of_the_host_follow_each_other_and_end() {
        let names = |main: &str| {
            let global = Global::read(&parse(main, "").unwrap(), None).unwrap();
            (global.myhostname, global.mydomain, global.mydestination.join(" "), global.mynetworks.join(" "))
        };
        let own = "192.0.2.7/32".to_owned();
        assert_eq!(
            names("compatibility_level = 3.6"),
            (
                "host.localdomain".into(),
                "localdomain".into(),
                "host.localdomain localhost.localdomain localhost".into(),
                own.clone()
            )
        );
        let (host, domain, ..) = names("mydomain = example.org");
        assert_eq!((host.as_str(), domain.as_str()), ("host.example.org", "example.org"));
        let (host, domain, _, networks) =
            names("compatibility_level = 3.6\nmyhostname = a.b.c\nmynetworks_style = subnet");
        assert_eq!((host.as_str(), domain.as_str(), networks.as_str()), ("a.b.c", "b.c", "192.0.2.0/24"));
        // Each names the other: whatever comes out, it ends.
        names("mydomain = $myhostname$mynetworks\ninet_interfaces = $mynetworks $myhostname");
    }

    #[test]
    fn defaults_follow_the_compatibility_level() {
        let relay =
            |main: &str| Smtpd::read(&parse(main, "").unwrap(), None).unwrap().smtpd_relay_restrictions;
        assert_eq!(relay("compatibility_level = 3.12").len(), 3);
        assert_eq!(relay("").len(), 0);
    }

    #[test]
    fn a_service_sees_its_own_settings_and_its_name() {
        let config = parse(
            "smtpd_banner = $myhostname $service_name\nmyhostname = a.b\n",
            "sub inet n - n - - smtpd -o myhostname=c.d\n",
        )
        .unwrap();
        let service = config.service("sub", ServiceType::Inet);
        let read = |scope: Scope<'_>| Smtpd::read_in(&scope).unwrap();
        assert_eq!(read(config.scope(service)).smtpd_banner, "c.d sub");
        assert_eq!(read(config.scope(None)).smtpd_banner, "a.b");
        assert_eq!(read(config.scope(service)).smtpd_timeout.as_secs(), 300);
        assert_eq!(read(config.scope(service).with(&[("stress", "yes")])).smtpd_timeout.as_secs(), 10);
    }

    #[test]
    fn families_fall_back_to_their_defaults() {
        let config =
            parse("default_destination_concurrency_limit = 7\nslow_destination_rate_delay = 2m\n", "")
                .unwrap();
        let of = |transport| Transport::read(&config.scope(None), transport).unwrap();
        assert_eq!(of("slow").destination_rate_delay.as_secs(), 120);
        assert_eq!(of("slow").destination_concurrency_limit, 7);
        assert_eq!(
            (of("local").destination_concurrency_limit, of("local").destination_recipient_limit),
            (2, 1)
        );
    }
}
