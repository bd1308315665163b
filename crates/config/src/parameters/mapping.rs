//! What tables make of addresses on their way into the queue.

parameters! {
    /// Parameters of address mapping, which cleanup does.
    pub struct Mapping {
        /// Tables that rewrite addresses in envelopes and headers.
        canonical_maps: Tables = "",
        /// Which addresses canonical_maps rewrites.
        canonical_classes: List = "envelope_sender, envelope_recipient, header_sender, header_recipient",
            one_of &["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"],
        /// Tables that rewrite senders only.
        sender_canonical_maps: Tables = "",
        /// Which addresses sender_canonical_maps rewrites.
        sender_canonical_classes: List = "envelope_sender, header_sender",
            one_of &["envelope_sender", "header_sender"],
        /// Tables that rewrite recipients only.
        recipient_canonical_maps: Tables = "",
        /// Which addresses recipient_canonical_maps rewrites.
        recipient_canonical_classes: List = "envelope_recipient, header_recipient",
            one_of &["envelope_recipient", "header_recipient"],
        /// Domains whose subdomains are cut off addresses.
        masquerade_domains: List = "",
        /// Users whose addresses masquerade_domains leaves alone.
        masquerade_exceptions: List = "",
        /// Which addresses masquerade_domains shortens.
        masquerade_classes: List = "envelope_sender, header_sender, header_recipient",
            one_of &["envelope_sender", "envelope_recipient", "header_sender", "header_recipient"],
        /// Tables of aliases for any address.
        virtual_alias_maps: Tables = "$virtual_maps",
        /// Characters of an address that aliases may grow to.
        virtual_alias_address_length_limit: Count = "1000", range 1..,
        /// Lookups that keep an address extension which no entry names.
        propagate_unmatched_extensions: List = "canonical, virtual",
            one_of &["canonical", "virtual", "alias", "forward", "include", "generic"],
        /// Whether owner-LIST and LIST-request are never split at recipient_delimiter.
        owner_request_special: Bool = "yes",
        /// An address that gets a copy of all mail.
        always_bcc: Text = "",
        /// Tables that give an address for copies by sender.
        sender_bcc_maps: Tables = "",
        /// Tables that give an address for copies by recipient.
        recipient_bcc_maps: Tables = "",
    }
}

parameters! {
    /// What a service that takes mail in leaves out or adds.
    pub struct Receiving {
        /// The transport that all mail goes through before it is delivered.
        content_filter: Text = "",
        /// What is left out for mail that the service takes.
        receive_override_options: List = "",
            one_of &["no_unknown_recipient_checks", "no_address_mappings", "no_header_body_checks", "no_milters"],
    }
}
