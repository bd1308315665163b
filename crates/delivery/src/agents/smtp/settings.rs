//! What the SMTP and LMTP client takes from the configuration.

use crate::ReportStyle;
use config::parameters::{Client, Global, Rewrite};
use config::{Error, Errors, Ports, Scope};
use net::Families;
use protocol::smtp::client::{EhloUse, Protocol, Settings as Dialogue, Stage};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Connections of one agent at once, idle ones included; beyond it idle ones are closed, then deliveries wait.
/// Well below the descriptors that a process has by default.
const CONNECTIONS_MAX: usize = 4000;

/// Where `lmtp_connect_timeout = 0` leaves it to the system: what Linux waits with six SYN packets.
const SYSTEM_CONNECT_TIMEOUT: Duration = Duration::from_secs(127);

/// How mail is sent to other servers: Postfix's `smtp_…` or `lmtp_…` parameters.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How the dialogue is held.
    pub dialogue: Dialogue,
    /// How long each stage may take.
    pub timeouts: Timeouts,
    /// `smtp_min_data_rate` where `smtp_per_request_deadline` makes the time limits those of whole requests.
    pub request_rate: Option<u64>,
    /// The port where the destination names none.
    pub port: u16,
    /// The names that a destination may have for a port.
    pub ports: Ports,
    /// `inet_protocols`.
    pub families: Families,
    /// Our own addresses, to notice mail that would come back to us (`inet_interfaces`, `proxy_interfaces`).
    pub own_addresses: Vec<IpAddr>,
    /// Our name; a server that calls itself so is ourselves.
    pub myhostname: String,
    /// `relayhost`: a mistake in it defers mail rather than bouncing it.
    pub relayhost: String,
    /// `smtp_fallback_relay`.
    pub fallback_relays: Vec<String>,
    /// `smtp_address_preference`: `Some(true)` is IPv6 first, `None` any.
    pub prefer_v6: Option<bool>,
    /// `smtp_balance_inet_protocols`.
    pub balance_families: bool,
    /// `smtp_randomize_addresses`.
    pub randomize: bool,
    /// `smtp_mx_address_limit`; 0 is no limit.
    pub address_limit: usize,
    /// `smtp_mx_session_limit`; 0 is no limit.
    pub session_limit: usize,
    /// `smtp_defer_if_no_mx_address_found`.
    pub defer_if_no_mx_address: bool,
    /// `smtp_host_lookup`: /etc/hosts is asked too.
    pub native_lookup: bool,
    /// `smtp_skip_5xx_greeting`.
    pub skip_5xx_greeting: bool,
    /// `smtp_skip_quit_response`.
    pub skip_quit_response: bool,
    /// `smtp_send_xforward_command`.
    pub send_xforward: bool,
    /// `smtp_line_length_limit`; 0 is no limit.
    pub line_bytes_max: usize,
    /// `smtp_connection_cache_on_demand`.
    pub keep: Keep,
    /// `smtp_discard_ehlo_keywords` as they are logged; `None` where there are none or `silent-discard` is among them.
    pub discarded_keywords: Option<String>,
    /// `smtp_connection_cache_destinations`, in lower case: domains, hosts, sockets, or `static:all`.
    pub keep_for: Vec<String>,
    /// `smtp_connection_cache_time_limit`: how long a connection waits for the next message.
    pub idle_limit: Duration,
    /// `smtp_connection_reuse_time_limit`: how old a connection may be when it takes another message.
    pub reuse_time_limit: Duration,
    /// `smtp_connection_reuse_count_limit`; 0 is no limit.
    pub reuse_count_limit: u32,
    /// `smtp_bind_address`, `smtp_bind_address6`.
    pub source: Vec<IpAddr>,
    /// Relative socket paths are below it (`queue_directory`).
    pub queue_directory: PathBuf,
    /// The service's line asks for a chroot: absolute socket paths are tried below queue_directory first.
    pub chrooted: bool,
    /// Connections at once.
    pub connections_max: usize,
    /// How results are logged.
    pub report: ReportStyle,
}

/// When a connection is kept for another message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Where the destination has more mail, or had some in the last second.
    OnDemand,
    /// In any case.
    Always,
    /// Never.
    Never,
}

/// How long each stage may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Setting up the connection.
    pub connect: Duration,
    /// Greeting, EHLO, HELO, LHLO.
    pub helo: Duration,
    /// XFORWARD.
    pub xforward: Duration,
    /// MAIL.
    pub mail: Duration,
    /// RCPT.
    pub rcpt: Duration,
    /// DATA.
    pub data_init: Duration,
    /// Each write of content.
    pub data_xfer: Duration,
    /// The reply to the content.
    pub data_done: Duration,
    /// RSET.
    pub rset: Duration,
    /// QUIT.
    pub quit: Duration,
}

impl Timeouts {
    /// How long a stage may take.
    pub fn of(&self, stage: Stage) -> Duration {
        match stage {
            Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo => self.helo,
            Stage::Rset => self.rset,
            Stage::ForwardClient | Stage::ForwardRest => self.xforward,
            Stage::Mail => self.mail,
            Stage::Rcpt => self.rcpt,
            Stage::Data => self.data_init,
            Stage::Content => self.data_xfer,
            Stage::End => self.data_done,
            Stage::Quit => self.quit,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Timeouts {
            connect: secs(30),
            helo: secs(300),
            xforward: secs(300),
            mail: secs(300),
            rcpt: secs(300),
            data_init: secs(120),
            data_xfer: secs(180),
            data_done: secs(600),
            rset: secs(20),
            quit: secs(300),
        }
    }
}

impl Default for Settings {
    /// Postfix's defaults for SMTP.
    fn default() -> Self {
        Settings {
            dialogue: Dialogue::default(),
            timeouts: Timeouts::default(),
            request_rate: None,
            port: 25,
            ports: Ports::default(),
            families: Families::ALL,
            own_addresses: Vec::new(),
            myhostname: "localhost".into(),
            relayhost: String::new(),
            fallback_relays: Vec::new(),
            prefer_v6: None,
            balance_families: true,
            randomize: true,
            address_limit: 5,
            session_limit: 2,
            defer_if_no_mx_address: false,
            native_lookup: false,
            skip_5xx_greeting: true,
            skip_quit_response: true,
            send_xforward: false,
            line_bytes_max: 998,
            keep: Keep::OnDemand,
            discarded_keywords: None,
            keep_for: Vec::new(),
            idle_limit: Duration::from_secs(2),
            reuse_time_limit: Duration::from_secs(300),
            reuse_count_limit: 0,
            source: Vec::new(),
            queue_directory: "/var/spool/postfix".into(),
            chrooted: false,
            connections_max: CONNECTIONS_MAX,
            report: ReportStyle::default(),
        }
    }
}

impl Settings {
    /// Reads the settings as a service of master.cf sees them, by their `smtp_` or `lmtp_` names.
    pub fn read(scope: &Scope<'_>, protocol: Protocol) -> Result<Settings, Errors> {
        let global = Global::read_in(scope)?;
        let rewrite = Rewrite::read_in(scope)?;
        let client = Client::read_in(scope, protocol == Protocol::Lmtp)?;
        let ports = scope.config().ports().clone();
        let port = ports.to_connect(&client.tcp_port).ok_or_else(|| {
            let name = if protocol == Protocol::Lmtp { "lmtp_tcp_port" } else { "smtp_tcp_port" };
            Error::new(None, name, format!("expected a port, found `{}`", client.tcp_port))
        })?;
        let mut errors = Vec::new();
        let own_addresses = scope.config().own_addresses(&global, &mut errors);
        Errors::check(errors)?;
        let families = Families::parse(&global.inet_protocols.join(" ")).unwrap_or(Families::ALL);
        let connect = client.connect_timeout;
        Ok(Settings {
            dialogue: Dialogue {
                protocol,
                helo_name: client.helo_name,
                ehlo: match (client.never_send_ehlo, client.always_send_ehlo) {
                    (true, _) => EhloUse::Never,
                    (false, true) => EhloUse::Always,
                    (false, false) => EhloUse::WhereGreeted,
                },
                discard_keywords: client
                    .discard_ehlo_keywords
                    .iter()
                    .map(|w| w.to_ascii_lowercase())
                    .collect(),
                quote_addresses: client.quote_rfc821_envelope,
            },
            timeouts: Timeouts {
                connect: if connect.is_zero() { SYSTEM_CONNECT_TIMEOUT } else { connect },
                helo: client.helo_timeout,
                mail: client.mail_timeout,
                rcpt: client.rcpt_timeout,
                data_init: client.data_init_timeout,
                data_xfer: client.data_xfer_timeout,
                data_done: client.data_done_timeout,
                xforward: client.xforward_timeout,
                rset: client.rset_timeout,
                quit: client.quit_timeout,
            },
            request_rate: client.per_request_deadline.then_some(client.min_data_rate),
            port,
            ports,
            families,
            own_addresses,
            myhostname: global.myhostname,
            relayhost: rewrite.relayhost,
            fallback_relays: client.fallback_relay,
            prefer_v6: match client.address_preference.as_str() {
                "ipv4" => Some(false),
                "ipv6" => Some(true),
                _ => None,
            },
            balance_families: client.balance_inet_protocols,
            randomize: client.randomize_addresses,
            address_limit: bounded(client.mx_address_limit),
            session_limit: bounded(client.mx_session_limit),
            defer_if_no_mx_address: client.defer_if_no_mx_address_found,
            native_lookup: client.host_lookup.iter().any(|w| w == "native"),
            skip_5xx_greeting: client.skip_5xx_greeting,
            skip_quit_response: client.skip_quit_response,
            send_xforward: client.send_xforward_command,
            line_bytes_max: bounded(client.line_length_limit),
            discarded_keywords: logged_keywords(&client.discard_ehlo_keywords),
            keep_for: client.connection_cache_destinations.iter().map(|d| d.to_ascii_lowercase()).collect(),
            keep: if client.connection_cache_on_demand { Keep::OnDemand } else { Keep::Never },
            idle_limit: client.connection_cache_time_limit,
            reuse_time_limit: client.connection_reuse_time_limit,
            reuse_count_limit: u32::try_from(client.connection_reuse_count_limit).unwrap_or(u32::MAX),
            source: [client.bind_address, client.bind_address6]
                .iter()
                .filter_map(|a| a.parse().ok())
                .collect(),
            queue_directory: global.queue_directory.into(),
            chrooted: scope.service().is_some_and(|service| scope.config().is_chrooted(service)),
            connections_max: CONNECTIONS_MAX,
            report: ReportStyle {
                soft_bounce: global.soft_bounce,
                delay_decimals: u32::try_from(global.delay_logging_resolution_limit).unwrap_or(2),
            },
        })
    }
}

/// The keywords in Postfix's order.
fn logged_keywords(discarded: &[String]) -> Option<String> {
    const ORDER: [&str; 15] = [
        "8BITMIME",
        "AUTH",
        "ETRN",
        "PIPELINING",
        "SIZE",
        "VERP",
        "VRFY",
        "XCLIENT",
        "XFORWARD",
        "STARTTLS",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "SMTPUTF8",
        "CHUNKING",
        "REQUIRETLS",
    ];
    let has = |word: &str| discarded.iter().any(|d| d.eq_ignore_ascii_case(word));
    let logged: Vec<&str> = ORDER.into_iter().filter(|word| has(word)).collect();
    (!logged.is_empty() && !has("silent-discard")).then(|| logged.join(" "))
}

fn bounded(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Config, Host, ServiceType};
    use std::path::Path;

    fn read(main_cf: &str, protocol: Protocol) -> Result<Settings, Errors> {
        let host =
            Host { name: "mx.example.com".into(), addresses: vec![("192.0.2.1".parse().unwrap(), 24)] };
        let master_cf = "smtp unix - - n - - smtp\nrelay unix - - n - - smtp -o smtp_helo_timeout=5s\n";
        let config = Config::parse(Path::new("/etc/postfix"), main_cf, master_cf, host).unwrap();
        let relay = config.service("relay", ServiceType::Unix);
        Settings::read(&config.scope(relay), protocol)
    }

    #[test]
    fn an_empty_main_cf_gives_postfixs_defaults() {
        let got = read("", Protocol::Smtp).unwrap();
        let mut expected =
            Settings { own_addresses: vec!["192.0.2.1".parse().unwrap()], ..Settings::default() };
        expected.myhostname = "mx.example.com".into();
        expected.dialogue.helo_name = "mx.example.com".into();
        expected.timeouts.helo = Duration::from_secs(5);
        assert_eq!(format!("{got:#?}"), format!("{expected:#?}"));
        let lmtp = read("", Protocol::Lmtp).unwrap();
        assert_eq!((lmtp.port, lmtp.skip_quit_response), (24, false));
        assert_eq!(lmtp.timeouts.connect, SYSTEM_CONNECT_TIMEOUT);
    }

    #[test]
    fn discarded_keywords_are_told_unless_silence_is_asked_for() {
        let told = |value: &str| {
            read(&format!("smtp_discard_ehlo_keywords = {value}\n"), Protocol::Smtp)
                .unwrap()
                .discarded_keywords
        };
        assert_eq!(told("size, Pipelining 8bitmime").as_deref(), Some("8BITMIME PIPELINING SIZE"));
        assert_eq!((told("size, silent-discard"), told("")), (None, None));
    }

    #[test]
    fn ehlo_or_helo_is_a_matter_of_two_parameters() {
        for (main_cf, expected) in [
            ("", EhloUse::Always),
            ("smtp_always_send_ehlo = no\n", EhloUse::WhereGreeted),
            ("smtp_never_send_ehlo = yes\n", EhloUse::Never),
        ] {
            assert_eq!(read(main_cf, Protocol::Smtp).unwrap().dialogue.ehlo, expected, "{main_cf}");
        }
    }

    /// Settings off their defaults; what depends on another one has it beside it.
    const OFF_DEFAULT: &[&str] = &[
        "smtp_address_preference = ipv6",
        "smtp_balance_inet_protocols = no",
        "smtp_bind_address = 192.0.2.7",
        "smtp_bind_address6 = 2001:db8::7",
        "smtp_connect_timeout = 7s",
        "smtp_connection_cache_destinations = static:all",
        "smtp_connection_cache_on_demand = no",
        "smtp_connection_cache_time_limit = 7s",
        "smtp_connection_reuse_count_limit = 7",
        "smtp_connection_reuse_time_limit = 7s",
        "smtp_data_done_timeout = 7s",
        "smtp_data_xfer_timeout = 7s",
        "smtp_min_data_rate = 7\nsmtp_per_request_deadline = yes",
        "smtp_per_record_deadline = yes",
        "smtp_per_request_deadline = yes",
        "smtp_quit_timeout = 7s",
        "smtp_randomize_addresses = no",
        "smtp_rset_timeout = 7s",
        "smtp_send_xforward_command = yes",
        "smtp_xforward_timeout = 7s",
        "smtp_skip_quit_response = no",
        "lmtp_address_preference = ipv6",
        "lmtp_balance_inet_protocols = no",
        "lmtp_bind_address = 192.0.2.7",
        "lmtp_bind_address6 = 2001:db8::7",
        "lmtp_connect_timeout = 7s",
        "lmtp_connection_cache_destinations = static:all",
        "lmtp_connection_cache_on_demand = no",
        "lmtp_connection_cache_time_limit = 7s",
        "lmtp_connection_reuse_count_limit = 7",
        "lmtp_connection_reuse_time_limit = 7s",
        "lmtp_data_done_timeout = 7s",
        "lmtp_data_init_timeout = 7s",
        "lmtp_data_xfer_timeout = 7s",
        "lmtp_defer_if_no_mx_address_found = yes",
        "lmtp_discard_lhlo_keywords = size",
        "lmtp_fallback_relay = [192.0.2.7]",
        "lmtp_host_lookup = native",
        "lmtp_lhlo_name = other.example.com",
        "lmtp_lhlo_timeout = 7s",
        "lmtp_line_length_limit = 77",
        "lmtp_mail_timeout = 7s",
        "lmtp_min_data_rate = 7\nlmtp_per_request_deadline = yes",
        "lmtp_mx_address_limit = 7",
        "lmtp_mx_session_limit = 7",
        "lmtp_per_record_deadline = yes",
        "lmtp_per_request_deadline = yes",
        "lmtp_quit_timeout = 7s",
        "lmtp_quote_rfc821_envelope = no",
        "lmtp_randomize_addresses = no",
        "lmtp_rcpt_timeout = 7s",
        "lmtp_rset_timeout = 7s",
        "lmtp_send_xforward_command = yes",
        "lmtp_xforward_timeout = 7s",
        "lmtp_skip_5xx_greeting = no",
        "lmtp_skip_quit_response = yes",
        "lmtp_tcp_port = 77",
    ];

    #[test]
    fn each_parameter_counts_under_its_smtp_or_its_lmtp_name() {
        for line in OFF_DEFAULT {
            let protocol = if line.starts_with("lmtp_") { Protocol::Lmtp } else { Protocol::Smtp };
            // The last one stands beside the one in question.
            let beside = line.split_once('\n').map_or("", |(_, beside)| beside);
            let [with, without] = [line, beside].map(|text| format!("{:?}", read(text, protocol).unwrap()));
            assert_ne!(with, without, "{line}");
        }
    }

    #[test]
    fn a_port_that_is_none_is_an_error() {
        let error = read("smtp_tcp_port = nosuch\n", Protocol::Smtp).unwrap_err().to_string();
        assert!(error.contains("smtp_tcp_port: expected a port, found `nosuch`"), "{error}");
    }
}
