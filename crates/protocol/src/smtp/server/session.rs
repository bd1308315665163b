//! The session: lines in, replies out, limits on errors, and who is asked when.

use super::data::Content;
use super::line::EARLY_MAX;
use super::refusal::{Envelope, Refusal};
use super::state::{Asked, Counts, Done, Line, Place, State};
use super::{Answer, Ask, Ending, Host, Input, Next, Note, Peer, Queued, Settings, Transaction, Xforward};
use crate::smtp::command::{Verb, Word};
use bytes::Bytes;
use mail::{ContentFlags, QueueId, Reply};
use std::sync::Arc;

/// What a step writes and tells.
#[derive(Debug, Default)]
pub struct Outputs {
    /// Replies to write, in order. Bounded: a step with more than [`REPLIES_MAX`] waiting returns before the next command.
    pub replies: Vec<u8>,
    /// For the log, in order.
    pub notes: Vec<Note>,
    /// Replies that the driver writes; only where [`Settings::hand_over_refusals`] says so.
    pub refusals: Vec<Refusal>,
}

/// Replies that may wait to be written; a read full of `NOOP` would otherwise become much more.
const REPLIES_MAX: usize = 8 * 1024;

/// One SMTP session, from the greeting to the end.
pub struct Session<H: Host> {
    pub(super) settings: Arc<Settings>,
    pub(super) peer: Peer,
    pub(super) state: State,
    /// The beginning of a line whose end has not come, at most `line_length_limit` bytes.
    pub(super) partial: Vec<u8>,
    /// The rest of a line that was too long.
    pub(super) skipping: bool,
    pub(super) helo: Option<String>,
    pub(super) esmtp: bool,
    pub(super) transaction: Option<Box<Transaction<H>>>,
    pub(super) content: Option<Box<Content>>,
    /// What XFORWARD said; `None` is nothing.
    pub(super) xforward: Option<Box<Xforward>>,
    pub(super) overshoot: usize,
    pub(super) errors: u32,
    pub(super) junk: u32,
    /// See [`Session::requests`].
    requests: u32,
    /// So many bytes of the replies stand in the notes, where the client is watched.
    pub(super) told: usize,
    /// The client was refused when it connected; the reply.
    pub(super) denied: Option<Reply>,
    /// The envelope of the message that the driver is committing, for a refusal.
    pub(super) committing: Option<Box<Envelope>>,
    counts: Counts,
    /// What the last reply was about.
    pub(super) place: Place,
    noted_pipelining: bool,
    /// A reply was given beyond the soft error limit and waits for its time.
    pub(super) slow: bool,
    /// The last reply was said: nothing more is heard.
    pub(super) last_words_said: bool,
}

impl<H: Host> Session<H> {
    /// A session with a client that has just connected. The first step greets it, or asks whether to.
    pub fn start(settings: Arc<Settings>, peer: Peer, out: &mut Outputs) -> (Self, Next<H>) {
        let mut session = Session {
            settings,
            peer,
            state: State::Command,
            partial: Vec::new(),
            skipping: false,
            helo: None,
            esmtp: false,
            transaction: None,
            content: None,
            xforward: None,
            told: out.replies.len(),
            overshoot: 0,
            errors: 0,
            junk: 0,
            requests: 0,
            denied: None,
            committing: None,
            counts: Counts::default(),
            place: Place::Connect,
            noted_pipelining: false,
            slow: false,
            last_words_said: false,
        };
        let next = session.begin(out);
        session.tell_said(out);
        (session, next)
    }

    /// Greets the client, or asks whether to.
    pub(super) fn begin(&mut self, out: &mut Outputs) -> Next<H> {
        let early = std::mem::take(&mut self.peer.early);
        if self.pipelined(self.place_name(), &early, out) {
            self.state = State::Closed;
            Next::Close
        } else if self.settings.delay_reject {
            self.greet(out);
            Next::Read
        } else {
            self.state = State::Asked(Box::new(Asked::Connect));
            Next::Ask(Ask::Connect)
        }
    }

    /// Takes one input and tells what to do next.
    ///
    /// Input that does not fit the last [`Next`] is a driver's bug and panics.
    pub fn step(&mut self, input: Input<'_, H>, out: &mut Outputs) -> Next<H> {
        self.begin_telling(out);
        let next = match input {
            Input::Bytes(bytes) => self.read(bytes, out),
            Input::Answer(answer) => self.answered(answer, out),
            Input::Timeout => {
                let text = format!("{} Error: timeout exceeded", self.settings.myhostname);
                self.say(out, &Reply::new(421, mail::Dsn::new(4, 4, 2), text));
                self.end(Ending::Timeout, out);
                self.closing()
            }
            Input::Lost => {
                if !self.last_words_said {
                    self.end(Ending::Lost, out);
                }
                Next::Close
            }
            Input::Abort(reply) => {
                self.say(out, &reply);
                self.closing()
            }
        };
        self.tell_said(out);
        match next {
            Next::Close => {
                self.state = State::Closed;
                self.transaction = None;
                self.content = None;
                Next::Close
            }
            other => other,
        }
    }

    /// The argument of the last HELO or EHLO.
    pub fn helo(&self) -> Option<&str> {
        self.helo.as_deref()
    }

    /// The last command as `lost connection after …` names it; `CONNECT` before the first.
    pub fn place(&self) -> &'static str {
        self.place_name()
    }

    /// `SMTP` or `ESMTP`.
    pub fn protocol(&self) -> &'static str {
        if self.esmtp { "ESMTP" } else { "SMTP" }
    }

    /// The open transaction.
    pub fn transaction(&self) -> Option<&Transaction<H>> {
        self.transaction.as_deref()
    }

    /// What the driver keeps for the open transaction.
    pub fn mail_mut(&mut self) -> Option<&mut H::Mail> {
        self.transaction.as_mut().map(|t| &mut t.mail)
    }

    /// The open transaction's parts: what MAIL said, what the driver keeps, the accepted recipients.
    pub fn transaction_parts(&mut self) -> Option<super::Parts<'_, H>> {
        self.transaction.as_mut().map(|t| t.parts_mut())
    }

    /// How often each command came.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The client once sent more where it had to wait for a reply.
    pub fn pipelined_improperly(&self) -> bool {
        self.noted_pipelining
    }

    /// The session is between commands and holds nothing of the next one: it may be ended without loss.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Command) && self.partial.is_empty() && self.transaction.is_none()
    }

    /// A number that changes whenever the client has a new request to send: a command, a content or a chunk of one.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    pub(super) fn next_request(&mut self) {
        self.requests = self.requests.wrapping_add(1);
    }

    /// The last command, as the log has it: `CONNECT` before the first.
    pub fn last_command(&self) -> &'static str {
        self.place_name()
    }

    /// What comes next is content.
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::Data | State::Chunk(_) | State::Skip(..))
    }

    #[cfg(test)]
    pub(super) fn partial_len(&self) -> usize {
        self.partial.capacity()
    }

    fn greet(&mut self, out: &mut Outputs) {
        match &self.denied {
            None => out.replies.extend_from_slice(format!("220 {}\r\n", self.settings.banner).as_bytes()),
            Some(reply) => {
                let reply = reply.clone();
                self.say(out, &reply);
            }
        }
    }

    /// Works through the client's bytes as far as they go.
    fn read(&mut self, input: &mut Bytes, out: &mut Outputs) -> Next<H> {
        loop {
            if !out.refusals.is_empty() {
                return Next::Refused;
            }
            if std::mem::take(&mut self.slow) {
                return Next::Sleep(self.settings.error_sleep_time);
            }
            if self.last_words_said {
                return Next::Close;
            }
            match self.state {
                State::Command => {
                    if self.errors >= self.settings.hard_error_limit {
                        self.too_many_errors(out);
                        continue;
                    }
                    if out.replies.len() > REPLIES_MAX && !input.is_empty() {
                        return Next::Sleep(std::time::Duration::ZERO);
                    }
                    let next = match self.line(input, out) {
                        Line::Whole(line) => self.command(&line, input, out),
                        Line::Unusable => None,
                        Line::Forbidden => Some(self.closing()),
                        Line::Partial => Some(Next::Read),
                    };
                    if let Some(next) = next {
                        return next;
                    }
                }
                State::Data | State::Chunk(_) | State::Skip(..) | State::Complete => {
                    if let Some(next) = self.content(input, out) {
                        return next;
                    }
                }
                State::Asked(_) | State::Committing(..) | State::Closed => {
                    panic!("bytes came to a session that waits for an answer or has ended")
                }
            }
        }
    }

    /// One command line; `rest` is what the client sent behind it.
    fn command(&mut self, line: &[u8], rest: &Bytes, out: &mut Outputs) -> Option<Next<H>> {
        // Postfix sees a C string: it ends at the first NUL.
        let line = &line[..memchr::memchr(0, line).unwrap_or(line.len())];
        self.tell_heard(line, out);
        if self.settings.smtputf8_enable && std::str::from_utf8(line).is_err() {
            return self.failed(out, &bad("bad UTF-8 syntax"));
        }
        if self.settings.command_filter {
            return Some(self.filter(line, rest));
        }
        self.filtered(line, rest, out)
    }

    /// A command; nothing is parsed any more that changes the line.
    pub(super) fn obey(
        &mut self,
        line: &[u8],
        words: &[Word<'_>],
        rest: &[u8],
        out: &mut Outputs,
    ) -> Option<Next<H>> {
        let Some(first) = words.first() else {
            return self.failed(out, &bad("bad syntax"));
        };
        let verb = Verb::parse(first.text);
        self.counts.0[verb as usize].1 += 1;
        self.place = Place::Verb(verb);
        if verb == Verb::Unknown {
            return self.unknown(line, first, out);
        }
        if let Some(reply) = self.denied().filter(|_| verb != Verb::Quit) {
            return self.failed(out, &reply);
        }
        if verb.is_junk() {
            self.count_junk();
        }
        // Only EHLO offers PIPELINING; some commands end a group even so.
        if (verb.ends_a_group() || !self.esmtp) && self.pipelined(verb.name(), rest, out) {
            return Some(self.closing());
        }
        let done = self.dispatch(verb, words, line, out);
        self.after(verb, done)
    }

    /// The client did not wait where it must; whether that ends the session.
    fn pipelined(&mut self, after: &'static str, early: &[u8], out: &mut Outputs) -> bool {
        if early.is_empty() || self.noted_pipelining {
            return false;
        }
        self.noted_pipelining = true;
        out.notes
            .push(Note::ImproperPipelining { after, data: early[..early.len().min(EARLY_MAX)].to_vec() });
        if self.settings.forbid_unauth_pipelining {
            self.say(out, &Reply::new(554, mail::Dsn::new(5, 5, 0), "Error: SMTP protocol synchronization"));
        }
        self.settings.forbid_unauth_pipelining
    }

    fn dispatch(&mut self, verb: Verb, words: &[Word<'_>], line: &[u8], out: &mut Outputs) -> Done {
        match verb {
            Verb::Helo | Verb::Ehlo => self.hello(verb, words, out),
            Verb::Mail => self.mail_command(words, line, out),
            Verb::Rcpt => self.rcpt_command(words, line, out),
            Verb::Data => self.data_command(words, out),
            Verb::Bdat => self.bdat_command(words, line, out),
            Verb::Vrfy => self.vrfy_command(words, line, out),
            Verb::Etrn => self.etrn_command(words, out),
            Verb::Rset if words.len() > 1 => self.fail(out, 501, (5, 5, 4), "Syntax: RSET"),
            Verb::Rset => {
                self.reset();
                self.ok(out);
                Done::Ok
            }
            Verb::Noop => {
                self.ok(out);
                Done::Ok
            }
            Verb::Help => {
                const COMMANDS: &str =
                    "Commands: BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET VRFY";
                self.say(out, &Reply::new(214, mail::Dsn::new(2, 0, 0), COMMANDS));
                Done::Ok
            }
            Verb::Quit => {
                self.write(out, b"221 2.0.0 Bye\r\n");
                self.counts.0[Verb::Quit as usize].0 += 1;
                Done::Close
            }
            // Not offered: what Postfix answers where these are not set up.
            Verb::Starttls if words.len() > 1 => self.fail(out, 501, (5, 5, 4), "Syntax: STARTTLS"),
            Verb::Auth if self.settings.helo_required && self.helo.is_none() => {
                self.fail(out, 503, (5, 5, 1), "Error: send HELO/EHLO first")
            }
            Verb::Starttls => self.fail(out, 502, (5, 5, 1), "Error: command not implemented"),
            Verb::Auth => self.fail(out, 503, (5, 5, 1), "Error: authentication not enabled"),
            Verb::Xclient => self.xclient_command(words, out),
            Verb::Xforward => self.xforward_command(words, out),
            Verb::Unknown => unreachable!("unknown commands were answered before"),
        }
    }

    /// What follows from a handler's finding.
    fn after(&mut self, verb: Verb, done: Done) -> Option<Next<H>> {
        match done {
            Done::Ok => self.counts.0[verb as usize].0 += 1,
            Done::Failed => self.set_failed(),
            Done::Moved => {}
            Done::Close => return Some(self.closing()),
            Done::Ask(asked, ask) => {
                self.state = State::Asked(Box::new(asked));
                return Some(Next::Ask(ask));
            }
        }
        None
    }

    /// The driver's answer to the last question.
    fn answered(&mut self, answer: Answer<H>, out: &mut Outputs) -> Next<H> {
        let next = match std::mem::replace(&mut self.state, State::Command) {
            State::Asked(asked) => self.decide(*asked, answer, out),
            State::Committing(verb, size) => self.committed(verb, size, answer, out),
            _ => panic!("an answer came to a session that asked nothing"),
        };
        match next {
            Some(next) => next,
            // What the client sent meanwhile comes with the next input, which may be empty.
            None => self.read(&mut Bytes::new(), out),
        }
    }

    fn decide(&mut self, asked: Asked, answer: Answer<H>, out: &mut Outputs) -> Option<Next<H>> {
        if let Answer::Refuse(reply) = answer {
            return self.refused(asked, reply, out);
        }
        if matches!(asked, Asked::Filter(_) | Asked::Noop(_) | Asked::Forbidden(_)) {
            return self.line_answered(asked, answer, out);
        }
        let (verb, done) = match (asked, answer) {
            (Asked::Connect, Answer::Pass) => {
                self.greet(out);
                return None;
            }
            (Asked::Helo { verb, name }, Answer::Pass) => {
                self.reset();
                self.helo = Some(name);
                // As Postfix: a later HELO takes nothing back.
                self.esmtp |= verb == Verb::Ehlo;
                self.introduce(verb, out);
                (verb, Done::Ok)
            }
            (Asked::Count(verb, line), Answer::Pass) => (verb, self.counted(verb, &line, out)),
            (Asked::Mail(request), Answer::Mail(mail)) => {
                self.transaction = Some(Box::new(Transaction {
                    request,
                    mail,
                    size: 0,
                    flags: ContentFlags::default(),
                    bare_newline: false,
                    recipients: Vec::new(),
                }));
                self.write(out, b"250 2.1.0 Ok\r\n");
                (Verb::Mail, Done::Ok)
            }
            (Asked::Rcpt(recipient), Answer::Recipient(permit)) => {
                let transaction = self.transaction.as_mut().expect("RCPT is asked inside a transaction only");
                transaction.recipients.push((recipient, permit));
                self.write(out, b"250 2.1.5 Ok\r\n");
                (Verb::Rcpt, Done::Ok)
            }
            (Asked::Xclient(said), Answer::Peer(peer)) => return Some(self.renew(*said, *peer, out)),
            (Asked::Data, Answer::Pass) => (Verb::Data, self.go_ahead(out)),
            (Asked::Bdat(chunk), Answer::Pass) => (Verb::Bdat, self.first_chunk(chunk)),
            (Asked::Vrfy(text), Answer::Pass) => {
                self.say(out, &Reply::new(252, mail::Dsn::new(2, 0, 0), text));
                (Verb::Vrfy, Done::Ok)
            }
            (Asked::Etrn, Answer::Pass) => {
                self.say(out, &Reply::plain(250, "Queuing started"));
                (Verb::Etrn, Done::Ok)
            }
            _ => panic!("the answer does not fit the question"),
        };
        self.after(verb, done)
    }

    fn refused(&mut self, asked: Asked, reply: Reply, out: &mut Outputs) -> Option<Next<H>> {
        let close = matches!(reply.code, 421 | 521);
        match asked {
            Asked::Connect if !close => {
                self.denied = Some(reply);
                self.greet(out);
            }
            // The command was none yet, so it counts as none.
            Asked::Filter(_) | Asked::Noop(_) | Asked::Forbidden(_) => self.say(out, &reply),
            // The client sends the chunk whatever we say.
            Asked::Bdat(chunk) if !close => self.state = State::Skip(chunk, reply),
            _ => {
                self.say(out, &reply);
                self.set_failed();
            }
        }
        close.then(|| self.closing())
    }

    fn committed(&mut self, verb: Verb, size: u64, answer: Answer<H>, out: &mut Outputs) -> Option<Next<H>> {
        match answer {
            Answer::Queued(proof) => self.queued(verb, size, proof.queue_id(), out),
            Answer::Discarded(id) => self.queued(verb, size, &id, out),
            Answer::Refuse(reply) => {
                self.say(out, &reply);
                self.set_failed();
            }
            _ => panic!("the answer does not fit the question"),
        }
        self.reset();
        None
    }

    fn queued(&mut self, verb: Verb, size: u64, id: &QueueId, out: &mut Outputs) {
        let size = if verb == Verb::Bdat { format!(" {size} bytes") } else { String::new() };
        self.counts.0[verb as usize].0 += 1;
        // Before the reply, which need not wait then.
        self.errors = 0;
        self.junk = 0;
        self.write(out, format!("250 2.0.0 Ok:{size} queued as {id}\r\n").as_bytes());
    }

    /// Ends the transaction.
    pub(super) fn reset(&mut self) {
        self.transaction = None;
        self.content = None;
        self.xforward = None;
        self.committing = None;
        self.overshoot = 0;
        if !matches!(self.state, State::Closed) {
            self.state = State::Command;
        }
    }

    pub(super) fn end(&mut self, how: Ending, out: &mut Outputs) {
        let after = match self.content_size() {
            Some(size) => format!("{} ({size} bytes)", self.place_name()),
            None => self.place_name().to_owned(),
        };
        // The client that hangs up behind its message did all it had to do.
        if !(how == Ending::Lost && self.place == Place::EndOfMessage) {
            out.notes.push(Note::Ended { how, after });
        }
    }

    pub(super) fn place_name(&self) -> &'static str {
        match self.place {
            Place::Connect => "CONNECT",
            Place::Verb(verb) => verb.name(),
            Place::EndOfMessage => "END-OF-MESSAGE",
        }
    }

    pub(super) fn ok(&mut self, out: &mut Outputs) {
        self.say(out, &Reply::new(250, mail::Dsn::new(2, 0, 0), "Ok"));
    }

    /// Replies, and counts an error.
    pub(super) fn failed(&mut self, out: &mut Outputs, reply: &Reply) -> Option<Next<H>> {
        self.say(out, reply);
        self.set_failed();
        None
    }

    /// Replies for a handler that fails.
    pub(super) fn fail(&mut self, out: &mut Outputs, code: u16, dsn: (u8, u16, u16), text: &str) -> Done {
        self.say(out, &Reply::new(code, mail::Dsn::new(dsn.0, dsn.1, dsn.2), text));
        Done::Failed
    }

    pub(super) fn set_ok(&mut self, verb: Verb) {
        self.counts.0[verb as usize].0 += 1;
    }
}

pub(super) fn bad(text: &str) -> Reply {
    Reply::new(500, mail::Dsn::new(5, 5, 2), format!("Error: {text}"))
}
