//! Whether addresses can get mail: probes and what is remembered of them.

parameters! {
    /// Parameters of address verification.
    pub struct Verify {
        /// The table that keeps the results of address probes; empty keeps them in memory.
        address_verify_map: Text = "$default_cache_db_type:$data_directory/verify_cache",
        /// Whether failed probes are remembered.
        address_verify_negative_cache: Bool = "yes",
        /// How long a successful probe counts if no newer one took its place.
        address_verify_positive_expire_time: Duration = "31d",
        /// The age of a successful probe from which on the address is probed again.
        address_verify_positive_refresh_time: Duration = "7d",
        /// How long a failed probe counts if no newer one took its place.
        address_verify_negative_expire_time: Duration = "3d",
        /// The age of a failed probe from which on the address is probed again.
        address_verify_negative_refresh_time: Duration = "3h",
        /// How often old results of address probes are cleared away; 0 is never.
        address_verify_cache_cleanup_interval: Duration = "12h",
        /// The sender of address probes; empty is the null sender.
        address_verify_sender: Text = "$double_bounce_sender",
        /// How long the changing part in the sender of probes stays the same; 0 has no such part.
        address_verify_sender_ttl: Duration = "0s",
    }
}

parameters! {
    /// Where probes go: as the parameters of the same names without `address_verify_`.
    pub struct ProbeRoutes {
        /// local_transport for address probes.
        address_verify_local_transport: Text = "$local_transport",
        /// virtual_transport for address probes.
        address_verify_virtual_transport: Text = "$virtual_transport",
        /// relay_transport for address probes.
        address_verify_relay_transport: Text = "$relay_transport",
        /// default_transport for address probes.
        address_verify_default_transport: Text = "$default_transport",
        /// relayhost for address probes.
        address_verify_relayhost: Text = "$relayhost",
        /// transport_maps for address probes.
        address_verify_transport_maps: Tables = "$transport_maps",
        /// sender_dependent_default_transport_maps for address probes.
        address_verify_sender_dependent_default_transport_maps: Tables = "$sender_dependent_default_transport_maps",
        /// sender_dependent_relayhost_maps for address probes.
        address_verify_sender_dependent_relayhost_maps: Tables = "$sender_dependent_relayhost_maps",
    }
}

parameters! {
    /// How smtpd waits for a result and what it replies.
    pub struct Unverified {
        /// How often a session asks for the result of a probe before it gives up for now.
        address_verify_poll_count: Count = "${stress?{1}:{3}}", range 1..,
        /// The pause between two such questions.
        address_verify_poll_delay: Duration = "3s", range 1..,
        /// The reply code to a recipient that cannot get mail; 250 takes the mail.
        unverified_recipient_reject_code: Count = "450", range 200..=599,
        /// The reply code to a recipient of which nothing is known yet; 250 takes the mail.
        unverified_recipient_defer_code: Count = "450", range 200..=499,
        /// What the client is told of such a recipient in place of the probe's result.
        unverified_recipient_reject_reason: Text = "",
        /// What follows where nothing is known of a recipient.
        unverified_recipient_tempfail_action: Text = "$reject_tempfail_action", one_of &["defer", "defer_if_permit"],
        /// The reply code to a sender that cannot get mail; 250 takes the mail.
        unverified_sender_reject_code: Count = "450", range 200..=599,
        /// The reply code to a sender of which nothing is known yet; 250 takes the mail.
        unverified_sender_defer_code: Count = "450", range 200..=499,
        /// What the client is told of such a sender in place of the probe's result.
        unverified_sender_reject_reason: Text = "",
        /// What follows where nothing is known of a sender.
        unverified_sender_tempfail_action: Text = "$reject_tempfail_action", one_of &["defer", "defer_if_permit"],
    }
}
