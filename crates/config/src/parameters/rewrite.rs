//! Address rewriting and resolution.

parameters! {
    /// Parameters of trivial-rewrite.
    pub struct Rewrite {
        /// Domains of the local class.
        mydestination: List = "$myhostname, localhost.$mydomain, localhost",
        /// Domains that mail is relayed to for everybody.
        relay_domains: List = "${{$compatibility_level} <level {2} ? {$mydestination} : {}}",
        /// Domains whose every address is an alias.
        virtual_alias_domains: List = "$virtual_alias_maps",
        /// Domains of the virtual mailbox class.
        virtual_mailbox_domains: List = "$virtual_mailbox_maps",
        /// Addresses of proxies that lead here; an address literal of theirs is local.
        proxy_interfaces: List = "",
        /// Our own addresses; an address literal of theirs is local.
        inet_interfaces: List = "all",
        /// transport:nexthop of the local class.
        local_transport: Text = "local:$myhostname",
        /// transport:nexthop of the virtual mailbox class.
        virtual_transport: Text = "virtual",
        /// transport:nexthop of relay_domains.
        relay_transport: Text = "relay",
        /// transport:nexthop of everything else.
        default_transport: Text = "smtp",
        /// Next hop of mail that leaves, instead of the recipient's domain.
        relayhost: Text = "",
        /// Tables that give transport:nexthop for addresses and domains.
        transport_maps: Tables = "",
        /// Tables that replace default_transport by sender.
        sender_dependent_default_transport_maps: Tables = "",
        /// Tables that replace relayhost by sender.
        sender_dependent_relayhost_maps: Tables = "",
        /// The key of the null sender in the first of them.
        empty_address_default_transport_maps_lookup_key: Text = "<>",
        /// The key of the null sender in the second.
        empty_address_relayhost_maps_lookup_key: Text = "<>",
        /// The recipient that an empty address stands for.
        empty_address_recipient: Text = "MAILER-DAEMON",
        /// Whether an address without domain gets @$myorigin.
        append_at_myorigin: Bool = "yes",
        /// Whether a domain without dot gets .$mydomain.
        append_dot_mydomain: Bool = "${{$compatibility_level} <level {1} ? {yes} : {no}}",
        /// Whether site!user becomes user@site.
        swap_bangpath: Bool = "yes",
        /// Whether user%domain becomes user@domain.
        allow_percent_hack: Bool = "yes",
        /// Whether routing within quoted local parts counts.
        resolve_dequoted_address: Bool = "yes",
        /// Whether `user@` is local rather than an error.
        resolve_null_domain: Bool = "no",
        /// Whether a recipient may begin with `-`.
        allow_min_user: Bool = "no",
        /// Whether user@192.0.2.1 means user@[192.0.2.1].
        resolve_numeric_domain: Bool = "no",
        /// Tables of addresses that moved away; mail to them is refused with the new address.
        relocated_maps: Tables = "",
        /// Whether `5.1.6 User has moved to` stands in front of the new address.
        relocated_prefix_enable: Bool = "yes",
        /// Characters that divide user and extension in lookups.
        recipient_delimiter: Text = "",
        /// Whether owner-LIST and LIST-request are never split at recipient_delimiter.
        owner_request_special: Bool = "yes",
    }
}
