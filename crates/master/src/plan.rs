//! What master needs of a configuration: directories, identities, where to log and where to listen.

use crate::columns;
use crate::environment::Environment;
use crate::owners::{Identity, IdentityError};
use crate::role::RoleKind;
use config::parameters::{Global, Master};
use config::{Config, Error, Errors, Origin, ServiceLine, ServiceType, Severity};
use net::Families;
use observe::{Destination, Facility, Fallback, Settings};
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The syslog socket of the host.
const SYSLOG_SOCKET: &str = "/dev/log";

/// What master works by; made anew at reload.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The directory of main.cf.
    pub config_directory: PathBuf,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `data_directory`.
    pub data_directory: PathBuf,
    /// Who the roles become; `None` runs everything as the caller.
    pub identity: Option<Identity>,
    /// Where log lines go.
    pub log: LogPlan,
    /// What its processes have of the environment.
    pub environment: Environment,
    /// The sockets of the smtpd services.
    pub listeners: Vec<ListenerPlan>,
    /// `service_throttle_time`: the longest pause before a role that does not come up is started again.
    pub throttle: Duration,
    /// What the administrator should know, one line each.
    pub warnings: Vec<String>,
}

/// Where log lines go.
#[derive(Clone, Debug)]
pub struct LogPlan {
    /// `syslog_name`.
    pub syslog_name: String,
    /// `maillog_file`, where it is set.
    pub maillog_file: Option<PathBuf>,
    /// `maillog_file_permissions`, for a file that is new.
    pub file_mode: u32,
    /// `syslog_facility`.
    pub facility: Facility,
    /// Takes the lines while nobody listens on the syslog socket.
    pub fallback: PathBuf,
}

/// One listening socket of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerPlan {
    /// `smtp/inet`: the service's line of master.cf.
    pub service: String,
    /// Where that line is.
    pub origin: Origin,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Which process serves it.
    pub role: RoleKind,
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// On a port of an address.
    Tcp(SocketAddr),
    /// On a Unix socket, relative to queue_directory: `private/inner`.
    Unix(PathBuf),
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Endpoint::Tcp(address) => write!(f, "{address}"),
            Endpoint::Unix(name) => write!(f, "{}", name.display()),
        }
    }
}

/// The name of a service as links and limits know it: `smtp/inet`.
pub fn service_key(service: &ServiceLine) -> String {
    format!("{}/{}", service.name, service.kind)
}

impl Plan {
    /// The plan of a configuration; the error holds all that keeps it from being used. With `as_caller` no other
    /// identity is taken even where we are root.
    pub fn of(config: &Config, as_caller: bool) -> Result<Plan, Errors> {
        let global = Global::read(config, None)?;
        let master = Master::read(config, None)?;
        let (mut errors, mut warnings) = (tables::unknown_kinds(config), Vec::new());
        for finding in config.check() {
            match finding.severity {
                Severity::Error => errors.push(finding.error),
                Severity::Warning => warnings.push(finding.error.to_string()),
            }
        }
        warnings.extend(columns::warnings(config).iter().map(ToString::to_string));
        let log = LogPlan::of(config, &global).map_err(|e| errors.push(e)).ok();
        let identity = if as_caller {
            None
        } else {
            let found = Identity::find(&global.mail_owner, &global.setgid_group);
            found.map_err(|e| errors.push(identity_error(config, &e))).ok().flatten()
        };
        let environment = Environment::of(&global.import_environment);
        let environment = environment.map_err(|text| {
            let origin = config.main().get("import_environment").map(|entry| entry.origin.clone());
            errors.push(Error::new(origin, "import_environment", text));
        });
        let listeners = listeners(config, &global, &master, identity.is_some(), &mut errors, &mut warnings);
        if !listeners.iter().any(|l| l.role.is_intake()) {
            let master_cf = config.directory().join("master.cf");
            let text = "no smtpd line that listens: no mail comes in by SMTP";
            warnings.push(format!("{}: {text}", master_cf.display()));
        }
        Errors::check(errors)?;
        Ok(Plan {
            config_directory: config.directory().into(),
            queue_directory: global.queue_directory.into(),
            data_directory: global.data_directory.into(),
            identity,
            log: log.ok_or_else(|| Error::general(None, "syslog_facility cannot be used"))?,
            environment: environment.unwrap_or_default(),
            listeners,
            throttle: master.service_throttle_time,
            warnings,
        })
    }

    /// The processes of this configuration in the order in which they start: smtpd is divided where its services want
    /// different roots.
    pub fn roles(&self) -> Vec<RoleKind> {
        let has = |role| self.listeners.iter().any(|l| l.role == role);
        let chrooted = has(RoleKind::ChrootedSmtpd);
        RoleKind::ALL
            .into_iter()
            .filter(|role| match role {
                // Without any service it still takes in what lies in maildrop/.
                RoleKind::Smtpd => has(RoleKind::Smtpd) || !chrooted,
                RoleKind::ChrootedSmtpd => chrooted,
                _ => true,
            })
            .collect()
    }

    /// The process that takes in what lies in maildrop/.
    pub fn pickup_role(&self) -> RoleKind {
        let smtpd = self.roles().contains(&RoleKind::Smtpd);
        if smtpd { RoleKind::Smtpd } else { RoleKind::ChrootedSmtpd }
    }

    /// Program and number in the log, for master itself.
    pub fn tag(&self, program: &str) -> observe::Tag {
        observe::Tag::new(&self.log.syslog_name, program, std::process::id())
    }
}

impl LogPlan {
    /// How the instance of this configuration logs.
    pub fn of(config: &Config, global: &Global) -> Result<LogPlan, Error> {
        let wrong = |name: &str, expected: &str, found: &str| {
            config.scope(None).error(name, format!("expected {expected}, found `{found}`"))
        };
        let name = &global.syslog_facility;
        let facility = Facility::parse(name)
            .ok_or_else(|| wrong("syslog_facility", "a facility such as mail or local0", name))?;
        let file = global.maillog_file.as_str();
        let allowed = |prefix: &String| file.starts_with(prefix.as_str());
        if !file.is_empty() && !global.maillog_file_prefixes.iter().any(allowed) {
            let expected = format!(
                "a path below one of maillog_file_prefixes ({})",
                global.maillog_file_prefixes.join(", ")
            );
            return Err(wrong("maillog_file", &expected, file));
        }
        Ok(LogPlan {
            syslog_name: global.syslog_name.clone(),
            maillog_file: (!file.is_empty()).then(|| file.into()),
            // The type of the parameter knows three words.
            file_mode: u32::from_str_radix(&global.maillog_file_permissions, 8).unwrap_or(0o600),
            facility,
            fallback: Path::new(&global.data_directory).join("maillog"),
        })
    }

    /// Opens the log file, if there is to be one; a new one gets its mode.
    pub fn open_file(&self) -> io::Result<Option<File>> {
        let Some(path) = &self.maillog_file else { return Ok(None) };
        let new = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).and_then(|file| {
            // What the umask takes from a mode at creation.
            file.set_permissions(Permissions::from_mode(self.file_mode)).map(|()| file)
        });
        match new {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().append(true).open(path).map(Some)
            }
            new => new.map(Some),
        }
    }

    /// How a process logs; `open` is the log file that master opened for it.
    pub fn settings(&self, open: Option<File>, console: bool) -> Settings {
        // Where it cannot be opened, whoever logs says so.
        let open = open.or_else(|| self.open_file().ok().flatten());
        let destination = match (open, &self.maillog_file) {
            (Some(file), _) => Destination::Open(file),
            (None, Some(path)) => Destination::Path(path.clone()),
            (None, None) => Destination::Syslog {
                socket: SYSLOG_SOCKET.into(),
                facility: self.facility,
                connected: None,
                fallback: Some(Fallback::Path(self.fallback.clone())),
            },
        };
        Settings { destination, console }
    }
}

fn identity_error(config: &Config, error: &IdentityError) -> Error {
    let name = match error {
        IdentityError::NoGroup(_) | IdentityError::OwnersGroup(..) => "setgid_group",
        _ => "mail_owner",
    };
    Error::general(config.scope(None).origin(name).cloned(), error.to_string())
}

/// The sockets of all services that take SMTP. Services that we do not have yet are warned about.
fn listeners(
    config: &Config,
    global: &Global,
    master: &Master,
    // Only root can chroot.
    is_root: bool,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<String>,
) -> Vec<ListenerPlan> {
    let families = Families {
        v4: global.inet_protocols.iter().any(|p| p == "all" || p == "ipv4"),
        v6: global.inet_protocols.iter().any(|p| p == "all" || p == "ipv6"),
    };
    let mut all = Vec::new();
    for service in config.services().iter().filter(|s| !disabled(s, &master.master_service_disable)) {
        let key = service_key(service);
        match (service.kind, service.command.as_str()) {
            (ServiceType::Inet | ServiceType::Unix | ServiceType::Pass, "smtpd")
            | (ServiceType::Inet, "postscreen")
            | (ServiceType::Inet | ServiceType::Unix, "spawn") => {}
            (ServiceType::Inet, other) => {
                warnings.push(format!(
                    "{}: {key}: {other} is not available yet: nobody listens there",
                    service.origin
                ));
                continue;
            }
            (kind, "smtpd") => {
                warnings.push(format!("{}: {key}: smtpd over {kind} is not available yet", service.origin));
                continue;
            }
            _ => continue,
        }
        let wrong = |text: String| Error::new(Some(service.origin.clone()), &key, text);
        // Who passes postscreen is handed over within the process.
        let process_of = match service.command.as_str() {
            "postscreen" => match onward(config, service) {
                Ok(onward) => onward,
                Err(text) => {
                    errors.push(wrong(text));
                    continue;
                }
            },
            _ => service,
        };
        let chrooted = is_root && config.is_chrooted(process_of);
        let role = match service.command.as_str() {
            "spawn" => RoleKind::Local,
            _ if chrooted => RoleKind::ChrootedSmtpd,
            _ => RoleKind::Smtpd,
        };
        if service.chroot == Some(true) && !is_root && role != RoleKind::Local {
            let text = "not started as root, so it cannot be chrooted: it runs as the others do";
            warnings.push(wrong(text.into()).to_string());
        }
        let planned = |endpoint| {
            let (service, origin) = (key.clone(), service.origin.clone());
            ListenerPlan { service, origin, endpoint, role }
        };
        if service.kind != ServiceType::Inet {
            let name = Path::new(if service.private { "private" } else { "public" }).join(&service.name);
            all.push(planned(Endpoint::Unix(name)));
            continue;
        }
        let (host, port) = service.endpoint().unwrap_or((None, &service.name));
        let Some(port) = config.ports().to_listen(port) else {
            errors.push(wrong(format!("expected a port or a name of /etc/services, found `{port}`")));
            continue;
        };
        let words: Vec<&str> = match host {
            Some(host) => vec![host],
            None => global.inet_interfaces.iter().map(String::as_str).collect(),
        };
        for word in words {
            match net::interface_addresses(word, families) {
                Ok(found) => {
                    all.extend(found.into_iter().map(|ip| planned(Endpoint::Tcp((ip, port).into()))));
                }
                Err(e) => errors.push(wrong(format!("{word}: no address to listen on: {e}"))),
            }
        }
    }
    all.dedup();
    all
}

/// The service that takes the clients which pass a postscreen service (`smtpd_service_name`).
fn onward<'a>(config: &'a Config, screen: &ServiceLine) -> Result<&'a ServiceLine, String> {
    let name = config.scope(Some(screen)).expanded("smtpd_service_name").map_err(|e| e.to_string())?;
    let found = config.service(&name, ServiceType::Pass).filter(|service| service.command == "smtpd");
    found.ok_or_else(|| {
        format!("expected a line `{name} pass - - n - - smtpd` that takes the clients which pass, found none")
    })
}

/// `master_service_disable`: `name/type`, or a type for all of it.
fn disabled(service: &ServiceLine, patterns: &[String]) -> bool {
    // `name.type` is the older form.
    let older = format!("{}.{}", service.name, service.kind);
    patterns.iter().any(|p| *p == service_key(service) || *p == older || p == service.kind.name())
}

/// Whether a failure to listen means that the host lacks an IP version, which is no reason not to start.
pub fn is_missing_family(address: IpAddr, error: &std::io::Error) -> bool {
    address.is_ipv6()
        && address.is_unspecified()
        && matches!(
            rustix::io::Errno::from_io_error(error),
            Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;

    fn plan(main: &str, master: &str) -> Result<Plan, Errors> {
        let config = Config::parse(Path::new("/etc/postfix"), main, master, Host::this()).unwrap();
        Plan::of(&config, true)
    }

    #[test]
    fn every_inet_smtpd_line_listens_on_the_interfaces_or_on_its_own_address() {
        let main = "compatibility_level = 3.6\ninet_interfaces = 127.0.0.1, [::1]\nmaillog_file = /var/log/mail.log\n";
        let master = "smtp inet n - n - - smtpd\n[::1]:2525 inet n - n - - smtpd\n10025 inet n - n - - spawn user=x argv=/bin/x\n\
                      cleanup unix n - n - 0 cleanup\nsmtp unix - - n - - smtp\n628 inet n - n - - qmqpd\n\
                      policy unix - n n - 0 spawn user=x argv=/bin/x\n";
        let plan = plan(main, master).unwrap();
        let shown = |l: &ListenerPlan| format!("{} {} {}", l.service, l.endpoint, l.role);
        let found: Vec<String> = plan.listeners.iter().map(shown).collect();
        assert_eq!(
            found,
            [
                "smtp/inet 127.0.0.1:25 smtpd",
                "smtp/inet [::1]:25 smtpd",
                "[::1]:2525/inet [::1]:2525 smtpd",
                "10025/inet 127.0.0.1:10025 local",
                "10025/inet [::1]:10025 local",
                "policy/unix private/policy local"
            ]
        );
        assert_eq!(plan.warnings.len(), 1);
        assert!(
            plan.warnings[0].starts_with("/etc/postfix/master.cf:6: 628/inet: qmqpd"),
            "{:?}",
            plan.warnings
        );
    }

    #[test]
    fn the_chroot_column_divides_the_services_and_warns_only_where_it_says_y_in_vain() {
        let master = "2525 inet n - y - - smtpd\n2526 inet n - n - - smtpd\n2527 inet n - - - - smtpd\n";
        let roles = |level: &str, possible: bool| {
            let main = format!("compatibility_level = {level}\ninet_interfaces = 127.0.0.1\n");
            let config = Config::parse(Path::new("/etc/postfix"), &main, master, Host::this()).unwrap();
            let (global, own) = (Global::read(&config, None).unwrap(), Master::read(&config, None).unwrap());
            let (mut errors, mut warnings) = (Vec::new(), Vec::new());
            let found = listeners(&config, &global, &own, possible, &mut errors, &mut warnings);
            let names: Vec<_> = found.iter().map(|l| l.role.name()).collect();
            (names.join(" "), warnings)
        };
        assert_eq!(roles("1", true), ("smtpd-chroot smtpd smtpd".into(), vec![]));
        assert_eq!(roles("0", true), ("smtpd-chroot smtpd smtpd-chroot".into(), vec![]));
        let warning = "/etc/postfix/master.cf:1: 2525/inet: not started as root, so it cannot be chrooted: \
                       it runs as the others do";
        assert_eq!(roles("0", false), ("smtpd smtpd smtpd".into(), vec![warning.to_owned()]));
    }

    #[test]
    fn unix_and_pass_services_listen_where_their_private_column_says() {
        let master = "inner unix - - n - - smtpd\nouter unix n - n - - smtpd\n\
                      passer pass - - n - - smtpd\nsmtpd fifo n - n - - smtpd\n";
        let plan = plan("inet_interfaces = 127.0.0.1\n", master).unwrap();
        let found: Vec<String> =
            plan.listeners.iter().map(|l| format!("{} {}", l.service, l.endpoint)).collect();
        assert_eq!(
            found,
            ["inner/unix private/inner", "outer/unix public/outer", "passer/pass private/passer"]
        );
        let words = "/etc/postfix/master.cf:4: smtpd/fifo: smtpd over fifo is not available yet";
        assert!(plan.warnings.iter().any(|w| w == words), "{:?}", plan.warnings);
    }

    #[test]
    fn postscreen_listens_in_the_process_of_the_service_that_takes_its_clients() {
        let main = "compatibility_level = 3.12\ninet_interfaces = 127.0.0.1\nsmtpd_service_name = inner\n";
        let screen = "2525 inet n - n - 1 postscreen\n";
        let master = format!("{screen}inner pass - - n - - smtpd\ndnsblog unix - - n - 0 dnsblog\n");
        let plan = plan(main, &format!("{master}tlsproxy unix - - n - 0 tlsproxy\n")).unwrap();
        let found: Vec<String> =
            plan.listeners.iter().map(|l| format!("{} {}", l.service, l.endpoint)).collect();
        assert_eq!(found, ["2525/inet 127.0.0.1:2525", "inner/pass private/inner"]);
        assert_eq!(plan.warnings, Vec::<String>::new());
        let errors = self::plan(main, screen).unwrap_err().to_string();
        let told = "/etc/postfix/master.cf:1: 2525/inet: expected a line `inner pass - - n - - smtpd` that takes \
                    the clients which pass, found none";
        assert_eq!(errors, told);
    }

    #[test]
    fn there_is_one_smtpd_for_each_root_and_one_of_them_picks_up() {
        let mut plan = plan("inet_interfaces = 127.0.0.1\n", "2525 inet n - n - - smtpd\n").unwrap();
        let intake = |plan: &Plan| {
            let kinds: Vec<_> = plan.roles().into_iter().filter(|r| r.is_intake()).collect();
            (kinds, plan.pickup_role())
        };
        let (plain, chrooted) = (RoleKind::Smtpd, RoleKind::ChrootedSmtpd);
        assert_eq!(intake(&plan), (vec![plain], plain));
        let other = ListenerPlan { role: chrooted, ..plan.listeners[0].clone() };
        plan.listeners.push(other.clone());
        assert_eq!(intake(&plan), (vec![plain, chrooted], plain));
        plan.listeners = vec![other];
        assert_eq!(intake(&plan), (vec![chrooted], chrooted));
        plan.listeners.clear();
        assert_eq!(intake(&plan), (vec![plain], plain));
    }

    #[test]
    fn the_locks_lie_in_the_directories_that_are_set() {
        let plan = plan("data_directory = /srv/lib\nqueue_directory = /srv/spool\n", "").unwrap();
        assert_eq!((plan.data_directory, plan.queue_directory), ("/srv/lib".into(), "/srv/spool".into()));
    }

    #[test]
    fn a_log_file_lies_below_what_is_allowed() {
        let plan = plan("maillog_file = /srv/log\nmaillog_file_prefixes = /srv\n", "").unwrap();
        assert_eq!(plan.log.maillog_file.as_deref(), Some(Path::new("/srv/log")));
    }

    #[test]
    fn a_role_that_does_not_come_up_waits_as_long_as_is_set() {
        assert_eq!(plan("service_throttle_time = 5s\n", "").unwrap().throttle, Duration::from_secs(5));
    }

    #[test]
    fn a_disabled_service_does_not_listen() {
        let master = "2525 inet n - n - - smtpd\n2526 inet n - n - - smtpd\n";
        let main = "inet_interfaces = 127.0.0.1\nmaster_service_disable = ";
        assert_eq!(plan(&format!("{main}2525/inet\n"), master).unwrap().listeners.len(), 1);
        assert_eq!(plan(&format!("{main}inet\n"), master).unwrap().listeners.len(), 0);
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_line() {
        let errors = plan("syslog_facility = post\n", "nowhere-port inet n - n - - smtpd\n").unwrap_err();
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "/etc/postfix/main.cf:1: syslog_facility: expected a facility such as mail or local0, found `post`",
                "/etc/postfix/master.cf:1: nowhere-port/inet: expected a port or a name of /etc/services, found `nowhere-port`",
            ]
        );
        let errors = plan("maillog_file = /tmp/x\n", "").unwrap_err();
        assert!(
            errors.to_string().contains("maillog_file_prefixes (/var, /dev/stdout), found `/tmp/x`"),
            "{errors}"
        );
    }
}
