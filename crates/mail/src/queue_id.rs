//! Queue ids in Postfix's two forms.

use crate::Timestamp;
use std::fmt;
use std::sync::Arc;

/// The name of a message in the log and of its file in the queue.
///
/// A valid id is 1 to 64 ASCII letters and digits, so it is safe as a file name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(Arc<str>);

/// Which form new ids take: Postfix's `enable_long_queue_ids`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueIdForm {
    /// Five hexadecimal digits of microseconds, then the counter in hexadecimal.
    Short,
    /// Seconds and microseconds in base 52, `z`, the counter in base 51.
    Long,
}

/// Base 52 without vowels; base 51 is the same without the final `z`, which separates.
const ALPHABET: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/// Longer names than this are no ids of ours or Postfix's.
const LENGTH_MAX: usize = 64;

impl QueueId {
    /// The id of a message that arrives at `now`; `counter` stands where Postfix has the inode and never repeats.
    pub fn make(form: QueueIdForm, now: Timestamp, counter: u64) -> Self {
        let text = match form {
            QueueIdForm::Short => format!("{:05X}{counter:X}", now.subsec_micros()),
            QueueIdForm::Long => {
                let secs = u64::try_from(now.secs()).unwrap_or(0);
                format!(
                    "{}{}z{}",
                    in_base(secs, 52, 6),
                    in_base(u64::from(now.subsec_micros()), 52, 4),
                    in_base(counter, 51, 1)
                )
            }
        };
        QueueId(text.into())
    }

    /// Takes a name for an id, if it is made of ASCII letters and digits only and not too long.
    pub fn parse(name: &str) -> Option<Self> {
        let valid =
            !name.is_empty() && name.len() <= LENGTH_MAX && name.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| QueueId(name.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The microseconds of the long form, which choose its hash directory; `None` for the short form.
    pub fn long_form_micros(&self) -> Option<u32> {
        let z = self.0.rfind('z').filter(|&z| z >= 10)?;
        let micros = &self.0.as_bytes()[z - 4..z];
        micros
            .iter()
            .try_fold(0u32, |n, b| Some(n * 52 + u32::try_from(ALPHABET.iter().position(|a| a == b)?).ok()?))
    }
}

fn in_base(mut n: u64, base: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while n > 0 || digits.len() < width {
        digits.push(ALPHABET[(n % base) as usize]);
        n /= base;
    }
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_microseconds_and_counter_in_hexadecimal() {
        let id = QueueId::make(QueueIdForm::Short, Timestamp::from_micros(1_700_000_000_000_255), 0xC0042);
        assert_eq!(id.as_str(), "000FFC0042");
        assert_eq!(id.long_form_micros(), None);
    }

    #[test]
    fn the_long_form_sorts_by_time_and_tells_its_microseconds() {
        let early = QueueId::make(QueueIdForm::Long, Timestamp::from_micros(1_700_000_000_123_456), 1);
        let late = QueueId::make(QueueIdForm::Long, Timestamp::from_micros(1_700_000_001_000_000), 2);
        assert!(early.as_str() < late.as_str());
        assert_eq!(early.long_form_micros(), Some(123_456));
    }

    #[test]
    fn names_that_could_leave_the_directory_are_no_ids() {
        for name in ["", ".", "..", "a/b", "A.B", "ä", &"A".repeat(65)] {
            assert!(QueueId::parse(name).is_none(), "{name:?}");
        }
    }
}
