//! The SMTP server.

parameters! {
    /// Parameters of the SMTP server.
    pub struct Smtpd {
        /// The text behind 220; must begin with the host's name.
        smtpd_banner: Text = "$myhostname ESMTP $mail_name",
        /// How long to wait for a command, or for room to send a reply.
        smtpd_timeout: Duration = "${stress?{10}:{300}}s", range 1..,
        /// Whether smtpd_timeout limits a whole command or message rather than one read.
        smtpd_per_request_deadline: Bool = "${smtpd_per_record_deadline?{$smtpd_per_record_deadline}:{${stress?{yes}:{no}}}}",
        /// Bytes a second that a message must reach where the deadline is for all of it.
        smtpd_min_data_rate: Count = "500", range 1..,
        /// Whether MAIL needs HELO or EHLO before it.
        smtpd_helo_required: Bool = "no",
        /// Whether addresses must stand in `<>` and without comments.
        strict_rfc821_envelopes: Bool = "no",
        /// Whether VRFY is refused.
        disable_vrfy_command: Bool = "no",
        /// Extensions that EHLO does not announce.
        smtpd_discard_ehlo_keywords: List = "",
        /// Extensions that EHLO does not announce, by client address.
        smtpd_discard_ehlo_keyword_address_maps: Tables = "",
        /// Recipients of one message.
        smtpd_recipient_limit: Count = "1000", range 1..,
        /// Recipients over the limit that are refused without being counted as errors.
        smtpd_recipient_overshoot_limit: Count = "1000", range 1..,
        /// Errors from which on each reply is delayed.
        smtpd_soft_error_limit: Count = "10", range 1..,
        /// Errors at which the session ends.
        smtpd_hard_error_limit: Count = "${stress?{1}:{20}}", range 1..,
        /// The delay of replies above the soft limit.
        smtpd_error_sleep_time: Duration = "1s",
        /// Commands that do not send mail from which on each counts as an error.
        smtpd_junk_command_limit: Count = "${stress?{1}:{100}}", range 1..,
        /// Lines of a session kept for a notice to postmaster.
        smtpd_history_flush_threshold: Count = "100", range 1..,
        /// A table that puts another command in place of the client's.
        smtpd_command_filter: Tables = "",
        /// Commands answered 250 without any effect; words or type:tables.
        smtpd_noop_commands: List = "",
        /// Commands that end the session; words or type:tables.
        smtpd_forbidden_commands: List = "CONNECT GET POST regexp:{{/^[^A-Z]/ Bogus}}",
        /// Whether a client that sends commands too early is disconnected.
        smtpd_forbid_unauth_pipelining: Bool = "yes",
        /// What happens to line feeds without carriage return.
        smtpd_forbid_bare_newline: Text = "normalize", one_of &["no", "yes", "normalize", "reject", "note"],
        /// Clients that smtpd_forbid_bare_newline is not for.
        smtpd_forbid_bare_newline_exclusions: List = "$mynetworks",
        /// The reply's code where bare line feeds are refused.
        smtpd_forbid_bare_newline_reject_code: Count = "550", range 500..=599,
        /// Bytes of a line beyond which it is handled in pieces.
        line_length_limit: Count = "2048", range 512..,
        /// Whether the client's name is looked up.
        smtpd_peername_lookup: Bool = "yes",
        /// Whether log lines name the client's port.
        smtpd_client_port_logging: Bool = "no",
        /// Clients that may use XCLIENT, and so be any other client.
        smtpd_authorized_xclient_hosts: List = "",
        /// Clients that may use XFORWARD, and so name another client in the log.
        smtpd_authorized_xforward_hosts: List = "",
        /// Clients that may ask for VERP: a sender of its own for each recipient (XVERP).
        smtpd_authorized_verp_clients: List = "$authorized_verp_clients",
        /// The same, outdated: use smtpd_authorized_verp_clients.
        authorized_verp_clients: List = "",
        /// The two characters that VERP writes around the recipient.
        default_verp_delimiters: Text = "+=",
        /// The characters that may be taken for them.
        verp_delimiter_filter: Text = "-=+",
        /// Peers whose sessions are logged in detail.
        debug_peer_list: List = "",
        /// The protocol by which a proxy in front of smtpd tells the client's address.
        smtpd_upstream_proxy_protocol: Text = "",
        /// How long to wait for that.
        smtpd_upstream_proxy_timeout: Duration = "5s", range 1..,
        /// Ours: bytes of recent refusals that each smtpd process keeps for `posthaste explain last`; 0 keeps none.
        posthaste_explain_memory_limit: Size = "4194304", range 0..=268435456,
        /// Ours: whether who sends no such header is a client without a proxy; who sends one is believed all the same.
        posthaste_upstream_proxy_direct: Bool = "no",
        /// Whether Received headers name the login.
        smtpd_sasl_authenticated_header: Bool = "no",
        /// Whether Received headers leave the client out, for submission.
        smtpd_hide_client_session: Bool = "no",
        /// Whether client, helo and sender restrictions wait for RCPT.
        smtpd_delay_reject: Bool = "yes",
        /// Whether a queue id is given at the first accepted recipient only.
        smtpd_delay_open_until_valid_rcpt: Bool = "yes",
        /// Restrictions on clients.
        smtpd_client_restrictions: Restrictions = "",
        /// Restrictions on HELO names.
        smtpd_helo_restrictions: Restrictions = "",
        /// Restrictions on senders.
        smtpd_sender_restrictions: Restrictions = "",
        /// Restrictions on relaying, at RCPT.
        smtpd_relay_restrictions: Restrictions = "${{$compatibility_level} <level {1} ? {} : {permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination}}",
        /// Restrictions on recipients, after those on relaying.
        smtpd_recipient_restrictions: Restrictions = "",
        /// Whether relay restrictions come first.
        smtpd_relay_before_recipient_restrictions: Bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        /// Restrictions at DATA.
        smtpd_data_restrictions: Restrictions = "",
        /// Restrictions at the end of the message.
        smtpd_end_of_data_restrictions: Restrictions = "",
        /// Domains whose mail ETRN may flush.
        fast_flush_domains: List = "$relay_domains",
        /// Restrictions on ETRN.
        smtpd_etrn_restrictions: Restrictions = "",
        /// Names of parameters that hold further restriction lists.
        smtpd_restriction_classes: List = "",
        /// The key of the null sender in access tables.
        smtpd_null_access_lookup_key: Text = "<>",
        /// Whether unknown recipients are refused.
        smtpd_reject_unlisted_recipient: Bool = "yes",
        /// Whether unknown senders of our own domains are refused.
        smtpd_reject_unlisted_sender: Bool = "no",
        /// The code of an access table's REJECT.
        access_map_reject_code: Count = "554", range 400..=599,
        /// The code of an access table's DEFER.
        access_map_defer_code: Count = "450", range 400..=599,
        /// The code of `reject`.
        reject_code: Count = "554", range 400..=599,
        /// The code of `defer`.
        defer_code: Count = "450", range 400..=599,
        /// The code of reject_unauth_destination.
        relay_domains_reject_code: Count = "554", range 400..=599,
        /// The code for unknown recipients of mydestination.
        unknown_local_recipient_reject_code: Count = "550", range 400..=599,
        /// The code for unknown recipients of relay_domains.
        unknown_relay_recipient_reject_code: Count = "550", range 400..=599,
        /// The code for unknown recipients of virtual_alias_domains.
        unknown_virtual_alias_reject_code: Count = "550", range 400..=599,
        /// The code for unknown recipients of virtual_mailbox_domains.
        unknown_virtual_mailbox_reject_code: Count = "550", range 400..=599,
        /// The code of reject_invalid_helo_hostname.
        invalid_hostname_reject_code: Count = "501", range 400..=599,
        /// The code of refusals of names without a domain.
        non_fqdn_reject_code: Count = "504", range 400..=599,
        /// The code of reject_multi_recipient_bounce.
        multi_recipient_bounce_reject_code: Count = "550", range 400..=599,
        /// The code of reject_plaintext_session.
        plaintext_reject_code: Count = "450", range 400..=599,
        /// The code of reject_unknown_client_hostname.
        unknown_client_reject_code: Count = "450", range 400..=599,
        /// The code of reject_unknown_helo_hostname.
        unknown_hostname_reject_code: Count = "450", range 400..=599,
        /// The code of refusals of domains that cannot get mail.
        unknown_address_reject_code: Count = "450", range 400..=599,
        /// The code of refusals that come from DNS lists.
        maps_rbl_reject_code: Count = "554", range 400..=599,
        /// The logins that own a sender address.
        smtpd_sender_login_maps: Tables = "",
        /// Fingerprints of client certificates that permit_tls_clientcerts accepts.
        relay_clientcerts: Tables = "",
        /// The reply to clients that a list in DNS names.
        default_rbl_reply: RawText = "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
        /// Replies by DNS list, in place of default_rbl_reply.
        rbl_reply_maps: Tables = "",
        /// What a reject_… restriction does where its lookup fails for now.
        reject_tempfail_action: Text = "defer_if_permit", one_of &["defer", "defer_if_permit"],
        /// What such a refusal does where DNS fails for now.
        unknown_address_tempfail_action: Text = "$reject_tempfail_action", one_of &["defer", "defer_if_permit"],
        /// What reject_unknown_helo_hostname does where DNS fails for now.
        unknown_helo_hostname_tempfail_action: Text = "$reject_tempfail_action", one_of &["defer", "defer_if_permit"],
        /// Networks of the primary mail servers for which permit_mx_backup counts.
        permit_mx_backup_networks: List = "",
        /// Tables that leave out or change answers of DNS for the SMTP server.
        smtpd_dns_reply_filter: Tables = "",
        /// Whether `User unknown` tells in which table.
        show_user_unknown_table_name: Bool = "yes",
        /// Whether addresses like `a%b@c` may be relayed by strangers.
        allow_untrusted_routing: Bool = "no",
        /// Text added to refusals; `\n` divides lines, `\c` at the beginning adds to the last line.
        smtpd_reject_footer: RawText = "",
        /// smtpd_reject_footer by the text of the refusal.
        smtpd_reject_footer_maps: Tables = "",
        /// Tables that put another refusal in place of a whole one, footer and all.
        smtpd_reject_filter_maps: Tables = "",
        /// Characters that may stand in values within replies; others become `_`.
        smtpd_expansion_filter: RawText = r##"\t\40!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"##,
        /// What postmaster is told about.
        notify_classes: List = "resource, software",
        /// Connections one client may have at a time; 0 is no limit.
        smtpd_client_connection_count_limit: Count = "50",
        /// Connections one client may open in anvil_rate_time_unit; 0 is no limit.
        smtpd_client_connection_rate_limit: Count = "0",
        /// Messages one client may send in anvil_rate_time_unit; 0 is no limit.
        smtpd_client_message_rate_limit: Count = "0",
        /// Recipients one client may name in anvil_rate_time_unit; 0 is no limit.
        smtpd_client_recipient_rate_limit: Count = "0",
        /// New TLS sessions one client may open in anvil_rate_time_unit; 0 is no limit.
        smtpd_client_new_tls_session_rate_limit: Count = "0",
        /// Logins one client may try in anvil_rate_time_unit; 0 is no limit.
        smtpd_client_auth_rate_limit: Count = "0",
        /// Clients without these limits.
        smtpd_client_event_limit_exceptions: List = "${smtpd_client_connection_limit_exceptions:$mynetworks}",
        /// Bits of an IPv4 address that make one client.
        smtpd_client_ipv4_prefix_length: Count = "32", range 0..=32,
        /// Bits of an IPv6 address that make one client.
        smtpd_client_ipv6_prefix_length: Count = "84", range 0..=128,
        /// Ours: after how much time without shortage a service under stress takes its usual settings again.
        posthaste_stress_calm_time: Duration = "60s",
        /// Restrictions whose permits are logged.
        smtpd_log_access_permit_actions: List = "",
        /// Where local recipients are known from; empty takes all.
        local_recipient_maps: List = "proxy:unix:passwd.byname $alias_maps",
        /// Where recipients of relay_domains are known from; empty takes all.
        relay_recipient_maps: Tables = "",
    }
}
