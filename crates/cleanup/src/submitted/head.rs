//! The head of a request: who sends to whom, in a form that both sides write and read.

use mail::{Address, Encoding, Recipient, Ret, wire};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// A head longer than this is none of ours: 100,000 recipients with long addresses.
const HEAD_MAX: u32 = 64 << 20;

/// A message without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Envelope sender.
    pub sender: Address,
    /// The recipients.
    pub recipients: Vec<Recipient>,
    /// `ENVID=`.
    pub envid: String,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// What is known of the content.
    pub encoding: Encoding,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// Header lines to be put above the content, with CRLF.
    pub headers: Vec<u8>,
}

/// The head with its length in front.
pub fn encode(submission: &Submission) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_framed(&mut out, |out| {
        wire::put(out, submission.sender.as_bytes());
        wire::put(out, submission.envid.as_bytes());
        wire::put_declared(out, submission.ret, submission.encoding, submission.smtputf8);
        wire::put(out, &submission.headers);
        wire::put_count(out, submission.recipients.len());
        for recipient in &submission.recipients {
            wire::put_recipient(out, recipient);
        }
    });
    out
}

/// Reads a head without its length; `None` where it is none.
pub fn decode(mut bytes: &[u8]) -> Option<Submission> {
    let from = &mut bytes;
    let sender = Address::new(wire::take(from)?);
    let envid = wire::take_text(from)?.to_owned();
    let (ret, encoding, smtputf8) = wire::take_declared(from)?;
    let headers = wire::take(from)?.to_vec();
    let count = wire::take_count(from)?;
    // A false count cannot make us reserve much.
    let mut recipients = Vec::with_capacity(count.min(from.len() / wire::RECIPIENT_BYTES_MIN));
    for _ in 0..count {
        recipients.push(wire::take_recipient(from)?);
    }
    let whole = from.is_empty() && !recipients.is_empty();
    whole.then_some(Submission { sender, recipients, envid, ret, encoding, smtputf8, headers })
}

/// Reads the head of a memory file, and where the content begins.
pub(super) fn read(file: &File) -> io::Result<(Submission, u64)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut length = [0; 4];
    file.read_exact_at(&mut length, 0)?;
    let length = u32::from_le_bytes(length);
    // Not more than the file has: the length alone must not make us reserve memory.
    if length > HEAD_MAX || file.metadata()?.len() < 4 + u64::from(length) {
        return Err(invalid());
    }
    let mut head = vec![0; length as usize];
    file.read_exact_at(&mut head, 4)?;
    Ok((decode(&head).ok_or_else(invalid)?, 4 + u64::from(length)))
}
