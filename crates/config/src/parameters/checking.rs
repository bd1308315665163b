//! What content is looked at for on its way into the queue.

parameters! {
    /// Parameters of header and body checks.
    pub struct Checking {
        /// Tables that each header is matched with.
        header_checks: Tables = "",
        /// Tables that MIME headers are matched with.
        mime_header_checks: Tables = "$header_checks",
        /// Tables that headers of attached messages are matched with.
        nested_header_checks: Tables = "$header_checks",
        /// Tables that each line of a body is matched with.
        body_checks: Tables = "",
        /// How much of each MIME part body_checks looks at.
        body_checks_size_limit: Size = "51200",
        /// Characters of a MIME boundary that count.
        mime_boundary_length_limit: Count = "2048", range 1..,
        /// MIME parts within parts at most.
        mime_nesting_limit: Count = "100", range 1..,
        /// Whether the structure of MIME content is left unread.
        disable_mime_input_processing: Bool = "no",
        /// Whether mail with 8-bit headers is refused.
        strict_7bit_headers: Bool = "no",
        /// strict_7bit_headers and strict_8bitmime_body in one.
        strict_8bitmime: Bool = "no",
        /// Whether 8-bit bodies that are not declared are refused.
        strict_8bitmime_body: Bool = "no",
        /// Whether encodings that MIME forbids for a part are refused.
        strict_mime_encoding_domain: Bool = "no",
    }
}
