//! What a message needs before it is queued.

parameters! {
    /// Parameters of cleanup.
    pub struct Cleanup {
        /// The largest message; 0 is no limit.
        message_size_limit: Size = "10240000",
        /// Received headers from which on a message is taken for a loop.
        hopcount_limit: Count = "50", range 1..,
        /// Whether mail of strangers gets missing headers too.
        always_add_missing_headers: Bool = "no",
        /// Clients whose mail gets missing headers and completed addresses.
        local_header_rewrite_clients: List = "permit_inet_interfaces",
        /// The domain that completes addresses in headers of other clients' mail.
        remote_header_rewrite_domain: Text = "",
        /// The header of mail without recipient headers; empty adds none.
        undisclosed_recipients_header: Text = "",
        /// Headers that are removed.
        message_drop_headers: List = "bcc, content-length, resent-bcc, return-path",
        /// Bytes of one header; the rest is cut off.
        header_size_limit: Count = "102400", range 1..,
        /// Words of one address header that are looked at.
        header_address_token_limit: Count = "10240", range 1..,
        /// Recipients remembered in order to drop duplicates.
        duplicate_filter_limit: Count = "1000",
        /// Whether the recipient before aliases is kept.
        enable_original_recipient: Bool = "yes",
        /// Attributes of one queue file.
        queue_file_attribute_count_limit: Count = "100", range 1..,
        /// Whether a stray carriage return or line feed becomes a blank.
        cleanup_replace_stray_cr_lf: Bool = "yes",
        /// Characters that are removed from messages.
        message_strip_characters: RawText = "",
        /// Characters that messages are refused for.
        message_reject_characters: RawText = "",
        /// Whether a Content-Transfer-Encoding header tells that a message is 8-bit.
        detect_8bit_encoding_header: Bool = "yes",
        /// Recipients that one becomes by aliases at most.
        virtual_alias_expansion_limit: Count = "1000", range 1..,
        /// Aliases of aliases at most.
        virtual_alias_recursion_limit: Count = "1000", range 1..,
        /// How a missing From header is written.
        header_from_format: Text = "standard", one_of &["standard", "obsolete"],
        /// Recipients that `sendmail -t` takes from headers.
        extract_recipient_limit: Count = "10240",
    }
}
