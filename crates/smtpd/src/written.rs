//! Replies as administrators write them, in tables and templates: a code, perhaps an enhanced code, words.
//!
//! Who reads one differs in what may be missing: a DNS list's reply without an enhanced code gets X.7.1, a filter's stays
//! without one; an access table's entry has its code apart and says it of a client or an address.

use mail::Dsn;

/// The code of a refusal that begins a text, and what stands behind it and one of the `dividers`.
pub(crate) fn code<'t>(text: &'t str, dividers: &[char]) -> Option<(u16, &'t str)> {
    let digits = text.get(..3).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    let code = digits.parse().ok().filter(|code| (400..600).contains(code))?;
    let rest = &text[3..];
    if rest.is_empty() { Some((code, rest)) } else { Some((code, rest.strip_prefix(dividers)?)) }
}

/// The enhanced code that begins a text, with the class that goes with `code`, and the words behind it.
pub(crate) fn status(code: u16, text: &str) -> (Option<Dsn>, &str) {
    match Dsn::parse_prefix(text) {
        Some((own, words)) => (Some(own.with_class(class(code))), words),
        None => (None, text),
    }
}

/// The class of enhanced codes that goes with a code.
pub(crate) fn class(code: u16) -> u8 {
    if code / 100 == 4 { 4 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_refuses_and_stands_by_itself() {
        assert_eq!(code("550 5.1.1 no", &[' ']), Some((550, "5.1.1 no")));
        assert_eq!(code("450", &[' ']), Some((450, "")));
        assert_eq!(code("550-no", &[' ', '-']), Some((550, "no")));
        for none in ["250 Ok", "600 x", "55", "5500 x", "550-no", "+55 x", "x", "", "55\u{e4} x"] {
            assert_eq!(code(none, &[' ']), None, "{none}");
        }
    }

    #[test]
    fn the_class_of_an_enhanced_code_follows_the_code() {
        assert_eq!(status(450, "5.7.1 later"), (Some(Dsn::new(4, 7, 1)), "later"));
        assert_eq!(status(550, "no"), (None, "no"));
    }
}
