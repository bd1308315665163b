//! The server's machine under any bytes: no panic, bounded memory, and the size of the reads changes nothing.

use crate::Target;
use crate::input::Random;
use bytes::Bytes;
use mail::QueueId;
use protocol::smtp::reply;
use protocol::smtp::server::{
    Answer, Ask, BareNewline, CommandList, Host, Input, Next, Outputs, Peer, Queued, Session, Settings,
};
use std::sync::Arc;

pub(super) const TARGET: Target = Target {
    name: "smtp_server",
    dictionary: &[
        b"XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:::1 HELO=+28x LOGIN=a+40b\r\n",
        b"XFORWARD NAME=a.example ADDR=192.0.2.9 PROTO=SMTP IDENT=4X SOURCE=LOCAL\r\n",
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<>\r\n",
        b"MAIL FROM:<a@b.c> SIZE=9 BODY=8BITMIME\r\n",
        b"RCPT TO:<a@b.c>\r\n",
        b"RCPT TO:<no@b.c>\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"\r.\r",
        b"BDAT 3\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 7 LAST\r\n",
        b"BDAT 9999999999\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY a@b.c\r\n",
        b"ETRN a.b\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"XYZZY\r\n",
        b"Subject: x\r\n",
        b"..",
        b".",
        b"\r",
        b"\n",
        b"\0",
        b"text",
        b"\xff",
        b" ",
        b"GET / HTTP/1.0\r\n",
    ],
    run,
};

/// A driver that agrees to what is not called `no`.
pub(super) struct Fuzz;

/// The proof that it brings.
pub(super) struct Done(QueueId);

impl Queued for Done {
    fn queue_id(&self) -> &QueueId {
        &self.0
    }
}

impl Host for Fuzz {
    type Mail = Vec<u8>;
    type Permit = ();
    type Committed = Done;
}

/// What a session did with its input.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) replies: Vec<u8>,
    pub(super) messages: Vec<Vec<u8>>,
    pub(super) closed: bool,
}

const SIZE_LIMIT: u64 = 2000;

pub(super) fn settings(limit: u64) -> Settings {
    Settings {
        line_length_limit: 100,
        message_size_limit: limit,
        hard_error_limit: 1000,
        soft_error_limit: 1000,
        junk_command_limit: 100_000,
        recipient_limit: 10,
        // It depends on what comes in one read, and that is varied here.
        forbid_unauth_pipelining: false,
        ..Settings::of_host("mx.example.org")
    }
}

/// Says `input` to a session in pieces of the sizes that `step` gives.
pub(super) fn talk(
    input: &[u8],
    settings: Settings,
    mode: BareNewline,
    mut step: impl FnMut() -> usize,
) -> Told {
    let limit = settings.message_size_limit;
    let trusted = |name| Peer { xclient: true, xforward: true, bare_newline: mode, ..Peer::stranger(name) };
    let peer = trusted("unknown[192.0.2.1]");
    let mut told = Told::default();
    let mut out = Outputs::default();
    let (mut session, mut next) = Session::<Fuzz>::start(Arc::new(settings), peer, &mut out);
    let mut rest = input;
    let mut piece = Bytes::new();
    let mut lost = false;
    loop {
        assert!(out.replies.len() < 64 * 1024, "replies are bounded");
        next = match next {
            Next::Close => break,
            Next::Read if piece.is_empty() => {
                told.replies.append(&mut out.replies);
                if rest.is_empty() {
                    assert!(!lost, "a lost connection ends the session");
                    lost = true;
                    session.step(Input::Lost, &mut out)
                } else {
                    let (head, tail) = rest.split_at(step().clamp(1, rest.len()));
                    (piece, rest) = (Bytes::copy_from_slice(head), tail);
                    session.step(Input::Bytes(&mut piece), &mut out)
                }
            }
            Next::Refused => {
                write_refusals(&mut out);
                session.step(Input::Bytes(&mut piece), &mut out)
            }
            Next::Read | Next::Sleep(_) => {
                write_refusals(&mut out);
                told.replies.append(&mut out.replies);
                session.step(Input::Bytes(&mut piece), &mut out)
            }
            Next::Body(body) => {
                let mail = session.mail_mut().expect("content belongs to a transaction");
                mail.extend_from_slice(&body);
                assert!(limit == 0 || mail.len() as u64 <= limit, "content is bounded");
                session.step(Input::Bytes(&mut piece), &mut out)
            }
            Next::Ask(ask) => {
                let answer = match ask {
                    Ask::Mail(_) => Answer::Mail(Vec::new()),
                    Ask::Rcpt(r) if r.address.local_part() == b"no" => {
                        Answer::Refuse(mail::Reply::new(554, mail::Dsn::new(5, 7, 1), "No"))
                    }
                    Ask::Rcpt(_) => Answer::Recipient(()),
                    Ask::Xclient(_) => Answer::Peer(Box::new(trusted("unknown[192.0.2.2]"))),
                    Ask::Forbidden(word) if FORBIDDEN.iter().any(|f| f.eq_ignore_ascii_case(&word)) => {
                        Answer::Listed
                    }
                    _ => Answer::Pass,
                };
                session.step(Input::Answer(answer), &mut out)
            }
            Next::Commit(transaction) => {
                assert!(!transaction.recipients().is_empty(), "mail without recipients is not queued");
                let (_, mail, _) = transaction.into_parts();
                told.messages.push(mail);
                let id = QueueId::parse("ID").expect("a short name is an id");
                session.step(Input::Answer(Answer::Queued(Done(id))), &mut out)
            }
        };
    }
    write_refusals(&mut out);
    told.replies.append(&mut out.replies);
    told.closed = !lost;
    told
}

fn write_refusals(out: &mut Outputs) {
    for refusal in out.refusals.drain(..) {
        assert_eq!(refusal.at, out.replies.len(), "a refusal is handed over before another reply is written");
        reply::write(&refusal.reply, &mut out.replies);
    }
}

/// The words of the default settings.
const FORBIDDEN: &[&str] = &["CONNECT", "GET", "POST"];

/// The same settings with all asked of the driver that may be.
fn asking() -> Settings {
    Settings {
        command_filter: true,
        hand_over_refusals: true,
        noop_commands: CommandList::Asked,
        forbidden_commands: CommandList::Asked,
        ..settings(SIZE_LIMIT)
    }
}

fn run(input: &[u8]) {
    let seed = input.iter().fold(1u64, |h, &b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
    for mode in [BareNewline::Normalize, BareNewline::Allow, BareNewline::Reject] {
        let whole = talk(input, settings(SIZE_LIMIT), mode, || usize::MAX);
        let bytes = talk(input, settings(SIZE_LIMIT), mode, || 1);
        let mut random = Random::new(seed);
        let some = talk(input, settings(SIZE_LIMIT), mode, || 1 + random.below(40));
        let asked = talk(input, asking(), mode, || 1 + random.below(40));
        for torn in [bytes, some, asked] {
            assert_eq!(
                String::from_utf8_lossy(&whole.replies),
                String::from_utf8_lossy(&torn.replies),
                "{mode:?}"
            );
            assert_eq!(whole.messages, torn.messages, "{mode:?}");
        }
        for reply in whole.replies.split_inclusive(|&b| b == b'\n') {
            assert!(reply.len() <= 512 && reply.ends_with(b"\r\n"), "{:?}", String::from_utf8_lossy(reply));
            assert!(reply.len() >= 6 && reply[..3].iter().all(u8::is_ascii_digit));
        }
        for message in &whole.messages {
            for (i, &b) in message.iter().enumerate() {
                assert!(b != b'\n' || (i > 0 && message[i - 1] == b'\r'), "no bare newline is queued");
                assert!(b != b'\r' || message.get(i + 1) == Some(&b'\n'), "no stray CR is queued");
            }
        }
    }
}
