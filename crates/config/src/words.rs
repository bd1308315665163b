//! Words of a list value: separated by commas and white space, with `{…}` kept together.

use crate::lines::is_space;

/// A separator of list values: comma or white space.
pub fn is_list_separator(c: char) -> bool {
    c == ',' || is_space(c)
}

/// The words of `text`, where no separator within `{…}` counts. Braces stay in the words.
///
/// A brace that nobody closes keeps the rest of the text together; `unbalanced` tells such a text.
pub fn words(text: &str, separator: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let rest = &text[offset..];
        let start = offset + rest.find(|c| !separator(c))?;
        let mut depth = 0u32;
        let mut end = text.len();
        for (at, c) in text[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                c if depth == 0 && separator(c) => {
                    end = start + at;
                    break;
                }
                _ => {}
            }
        }
        offset = end;
        Some((start, &text[start..end]))
    })
}

/// The words of a list value such as `permit_mynetworks, { check_client_access inline:{ a=b } }`.
pub fn list(text: &str) -> Vec<String> {
    words(text, is_list_separator).map(|(_, word)| word.to_owned()).collect()
}

/// Whether a `{` is never closed or a `}` never opened.
pub fn unbalanced(text: &str) -> bool {
    let mut depth = 0i64;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth < 0 {
            return true;
        }
    }
    depth != 0
}

/// What stands between the outer braces of `{ text }`, without the blanks inside them.
pub fn unbraced(word: &str) -> Option<&str> {
    Some(word.strip_prefix('{')?.strip_suffix('}')?.trim_matches(is_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_keep_separators_together() {
        assert_eq!(
            list("a, b\tc,,{ d, e {f g} },inline:{ x=y, z=w }"),
            ["a", "b", "c", "{ d, e {f g} }", "inline:{ x=y, z=w }"]
        );
        assert_eq!(list(" , "), Vec::<String>::new());
        assert_eq!(list("a {b c"), ["a", "{b c"]);
        assert!(unbalanced("a {b c") && unbalanced("a } b {") && !unbalanced("{a{b}}"));
    }
}
