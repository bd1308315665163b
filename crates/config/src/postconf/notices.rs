//! What the administrator should know about settings: unused, to be removed, or with a comment in them.

use super::Output;
use super::model::Model;
use super::names::READ_ONLY;
use super::options::{Mode, Options};
use crate::lines::is_space;
use std::collections::BTreeMap;

/// Old names of Postfix, and the new ones; empty where the setting should go (DEPRECATION_README of Postfix 3.11).
const DEPRECATED: &[(&str, &str)] = &[
    ("authorized_verp_clients", "smtpd_authorized_verp_clients"),
    ("disable_dns_lookups", "smtp_dns_support_level"),
    ("fallback_relay", "smtp_fallback_relay"),
    ("lmtp_cname_overrides_servername", ""),
    ("lmtp_enforce_tls", "lmtp_tls_security_level"),
    ("lmtp_per_record_deadline", "lmtp_per_request_deadline"),
    ("lmtp_tls_enforce_peername", "lmtp_tls_security_level"),
    ("lmtp_tls_per_site", "lmtp_tls_policy_maps"),
    ("lmtp_use_tls", "lmtp_tls_security_level"),
    ("postscreen_blacklist_action", "postscreen_denylist_action"),
    ("postscreen_dnsbl_ttl", "postscreen_dnsbl_max_ttl"),
    ("postscreen_dnsbl_whitelist_threshold", "postscreen_dnsbl_allowlist_threshold"),
    ("postscreen_enforce_tls", "postscreen_tls_security_level"),
    ("postscreen_use_tls", "postscreen_tls_security_level"),
    ("postscreen_whitelist_interfaces", "postscreen_allowlist_interfaces"),
    ("smtp_cname_overrides_servername", ""),
    ("smtp_enforce_tls", "smtp_tls_security_level"),
    ("smtp_per_record_deadline", "smtp_per_request_deadline"),
    ("smtp_tls_enforce_peername", "smtp_tls_security_level"),
    ("smtp_tls_per_site", "smtp_tls_policy_maps"),
    ("smtp_use_tls", "smtp_tls_security_level"),
    ("smtpd_client_connection_limit_exceptions", "smtpd_client_event_limit_exceptions"),
    ("smtpd_enforce_tls", "smtpd_tls_security_level"),
    ("smtpd_per_record_deadline", "smtpd_per_request_deadline"),
    ("smtpd_tls_dh1024_param_file", ""),
    ("smtpd_tls_eecdh_grade", ""),
    ("smtpd_use_tls", "smtpd_tls_security_level"),
    ("tlsproxy_client_enforce_tls", "tlsproxy_client_security_level"),
    ("tlsproxy_client_level", "tlsproxy_client_security_level"),
    ("tlsproxy_client_per_site", "tlsproxy_client_policy_maps"),
    ("tlsproxy_client_policy", "tlsproxy_client_policy_maps"),
    ("tlsproxy_client_use_tls", "tlsproxy_client_security_level"),
    ("tlsproxy_enforce_tls", "tlsproxy_tls_security_level"),
    ("tlsproxy_use_tls", "tlsproxy_tls_security_level"),
    ("virtual_maps", "virtual_alias_maps"),
];

/// Tells what is odd in the files that the call showed; nothing with `-q`.
pub(super) fn unused(model: &Model, options: &Options, output: &mut Output) {
    if options.quiet || options.defaults {
        return;
    }
    if options.mode == Mode::Parameters {
        for (name, value) in &model.main {
            if READ_ONLY.contains(&name.as_str()) {
                continue;
            }
            let is_used = model.is_effective(name, None);
            setting(&model.main_file, name, value, is_used, output);
        }
    }
    for service in &model.services {
        let settings: BTreeMap<&str, &str> = service.settings().collect();
        for (name, value) in settings {
            let is_used = model.is_effective(name, Some(service));
            setting(&model.master_file, name, value, is_used, output);
        }
    }
}

fn setting(file: &str, name: &str, value: &str, is_used: bool, output: &mut Output) {
    if !is_used {
        output.warn(&format!("{file}: unused parameter: {name}={value}"));
        return;
    }
    if let Ok(at) = DEPRECATED.binary_search_by(|(old, _)| (*old).cmp(name)) {
        let instead = match DEPRECATED[at].1 {
            "" => "do not specify (leave at default)".to_owned(),
            new => format!("specify \"{new}\""),
        };
        output.warn(&format!("{file}: support for parameter \"{name}\" will be removed; instead, {instead}"));
    }
    if value.split(is_space).any(|word| word.starts_with('#')) {
        output.warn(&format!("{file}: #comment after other text is part of the value: {name}={value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_sorted_and_known() {
        assert!(DEPRECATED.is_sorted_by(|a, b| a.0 < b.0));
        for (old, new) in DEPRECATED {
            assert!(crate::known::find(old).is_some(), "{old}");
            assert!(new.is_empty() || crate::known::find(new).is_some(), "{new}");
        }
    }
}
