//! What commands outside the mail system have of our environment: `export_environment`, and a fixed PATH.
//!
//! Postfix: postconf(5). `NAME` is handed on where it is set, `NAME=value` and `{ NAME = value }` are given.

use super::command::PATH;
use config::words::unbraced;
use std::ffi::OsString;

/// The variables that the words of `export_environment` name; the error says what was expected.
pub fn exported(words: &[String]) -> Result<Vec<(OsString, OsString)>, String> {
    let mut variables: Vec<(OsString, OsString)> = vec![("PATH".into(), PATH.into())];
    for word in words {
        let inner = unbraced(word).unwrap_or(word);
        let (name, value) = match inner.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(OsString::from(value.trim_start()))),
            None => (inner, std::env::var_os(inner)),
        };
        if name.is_empty() || name.contains([' ', '\0']) {
            return Err(format!("expected NAME, NAME=value or {{ NAME = value }}, found `{word}`"));
        }
        // The last one of a name counts.
        variables.retain(|(have, _)| have != name);
        variables.extend(value.map(|value| (name.into(), value)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<(String, String)>, String> {
        let plain = |text: OsString| text.into_string().unwrap();
        let all = exported(&config::words::list(text))?;
        Ok(all.into_iter().map(|(name, value)| (plain(name), plain(value))).collect())
    }

    #[test]
    fn named_variables_are_handed_on_or_given_and_path_is_ours() {
        let expected = |list: &[(&str, &str)]| {
            let list = list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Ok(list.collect())
        };
        assert_eq!(of(""), expected(&[("PATH", "/usr/bin:/bin")]));
        assert_eq!(
            of("NO_SUCH_NAME A=1 { B = two words } A=3"),
            expected(&[("PATH", "/usr/bin:/bin"), ("B", "two words"), ("A", "3")])
        );
        let handed_on = of("CARGO_PKG_NAME PATH=/x").unwrap();
        assert_eq!(handed_on.last(), Some(&("PATH".to_owned(), "/x".to_owned())));
        assert!(of("=x").unwrap_err().ends_with("found `=x`"));
    }
}
