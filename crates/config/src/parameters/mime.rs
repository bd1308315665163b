//! How messages are looked into, part by part.

parameters! {
    /// Parameters of MIME processing, in cleanup and in the clients.
    pub struct Mime {
        /// Whether 8-bit parts go as they are to servers without 8BITMIME.
        disable_mime_output_conversion: Bool = "no",
        /// Multiparts within one another at most.
        mime_nesting_limit: Count = "100", range 1..,
        /// Bytes of a boundary that count.
        mime_boundary_length_limit: Count = "2048", range 1..,
        /// Words of a header with addresses that are looked at.
        header_address_token_limit: Count = "10240", range 1..,
        /// Which tables keep an extension that their key has not: canonical, virtual, alias, forward, include, generic.
        propagate_unmatched_extensions: List = "canonical, virtual", one_of &["canonical", "virtual", "alias", "forward", "include", "generic"],
        /// Bytes of a header; what is more is cut off or left alone.
        header_size_limit: Count = "102400", range 1..,
    }
}
