//! postscreen, which looks at clients before smtpd does.

parameters! {
    /// Parameters of postscreen.
    pub struct Postscreen {
        /// Clients that postscreen lets pass or refuses at once: permit_mynetworks, type:tables by client address.
        postscreen_access_list: List = "permit_mynetworks",
        /// What follows where postscreen_access_list refuses a client.
        postscreen_denylist_action: Text = "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}", one_of &["ignore", "enforce", "drop"],
        /// The name of the type `pass` in master.cf of the service that postscreen hands clients to.
        smtpd_service_name: Text = "smtpd",
        /// Whether log lines say allowlist and denylist.
        respectful_logging: Bool = "${{$compatibility_level} <level {3.6} ? {no} : {yes}}",
        /// The first half of the greeting that postscreen tests clients with; empty leaves it out.
        postscreen_greet_banner: Text = "$smtpd_banner",
        /// The protocol by which a proxy in front of postscreen tells the client's address.
        postscreen_upstream_proxy_protocol: Text = "",
        /// How long to wait for that.
        postscreen_upstream_proxy_timeout: Duration = "5s", range 1..,
        /// How long postscreen waits for clients that speak before their turn.
        postscreen_greet_wait: Duration = "${stress?{2}:{6}}s", range 1..,
        /// What follows where a client speaks before its turn.
        postscreen_greet_action: Text = "ignore", one_of &["ignore", "enforce", "drop"],
        /// How long a client that waited for its turn is not tested again.
        postscreen_greet_ttl: Duration = "1d",
        /// DNS lists that postscreen asks: `domain`, with `=d.d.d.d` for the addresses that count and `*weight` behind.
        postscreen_dnsbl_sites: List = "",
        /// The score from which on a client is taken for bad.
        postscreen_dnsbl_threshold: Count = "1", range 1..,
        /// The score, below zero, at which a client passes without further tests; 0 is never.
        postscreen_dnsbl_allowlist_threshold: Score = "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
        /// What follows where the score of DNS lists reaches postscreen_dnsbl_threshold.
        postscreen_dnsbl_action: Text = "ignore", one_of &["ignore", "enforce", "drop"],
        /// How long a good score counts at least.
        postscreen_dnsbl_min_ttl: Duration = "60s", range 1..,
        /// How long a good score counts at most.
        postscreen_dnsbl_max_ttl: Duration = "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h",
        /// How long postscreen waits for DNS lists.
        postscreen_dnsbl_timeout: Duration = "10s", range 1..,
        /// Tables that give the name of a DNS list in replies, so that secret keys do not show.
        postscreen_dnsbl_reply_map: Tables = "",
        /// Whether postscreen looks for commands that do not wait for replies.
        postscreen_pipelining_enable: Bool = "no",
        /// What follows where a client sends commands without waiting for replies.
        postscreen_pipelining_action: Text = "enforce", one_of &["ignore", "enforce", "drop"],
        /// How long a client that passed that test is not tested again.
        postscreen_pipelining_ttl: Duration = "30d",
        /// Whether postscreen looks for what is no SMTP command.
        postscreen_non_smtp_command_enable: Bool = "no",
        /// What follows where a client sends what is no SMTP command.
        postscreen_non_smtp_command_action: Text = "drop", one_of &["ignore", "enforce", "drop"],
        /// How long a client that passed that test is not tested again.
        postscreen_non_smtp_command_ttl: Duration = "30d",
        /// Whether postscreen looks for bare line feeds.
        postscreen_bare_newline_enable: Bool = "no",
        /// What follows where a client ends lines with a bare line feed.
        postscreen_bare_newline_action: Text = "ignore", one_of &["ignore", "enforce", "drop"],
        /// How long a client that passed that test is not tested again.
        postscreen_bare_newline_ttl: Duration = "30d",
        /// Commands in a session with postscreen.
        postscreen_command_count_limit: Count = "20", range 1..,
        /// How long postscreen waits for a command.
        postscreen_command_time_limit: Duration = "${stress?{10}:{300}}s", range 1..,
        /// smtpd_forbidden_commands for postscreen.
        postscreen_forbidden_commands: List = "$smtpd_forbidden_commands",
        /// smtpd_helo_required for postscreen.
        postscreen_helo_required: Bool = "$smtpd_helo_required",
        /// disable_vrfy_command for postscreen.
        postscreen_disable_vrfy_command: Bool = "$disable_vrfy_command",
        /// smtpd_discard_ehlo_keywords for postscreen.
        postscreen_discard_ehlo_keywords: List = "$smtpd_discard_ehlo_keywords",
        /// smtpd_discard_ehlo_keyword_address_maps for postscreen.
        postscreen_discard_ehlo_keyword_address_maps: Tables = "$smtpd_discard_ehlo_keyword_address_maps",
        /// Tables that replace commands of clients before postscreen sees them.
        postscreen_command_filter: Tables = "",
        /// smtpd_reject_footer for postscreen.
        postscreen_reject_footer: RawText = "$smtpd_reject_footer",
        /// smtpd_reject_footer_maps for postscreen.
        postscreen_reject_footer_maps: Tables = "$smtpd_reject_footer_maps",
        /// Characters that may stand in values of postscreen_reject_footer.
        postscreen_expansion_filter: RawText = "$smtpd_expansion_filter",
        /// The table that keeps the clients which passed postscreen's tests.
        postscreen_cache_map: Text = "$default_cache_db_type:$data_directory/postscreen_cache",
        /// How often old entries of postscreen's cache are cleared away; 0 is never.
        postscreen_cache_cleanup_interval: Duration = "12h",
        /// How long an expired entry stays in that table.
        postscreen_cache_retention_time: Duration = "7d",
        /// Connections that one client may have with postscreen; 0 is no limit.
        postscreen_client_connection_count_limit: Count = "$smtpd_client_connection_count_limit",
        /// Clients that postscreen may test at a time.
        postscreen_pre_queue_limit: Count = "$default_process_limit", range 10..,
        /// Clients that may wait for smtpd.
        postscreen_post_queue_limit: Count = "$default_process_limit", range 5..,
        /// Own addresses on which a client may pass postscreen's tests.
        postscreen_allowlist_interfaces: List = "${postscreen_whitelist_interfaces?{$postscreen_whitelist_interfaces}:{static:all}}",
    }
}
