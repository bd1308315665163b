//! Dates in headers (RFC 5322 3.3), in local time, with the zone's name behind as Postfix writes it.

use mail::Timestamp;
use std::cell::RefCell;

thread_local! {
    /// The last date made: all messages of one second have the same.
    static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
}

/// `Sun,  5 Jul 2026 12:00:00 +0200 (CEST)`.
pub fn mail_date(at: Timestamp) -> String {
    LAST.with_borrow_mut(|(second, text)| {
        if *second != at.secs() || text.is_empty() {
            (*second, *text) = (at.secs(), made(at.secs()));
        }
        text.clone()
    })
}

fn made(second: i64) -> String {
    // Years beyond what the C library counts: better a date in 1970 than none.
    let made = sys::local_time(second).or_else(|_| sys::local_time(0));
    made.map_or_else(|_| "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)".to_owned(), |t| t.header_date())
}

/// `20260705100000`: the time in a Message-Id, in UTC.
pub(crate) fn stamp(at: Timestamp) -> String {
    let (days, second) = (at.secs().div_euclid(86_400), at.secs().rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!("{year:04}{month:02}{day:02}{:02}{:02}{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day of a count of days since 1970-01-01 (proleptic Gregorian).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_in_universal_time() {
        for (second, text) in
            [(0, "19700101000000"), (951_782_400, "20000229000000"), (1_700_000_000, "20231114221320")]
        {
            assert_eq!(stamp(Timestamp::from_secs(second)), text);
        }
    }

    #[test]
    fn a_date_names_day_month_and_zone() {
        let date = mail_date(Timestamp::from_secs(1_700_000_000));
        assert!(date.contains(" Nov 2023 ") && date.ends_with(')'), "{date}");
        assert_eq!(date, mail_date(Timestamp::from_micros(1_700_000_000_999_999)));
    }
}
