//! Changes recipients' results by tables. Postfix: `default_delivery_status_filter` and what stands on it.
//!
//! The key is `N.N.N text`, the code and the reason; so is the value, which may make a failure for good one for now and
//! the other way about, but no success of a failure.

use mail::Dsn;
use observe::Tag;
use tables::search::Key;
use tables::{Lookup, Maps};

/// The filter of one service. It is asked where all agents' results pass: in [`crate::Report`].
#[derive(Debug)]
pub struct StatusFilter {
    parameter: String,
    maps: Maps,
}

impl StatusFilter {
    /// A filter by the tables of `parameter`; nothing where there are none.
    pub fn new(parameter: &str, maps: Maps) -> Option<StatusFilter> {
        (!maps.is_empty()).then(|| StatusFilter { parameter: parameter.to_owned(), maps })
    }

    /// What becomes of a result; it stays where the tables do not know it, cannot be asked, or say nothing of use.
    pub async fn apply(&self, tag: &Tag, dsn: Dsn, reason: &str) -> (Dsn, String) {
        let text = format!("{dsn} {reason}");
        let found = self.maps.lookup(&Key { text: text.clone(), part: false }).await;
        let value = match found {
            Lookup::Found(value) => value,
            Lookup::NotFound => return (dsn, reason.to_owned()),
            Lookup::TempFail(_) => {
                let tables: Vec<&str> = self.maps.tables().iter().map(tables::Table::spec).collect();
                observe::warn(tag, format_args!("{} lookup error for \"{text}\"", tables.join(",")));
                return (dsn, reason.to_owned());
            }
        };
        match understood(&value, dsn) {
            // A code alone leaves the words as they are.
            Some((new, "")) => (new, reason.to_owned()),
            Some((new, words)) => (new, words.to_owned()),
            None => {
                observe::warn(tag, format_args!("{}: bad status code: {value}", self.parameter));
                (dsn, reason.to_owned())
            }
        }
    }
}

/// Code and words of a value, where the code is one of the same kind: success stays success.
fn understood(value: &str, old: Dsn) -> Option<(Dsn, &str)> {
    Dsn::parse_prefix(value).filter(|(dsn, _)| (dsn.class == 2) == (old.class == 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stays_a_failure_and_a_success_a_success() {
        let (hard, fine) = (Dsn::new(5, 1, 1), Dsn::new(2, 0, 0));
        assert_eq!(understood("4.2.2  wait", hard), Some((Dsn::new(4, 2, 2), "wait")));
        assert_eq!(understood("4.2.2", hard), Some((Dsn::new(4, 2, 2), "")));
        assert_eq!(understood("2.1.5 fine", fine), Some((Dsn::new(2, 1, 5), "fine")));
        for (value, old) in [
            ("2.0.0 x", hard),
            ("4.0.0 x", fine),
            ("3.0.0 x", hard),
            ("4.2.x y", hard),
            ("4.2.2222 y", hard),
            ("no code", hard),
        ] {
            assert_eq!(understood(value, old), None, "{value}");
        }
    }
}
