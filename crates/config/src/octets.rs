//! Octets of no known charset as text: each is the character of its number, so that nothing is lost.

/// Octets as text.
pub fn text(octets: &[u8]) -> String {
    octets.iter().map(|&octet| char::from(octet)).collect()
}

/// What [`text`] was given; a character that it never gives is a question mark.
pub fn bytes(text: &str) -> impl Iterator<Item = u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
}
