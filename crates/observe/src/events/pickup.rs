//! Log lines of pickup: `QID: uid=1000 from=<user>`.

use crate::escape::Escaped;
use crate::event::{Event, Level};
use mail::{Address, QueueId};
use std::fmt::Write as _;

/// A message that a local program handed in is taken.
#[derive(Debug)]
pub struct PickedUp<'a> {
    /// Its id.
    pub queue_id: &'a QueueId,
    /// The user who wrote it: the owner of its file.
    pub uid: u32,
    /// Its sender as written.
    pub sender: &'a Address,
    /// The id that it had before it was requeued (`postsuper -r`).
    pub original_id: Option<&'a QueueId>,
}

impl Event for PickedUp<'_> {
    fn line(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ =
            write!(out, "{}: uid={} from=<{}>", self.queue_id, self.uid, Escaped(&self.sender.to_external()));
        if let Some(id) = self.original_id {
            let _ = write!(out, " orig_id={id}");
        }
    }
}

/// A file of `maildrop/` is no message, or one that may not be queued; it is kept in `corrupt/`.
#[derive(Debug)]
pub struct PickupRefused<'a> {
    /// The file's name.
    pub name: &'a str,
    /// What is wrong with it.
    pub reason: &'a str,
}

impl Event for PickupRefused<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(
            out,
            "maildrop/{}: {}; saving it in corrupt/",
            Escaped(self.name.as_bytes()),
            Escaped(self.reason.as_bytes())
        );
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

/// A message stays in `maildrop/` for now.
#[derive(Debug)]
pub struct PickupDelayed<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Why it could not be taken.
    pub reason: &'a str,
}

impl Event for PickupDelayed<'_> {
    fn line(&self, out: &mut String) {
        let _ = write!(
            out,
            "maildrop/{}: {}; will try again",
            Escaped(self.name.as_bytes()),
            Escaped(self.reason.as_bytes())
        );
    }

    fn level(&self) -> Level {
        Level::Warning
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_a_user_is_logged_as_postfix_does() {
        let (id, old) = (QueueId::parse("98D8998C008").unwrap(), QueueId::parse("A1").unwrap());
        let sender = Address::from("ann@example.com");
        let mut line = String::new();
        PickedUp { queue_id: &id, uid: 0, sender: &sender, original_id: None }.line(&mut line);
        assert_eq!(line, "98D8998C008: uid=0 from=<ann@example.com>");
        line.clear();
        PickedUp { queue_id: &id, uid: 7, sender: &Address::null(), original_id: Some(&old) }.line(&mut line);
        assert_eq!(line, "98D8998C008: uid=7 from=<> orig_id=A1");
    }
}
