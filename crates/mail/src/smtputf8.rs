//! What of a message needs SMTPUTF8 (RFC 6531), in the bits that Postfix's queue files call `sender options`.

use crate::{Address, ContentFlags};

/// The message asks for SMTPUTF8; the other bits count for nothing without this one.
pub const REQUESTED: u32 = 1;
/// A header is not ASCII.
pub const HEADER: u32 = 2;
/// The sender is not ASCII.
pub const SENDER: u32 = 4;
/// A recipient of this delivery is not ASCII; agents are told, the queue does not keep it.
pub const RECIPIENT: u32 = 8;

/// Whether a message comes to ask for SMTPUTF8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asking {
    /// Nobody said so.
    #[default]
    Never,
    /// It does if anything in it is not ASCII: mail of its class is looked through (`smtputf8_autodetect_classes`).
    WhereNeeded,
    /// Its sender did, or the message that it is about.
    Always,
}

impl Asking {
    /// What a sender `requested`, in a class that is looked through or not.
    pub fn new(requested: bool, detects: bool) -> Self {
        match (requested, detects) {
            (true, _) => Asking::Always,
            (false, true) => Asking::WhereNeeded,
            (false, false) => Asking::Never,
        }
    }

    /// The options that the queue keeps. `recipient` says that a recipient, before aliases are followed, is not ASCII.
    pub fn options(self, sender: &Address, recipient: bool, content: ContentFlags) -> u32 {
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        let needed =
            bit(content.has(ContentFlags::UTF8_HEADER), HEADER) | bit(sender.needs_smtputf8(), SENDER);
        let requested = match self {
            Asking::Never => false,
            Asking::WhereNeeded => needed != 0 || recipient,
            Asking::Always => true,
        };
        needed | bit(requested, REQUESTED)
    }

    /// The original recipient (`ORCPT`, RFC 3461, RFC 6533) of a recipient for whom none was named.
    pub fn original_recipient(self, address: &Address) -> String {
        let kind = if self != Asking::Never && address.needs_smtputf8() { "utf-8" } else { "rfc822" };
        format!("{kind};{}", String::from_utf8_lossy(address.as_bytes()))
    }
}

/// Whether only a server with SMTPUTF8 may get a message with these options.
pub fn is_required(options: u32) -> bool {
    options & REQUESTED != 0 && options & (HEADER | SENDER | RECIPIENT) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_asks_where_its_sender_or_its_class_says_so() {
        let (ascii, wide) = (Address::from("a@example.org"), Address::from("ä@example.org"));
        let (plain, header) = (ContentFlags::default(), ContentFlags::UTF8_HEADER);
        for (asking, sender, recipient, content, options) in [
            (Asking::Never, &wide, true, header, HEADER | SENDER),
            (Asking::WhereNeeded, &ascii, false, plain, 0),
            (Asking::WhereNeeded, &ascii, false, header, REQUESTED | HEADER),
            (Asking::WhereNeeded, &wide, false, plain, REQUESTED | SENDER),
            (Asking::WhereNeeded, &ascii, true, plain, REQUESTED),
            (Asking::Always, &ascii, false, plain, REQUESTED),
        ] {
            assert_eq!(
                asking.options(sender, recipient, content),
                options,
                "{asking:?} {sender} {recipient}"
            );
        }
        assert!(
            !is_required(HEADER | SENDER) && !is_required(REQUESTED) && is_required(REQUESTED | RECIPIENT)
        );
    }

    #[test]
    fn an_original_recipient_is_of_the_type_that_the_next_server_will_understand() {
        let named = |asking: Asking, address: &str| asking.original_recipient(&Address::from(address));
        assert_eq!(named(Asking::Never, "ä@example.org"), "rfc822;ä@example.org");
        assert_eq!(named(Asking::WhereNeeded, "ä@example.org"), "utf-8;ä@example.org");
        assert_eq!(named(Asking::Always, "a@example.org"), "rfc822;a@example.org");
    }
}
