//! The SMTP and LMTP client.

twins! {
    /// Parameters of smtp(8) and lmtp(8).
    pub struct Client {
        /// How long to wait for a connection; 0 is as long as the system does.
        connect_timeout: Duration = (smtp_connect_timeout = "30s", lmtp_connect_timeout = "0s"),
        /// How long to wait for the greeting, and for the reply to EHLO or LHLO.
        helo_timeout: Duration = (smtp_helo_timeout = "300s", lmtp_lhlo_timeout = "300s"), range 1..,
        /// How long to wait for the reply to MAIL.
        mail_timeout: Duration = (smtp_mail_timeout = "300s", lmtp_mail_timeout = "300s"), range 1..,
        /// How long to wait for the reply to RCPT.
        rcpt_timeout: Duration = (smtp_rcpt_timeout = "300s", lmtp_rcpt_timeout = "300s"), range 1..,
        /// How long to wait for the reply to DATA.
        data_init_timeout: Duration = (smtp_data_init_timeout = "120s", lmtp_data_init_timeout = "120s"), range 1..,
        /// How long to wait for room to send the message.
        data_xfer_timeout: Duration = (smtp_data_xfer_timeout = "180s", lmtp_data_xfer_timeout = "180s"), range 1..,
        /// How long to wait for the reply to the end of the message.
        data_done_timeout: Duration = (smtp_data_done_timeout = "600s", lmtp_data_done_timeout = "600s"), range 1..,
        /// How long to wait for the reply to RSET.
        rset_timeout: Duration = (smtp_rset_timeout = "20s", lmtp_rset_timeout = "20s"), range 1..,
        /// How long to wait for the reply to QUIT.
        quit_timeout: Duration = (smtp_quit_timeout = "300s", lmtp_quit_timeout = "300s"), range 1..,
        /// How long to wait for the reply to XFORWARD.
        xforward_timeout: Duration = (smtp_xforward_timeout = "300s", lmtp_xforward_timeout = "300s"), range 1..,
        /// Whether the time limits are for whole requests.
        per_request_deadline: Bool = (smtp_per_request_deadline = "${smtp_per_record_deadline?{$smtp_per_record_deadline}:{no}}", lmtp_per_request_deadline = "${lmtp_per_record_deadline?{$lmtp_per_record_deadline}:{no}}"),
        /// Bytes a second that a message must reach where the deadline is for all of it.
        min_data_rate: Count = (smtp_min_data_rate = "500", lmtp_min_data_rate = "500"), range 1..,
        /// The name in EHLO or LHLO.
        helo_name: Text = (smtp_helo_name = "$myhostname", lmtp_lhlo_name = "$myhostname"),
        /// The port where none is named.
        tcp_port: Text = (smtp_tcp_port = "smtp", lmtp_tcp_port = "24"),
        /// Our IPv4 address for connections.
        bind_address: Text = (smtp_bind_address = "", lmtp_bind_address = ""),
        /// Our IPv6 address for connections.
        bind_address6: Text = (smtp_bind_address6 = "", lmtp_bind_address6 = ""),
        /// Whether mail waits where that address cannot be used.
        bind_address_enforce: Bool = (smtp_bind_address_enforce = "no", lmtp_bind_address_enforce = "no"),
        /// The IP version to try first.
        address_preference: Text = (smtp_address_preference = "any", lmtp_address_preference = "any"), one_of &["any", "ipv4", "ipv6"],
        /// Whether both IP versions are among the addresses tried.
        balance_inet_protocols: Bool = (smtp_balance_inet_protocols = "yes", lmtp_balance_inet_protocols = "yes"),
        /// Addresses tried at most; 0 is no limit.
        mx_address_limit: Count = (smtp_mx_address_limit = "5", lmtp_mx_address_limit = "5"),
        /// Sessions tried at most; 0 is no limit.
        mx_session_limit: Count = (smtp_mx_session_limit = "2", lmtp_mx_session_limit = "2"),
        /// Whether servers of equal preference are tried in random order.
        randomize_addresses: Bool = (smtp_randomize_addresses = "yes", lmtp_randomize_addresses = "yes"),
        /// How hosts are looked up.
        host_lookup: List = (smtp_host_lookup = "dns", lmtp_host_lookup = "dns"), one_of &["dns", "native"],
        /// Options of the resolver.
        dns_resolver_options: List = (smtp_dns_resolver_options = "", lmtp_dns_resolver_options = ""), one_of &["res_defnames", "res_dnsrch"],
        /// Whether DNS is used; empty is enabled.
        dns_support_level: Text = (smtp_dns_support_level = "", lmtp_dns_support_level = ""), one_of &["", "disabled", "enabled", "dnssec"],
        /// Whether mail waits where no mail server of a domain has an address.
        defer_if_no_mx_address_found: Bool = (smtp_defer_if_no_mx_address_found = "no", lmtp_defer_if_no_mx_address_found = "no"),
        /// Hosts that take what cannot be delivered elsewhere.
        fallback_relay: List = (smtp_fallback_relay = "$fallback_relay", lmtp_fallback_relay = ""),
        /// Whether a server that greets with 5xx is passed over for the next.
        skip_5xx_greeting: Bool = (smtp_skip_5xx_greeting = "yes", lmtp_skip_5xx_greeting = "yes"),
        /// Whether the reply to QUIT is not waited for.
        skip_quit_response: Bool = (smtp_skip_quit_response = "yes", lmtp_skip_quit_response = "no"),
        /// Bytes of a line beyond which it is divided; 0 is no limit.
        line_length_limit: Count = (smtp_line_length_limit = "998", lmtp_line_length_limit = "998"),
        /// Whether addresses are quoted as RFC 5321 wants.
        quote_rfc821_envelope: Bool = (smtp_quote_rfc821_envelope = "yes", lmtp_quote_rfc821_envelope = "yes"),
        /// Extensions of the server that are not used.
        discard_ehlo_keywords: List = (smtp_discard_ehlo_keywords = "", lmtp_discard_lhlo_keywords = ""),
        /// Extensions of the server that are not used, by its address.
        discard_ehlo_keyword_address_maps: Tables = (smtp_discard_ehlo_keyword_address_maps = "", lmtp_discard_lhlo_keyword_address_maps = ""),
        /// Whether a connection is kept for a destination with more mail.
        connection_cache_on_demand: Bool = (smtp_connection_cache_on_demand = "yes", lmtp_connection_cache_on_demand = "yes"),
        /// Destinations whose connections are always kept.
        connection_cache_destinations: List = (smtp_connection_cache_destinations = "", lmtp_connection_cache_destinations = ""),
        /// How long a kept connection waits for mail.
        connection_cache_time_limit: Duration = (smtp_connection_cache_time_limit = "2s", lmtp_connection_cache_time_limit = "2s"), range 1..,
        /// How long a connection is used at most.
        connection_reuse_time_limit: Duration = (smtp_connection_reuse_time_limit = "300s", lmtp_connection_reuse_time_limit = "300s"), range 1..,
        /// Messages over one connection at most; 0 is no limit.
        connection_reuse_count_limit: Count = (smtp_connection_reuse_count_limit = "0", lmtp_connection_reuse_count_limit = "0"),
        /// Whether EHLO is sent to servers that greet without ESMTP; LMTP has no choice.
        always_send_ehlo: Bool = (smtp_always_send_ehlo = "yes", smtp_always_send_ehlo = "yes"),
        /// Whether HELO is sent in any case.
        never_send_ehlo: Bool = (smtp_never_send_ehlo = "no", smtp_never_send_ehlo = "no"),
        /// Whether the client's name is passed on with XFORWARD.
        send_xforward_command: Bool = (smtp_send_xforward_command = "no", lmtp_send_xforward_command = "no"),
        /// What is done for servers behind an old firewall.
        pix_workarounds: List = (smtp_pix_workarounds = "disable_esmtp,delay_dotcrlf", lmtp_pix_workarounds = "disable_esmtp,delay_dotcrlf"),
        /// What is done for such servers, by their address.
        pix_workaround_maps: Tables = (smtp_pix_workaround_maps = "", lmtp_pix_workaround_maps = ""),
        /// Tables of addresses that mail leaves with.
        generic_maps: Tables = (smtp_generic_maps = "", lmtp_generic_maps = ""),
        /// Tables that headers are matched with as mail leaves.
        header_checks: Tables = (smtp_header_checks = "", lmtp_header_checks = ""),
        /// The same for headers of MIME.
        mime_header_checks: Tables = (smtp_mime_header_checks = "", lmtp_mime_header_checks = ""),
        /// The same for headers of messages within messages.
        nested_header_checks: Tables = (smtp_nested_header_checks = "", lmtp_nested_header_checks = ""),
        /// The same for lines of bodies.
        body_checks: Tables = (smtp_body_checks = "", lmtp_body_checks = ""),
        /// Tables that change the lines of servers' replies.
        reply_filter: Tables = (smtp_reply_filter = "", lmtp_reply_filter = ""),
        /// Tables that leave out records of name servers.
        dns_reply_filter: Tables = (smtp_dns_reply_filter = "", lmtp_dns_reply_filter = ""),
        /// The age of a message from which on that is done.
        pix_workaround_threshold_time: Duration = (smtp_pix_workaround_threshold_time = "500s", lmtp_pix_workaround_threshold_time = "500s"), range 1..,
        /// The pause before the end of data for such servers.
        pix_workaround_delay_time: Duration = (smtp_pix_workaround_delay_time = "10s", lmtp_pix_workaround_delay_time = "10s"), range 1..,
        /// Tables that replace the status and text of results of the client.
        delivery_status_filter: Tables = (smtp_delivery_status_filter = "$default_delivery_status_filter", lmtp_delivery_status_filter = "$default_delivery_status_filter"),
        /// Whether a server is called by the name behind its alias (CNAME).
        cname_overrides_servername: Bool = (smtp_cname_overrides_servername = "no", lmtp_cname_overrides_servername = "no"),
        /// The command that a probe of an address goes up to.
        address_verify_target: Text = (smtp_address_verify_target = "rcpt", lmtp_address_verify_target = "rcpt"), one_of &["rcpt", "data"],
    }
}

parameters! {
    /// Where smtp(8) and lmtp(8) find servers: parameters without names of their own for each.
    pub struct ClientRoutes {
        /// transport:nexthop for mail whose best mail server we are ourselves; empty bounces it.
        best_mx_transport: Text = "",
        /// Whether DNS is not used, where smtp_dns_support_level does not say.
        disable_dns_lookups: Bool = "no",
        /// Whether a failed MX lookup counts as no MX record.
        ignore_mx_lookup_error: Bool = "no",
        /// Services for which hosts are found by SRV records.
        use_srv_lookup: List = "", one_of &["submission", "submissions"],
        /// Whether MX records count where there are no SRV records.
        allow_srv_lookup_fallback: Bool = "no",
        /// How long a kept connection waits for mail at most, whatever the client's own limit.
        connection_cache_ttl_limit: Duration = "2s", range 1..,
        /// Whether a failed SRV lookup counts as no SRV record.
        ignore_srv_lookup_error: Bool = "no",
    }
}

parameters! {
    /// Parameters of lmtp(8) that smtp(8) has not.
    pub struct Lmtp {
        /// Whether an LMTP server that does not report a success is the last station; newer lines have `flags=X`.
        lmtp_assume_final: Bool = "no",
    }
}
