//! Questions as octets, and answers as far as they are wanted.

use super::super::{Problem, RecordType};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType as Type};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// Octets of a message's header (RFC 1035 4.1.1).
const HEADER: usize = 12;

/// Octets of type and class behind the name of a question.
const TYPE_AND_CLASS: usize = 4;

/// Octets of a name on the wire, and of one label (RFC 1035 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// The pseudo-record that says which answers fit (RFC 6891): 1,232 octets pass every path without fragments.
const EDNS: &[u8] = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

/// The longest answer by UDP that is read.
pub(super) const ANSWER_MAX: usize = 4096;

/// A question as it stands in a message, its name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Question(Rc<[u8]>);

impl Question {
    /// The question for a name with or without final dot; nothing where it can be no name.
    pub(super) fn new(name: &str, record_type: RecordType) -> Option<Question> {
        let kind = match record_type {
            RecordType::A => Type::A,
            RecordType::Aaaa => Type::AAAA,
            RecordType::Mx => Type::MX,
            RecordType::Ptr => Type::PTR,
            RecordType::Ns => Type::NS,
            RecordType::Srv => Type::SRV,
            RecordType::Txt => Type::TXT,
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if name.bytes().all(plain) {
            let name = name.strip_suffix('.').unwrap_or(name);
            return Question::from_labels(name.split('.').map(str::as_bytes), kind);
        }
        // Whatever else may be meant, such as escapes; the resolver has made ASCII of names in UTF-8.
        Question::from_labels(Name::from_ascii(name).ok()?.iter(), kind)
    }

    fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>, kind: Type) -> Option<Question> {
        let mut octets = Vec::with_capacity(64);
        for label in labels {
            let length = u8::try_from(label.len()).ok().filter(|n| (1..=LABEL_MAX).contains(&(*n).into()))?;
            octets.push(length);
            octets.extend(label.iter().map(u8::to_ascii_lowercase));
        }
        octets.push(0);
        if octets.len() > NAME_MAX {
            return None;
        }
        octets.extend_from_slice(&u16::from(kind).to_be_bytes());
        octets.extend_from_slice(&[0, 1]);
        Some(Question(octets.into()))
    }

    fn kind(&self) -> Type {
        let at = self.0.len() - TYPE_AND_CLASS;
        u16::from_be_bytes([self.0[at], self.0[at + 1]]).into()
    }

    /// The message that asks; `edns` tells the server that long answers are welcome.
    pub(super) fn message(&self, id: u16, edns: bool) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.0.len() + EDNS.len());
        message.extend_from_slice(&id.to_be_bytes());
        // Recursion is desired; one question.
        message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, edns.into()]);
        message.extend_from_slice(&self.0);
        message.extend_from_slice(if edns { EDNS } else { b"" });
        message
    }

    /// Whether a packet answers this question. Servers that could not read it may answer without it.
    pub(super) fn is_answered_by(&self, packet: &[u8]) -> bool {
        let (Some(header), Some(rest)) = (packet.get(..HEADER), packet.get(HEADER..)) else { return false };
        let (response, opcode, failed) = (header[2] & 0x80 != 0, header[2] >> 3 & 15, header[3] & 15 != 0);
        let same = || {
            let Some(asked) = rest.get(..self.0.len()) else { return false };
            let (name, kind) = asked.split_at(asked.len() - TYPE_AND_CLASS);
            self.0.ends_with(kind) && self.0[..name.len()].eq_ignore_ascii_case(name)
        };
        let questions = u16::from_be_bytes([header[4], header[5]]);
        response && opcode == 0 && ((questions == 1 && same()) || (questions == 0 && failed))
    }
}

/// The id of a message.
pub(super) fn id(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(packet.first_chunk::<2>().copied()?))
}

/// What a server says of a name: records of the type that was asked for, or that there are none.
#[derive(Debug)]
pub(in super::super) struct Answer {
    /// The records; none where the name is only another's alias, has no such records, or does not exist.
    pub(in super::super) records: Vec<Record>,
    /// Whether the name does not exist.
    pub(in super::super) is_gone: bool,
    /// What to ask for next: the name that this one stands for.
    pub(super) alias: Option<Question>,
    /// How long it may be believed, where the server says so.
    time_to_live: Option<Duration>,
    /// When it came.
    came: Instant,
}

impl Answer {
    /// How long it may still be believed, where the server says so.
    pub(in super::super) fn time_to_live(&self) -> Option<Duration> {
        // Whole seconds, as they were when it came.
        let age = Duration::from_secs(self.came.elapsed().as_secs());
        self.time_to_live.map(|time| time.saturating_sub(age))
    }

    /// Whether it may be believed now, and is not older than `longest`.
    pub(super) fn is_fresh(&self, longest: Duration) -> bool {
        self.time_to_live.is_some_and(|time| self.came.elapsed() < time.min(longest))
    }
}

/// What a packet says.
#[derive(Debug)]
pub(super) enum Reply {
    /// There is an answer.
    Answer(Answer),
    /// The whole does not fit: ask by TCP.
    Truncated,
    /// The server does not understand the question, perhaps for its pseudo-record.
    FormatError,
    /// It fails, refuses, or makes no sense.
    Failed(Problem),
}

/// Reads a packet that answers a question.
pub(super) fn read(packet: &[u8], question: &Question) -> Reply {
    let Ok(message) = Message::from_vec(packet) else { return Reply::Failed(Problem::Malformed) };
    let is_gone = match message.metadata.response_code {
        _ if message.metadata.truncation => return Reply::Truncated,
        ResponseCode::NoError => false,
        ResponseCode::NXDomain => true,
        // The next server may know; where none does, trying later may help.
        ResponseCode::ServFail | ResponseCode::NotImp | ResponseCode::Refused => {
            return Reply::Failed(Problem::TryAgain);
        }
        ResponseCode::FormErr => return Reply::FormatError,
        _ => return Reply::Failed(Problem::NonRecoverable),
    };
    let kind = question.kind();
    let seconds = match message.answers.iter().map(|record| record.ttl).min() {
        Some(seconds) => Some(seconds),
        None => message.authorities.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        }),
    };
    let mut target = None;
    let mut records = Vec::new();
    for record in message.answers {
        match record.data {
            RData::CNAME(name) => target = Some(name.0),
            _ if record.record_type() == kind => records.push(record),
            _ => {}
        }
    }
    let alias = target.filter(|_| records.is_empty() && !is_gone);
    let alias = alias.and_then(|name| Question::from_labels(name.iter(), kind));
    let time_to_live = seconds.map(|s| Duration::from_secs(s.into()));
    Reply::Answer(Answer { records, is_gone, alias, time_to_live, came: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_what_the_rfc_says() {
        let question = Question::new("A.Example.", RecordType::Mx).unwrap();
        let expected =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x0f\x00\x01";
        assert_eq!(question.message(0x1234, false), expected);
        let with = question.message(0x1234, true);
        assert_eq!(with.len(), expected.len() + EDNS.len());
        let read = Message::from_vec(&with).unwrap();
        assert_eq!(read.edns.map(|edns| edns.max_payload()), Some(1232));
    }

    #[test]
    fn names_that_can_be_none_are_no_questions() {
        let long_label = format!("{}.example", "x".repeat(64));
        let long_name = vec!["x".repeat(49); 6].join(".");
        for name in ["", ".", "a..example", ".example", "aa--\u{fc}.example", &long_label, &long_name] {
            assert_eq!(Question::new(name, RecordType::A), None, "{name}");
        }
    }

    #[test]
    fn only_the_same_question_is_an_answer_and_errors_may_come_without_it() {
        let question = Question::new("a.example", RecordType::A).unwrap();
        let mut packet = question.message(7, false);
        assert!(!question.is_answered_by(&packet), "it asks itself");
        packet[2] |= 0x80;
        assert!(question.is_answered_by(&packet));
        packet[HEADER + 1] = b'A';
        assert!(question.is_answered_by(&packet), "case does not count");
        packet[HEADER + 1] = b'b';
        assert!(!question.is_answered_by(&packet));
        let other = Question::new("a.example", RecordType::Aaaa).unwrap();
        assert!(!other.is_answered_by(&packet));
        let mut refused = [0; HEADER];
        refused[2] = 0x80;
        assert!(!question.is_answered_by(&refused), "an answer names its question");
        refused[3] = 5;
        assert!(question.is_answered_by(&refused));
        assert!(!question.is_answered_by(&refused[..5]));
    }

    #[test]
    fn no_packet_makes_the_reader_fall_over() {
        let question = Question::new("a.example", RecordType::Mx).unwrap();
        let mut packet = question.message(7, false);
        packet[2] |= 0x80;
        packet[7] = 1;
        // An alias to a name in the packet, with compression.
        packet.extend_from_slice(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01b\xc0\x0e");
        assert!(matches!(read(&packet, &question), Reply::Answer(Answer { alias: Some(_), .. })));
        for end in 0..packet.len() {
            question.is_answered_by(&packet[..end]);
            assert!(!matches!(read(&packet[..end], &question), Reply::Answer(_)), "{end}");
        }
        for (at, octet) in (0..packet.len()).flat_map(|at| (0..=255).map(move |octet| (at, octet))) {
            let mut changed = packet.clone();
            changed[at] = octet;
            question.is_answered_by(&changed);
            read(&changed, &question);
        }
    }
}
