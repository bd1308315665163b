//! The head of a request: who sends to whom, in a form that both sides write and read.

use mail::{Address, Encoding, Notify, Recipient, Ret};
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
    /// Header lines to be put above the content, with CRLF.
    pub headers: Vec<u8>,
}

/// The head with its length in front.
pub fn encode(submission: &Submission) -> Vec<u8> {
    let mut out = vec![0; 4];
    put(&mut out, submission.sender.as_bytes());
    put(&mut out, submission.envid.as_bytes());
    out.push(match submission.ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Hdrs) => 2,
    });
    out.push(match submission.encoding {
        Encoding::Unknown => 0,
        Encoding::SevenBit => 1,
        Encoding::EightBit => 2,
    });
    put(&mut out, &submission.headers);
    out.extend_from_slice(&u32::try_from(submission.recipients.len()).unwrap_or(u32::MAX).to_le_bytes());
    for r in &submission.recipients {
        put(&mut out, r.address.as_bytes());
        put(&mut out, r.original.as_bytes());
        put(&mut out, r.dsn_orcpt.as_bytes());
        out.push(r.notify.0);
    }
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_le_bytes());
    out
}

/// Reads a head without its length; `None` where it is none.
pub fn decode(bytes: &[u8]) -> Option<Submission> {
    let mut from = Reader(bytes);
    let sender = Address::new(from.bytes()?);
    let envid = from.text()?;
    let [ret, encoding] = from.array()?;
    let ret = match ret {
        0 => None,
        1 => Some(Ret::Full),
        2 => Some(Ret::Hdrs),
        _ => return None,
    };
    let encoding = match encoding {
        0 => Encoding::Unknown,
        1 => Encoding::SevenBit,
        2 => Encoding::EightBit,
        _ => return None,
    };
    let headers = from.bytes()?.to_vec();
    let count = u32::from_le_bytes(from.array()?) as usize;
    // Each recipient takes at least thirteen bytes, so a false count cannot make us reserve much.
    let mut recipients = Vec::with_capacity(count.min(from.0.len() / 13));
    for _ in 0..count {
        let (address, original) = (Address::new(from.bytes()?), Address::new(from.bytes()?));
        let dsn_orcpt = from.text()?;
        let [notify] = from.array()?;
        recipients.push(Recipient { address, original, dsn_orcpt, notify: Notify(notify) });
    }
    let whole = from.0.is_empty() && !recipients.is_empty();
    whole.then_some(Submission { sender, recipients, envid, ret, encoding, headers })
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

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.bytes()?).ok()?.to_owned())
    }
}
