//! Types of parameter values: how each is read, and what an error expects.

use crate::words;
use std::ops::{Bound, RangeBounds};

/// A type that a parameter may have; the names are those that `parameters!` entries use.
pub trait Kind {
    /// The value in a typed view.
    type Value;
    /// The name in docs/parameters.md.
    const NAME: &'static str;
    /// Whether `$name` is left in the value, to be expanded where it is used.
    const RAW: bool = false;
    /// Reads an expanded value. `default` is the unexpanded default (a time's own unit stands at its end).
    fn read(text: &str, limits: &Limits) -> Result<Self::Value, String>;
}

/// What a parameter's entry says beyond its type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// The smallest number, in the default's unit.
    pub min: Option<u64>,
    /// The largest number, in the default's unit.
    pub max: Option<u64>,
    /// The words that are allowed; empty where any is.
    pub one_of: &'static [&'static str],
    /// The unexpanded default; the unit at its end is the unit of a time without one.
    pub default: &'static str,
}

impl Limits {
    /// Limits from the `range` of an entry.
    pub fn range(default: &'static str, range: impl RangeBounds<u64>) -> Self {
        let min = match range.start_bound() {
            Bound::Included(&n) => Some(n),
            Bound::Excluded(&n) => Some(n + 1),
            Bound::Unbounded => None,
        };
        let max = match range.end_bound() {
            Bound::Included(&n) => Some(n),
            Bound::Excluded(&n) => Some(n - 1),
            Bound::Unbounded => None,
        };
        Limits { min, max, one_of: &[], default }
    }
}

fn number(text: &str, min: u64, max: u64) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if (min..=max).contains(&n) && !text.starts_with('+') => Ok(n),
        _ => Err(format!("expected a number from {min} to {max}, found `{text}`")),
    }
}

/// `yes` or `no`.
pub struct Bool;

impl Kind for Bool {
    type Value = bool;
    const NAME: &'static str = "yes or no";

    fn read(text: &str, _: &Limits) -> Result<bool, String> {
        match text {
            _ if text.eq_ignore_ascii_case("yes") => Ok(true),
            _ if text.eq_ignore_ascii_case("no") => Ok(false),
            _ => Err(format!("expected yes or no, found `{text}`")),
        }
    }
}

/// A number of things; at most what fits 32 bits.
pub struct Count;

impl Kind for Count {
    type Value = u64;
    const NAME: &'static str = "number";

    fn read(text: &str, limits: &Limits) -> Result<u64, String> {
        number(text, limits.min.unwrap_or(0), limits.max.unwrap_or(u64::from(u32::MAX)))
    }
}

/// A number of bytes, without unit as in Postfix.
pub struct Size;

impl Kind for Size {
    type Value = u64;
    const NAME: &'static str = "bytes";

    fn read(text: &str, limits: &Limits) -> Result<u64, String> {
        number(text, limits.min.unwrap_or(0), limits.max.unwrap_or(i64::MAX as u64))
    }
}

/// A number that may be negative, such as a score.
pub struct Score;

impl Kind for Score {
    type Value = i32;
    const NAME: &'static str = "number, also below zero";

    fn read(text: &str, _: &Limits) -> Result<i32, String> {
        text.parse().map_err(|_| format!("expected a number, also below zero, found `{text}`"))
    }
}

/// A decimal number that is not negative.
pub struct Float;

impl Kind for Float {
    type Value = f64;
    const NAME: &'static str = "decimal number";

    fn read(text: &str, _: &Limits) -> Result<f64, String> {
        match text.parse::<f64>() {
            Ok(n) if n.is_finite() && n >= 0.0 => Ok(n),
            _ => Err(format!("expected a decimal number that is not negative, found `{text}`")),
        }
    }
}

/// A span of time: a number with the unit s, m, h, d or w; without one, that of the default.
pub struct Duration;

/// Seconds in a unit.
pub(crate) fn seconds(unit: char) -> Option<u64> {
    Some(match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    })
}

impl Kind for Duration {
    type Value = std::time::Duration;
    const NAME: &'static str = "time";

    fn read(text: &str, limits: &Limits) -> Result<std::time::Duration, String> {
        let (own, scale) =
            limits.default.chars().last().and_then(|c| Some((c, seconds(c)?))).unwrap_or(('s', 1));
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        // What stands behind the unit's letter counts for nothing, as in Postfix (`300sec`).
        let unit = text[digits..].chars().next().unwrap_or(own);
        let (min, max) = (limits.min.unwrap_or(0), limits.max.unwrap_or(i32::MAX as u64 / scale));
        let bad = || match limits.max {
            None if min == 0 => {
                format!("expected a time like `30s` (units s m h d w; without one {own}), found `{text}`")
            }
            None => format!("expected a time of at least {min}{own} (units s m h d w), found `{text}`"),
            Some(_) => {
                format!("expected a time from {min}{own} to {max}{own} (units s m h d w), found `{text}`")
            }
        };
        let amount: u64 = text[..digits].parse().map_err(|_| bad())?;
        let secs = seconds(unit).and_then(|n| amount.checked_mul(n)).ok_or_else(bad)?;
        if secs < min.saturating_mul(scale) || secs > max.saturating_mul(scale) {
            return Err(bad());
        }
        Ok(std::time::Duration::from_secs(secs))
    }
}

/// Any text.
pub struct Text;

impl Kind for Text {
    type Value = String;
    const NAME: &'static str = "text";

    fn read(text: &str, limits: &Limits) -> Result<String, String> {
        if limits.one_of.is_empty() || limits.one_of.contains(&text) {
            return Ok(text.to_owned());
        }
        let or = |w: &&str| if w.is_empty() { "nothing" } else { *w }.to_owned();
        let choices: Vec<String> = limits.one_of.iter().map(or).collect();
        Err(format!("expected one of {}, found `{text}`", choices.join(", ")))
    }
}

/// Text whose `$name` are expanded where it is used.
pub struct RawText;

impl Kind for RawText {
    type Value = String;
    const NAME: &'static str = "text, expanded when used";
    const RAW: bool = true;

    fn read(text: &str, _: &Limits) -> Result<String, String> {
        Ok(text.to_owned())
    }
}

/// A file or directory.
pub struct Path;

impl Kind for Path {
    type Value = String;
    const NAME: &'static str = "path";

    fn read(text: &str, limits: &Limits) -> Result<String, String> {
        Text::read(text, limits)
    }
}

/// Words separated by commas or white space; `{…}` is one word.
pub struct List;

fn read_list(text: &str) -> Result<Vec<String>, String> {
    if words::unbalanced(text) {
        return Err(format!("expected a `}}` for each `{{`, found `{text}`"));
    }
    Ok(words::list(text))
}

impl Kind for List {
    type Value = Vec<String>;
    const NAME: &'static str = "list";

    fn read(text: &str, limits: &Limits) -> Result<Vec<String>, String> {
        let list = read_list(text)?;
        match list
            .iter()
            .find(|w| !limits.one_of.is_empty() && !limits.one_of.iter().any(|o| o.eq_ignore_ascii_case(w)))
        {
            None => Ok(list),
            Some(word) => Err(format!("expected words out of {}, found `{word}`", limits.one_of.join(", "))),
        }
    }
}

/// Access restrictions in the order in which they are asked.
pub struct Restrictions;

impl Kind for Restrictions {
    type Value = Vec<String>;
    const NAME: &'static str = "restrictions";

    fn read(text: &str, limits: &Limits) -> Result<Vec<String>, String> {
        List::read(text, limits)
    }
}

/// Lookup tables, each `type:name`.
pub struct Tables;

impl Kind for Tables {
    type Value = Vec<String>;
    const NAME: &'static str = "lookup tables";

    fn read(text: &str, _: &Limits) -> Result<Vec<String>, String> {
        let list = read_list(text)?;
        match list.iter().find(|spec| !spec.contains(':')) {
            None => Ok(list),
            Some(spec) => Err(format!("expected lookup tables written `type:name`, found `{spec}`")),
        }
    }
}

/// A step of the concurrency feedback: `1`, `0.5 / concurrency`, `1 / sqrt_concurrency`.
pub struct Feedback;

/// What a feedback step is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackPer {
    /// Nothing: the step is the same at each concurrency.
    One,
    /// The destination's concurrency.
    Concurrency,
    /// The square root of it.
    SqrtConcurrency,
}

/// A step of the concurrency feedback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeedbackStep {
    /// From 0 to 1.
    pub base: f64,
    /// What it is divided by.
    pub per: FeedbackPer,
}

impl Kind for Feedback {
    type Value = FeedbackStep;
    const NAME: &'static str = "feedback";

    fn read(text: &str, _: &Limits) -> Result<FeedbackStep, String> {
        let bad = || {
            format!(
                "expected a number from 0 to 1, perhaps with `/ concurrency` or `/ sqrt_concurrency`, found `{text}`"
            )
        };
        let (base, per) = match text.split_once('/') {
            None => (text, FeedbackPer::One),
            Some((base, per)) => match per.trim() {
                "concurrency" => (base, FeedbackPer::Concurrency),
                "sqrt_concurrency" => (base, FeedbackPer::SqrtConcurrency),
                _ => return Err(bad()),
            },
        };
        let base: f64 = base.trim().parse().map_err(|_| bad())?;
        if (0.0..=1.0).contains(&base) { Ok(FeedbackStep { base, per }) } else { Err(bad()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_the_defaults_unit() {
        let read = |text, default| {
            Duration::read(text, &Limits { default, ..Limits::default() }).map(|d| d.as_secs())
        };
        assert_eq!(read("5", "5d"), Ok(432_000));
        assert_eq!(read("5", "${stress?{10}:{300}}s"), Ok(5));
        assert_eq!(read("2m", "5d"), Ok(120));
        assert_eq!(read("300sec", "5s"), Ok(300));
        for bad in ["", "x", "-1", "5y", "5 s", "99999999999999999999"] {
            assert!(read(bad, "1s").is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_told_the_range() {
        let limits = Limits::range("1000", 1..);
        let error = Count::read("lots", &limits).unwrap_err();
        assert_eq!(error, "expected a number from 1 to 4294967295, found `lots`");
        assert_eq!((Count::read("0", &limits).is_err(), Count::read("+1", &limits).is_err()), (true, true));
        assert_eq!(Count::read("7", &limits), Ok(7));
    }

    #[test]
    fn choices_name_the_choices() {
        let limits = Limits { one_of: &["all", "ipv4", "ipv6"], ..Limits::default() };
        assert_eq!(List::read("ipv4, ipv6", &limits).map(|l| l.len()), Ok(2));
        assert_eq!(
            List::read("ipv5", &limits),
            Err("expected words out of all, ipv4, ipv6, found `ipv5`".into())
        );
    }
}
