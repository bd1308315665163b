//! Folding of keys, as Postfix folds them when it builds and searches tables and lists.

use std::borrow::Cow;

/// `key` without regard to case: by Unicode's full case folding where UTF-8 is on (`smtputf8_enable`), so that
/// `STRASSE` and `straße` are one; otherwise its ASCII letters in lower case.
pub fn fold(key: &str, utf8: bool) -> Cow<'_, str> {
    if key.is_ascii() || !utf8 {
        match key.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(key.to_ascii_lowercase()),
            false => Cow::Borrowed(key),
        }
    } else {
        Cow::Owned(caseless::default_case_fold_str(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_in_case_alone_are_one() {
        for key in ["STRASSE", "straße", "Straẞe"] {
            assert_eq!(fold(key, true), "strasse");
        }
        assert_eq!(fold("ΣΊΣΥΦΟΣ", true), fold("σίσυφος", true));
        assert_eq!(fold("GRÖßE", false), "grÖße");
    }
}
