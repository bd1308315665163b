//! What is known of one address, in the words of Postfix's cache: `status:probed:updated:text`.

use std::fmt;

/// What the text is while nothing is known.
const IN_PROGRESS: &str = "Address verification in progress";

/// What a probe found. The numbers are those of Postfix's cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The address can get mail.
    Deliverable,
    /// It could not be found out, or not for now.
    Undetermined,
    /// The address cannot get mail.
    Undeliverable,
    /// No probe has ended yet.
    Unknown,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the last probe that counts found.
    pub finding: Finding,
    /// When a probe was sent that has not ended or whose result does not count, in seconds; 0 where there is none.
    pub probed: u64,
    /// When the finding was made, in seconds.
    pub updated: u64,
    /// The words of who was asked.
    pub text: String,
}

impl Entry {
    /// Nothing is known.
    pub fn unknown() -> Entry {
        Entry { finding: Finding::Unknown, probed: 0, updated: 0, text: IN_PROGRESS.to_owned() }
    }

    /// Reads an entry.
    pub fn parse(text: &str) -> Option<Entry> {
        let mut parts = text.splitn(4, ':');
        let finding = match parts.next()? {
            "0" => Finding::Deliverable,
            "1" => Finding::Undetermined,
            "2" => Finding::Undeliverable,
            "3" => Finding::Unknown,
            _ => return None,
        };
        let (probed, updated) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some(Entry { finding, probed, updated, text: parts.next()?.to_owned() })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { finding, probed, updated, text } = self;
        write!(f, "{}:{probed}:{updated}:{text}", *finding as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written() {
        for text in ["0:0:1795756612:250 2.1.5 Ok", "2:17:18:host a[::1] said: 550 no", "1:0:5:", "3:0:0:x"] {
            assert_eq!(Entry::parse(text).expect("an entry").to_string(), text);
        }
        for none in ["", "0", "0:1", "0:1:2", "4:1:2:x", "0:x:2:y", "0:1:-2:y", "00:1:2:x"] {
            assert_eq!(Entry::parse(none), None, "{none}");
        }
    }
}
