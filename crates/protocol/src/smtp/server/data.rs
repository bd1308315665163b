//! DATA and BDAT: when content may come, how much, and what becomes of it.

use super::refusal::envelope_of;
use super::session::{Outputs, Session};
use super::state::{Asked, Done, Place, State};
use super::{Ask, BareNewline, Framing, Host, Next, Note, Scanner};
use crate::smtp::command::{Verb, Word};
use bytes::{Buf, Bytes};
use mail::{Dsn, Reply};

/// A content on its way.
pub(super) struct Content {
    scanner: Scanner,
    verb: Verb,
    /// It passed the size limit: the rest is thrown away.
    too_big: bool,
    /// A BDAT failed: further ones are thrown away until the last, RSET or HELO.
    failed: bool,
}

/// What one BDAT announced.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    size: u64,
    left: u64,
    last: bool,
}

impl<H: Host> Session<H> {
    pub(super) fn data_command(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        if self.content.is_some() {
            return self.fail(out, 503, (5, 5, 1), "Error: DATA after BDAT");
        }
        if let Some(reply) = self.not_ready() {
            self.say(out, &reply);
            return Done::Failed;
        }
        if words.len() > 1 {
            return self.fail(out, 501, (5, 5, 4), "Syntax: DATA");
        }
        Done::Ask(Asked::Data, Ask::Data(Verb::Data))
    }

    /// DATA is permitted.
    pub(super) fn go_ahead(&mut self, out: &mut Outputs) -> Done {
        self.write(out, b"354 End data with <CR><LF>.<CR><LF>\r\n");
        self.content = Some(Box::new(self.new_content(Verb::Data)));
        self.state = State::Data;
        Done::Moved
    }

    pub(super) fn bdat_command(&mut self, words: &[Word<'_>], line: &[u8], out: &mut Outputs) -> Done {
        if self.peer.discard_ehlo.chunking {
            self.fail(out, 521, (5, 5, 1), "Error: command not implemented");
            return Done::Close;
        }
        let Some(chunk) = chunk(words) else {
            out.notes.push(Note::MalformedBdat(line.to_vec()));
            self.fail(out, 521, (5, 5, 4), "Syntax: BDAT count [LAST]");
            return Done::Close;
        };
        let skipped = |code, dsn: (u8, u16, u16), text: &str| {
            State::Skip(chunk, Reply::new(code, Dsn::new(dsn.0, dsn.1, dsn.2), text))
        };
        let limit = self.settings.message_size_limit;
        let so_far = self.transaction.as_ref().map_or(0, |t| t.size);
        self.state = if chunk.size == 0 && !chunk.last {
            out.notes.push(Note::NullBdat);
            skipped(551, (5, 7, 1), "Null BDAT request")
        } else if self.content.as_ref().is_some_and(|c| c.failed) {
            let text = format!("Discarded {} bytes after earlier error", chunk.size);
            skipped(551, (5, 0, 0), &text)
        } else if let Some(reply) = self.not_ready() {
            State::Skip(chunk, reply)
        } else if limit > 0 && chunk.size > limit.saturating_sub(so_far) {
            out.notes.push(Note::OversizedChunk);
            skipped(552, (5, 3, 4), "Chunk exceeds message size limit")
        } else if self.content.is_none() {
            return Done::Ask(Asked::Bdat(chunk), Ask::Data(Verb::Bdat));
        } else {
            State::Chunk(chunk)
        };
        Done::Moved
    }

    /// The first BDAT is permitted.
    pub(super) fn first_chunk(&mut self, chunk: Chunk) -> Done {
        self.content = Some(Box::new(self.new_content(Verb::Bdat)));
        self.state = State::Chunk(chunk);
        Done::Moved
    }

    /// One turn with the client's bytes in a state that takes content; `None`: the state changed or there is more.
    pub(super) fn content(&mut self, input: &mut Bytes, out: &mut Outputs) -> Option<Next<H>> {
        match std::mem::replace(&mut self.state, State::Command) {
            State::Data => {
                self.state = State::Data;
                if input.is_empty() {
                    return Some(Next::Read);
                }
                let content = self.content.as_mut().expect("354 was said for a content");
                let body = content.scanner.scan(input);
                if content.scanner.ended() {
                    self.state = State::Complete;
                }
                self.keep(body, out)
            }
            State::Chunk(mut chunk) => {
                if chunk.left > 0 && input.is_empty() {
                    self.state = State::Chunk(chunk);
                    return Some(Next::Read);
                }
                let mut part = take(input, &mut chunk);
                let content = self.content.as_mut().expect("a chunk belongs to a content");
                let mut body = content.scanner.scan(&mut part);
                if chunk.left > 0 {
                    self.state = State::Chunk(chunk);
                } else if chunk.last {
                    let held = content.scanner.finish();
                    if !held.is_empty() {
                        body = [&body[..], &held[..]].concat().into();
                    }
                    self.state = State::Complete;
                } else {
                    self.next_request();
                    self.set_ok(Verb::Bdat);
                    self.say(out, &Reply::new(250, Dsn::new(2, 0, 0), format!("Ok: {} bytes", chunk.size)));
                }
                self.keep(body, out)
            }
            State::Skip(mut chunk, reply) => {
                if chunk.left > 0 && input.is_empty() {
                    self.state = State::Skip(chunk, reply);
                    return Some(Next::Read);
                }
                take(input, &mut chunk);
                if chunk.left > 0 {
                    self.state = State::Skip(chunk, reply);
                    return None;
                }
                self.next_request();
                self.say(out, &reply);
                self.set_failed();
                if chunk.last {
                    self.reset();
                } else {
                    self.content = Some(Box::new(Content { failed: true, ..self.new_content(Verb::Bdat) }));
                }
                None
            }
            State::Complete => self.complete(out),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// What has come of a content, for the log: behind DATA whole lines, behind BDAT bytes, also between chunks.
    pub(super) fn content_size(&self) -> Option<u64> {
        let content = self.content.as_ref().filter(|c| !c.failed && self.place == Place::Verb(c.verb))?;
        let size = self.transaction.as_ref().map_or(0, |t| t.size);
        let unfinished =
            if content.verb == Verb::Data && !content.too_big { content.scanner.line_so_far() } else { 0 };
        Some(size.saturating_sub(unfinished))
    }

    /// Counts a piece of content and passes it on, unless it is too much.
    fn keep(&mut self, mut body: Bytes, out: &mut Outputs) -> Option<Next<H>> {
        let limit = self.settings.message_size_limit;
        let transaction = self.transaction.as_mut().expect("content belongs to a transaction");
        let content = self.content.as_mut().expect("pieces belong to a content");
        // What is refused at the end need not be kept.
        if content.too_big {
            return None;
        }
        let before = transaction.size;
        transaction.size += body.len() as u64;
        if content.scanner.saw_bare_newline() && self.peer.bare_newline == BareNewline::Reject {
            return None;
        }
        if limit > 0 && transaction.size > limit {
            content.too_big = true;
            out.notes.push(Note::MessageTooBig);
            // Whole lines within the limit: the log counts them, and a header that is whole is looked at even so.
            body.truncate(usize::try_from(limit - before).unwrap_or(usize::MAX));
            body.truncate(memchr::memrchr(b'\n', &body).map_or(0, |lf| lf + 1));
            transaction.size = before + body.len() as u64;
        }
        (!body.is_empty()).then_some(Next::Body(body))
    }

    /// The content is complete: refuse it, or hand it over.
    fn complete(&mut self, out: &mut Outputs) -> Option<Next<H>> {
        let content = self.content.take().expect("what is complete has begun");
        let verb = content.verb;
        self.place = Place::EndOfMessage;
        self.next_request();
        if content.scanner.saw_bare_newline() && self.peer.bare_newline == BareNewline::Reject {
            self.refuse_bare_newline(out);
            self.set_failed();
            self.reset();
            return None;
        }
        if content.too_big {
            self.say(out, &Reply::new(552, Dsn::new(5, 3, 4), "Error: message file too big"));
            self.set_failed();
            self.reset();
            return None;
        }
        let mut transaction = self.transaction.take().expect("content belongs to a transaction");
        if self.settings.hand_over_refusals {
            self.committing = Some(Box::new(envelope_of(&transaction)));
        }
        transaction.flags = content.scanner.flags();
        transaction.bare_newline = content.scanner.saw_bare_newline();
        self.state = State::Committing(verb, transaction.size);
        Some(Next::Commit(transaction))
    }

    fn new_content(&self, verb: Verb) -> Content {
        let framing = if verb == Verb::Data { Framing::Dot } else { Framing::Chunks };
        let scanner = Scanner::new(framing, self.peer.bare_newline, self.settings.replace_stray_cr);
        Content { scanner, verb, too_big: false, failed: false }
    }

    /// Why content may not come now.
    fn not_ready(&self) -> Option<Reply> {
        match &self.transaction {
            None => Some(Reply::new(503, Dsn::new(5, 5, 1), "Error: need RCPT command")),
            Some(t) if t.recipients.is_empty() => {
                Some(Reply::new(554, Dsn::new(5, 5, 1), "Error: no valid recipients"))
            }
            Some(_) => None,
        }
    }
}

fn chunk(words: &[Word<'_>]) -> Option<Chunk> {
    let last = match words {
        [_, _] => false,
        [_, _, third] if third.is("LAST") => true,
        _ => return None,
    };
    let digits = words[1].text;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // As Postfix's off_t: 63 bits.
    let size = std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?.unsigned_abs();
    Some(Chunk { size, left: size, last })
}

/// Takes what belongs to the chunk.
fn take(input: &mut Bytes, chunk: &mut Chunk) -> Bytes {
    let n = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.remaining());
    chunk.left -= n as u64;
    input.split_to(n)
}
