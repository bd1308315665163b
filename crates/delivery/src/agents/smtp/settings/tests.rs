//! What main.cf and master.cf make of the client.

use super::read::SYSTEM_CONNECT_TIMEOUT;
use super::*;
use config::Errors;
use config::{Config, Host, ServiceType};
use protocol::smtp::client::{EhloUse, Protocol};
use std::path::Path;

fn read(main_cf: &str, protocol: Protocol) -> Result<Settings, Errors> {
    let host = Host { name: "mx.example.com".into(), addresses: vec![("192.0.2.1".parse().unwrap(), 24)] };
    let master_cf = "smtp unix - - n - - smtp\nrelay unix - - n - - smtp -o smtp_helo_timeout=5s\n";
    let config = Config::parse(Path::new("/etc/postfix"), main_cf, master_cf, host).unwrap();
    let relay = config.service("relay", ServiceType::Unix);
    let tables = tables::Settings::default();
    let resolver = rewrite::Resolver::new(rewrite::Settings::open(&config, &tables)?);
    Settings::read(&config.scope(relay), protocol, &tables, &resolver)
}

#[test]
fn an_empty_main_cf_gives_postfixs_defaults() {
    let got = read("", Protocol::Smtp).unwrap();
    let mut expected = Settings { own_addresses: vec!["192.0.2.1".parse().unwrap()], ..Settings::default() };
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
        let main_cf = format!("smtp_discard_ehlo_keywords = {value}\n");
        logged_keywords(&read(&main_cf, Protocol::Smtp).unwrap().dialogue.discard_keywords)
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
    "header_address_token_limit = 7\nsmtp_generic_maps = static:x",
    "propagate_unmatched_extensions = generic\nsmtp_generic_maps = static:x",
    "mime_nesting_limit = 7",
    "use_srv_lookup = submission",
    "allow_srv_lookup_fallback = yes",
    "ignore_srv_lookup_error = yes",
    "smtp_address_preference = ipv6",
    "smtp_balance_inet_protocols = no",
    "smtp_bind_address = 192.0.2.7",
    "smtp_bind_address6 = 2001:db8::7",
    "smtp_connect_timeout = 7s",
    "smtp_connection_cache_destinations = static:all",
    "smtp_connection_cache_on_demand = no",
    "connection_cache_ttl_limit = 1s",
    "smtp_connection_cache_time_limit = 1s",
    "smtp_connection_reuse_count_limit = 7",
    "smtp_connection_reuse_time_limit = 7s",
    "smtp_data_done_timeout = 7s",
    "smtp_data_xfer_timeout = 7s",
    "smtp_min_data_rate = 7\nsmtp_per_request_deadline = yes",
    "smtp_per_record_deadline = yes",
    "smtp_per_request_deadline = yes",
    "smtp_pix_workaround_delay_time = 7s",
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
    "lmtp_bind_address_enforce = yes",
    "lmtp_cname_overrides_servername = yes",
    "lmtp_dns_resolver_options = res_defnames",
    "lmtp_dns_support_level = disabled",
    "lmtp_connect_timeout = 7s",
    "lmtp_connection_cache_destinations = static:all",
    "lmtp_connection_cache_on_demand = no",
    "lmtp_connection_cache_time_limit = 1s",
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
    "lmtp_mime_header_checks = static:IGNORE",
    "lmtp_min_data_rate = 7\nlmtp_per_request_deadline = yes",
    "lmtp_mx_address_limit = 7",
    "lmtp_mx_session_limit = 7",
    "lmtp_nested_header_checks = static:IGNORE",
    "lmtp_per_record_deadline = yes",
    "lmtp_per_request_deadline = yes",
    "lmtp_pix_workaround_delay_time = 7s",
    "lmtp_pix_workaround_maps = static:disable_esmtp",
    "lmtp_pix_workaround_threshold_time = 7s",
    "lmtp_pix_workarounds = delay_dotcrlf",
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
fn an_address_of_ours_that_is_none_is_an_error() {
    let error = read("smtp_bind_address = nonsense\n", Protocol::Smtp).unwrap_err().to_string();
    assert!(error.contains("smtp_bind_address: expected an address, found `nonsense`"), "{error}");
}

#[test]
fn a_port_that_is_none_is_an_error() {
    let error = read("smtp_tcp_port = nosuch\n", Protocol::Smtp).unwrap_err().to_string();
    assert!(error.contains("smtp_tcp_port: expected a port, found `nosuch`"), "{error}");
}
