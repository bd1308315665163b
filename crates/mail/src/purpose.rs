//! What a message is in the queue for: to be delivered, or to find out what a delivery would come to.
//!
//! Postfix: the attribute `trace_flags` of a queue file.

use crate::Envelope;

/// The queue file's attribute.
const ATTRIBUTE: &str = "trace_flags";
/// smtpd asks whether an address exists.
const VERIFY: u32 = 1 << 8;
/// A user asks what would happen.
const TELL: u32 = 1 << 9;
/// A user asks what happens.
const RECORD: u32 = 1 << 10;

/// What a message is in the queue for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To be delivered.
    #[default]
    Delivery,
    /// To be delivered, and its sender is told what became of the first attempt (`sendmail -v`).
    ToldDelivery,
    /// Nothing is delivered: its sender is told what would become of it (`sendmail -bv`).
    Forecast,
    /// Nothing is delivered: it is noted whether an address can get mail (address verification).
    Verification,
}

impl Purpose {
    /// The purpose of a queued message.
    pub fn of(envelope: &Envelope) -> Purpose {
        let value = envelope.attribute(ATTRIBUTE).and_then(|value| std::str::from_utf8(value).ok());
        let flags: u32 = value.and_then(|value| value.parse().ok()).unwrap_or_default();
        match flags {
            _ if flags & VERIFY != 0 => Purpose::Verification,
            _ if flags & TELL != 0 => Purpose::Forecast,
            _ if flags & RECORD != 0 => Purpose::ToldDelivery,
            _ => Purpose::Delivery,
        }
    }

    /// The attribute that says so in a queue file; none for plain mail.
    pub fn attribute(self) -> Option<(String, Vec<u8>)> {
        let flags = match self {
            Purpose::Delivery => return None,
            Purpose::ToldDelivery => RECORD,
            Purpose::Forecast => TELL,
            Purpose::Verification => VERIFY,
        };
        Some((ATTRIBUTE.to_owned(), flags.to_string().into_bytes()))
    }

    /// Whether mail is delivered; otherwise agents only say what they would do.
    pub fn delivers(self) -> bool {
        matches!(self, Purpose::Delivery | Purpose::ToldDelivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Timestamp};

    #[test]
    fn the_attribute_of_a_queue_file_says_what_a_message_is_for() {
        let mut envelope = Envelope::new(Address::null(), Timestamp::default());
        assert_eq!(Purpose::of(&envelope), Purpose::Delivery);
        for purpose in [Purpose::ToldDelivery, Purpose::Forecast, Purpose::Verification] {
            envelope.attributes = purpose.attribute().into_iter().collect();
            assert_eq!(Purpose::of(&envelope), purpose);
        }
        envelope.attributes = vec![(ATTRIBUTE.to_owned(), b"nonsense".to_vec())];
        assert_eq!(Purpose::of(&envelope), Purpose::Delivery);
    }
}
