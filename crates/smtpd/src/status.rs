//! Which enhanced code a text of the administrator may bring, by what it refuses (RFC 3463 3.2).
//!
//! A code about an address says whose: `5.1.1` of a sender would tell its reader of an unknown recipient. What is no
//! address has none of these codes. Found by asking Debian's Postfix with each code at each stage.

use mail::Dsn;

/// The subject of codes about addresses.
const ADDRESSING: u16 = 1;

/// The code that says the same of this class (`Sender address`, …); the same one where it fits.
pub fn fitting(dsn: Dsn, class: &str) -> Dsn {
    if dsn.subject != ADDRESSING {
        return dsn;
    }
    let detail = |detail| Dsn { detail, ..dsn };
    match class {
        "Sender address" => detail(match dsn.detail {
            0 | 7 | 8 => dsn.detail,
            // Bad mailbox, syntax, ambiguous, moved: of the sender.
            1 | 3 | 4 | 6 => 7,
            // Bad system.
            2 => 8,
            _ => 0,
        }),
        "Recipient address" => detail(match dsn.detail {
            0..=6 => dsn.detail,
            7 => 3,
            8 => 2,
            _ => 0,
        }),
        _ => Dsn { subject: 0, detail: 0, ..dsn },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_about_addresses_become_those_of_the_side_that_is_refused() {
        let details =
            |class: &'static str| (0..=10).map(move |n| fitting(Dsn::new(5, 1, n), class).to_string());
        let sender: Vec<_> = details("Sender address").collect();
        assert_eq!(sender.join(" "), "5.1.0 5.1.7 5.1.8 5.1.7 5.1.7 5.1.0 5.1.7 5.1.7 5.1.8 5.1.0 5.1.0");
        let recipient: Vec<_> = details("Recipient address").collect();
        assert_eq!(recipient.join(" "), "5.1.0 5.1.1 5.1.2 5.1.3 5.1.4 5.1.5 5.1.6 5.1.3 5.1.2 5.1.0 5.1.0");
        assert!(details("Helo command").all(|code| code == "5.0.0"));
    }

    #[test]
    fn other_codes_stay() {
        for (subject, detail) in [(0, 0), (2, 1), (7, 1), (9, 9)] {
            let dsn = Dsn::new(4, subject, detail);
            assert_eq!(fitting(dsn, "Helo command"), dsn);
        }
    }
}
