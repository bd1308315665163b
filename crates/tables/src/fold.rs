//! Folding of keys to lower case, as Postfix folds them when it builds and searches tables.

use std::borrow::Cow;

/// `key` in lower case: all letters where UTF-8 is on (`smtputf8_enable`), otherwise the ASCII ones.
pub fn fold(key: &str, utf8: bool) -> Cow<'_, str> {
    if key.is_ascii() || !utf8 {
        match key.bytes().any(|b| b.is_ascii_uppercase()) {
            true => Cow::Owned(key.to_ascii_lowercase()),
            false => Cow::Borrowed(key),
        }
    } else {
        Cow::Owned(key.to_lowercase())
    }
}
