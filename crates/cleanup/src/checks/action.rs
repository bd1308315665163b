//! What the result of a header or body check asks for (header_checks(5)).

use mail::{Address, Dsn, Reply};

/// A result that makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing, and nothing is logged.
    Nothing,
    /// The line goes, and nothing is logged.
    Ignore,
    /// Something that is logged with the text.
    Do(Deed, String),
    /// The message is not taken.
    Reject(Reply),
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The message is taken and thrown away.
    Discard,
    /// The message waits for the administrator.
    Hold,
    /// `transport:nexthop` through which it goes.
    Filter,
    /// Its only recipient.
    Redirect(Address),
    /// A recipient in addition.
    Bcc(Address),
    /// A line in front.
    Prepend,
    /// A line in place.
    Replace,
    /// The line goes.
    Strip,
    /// Only the log is told.
    Info,
    /// Only the log is told, louder.
    Warn,
    /// Nothing more is checked.
    Pass,
}

impl Deed {
    /// The word of the log.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Deed::Discard => "discard",
            Deed::Hold => "hold",
            Deed::Filter => "filter",
            Deed::Redirect(_) => "redirect",
            Deed::Bcc(_) => "bcc",
            Deed::Prepend => "prepend",
            Deed::Replace => "replace",
            Deed::Strip => "strip",
            Deed::Info => "info",
            Deed::Warn => "warning",
            Deed::Pass => "pass",
        }
    }
}

/// What `result` of the table that `parameter` names asks for; otherwise what the log is warned of. `in_header`: lines
/// are headers and stay so.
pub(super) fn parse(result: &str, parameter: &str, in_header: bool) -> Result<Action, String> {
    let result = result.trim_start();
    let (word, text) = result.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((result, ""));
    let text = text.trim_start();
    let address = |what: &str| match text.contains('@') {
        true => Ok(Address::new(text.as_bytes())),
        false => Err(format!("bad {what} \"{text}\" in {parameter} map -- need user@domain")),
    };
    let upper = word.to_ascii_uppercase();
    let deed = match upper.as_str() {
        "DUNNO" | "OK" => return Ok(Action::Nothing),
        "IGNORE" => return Ok(Action::Ignore),
        "REJECT" => return Ok(Action::Reject(rejection(text))),
        "DISCARD" => Deed::Discard,
        "HOLD" => Deed::Hold,
        "FILTER" if text.is_empty() => {
            return Err(format!("missing FILTER command argument in {parameter} map"));
        }
        "FILTER" if !text.contains(':') => {
            return Err(format!("bad FILTER command {text} in {parameter} -- need transport:destination"));
        }
        "FILTER" => Deed::Filter,
        "REDIRECT" => Deed::Redirect(address("REDIRECT target")?),
        "BCC" => Deed::Bcc(address("BCC address")?),
        "PREPEND" | "REPLACE" if text.is_empty() => {
            return Err(format!("{upper} action without text in {parameter} map"));
        }
        "PREPEND" | "REPLACE" if in_header && !is_header(text) => {
            let need = "need \"headername: headervalue\"";
            return Err(format!("bad {upper} header text \"{text}\" in {parameter} map -- {need}"));
        }
        "PREPEND" => Deed::Prepend,
        "REPLACE" => Deed::Replace,
        "STRIP" => Deed::Strip,
        "INFO" => Deed::Info,
        "WARN" => Deed::Warn,
        "PASS" => Deed::Pass,
        _ => return Err(format!("unknown command in {parameter} map: {result}")),
    };
    Ok(Action::Do(deed, text.to_owned()))
}

/// A text may begin with an enhanced code, which says whether the client may come again.
fn rejection(text: &str) -> Reply {
    let (dsn, text) = Dsn::parse_prefix(text).unwrap_or((Dsn::new(5, 7, 1), text));
    let text = if text.is_empty() { "message content rejected" } else { text };
    match dsn.class {
        5 => Reply::new(550, dsn, text),
        // A success makes no refusal; what is wrong with it the log is told.
        _ => Reply::new(451, dsn.with_class(4), text),
    }
}

/// The text's code belongs to no refusal.
pub(super) fn misfit(result: &str) -> Option<String> {
    let (word, text) = result.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
    let text = text.trim_start();
    let (dsn, _) = Dsn::parse_prefix(text)?;
    (word.eq_ignore_ascii_case("REJECT") && dsn.class == 2)
        .then(|| format!("bad DSN action in {text} -- need 4.x.x or 5.x.x"))
}

/// A name of printable characters, perhaps blanks, and a colon.
fn is_header(text: &str) -> bool {
    let Some((name, _)) = text.split_once(':') else { return false };
    let name = name.trim_end_matches([' ', '\t']);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_with_its_code_whether_to_come_again() {
        let reply = |result| match parse(result, "header_checks", true) {
            Ok(Action::Reject(reply)) => reply.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reply("REJECT"), "550 5.7.1 message content rejected");
        assert_eq!(reply("reject  no spam"), "550 5.7.1 no spam");
        assert_eq!(reply("REJECT 4.3.2 later"), "451 4.3.2 later");
        assert_eq!(reply("REJECT 2.0.0 odd"), "451 4.0.0 odd");
        assert!(misfit("REJECT 2.0.0 odd").is_some() && misfit("REJECT 5.0.0 odd").is_none());
    }

    #[test]
    fn what_makes_no_sense_is_told_with_the_parameter() {
        for (result, wrong) in [
            ("FILTER", "missing FILTER command argument in header_checks map"),
            ("FILTER x", "bad FILTER command x in header_checks -- need transport:destination"),
            ("BCC ann", "bad BCC address \"ann\" in header_checks map -- need user@domain"),
            ("PREPEND", "PREPEND action without text in header_checks map"),
            (
                "replace bob",
                "bad REPLACE header text \"bob\" in header_checks map -- need \"headername: headervalue\"",
            ),
            ("550 no", "unknown command in header_checks map: 550 no"),
        ] {
            assert_eq!(parse(result, "header_checks", true), Err(wrong.to_owned()));
        }
        assert_eq!(parse("REPLACE bob", "body_checks", false), Ok(Action::Do(Deed::Replace, "bob".into())));
    }
}
