//! Addresses in header fields and on the command line (RFC 5322 3.4), as internal forms.

use mail::AddressHeader;

/// Words and operators of one field or argument that are looked at (Postfix's `header_address_token_limit`).
const TOKENS_MAX: usize = 10_240;

/// The addresses of a list: `Joe <joe@example.org>, "a b"@example.org (comment), group: x, y;`. What makes no sense is
/// taken as it stands, so that the mail fails visibly at delivery rather than losing a recipient here.
pub fn parse_list(text: &[u8]) -> Vec<Vec<u8>> {
    let list = AddressHeader::parse(text, TOKENS_MAX);
    let addresses = (0..list.len()).map(|index| list.address(index).text().to_vec());
    addresses.filter(|address| !address.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_out_of_all_their_dresses() {
        for (text, addresses) in [
            ("ann@example.org", &["ann@example.org"][..]),
            ("Ann <ann@example.org>, bob@example.org", &["ann@example.org", "bob@example.org"]),
            ("\"Doe, Joe\" <joe@e.f>", &["joe@e.f"]),
            ("\"a b\"@x.example", &["a b@x.example"]),
            ("c@d (a (nested) comment, with comma)", &["c@d"]),
            ("friends: x@y, z@w;, root", &["x@y", "z@w", "root"]),
            ("<@relay.example:ann@example.org>", &["@relay.example:ann@example.org"]),
            ("ann @ example . org", &["ann@example.org"]),
            ("ann bob", &["ann", "bob"]),
            ("<>", &[]),
            (" , ,", &[]),
            ("undisclosed-recipients:;", &[]),
            ("a\\,b@c", &["a,b@c"]),
        ] {
            let found: Vec<_> =
                parse_list(text.as_bytes()).into_iter().map(|a| String::from_utf8(a).unwrap()).collect();
            assert_eq!(found, addresses, "{text}");
        }
    }
}
