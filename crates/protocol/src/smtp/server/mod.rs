//! The server's end of SMTP: what a session is asked, what it answers, what it must know of others.
//!
//! Pure: bytes, answers and time-outs go in, reply bytes and one next step at a time come out. The driver owns the
//! socket and the clock and evaluates restrictions. It calls [`Session::step`] again and again with what the last
//! [`Next`] asked for; input that is not wanted yet simply stays in the driver's `Bytes`, which bounds it by one read.

mod body;
mod cut;
mod data;
mod envelope;
mod identity;
mod limits;
mod line;
mod note;
mod refusal;
mod session;
mod settings;
mod state;
mod trusted;
mod verbose;

pub use body::{Framing, Scanner};
pub use identity::{Told, Xclient, Xforward};
pub use note::{Ending, Note};
pub use refusal::Refusal;
pub use session::{Outputs, Session};
pub use settings::{BareNewline, CommandList, Counted, EhloKeywords, Peer, Settings};
pub use state::Counts;

#[cfg(test)]
mod tests;

use crate::smtp::command::Verb;
use bytes::Bytes;
use mail::{Address, ContentFlags, Encoding, QueueId, Recipient, Reply, Ret};
use std::time::Duration;

/// What the driver brings into a session: proofs that only it can make, and what it keeps for a transaction.
pub trait Host {
    /// What the driver keeps for an open mail transaction (queue id, draft); dropped with the transaction.
    type Mail;
    /// Proof that all restriction lists were evaluated for a recipient and let it pass.
    type Permit;
    /// Proof that a message lies on stable storage.
    type Committed: Queued;
}

/// What a proof of stable storage must tell.
pub trait Queued {
    /// The id under which the message is queued.
    fn queue_id(&self) -> &QueueId;
}

/// What goes into a session.
pub enum Input<'a, H: Host> {
    /// Bytes from the client, not yet used ones first. The session takes what it wants from the front.
    Bytes(&'a mut Bytes),
    /// The answer to the last [`Next::Ask`] or [`Next::Commit`].
    Answer(Answer<H>),
    /// The client sent nothing for `smtpd_timeout`.
    Timeout,
    /// The client closed the connection or it broke.
    Lost,
    /// Our own fault or end: the client gets this 421 and the session ends.
    Abort(Reply),
}

/// What the driver must do next.
pub enum Next<H: Host> {
    /// All input is used: write the replies, then read more, within `smtpd_timeout`.
    Read,
    /// Wait so long, then write the replies, then go on with the rest of the input: a client that makes errors.
    Sleep(Duration),
    /// Write the refusals of [`Outputs::refusals`] among the replies, then go on with the rest of the input.
    Refused,
    /// Somebody else must decide; go on with [`Input::Answer`].
    Ask(Ask),
    /// A piece of the content in canonical form; append it to the draft ([`Session::mail_mut`]), then go on with the
    /// rest of the input.
    Body(Bytes),
    /// The content is complete; queue it and go on with [`Answer::Queued`] or [`Answer::Refuse`].
    Commit(Box<Transaction<H>>),
    /// Write the replies and close the connection; nothing more may go in.
    Close,
}

/// A question to the driver. What it is about is told by the session's getters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A client connected and `smtpd_delay_reject` is off: `smtpd_client_restrictions`. Answer: Pass, Refuse.
    Connect,
    /// HELO or EHLO (`verb`) with this name. Answer: Pass, Refuse.
    Helo {
        /// Which.
        verb: Verb,
        /// Its argument.
        name: String,
    },
    /// MAIL, RCPT or VRFY of a client whose commands are counted ([`Counted`]); its own question follows. Answer: Pass,
    /// Refuse.
    Count(Verb),
    /// MAIL: sender restrictions, space in the queue. Answer: Mail, Refuse.
    Mail(MailRequest),
    /// RCPT: all delayed restrictions. Answer: Recipient, Refuse.
    Rcpt(Recipient),
    /// DATA or the first BDAT, whichever. Answer: Pass, Refuse.
    Data(Verb),
    /// VRFY of this address, checked as a recipient. Answer: Pass, Refuse.
    Vrfy(Address),
    /// XCLIENT of one who may: the client is to be another. Answer: Peer, Refuse.
    Xclient(Box<Xclient>),
    /// ETRN of this domain: `smtpd_etrn_restrictions`, then the flush service. Answer: Pass (it is queued), Refuse.
    Etrn(String),
    /// A command line, for `smtpd_command_filter`. Answer: Pass, Command, Refuse.
    Filter(Vec<u8>),
    /// The first word of a line, for `smtpd_noop_commands`. Answer: Pass, Listed.
    Noop(String),
    /// A command that nobody knows, for `smtpd_forbidden_commands`. Answer: Pass, Listed.
    Forbidden(String),
}

/// What MAIL said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailRequest {
    /// The envelope sender.
    pub sender: Address,
    /// `SIZE=`; 0 where nothing was said.
    pub size: u64,
    /// `BODY=`.
    pub encoding: Encoding,
    /// `SMTPUTF8` was given.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded; empty where there was none.
    pub envid: String,
    /// `AUTH=`, as it was written; nothing for `<>`, which says that nobody knows.
    pub sasl_sender: Option<String>,
    /// `XVERP`: the two characters around the recipient in each one's own sender.
    pub verp: Option<[u8; 2]>,
}

/// The driver's answer.
pub enum Answer<H: Host> {
    /// Nothing speaks against it.
    Pass,
    /// MAIL is accepted; here is what the driver keeps for the transaction.
    Mail(H::Mail),
    /// The recipient is accepted.
    Recipient(H::Permit),
    /// The client that XCLIENT tells of, with all that is known of it.
    Peer(Box<Peer>),
    /// The message is on stable storage.
    Queued(H::Committed),
    /// The administrator has it thrown away, and the client is to believe that it is queued (`DISCARD`).
    Discarded(QueueId),
    /// The command line that takes the place of the client's.
    Command(Vec<u8>),
    /// The command is in the list.
    Listed,
    /// No, with this reply; 421 and 521 end the session.
    Refuse(Reply),
}

impl<H: Host> From<Result<(), Reply>> for Answer<H> {
    fn from(verdict: Result<(), Reply>) -> Self {
        verdict.map_or_else(Answer::Refuse, |()| Answer::Pass)
    }
}

/// Recipients, each with the proof that it was accepted.
pub type Recipients<H> = Vec<(Recipient, <H as Host>::Permit)>;

/// Parts of an open transaction: what MAIL said, what the driver keeps, the accepted recipients.
pub type Parts<'a, H> = (&'a MailRequest, &'a mut <H as Host>::Mail, &'a [(Recipient, <H as Host>::Permit)]);

/// An open mail transaction.
pub struct Transaction<H: Host> {
    /// What MAIL said.
    pub request: MailRequest,
    /// What the driver keeps.
    pub mail: H::Mail,
    /// Bytes of content so far, in canonical form.
    pub size: u64,
    /// What is known about the content's lines.
    pub flags: ContentFlags,
    /// Some line of the content ended with a bare newline.
    pub bare_newline: bool,
    recipients: Recipients<H>,
}

impl<H: Host> Transaction<H> {
    /// The accepted recipients, in order.
    pub fn recipients(&self) -> &[(Recipient, H::Permit)] {
        &self.recipients
    }

    pub(super) fn parts_mut(&mut self) -> Parts<'_, H> {
        (&self.request, &mut self.mail, &self.recipients)
    }

    /// Takes the transaction apart.
    pub fn into_parts(self) -> (MailRequest, H::Mail, Recipients<H>) {
        (self.request, self.mail, self.recipients)
    }
}
