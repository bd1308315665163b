//! What the SMTP and LMTP client takes from the configuration.

mod read;

pub(super) use read::logged_keywords;

use super::checks::Checks;
use crate::ReportStyle;
use config::Ports;
use net::Families;
use protocol::smtp::client::{Probe, Settings as Dialogue, Stage};
use rewrite::Generic;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use tables::Maps;
use tables::lists::NameList;

/// Connections of one agent at once, idle ones included; beyond it idle ones are closed, then deliveries wait.
/// Well below the descriptors that a process has by default.
const CONNECTIONS_MAX: usize = 4000;

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
    /// That port as it was written (`smtp_tcp_port`).
    pub service: String,
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
    /// `smtp_dns_support_level`, `disable_dns_lookups`: DNS is asked at all.
    pub dns: bool,
    /// `smtp_host_lookup`: hosts are looked up as the system does, in /etc/hosts first.
    pub native_lookup: bool,
    /// `smtp_host_lookup = dns, native`: the system is asked for hosts that DNS does not know.
    pub native_fallback: bool,
    /// `smtp_dns_resolver_options = res_defnames`: names without a dot are looked for in our own domain first.
    pub search_own: bool,
    /// `smtp_dns_resolver_options = res_dnsrch`: and in the domains of the system's search list.
    pub search_parents: bool,
    /// `smtp_cname_overrides_servername`.
    pub cname_overrides: bool,
    /// `ignore_mx_lookup_error`.
    pub ignore_mx_lookup_error: bool,
    /// `use_srv_lookup`.
    pub srv_services: Vec<String>,
    /// `allow_srv_lookup_fallback`.
    pub allow_srv_fallback: bool,
    /// `ignore_srv_lookup_error`.
    pub ignore_srv_lookup_error: bool,
    /// `best_mx_transport`.
    pub best_mx_transport: String,
    /// `smtp_address_verify_target`: how far probes go.
    pub probe: Probe,
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
    /// `smtp_connection_cache_destinations`: domains, hosts, sockets.
    pub keep_for: NameList,
    /// `smtp_connection_cache_time_limit`: how long a connection waits for the next message.
    pub idle_limit: Duration,
    /// `smtp_connection_reuse_time_limit`: how old a connection may be when it takes another message.
    pub reuse_time_limit: Duration,
    /// `smtp_connection_reuse_count_limit`; 0 is no limit.
    pub reuse_count_limit: u32,
    /// `smtp_bind_address`, `smtp_bind_address6`, or the only address of a family in `inet_interfaces`.
    pub source: Vec<IpAddr>,
    /// `smtp_bind_address_enforce`: where it cannot be used, mail waits.
    pub bind_enforce: bool,
    /// `smtp_discard_ehlo_keyword_address_maps`: keywords by a server's address, in place of those of the dialogue.
    pub discard_maps: Maps,
    /// `smtp_pix_workaround_maps`: workarounds by a server's address, in place of those of the dialogue.
    pub pix_maps: Maps,
    /// `smtp_pix_workaround_threshold_time`: the age from which on a message waits before its end.
    pub pix_threshold: Duration,
    /// `smtp_pix_workaround_delay_time`: how long.
    pub pix_delay: Duration,
    /// 8-bit parts become quoted-printable for servers without 8BITMIME (`disable_mime_output_conversion`).
    pub converts: bool,
    /// How far messages are looked into.
    pub reading: mail::mime::Reading,
    /// `smtp_header_checks` and its kind.
    pub checks: Checks,
    /// `smtp_generic_maps`; nothing where there are none.
    pub generic: Option<Generic>,
    /// `smtp_reply_filter`.
    pub reply_filter: Maps,
    /// `smtp_dns_reply_filter`: records of name servers that are not believed.
    pub dns_reply_filter: Maps,
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
            probe: Probe::Rcpt,
            dialogue: Dialogue::default(),
            timeouts: Timeouts::default(),
            request_rate: None,
            port: 25,
            service: "smtp".into(),
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
            dns: true,
            native_lookup: false,
            native_fallback: false,
            search_own: false,
            search_parents: false,
            cname_overrides: false,
            ignore_mx_lookup_error: false,
            srv_services: Vec::new(),
            allow_srv_fallback: false,
            ignore_srv_lookup_error: false,
            best_mx_transport: String::new(),
            skip_5xx_greeting: true,
            skip_quit_response: true,
            send_xforward: false,
            line_bytes_max: 998,
            keep: Keep::OnDemand,
            keep_for: NameList::default(),
            idle_limit: Duration::from_secs(2),
            reuse_time_limit: Duration::from_secs(300),
            reuse_count_limit: 0,
            source: Vec::new(),
            bind_enforce: false,
            discard_maps: Maps::default(),
            pix_maps: Maps::default(),
            pix_threshold: Duration::from_secs(500),
            pix_delay: Duration::from_secs(10),
            converts: true,
            reading: Default::default(),
            checks: Checks { prefix: "smtp", ..Checks::default() },
            generic: None,
            reply_filter: Maps::default(),
            dns_reply_filter: Maps::default(),
            queue_directory: "/var/spool/postfix".into(),
            chrooted: false,
            connections_max: CONNECTIONS_MAX,
            report: ReportStyle::default(),
        }
    }
}

#[cfg(test)]
mod tests;
