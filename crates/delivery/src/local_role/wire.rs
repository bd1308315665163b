//! What goes over `private/local`: a job in a sealed memory file there, results back.
//!
//! The queue manager sends eight bytes, the job's number, with one descriptor. The file holds the length of a head,
//! the head (who sends to whom), then the content as CRLF lines. Back come frames, one for each recipient.

use super::failure::Note;
use mail::wire::{self, put, take, take_array, take_count, take_text};
use mail::{
    Address, Dsn, Encoding, Job, Notify, Origin, Purpose, QueueId, Ret, RewriteContext, Status, smtputf8,
};

/// Length of a request on the socket.
pub const REQUEST_LEN: usize = 8;

/// A head longer than this is no job of ours: 100,000 recipients with the longest addresses.
const HEAD_MAX: u64 = 64 << 20;

/// A result longer than this is none of ours: as many parts as are told, with usual reasons.
const RESULT_MAX: usize = 64 << 20;

/// Parts of a recipient that are told; who has more gets the rest unlogged.
const PARTS_MAX: usize = 100_000;

/// Lines for the log with one result; a delivery that has more to say repeats itself.
const NOTES_MAX: usize = 16;

/// Reasons and warnings are cut here: they hold file names and what the system said.
const TEXT_MAX: usize = 5 * 1024;

/// One recipient, as the local role needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its place in the message's envelope.
    pub index: u32,
    /// The address.
    pub address: Address,
    /// The address before rewriting.
    pub original: Address,
    /// `ORCPT=`.
    pub dsn_orcpt: String,
    /// `NOTIFY=`.
    pub notify: Notify,
}

/// A job without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The job's number.
    pub job: u64,
    /// The service of master.cf that delivers it.
    pub transport: String,
    /// The message.
    pub queue_id: QueueId,
    /// Whether it is delivered, or only asked what a delivery would come to.
    pub purpose: Purpose,
    /// Envelope sender.
    pub sender: Address,
    /// Where the mail goes, in the transport's own notation.
    pub nexthop: String,
    /// `ENVID=`, decoded; empty where there was none.
    pub envid: String,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// What was declared of the content.
    pub encoding: Encoding,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// Bytes of the content as the log has them.
    pub size: u64,
    /// Who sent the message to us, for commands.
    pub origin: Origin,
    /// The recipients.
    pub recipients: Vec<Recipient>,
}

impl Head {
    /// What commands are told of the client; nothing of mail that did not come by SMTP.
    pub fn client(&self) -> Vec<(&'static str, String)> {
        let Origin { address, helo, name, protocol, .. } = &self.origin;
        let address = address.strip_prefix("IPv6:").unwrap_or(address);
        let told = [
            ("CLIENT_ADDRESS", address),
            ("CLIENT_HELO", helo),
            ("CLIENT_HOSTNAME", name),
            ("CLIENT_PROTOCOL", protocol),
            ("SASL_METHOD", &self.origin.sasl_method),
            ("SASL_USERNAME", &self.origin.sasl_username),
            ("SASL_SENDER", &self.origin.sasl_sender),
        ];
        let told = told.into_iter().filter(|(_, value)| !value.is_empty());
        told.map(|(name, value)| (name, value.to_owned())).collect()
    }
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The job.
    pub job: u64,
    /// The recipient's place in the message's envelope.
    pub index: u32,
    /// Sent, deferred or bounced.
    pub status: Status,
    /// Enhanced code.
    pub dsn: Dsn,
    /// The text for the log.
    pub reason: String,
    /// What an external command said.
    pub diagnostic: Option<String>,
    /// Lines for the administrator.
    pub notes: Vec<Note>,
    /// What the recipient became, where that is more than itself; each has its line in the log.
    pub parts: Vec<Part>,
    /// The transport, as `transport:nexthop`, that takes the recipient over; then there is no result yet.
    pub passed: Option<String>,
}

/// One of those that a recipient became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Who it is.
    pub to: Address,
    /// The address before rewriting; null where it is not told.
    pub original: Address,
    /// Sent, deferred or bounced.
    pub status: Status,
    /// Enhanced code.
    pub dsn: Dsn,
    /// The text for the log.
    pub reason: String,
    /// What an external command said.
    pub diagnostic: Option<String>,
    /// Lines for the administrator.
    pub notes: Vec<Note>,
    /// The owner- alias of a list, who is told of a failure; null where the sender is.
    pub owner: Address,
}

impl Answer {
    /// A result without parts.
    pub fn plain(job: u64, index: u32, status: Status, dsn: Dsn, reason: String) -> Answer {
        Answer {
            job,
            index,
            status,
            dsn,
            reason,
            diagnostic: None,
            notes: vec![],
            parts: vec![],
            passed: None,
        }
    }
}

/// The beginning of the memory file: the head with its length in front.
pub fn encode_head(job: &Job) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_framed(&mut out, |out| {
        out.extend_from_slice(&job.id.0.to_le_bytes());
        put(out, job.transport.as_bytes());
        put(out, job.queue_id.as_str().as_bytes());
        out.push(match job.purpose {
            Purpose::Delivery => 0,
            Purpose::ToldDelivery => 1,
            Purpose::Forecast => 2,
            Purpose::Verification => 3,
        });
        put(out, job.sender.as_bytes());
        put(out, job.nexthop.as_bytes());
        put(out, job.envid.as_bytes());
        let asks_for_smtputf8 = job.smtputf8 & smtputf8::REQUESTED != 0;
        wire::put_declared(out, job.ret, job.encoding, asks_for_smtputf8);
        out.extend_from_slice(&job.content.queue_size().to_le_bytes());
        put_origin(out, &job.origin);
        wire::put_count(out, job.recipients.len());
        for r in &job.recipients {
            out.extend_from_slice(&r.index.to_le_bytes());
            wire::put_recipient(out, &r.recipient);
        }
    });
    out
}

/// The length of the head that the file's first four bytes tell, if it may be one.
pub fn head_length(bytes: [u8; 4]) -> Option<usize> {
    let length = u64::from(u32::from_le_bytes(bytes));
    (length <= HEAD_MAX).then_some(length as usize)
}

/// Reads a head; `None` where it is none.
pub fn decode_head(mut bytes: &[u8]) -> Option<Head> {
    let from = &mut bytes;
    let job = u64::from_le_bytes(take_array(from)?);
    let transport = take_text(from)?.to_owned();
    let queue_id = QueueId::parse(take_text(from)?)?;
    let purpose = match take_array(from)? {
        [0] => Purpose::Delivery,
        [1] => Purpose::ToldDelivery,
        [2] => Purpose::Forecast,
        _ => Purpose::Verification,
    };
    let sender = Address::new(take(from)?);
    let (nexthop, envid) = (take_text(from)?.to_owned(), take_text(from)?.to_owned());
    let (ret, encoding, smtputf8) = wire::take_declared(from)?;
    let size = u64::from_le_bytes(take_array(from)?);
    let origin = origin(from)?;
    let count = take_count(from)?;
    // A false count cannot make us reserve much.
    let mut recipients = Vec::with_capacity(count.min(from.len() / wire::RECIPIENT_BYTES_MIN));
    for _ in 0..count {
        let index = u32::from_le_bytes(take_array(from)?);
        let mail::Recipient { address, original, dsn_orcpt, notify } = wire::take_recipient(from)?;
        recipients.push(Recipient { index, address, original, dsn_orcpt, notify });
    }
    let head = Head {
        job,
        transport,
        queue_id,
        purpose,
        sender,
        nexthop,
        envid,
        ret,
        encoding,
        smtputf8,
        size,
        origin,
        recipients,
    };
    from.is_empty().then_some(head)
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    let Origin { name, address, port, protocol, helo, ident, context, .. } = origin;
    let Origin { sasl_method, sasl_username, sasl_sender, .. } = origin;
    for text in [name, address, port, protocol, helo, ident, sasl_method, sasl_username, sasl_sender] {
        put(out, text.as_bytes());
    }
    out.push(u8::from(*context == RewriteContext::Local));
}

fn origin(from: &mut &[u8]) -> Option<Origin> {
    let mut text = || take_text(from).map(str::to_owned);
    // In the order in which they were put.
    Some(Origin {
        name: text()?,
        address: text()?,
        port: text()?,
        protocol: text()?,
        helo: text()?,
        ident: text()?,
        sasl_method: text()?,
        sasl_username: text()?,
        sasl_sender: text()?,
        context: match take_array(from)? {
            [0] => RewriteContext::Remote,
            _ => RewriteContext::Local,
        },
    })
}

/// Appends a result with its length in front.
pub fn encode_answer(answer: &Answer, out: &mut Vec<u8>) {
    wire::put_framed(out, |out| {
        out.extend_from_slice(&answer.job.to_le_bytes());
        out.extend_from_slice(&answer.index.to_le_bytes());
        let Answer { status, dsn, reason, diagnostic, notes, .. } = answer;
        put_result(out, *status, *dsn, reason, diagnostic.as_deref(), notes);
        put(out, answer.passed.as_deref().map(cut).unwrap_or_default().as_bytes());
        let parts = &answer.parts[..answer.parts.len().min(PARTS_MAX)];
        wire::put_count(out, parts.len());
        for Part { to, original, status, dsn, reason, diagnostic, notes, owner } in parts {
            for address in [to, original, owner] {
                put(out, address.as_bytes());
            }
            put_result(out, *status, *dsn, reason, diagnostic.as_deref(), notes);
        }
    });
}

fn put_result(
    out: &mut Vec<u8>,
    status: Status,
    dsn: Dsn,
    reason: &str,
    diagnostic: Option<&str>,
    notes: &[Note],
) {
    out.push(match status {
        Status::Sent => 0,
        Status::Deferred => 1,
        Status::Bounced => 2,
    });
    out.push(dsn.class);
    out.extend_from_slice(&dsn.subject.to_le_bytes());
    out.extend_from_slice(&dsn.detail.to_le_bytes());
    put(out, cut(reason).as_bytes());
    put(out, diagnostic.map(cut).unwrap_or_default().as_bytes());
    let notes = &notes[..notes.len().min(NOTES_MAX)];
    out.push(notes.len() as u8);
    for note in notes {
        let (kind, text) = match note {
            Note::Fatal(text) => (0, text),
            Note::Info(text) => (1, text),
            Note::Warning(text) => (2, text),
        };
        out.push(kind);
        put(out, cut(text).as_bytes());
    }
}

/// What stands at the beginning of received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A result, and how many bytes it took.
    Answer(Answer, usize),
    /// The rest has not come yet.
    Incomplete,
    /// No result.
    Garbage,
}

/// Reads the next result.
pub fn decode_answer(bytes: &[u8]) -> Decoded {
    let mut from = bytes;
    let Some(length) = take_count(&mut from) else { return Decoded::Incomplete };
    if length > RESULT_MAX {
        return Decoded::Garbage;
    }
    match from.get(..length) {
        None => Decoded::Incomplete,
        Some(mut frame) => match answer(&mut frame) {
            Some(answer) => Decoded::Answer(answer, wire::LENGTH_BYTES + length),
            None => Decoded::Garbage,
        },
    }
}

fn answer(from: &mut &[u8]) -> Option<Answer> {
    let job = u64::from_le_bytes(take_array(from)?);
    let index = u32::from_le_bytes(take_array(from)?);
    let whole = part(from, [(); 3].map(|()| Address::null()))?;
    let passed = Some(take_text(from)?.to_owned()).filter(|text| !text.is_empty());
    let count = take_count(from)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        let mut address = || Some(Address::new(take(from)?));
        let addresses = [address()?, address()?, address()?];
        parts.push(part(from, addresses)?);
    }
    let Part { status, dsn, reason, diagnostic, notes, .. } = whole;
    Some(Answer { job, index, status, dsn, reason, diagnostic, notes, parts, passed })
}

fn part(from: &mut &[u8], [to, original, owner]: [Address; 3]) -> Option<Part> {
    let [status, class] = take_array(from)?;
    let status = match status {
        0 => Status::Sent,
        1 => Status::Deferred,
        2 => Status::Bounced,
        _ => return None,
    };
    let subject = u16::from_le_bytes(take_array(from)?);
    let detail = u16::from_le_bytes(take_array(from)?);
    let reason = take_text(from)?.to_string();
    let diagnostic = Some(take_text(from)?.to_string()).filter(|text| !text.is_empty());
    let [count] = take_array(from)?;
    let notes = (0..count).map(|_| note(from)).collect::<Option<_>>()?;
    let dsn = Dsn::new(class, subject, detail);
    Some(Part { to, original, status, dsn, reason, diagnostic, notes, owner })
}

fn note(from: &mut &[u8]) -> Option<Note> {
    let [kind] = take_array(from)?;
    let text = take_text(from)?.to_string();
    match kind {
        0 => Some(Note::Fatal(text)),
        1 => Some(Note::Info(text)),
        2 => Some(Note::Warning(text)),
        _ => None,
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(TEXT_MAX)).rev().find(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testjob::{Seen, assignment};

    #[test]
    fn a_head_reads_as_it_was_written_and_no_part_of_it_does() {
        let mut job = assignment("x", &["ann@a.example", "b ob@a.example"], &Seen::new()).job;
        let origin = Origin { port: "77".into(), sasl_sender: "z".into(), ..Origin::default() };
        job.origin = std::sync::Arc::new(Origin { context: RewriteContext::Local, ..origin });
        job.envid = "e".into();
        job.purpose = Purpose::Forecast;
        let bytes = encode_head(&job);
        let length = head_length(*bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(length, bytes.len() - 4);
        let head = decode_head(&bytes[4..]).unwrap();
        assert_eq!((head.job, head.queue_id.as_str(), &head.sender), (7, "4XyZ1", &job.sender));
        assert_eq!(head.purpose, Purpose::Forecast);
        assert_eq!((head.nexthop.as_str(), head.envid.as_str()), ("x", "e"));
        assert_eq!((head.size, &head.origin), (job.content.queue_size(), &*job.origin));
        assert_eq!(head.recipients[1].address, job.recipients[1].recipient.address);
        for end in 4..bytes.len() {
            assert_eq!(decode_head(&bytes[4..end]), None, "cut at {end}");
        }
        assert_eq!(decode_head(&[&bytes[4..], &[0]].concat()), None);
        assert_eq!(head_length(u32::MAX.to_le_bytes()), None);
    }

    #[test]
    fn answers_are_read_one_by_one_from_a_stream() {
        let answer = Answer {
            job: 9,
            index: 3,
            status: Status::Bounced,
            dsn: Dsn::new(5, 1, 1),
            reason: "unknown user: \"ann@a.example\"".into(),
            diagnostic: Some("said".into()),
            notes: vec![Note::Warning("one".into()), Note::Fatal("two".into()), Note::Info("three".into())],
            parts: vec![Part {
                to: Address::from("ann"),
                original: Address::null(),
                status: Status::Sent,
                dsn: Dsn::new(2, 0, 0),
                reason: "delivered".into(),
                diagnostic: None,
                notes: vec![Note::Info("four".into())],
                owner: Address::from("owner-list"),
            }],
            passed: Some("lmtp:x".into()),
        };
        let mut bytes = Vec::new();
        encode_answer(&answer, &mut bytes);
        let first = bytes.len();
        encode_answer(&answer, &mut bytes);
        assert_eq!(decode_answer(&bytes), Decoded::Answer(answer.clone(), first));
        assert_eq!(decode_answer(&bytes[first..]), Decoded::Answer(answer, first));
        for end in 0..first {
            assert_eq!(decode_answer(&bytes[..end]), Decoded::Incomplete);
        }
        bytes[16] = 9;
        assert_eq!(decode_answer(&bytes), Decoded::Garbage);
        assert_eq!(decode_answer(&[0xff; 8]), Decoded::Garbage);
    }

    #[test]
    fn long_reasons_are_cut() {
        let answer = Answer::plain(1, 0, Status::Deferred, Dsn::new(4, 2, 0), "ä".repeat(TEXT_MAX));
        let mut bytes = Vec::new();
        encode_answer(&answer, &mut bytes);
        let Decoded::Answer(read, _) = decode_answer(&bytes) else { panic!("not read") };
        assert_eq!(read.reason, "ä".repeat(TEXT_MAX / 2));
    }
}
