//! What a session tells the log besides its replies.

use crate::smtp::command::Verb;
use mail::{Address, Reply};

/// Something for the log. Bytes from the client are raw: the driver escapes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// `improper command pipelining after …`: the client did not wait; `data` is the beginning of what it sent.
    ImproperPipelining {
        /// The command whose reply it should have awaited, or `CONNECT`.
        after: &'static str,
        /// At most 100 bytes.
        data: Vec<u8>,
    },
    /// `warning: non-SMTP command from …`.
    NonSmtpCommand(Vec<u8>),
    /// `warning: Illegal address syntax from … in MAIL command: …`.
    IllegalAddress {
        /// MAIL, RCPT or VRFY.
        command: Verb,
        /// The word that is no address.
        text: Vec<u8>,
    },
    /// `warning: … request longer than …`: the beginning of the line.
    LineTooLong(Vec<u8>),
    /// `warning: unknown DSN NOTIFY command value …`.
    UnknownNotify(Vec<u8>),
    /// `warning: QID: malformed BDAT command syntax from …: …`.
    MalformedBdat(Vec<u8>),
    /// `warning: QID: null BDAT request from …`.
    NullBdat,
    /// `warning: QID: BDAT request from … exceeds message size limit`.
    OversizedChunk,
    /// `QID: reject: MAIL from …: …`: a refusal of the session's own that Postfix logs like a restriction's.
    Rejected {
        /// The command that was refused.
        command: &'static str,
        /// The reply.
        reply: Reply,
        /// The sender, where it is not yet the transaction's.
        sender: Option<Address>,
        /// What MAIL said with `AUTH=`, where that is not yet the transaction's.
        sasl_sender: Option<String>,
    },
    /// `reject: END-OF-MESSAGE from …: bare <LF> received`.
    BareNewline {
        /// The command before it.
        command: &'static str,
        /// The transaction's sender and last recipient, where there is one.
        envelope: Option<(Address, Option<Address>)>,
    },
    /// `discarding EHLO keywords: …`.
    DiscardedKeywords(String),
    /// The content passed `message_size_limit`.
    MessageTooBig,
    /// A watched client sent this line.
    Heard(Vec<u8>),
    /// A watched client was told this: whole replies.
    Said(Vec<u8>),
    /// The session ends before QUIT.
    Ended {
        /// Why.
        how: Ending,
        /// Behind which command: `RCPT`, `CONNECT`, `DATA (123 bytes)`.
        after: String,
    },
}

/// Why a session ends before QUIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `lost connection after …`.
    Lost,
    /// `timeout after …`.
    Timeout,
    /// `too many errors after …`.
    TooManyErrors,
}
