//! The client's end of SMTP and LMTP, for a whole connection: bytes in, bytes and events out.
//!
//! The driver owns the socket and the clock. It feeds what it reads to [`Client::receive`], writes what it finds in
//! [`Outputs::bytes`], acts on [`Outputs::events`], and asks [`Client::stage`] how long to wait and for what.
//! RFC 5321 4, RFC 2920 (commands in one write), RFC 2033 (a reply for each recipient).

mod capabilities;
mod content;
mod forward;
mod reply;
mod stage;
mod transaction;

pub use capabilities::Capabilities;
pub use content::{DataEncoder, end_of_data};
pub use forward::Xforward;
pub use reply::Response;
pub use stage::Stage;
pub use transaction::{Probe, Transaction};

use reply::{Line, ReplyReader};
use std::collections::VecDeque;
use std::rc::Rc;

/// Replies that may be awaited at once: what a server answers to as many commands fits into its socket's buffer,
/// so that it never waits for us while we wait for it.
const AWAITED_MAX: usize = 500;

/// Lines on one connection that are no replies; beyond it the server is given up.
const GARBAGE_LINES_MAX: u32 = 100;

/// Which of the two protocols is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 5321.
    Smtp,
    /// RFC 2033.
    Lmtp,
}

/// How the dialogue is held.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// What we call ourselves (`smtp_helo_name`, `lmtp_lhlo_name`).
    pub helo_name: String,
    /// When EHLO is sent (`smtp_always_send_ehlo`, `smtp_never_send_ehlo`).
    pub ehlo: EhloUse,
    /// Keywords not to be used, in lower case (`smtp_discard_ehlo_keywords`).
    pub discard_keywords: Vec<String>,
    /// Whether local parts are quoted (`smtp_quote_rfc821_envelope`).
    pub quote_addresses: bool,
    /// What is done for a server whose greeting is that of an old firewall (`smtp_pix_workarounds`), as it was written.
    pub pix_workarounds: Vec<String>,
}

/// When EHLO is sent rather than HELO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EhloUse {
    /// First in any case; HELO where the server refuses it.
    Always,
    /// Where the greeting holds the word ESMTP.
    WhereGreeted,
    /// Never.
    Never,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            protocol: Protocol::Smtp,
            helo_name: "localhost".into(),
            ehlo: EhloUse::Always,
            discard_keywords: Vec::new(),
            quote_addresses: true,
            pix_workarounds: vec!["disable_esmtp".into(), "delay_dotcrlf".into()],
        }
    }
}

/// What the driver has to do.
#[derive(Debug, Default)]
pub struct Outputs {
    /// To be written before anything else is read.
    pub bytes: Vec<u8>,
    /// In order.
    pub events: VecDeque<Event>,
}

/// What the server's replies mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Greeting and HELO are over: [`Client::begin`] may be called.
    Ready,
    /// The server will not talk to us; the connection is of no use.
    Refused {
        /// Where.
        stage: Stage,
        /// In which words.
        response: Rc<Response>,
    },
    /// Write the content and its end, then call [`Client::content_sent`].
    SendContent,
    /// The server has taken over the recipient at this place of the transaction; of a probe, it would.
    Delivered {
        /// The place.
        place: usize,
        /// What it said.
        response: Rc<Response>,
    },
    /// The server did not take what XFORWARD told it; the message goes on.
    NotForwarded {
        /// In reply to what.
        stage: Stage,
        /// In which words.
        response: Rc<Response>,
    },
    /// The server refused one recipient.
    RecipientFailed {
        /// The place.
        place: usize,
        /// In reply to what.
        stage: Stage,
        /// In which words.
        response: Rc<Response>,
    },
    /// The server refused the message: all recipients without a result have failed.
    MessageFailed {
        /// In reply to what.
        stage: Stage,
        /// In which words.
        response: Rc<Response>,
    },
    /// All recipients have their results. [`Client::begin`] may follow if [`Client::is_ready`].
    TransactionOver,
    /// A line that is no reply was passed over.
    Garbage {
        /// The line.
        line: Vec<u8>,
    },
    /// Replies and commands are out of step: drop the connection. It fails as if it had been lost.
    OutOfStep,
}

/// One awaited reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Greeting,
    Hello(Stage),
    Rset,
    /// XFORWARD, with its stage.
    Forward(Stage),
    Mail,
    Rcpt(usize),
    Data,
    /// End of data: for one recipient with LMTP, for all with SMTP.
    End(Option<usize>),
    /// End of an empty message that nobody gets.
    Abandoned,
    Quit,
}

/// The transaction under way.
#[derive(Debug)]
struct Running {
    transaction: Transaction,
    /// XFORWARD commands to send before MAIL, with their stages.
    forward: VecDeque<(Stage, Vec<u8>)>,
    mail_sent: bool,
    /// RCPT commands sent.
    asked: usize,
    data_sent: bool,
    /// Recipients that the server took, in order.
    accepted: Vec<usize>,
    /// The message as a whole has failed; replies still to come say nothing new.
    failed: bool,
}

/// The client's end of one connection.
#[derive(Debug)]
pub struct Client {
    settings: Rc<Settings>,
    reader: ReplyReader,
    awaited: VecDeque<Awaited>,
    capabilities: Capabilities,
    /// The first word of the reply to EHLO.
    server_name: String,
    running: Option<Running>,
    /// 354 came and the content is on its way.
    sending: bool,
    ready: bool,
    /// The server has an open transaction that is of no use.
    open: bool,
    /// 421, or something worse: nothing new may be begun.
    closing: bool,
    /// The server waits for content that does not come: whatever is sent it would take for that.
    silent: bool,
    garbage_lines: u32,
    lines: u64,
    /// The greeting was that of an old firewall.
    is_pix: bool,
}

impl Client {
    /// The beginning of a connection: the greeting is awaited.
    pub fn new(settings: Rc<Settings>) -> Self {
        Client {
            settings,
            reader: ReplyReader::default(),
            awaited: VecDeque::from([Awaited::Greeting]),
            capabilities: Capabilities::default(),
            server_name: String::new(),
            running: None,
            sending: false,
            ready: false,
            open: false,
            closing: false,
            silent: false,
            garbage_lines: 0,
            lines: 0,
            is_pix: false,
        }
    }

    /// What the server offered.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// What the server called itself in its reply to EHLO, HELO or LHLO.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Whether the greeting was that of a firewall which hides the server's own words behind `*`.
    pub fn is_pix(&self) -> bool {
        self.is_pix
    }

    /// Whether a transaction may begin.
    pub fn is_ready(&self) -> bool {
        self.ready && !self.closing && self.running.is_none() && self.awaited.is_empty()
    }

    /// Lines received so far: a time limit begins anew with each.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// What is under way; `None` while nothing is.
    pub fn stage(&self) -> Option<Stage> {
        if self.sending {
            return Some(Stage::Content);
        }
        self.awaited.front().map(|awaited| match awaited {
            Awaited::Greeting => Stage::Greeting,
            Awaited::Hello(stage) => *stage,
            Awaited::Rset => Stage::Rset,
            Awaited::Forward(stage) => *stage,
            Awaited::Mail => Stage::Mail,
            Awaited::Rcpt(_) => Stage::Rcpt,
            Awaited::Data => Stage::Data,
            Awaited::End(_) | Awaited::Abandoned => Stage::End,
            Awaited::Quit => Stage::Quit,
        })
    }

    /// Begins a message. Call it only if [`Client::is_ready`], with at least one recipient.
    pub fn begin(&mut self, transaction: Transaction, out: &mut Outputs) {
        assert!(self.is_ready(), "a transaction begins on a connection where nothing is under way");
        assert!(!transaction.recipients.is_empty(), "a transaction has a recipient");
        let forward = transaction.origin.as_ref().map(|o| self.capabilities.xforward.commands(o));
        self.running = Some(Running {
            transaction,
            forward: forward.unwrap_or_default().into(),
            mail_sent: false,
            asked: 0,
            data_sent: false,
            accepted: Vec::new(),
            failed: false,
        });
        if std::mem::replace(&mut self.open, false) {
            self.command(b"RSET\r\n", Awaited::Rset, out);
        }
        self.ask_more(out);
    }

    /// The content and its end are written; replies to it are awaited.
    pub fn content_sent(&mut self) {
        assert!(std::mem::replace(&mut self.sending, false), "content is sent where it was asked for");
        let accepted = self.running.as_ref().map(|r| r.accepted.as_slice()).unwrap_or_default();
        match self.settings.protocol {
            Protocol::Smtp => self.awaited.push_back(Awaited::End(None)),
            Protocol::Lmtp => self.awaited.extend(accepted.iter().map(|place| Awaited::End(Some(*place)))),
        }
    }

    /// Whether there is a way to take leave: to a server that waits for content the connection is just closed.
    pub fn may_quit(&self) -> bool {
        !self.silent
    }

    /// Takes leave where there is a way to. Whether the reply is waited for is the driver's matter
    /// (`smtp_skip_quit_response`).
    pub fn quit(&mut self, out: &mut Outputs) {
        self.closing = true;
        if self.silent {
            return;
        }
        self.command(b"QUIT\r\n", Awaited::Quit, out);
    }

    /// Gives buffers back while nothing is under way.
    pub fn rest(&mut self) {
        self.reader.rest();
        self.awaited = VecDeque::new();
    }

    /// Takes what the server sent. Once a [`Event::SendContent`] came out, nothing is received before the content
    /// is sent; what the server says unasked makes it [`Event::OutOfStep`].
    pub fn receive(&mut self, mut input: &[u8], out: &mut Outputs) {
        while !(input.is_empty() || self.is_over(out)) {
            let Some(line) = self.reader.take_line(&mut input) else { return };
            self.lines += 1;
            if self.awaited.is_empty() && !self.unasked() {
                return self.out_of_step(out);
            }
            match line {
                Line::More => self.more(),
                Line::End => self.reply(out),
                Line::Garbage => self.garbage(out),
                Line::TooMany => self.out_of_step(out),
            }
        }
    }

    fn is_over(&self, out: &Outputs) -> bool {
        matches!(out.events.back(), Some(Event::OutOfStep | Event::Refused { .. }))
    }

    /// A server that closes says so unasked (RFC 5321 3.8: 421); it is no use after that.
    fn unasked(&mut self) -> bool {
        self.closing = true;
        self.reader.line().starts_with(b"421")
    }

    /// A line of a reply that goes on: only those of EHLO say something of their own.
    fn more(&mut self) {
        if let Some(Awaited::Hello(stage)) = self.awaited.front() {
            if self.server_name.is_empty() {
                self.server_name = first_word(self.reader.line_text());
            } else if *stage != Stage::Helo {
                self.capabilities.add(self.reader.line_text(), &self.settings.discard_keywords);
            }
        }
    }

    /// Postfix passes such lines over. Should a reply be missing for it, a later one is awaited in vain, and the
    /// message stays here.
    fn garbage(&mut self, out: &mut Outputs) {
        self.garbage_lines += 1;
        out.events.push_back(Event::Garbage { line: self.reader.line().to_vec() });
        if self.garbage_lines > GARBAGE_LINES_MAX {
            self.out_of_step(out);
        }
    }

    fn out_of_step(&mut self, out: &mut Outputs) {
        self.closing = true;
        out.events.push_back(Event::OutOfStep);
    }

    fn reply(&mut self, out: &mut Outputs) {
        if self.reader.code() == 421 {
            self.closing = true;
        }
        let Some(awaited) = self.awaited.pop_front() else { return };
        match awaited {
            Awaited::Greeting => self.greeted(out),
            Awaited::Hello(stage) => self.said_hello(stage, out),
            Awaited::Forward(stage) => {
                if !self.is_success() {
                    out.events.push_back(Event::NotForwarded { stage, response: self.response() });
                }
                self.go_on(out);
            }
            Awaited::Mail => self.answered_mail(out),
            Awaited::Rcpt(place) => self.answered_rcpt(place, out),
            Awaited::Data => self.answered_data(out),
            Awaited::End(place) => self.answered_content(place, out),
            Awaited::Abandoned => {
                self.open = false;
                self.end_if_answered(out);
            }
            // Whether the server could reset shows in its reply to MAIL.
            Awaited::Rset => self.go_on(out),
            Awaited::Quit => {}
        }
    }

    fn greeted(&mut self, out: &mut Outputs) {
        if !self.is_success() {
            return self.refused(Stage::Greeting, out);
        }
        self.is_pix = self.reader.is_masked();
        let helo = self.is_pix && self.settings.pix_workarounds.iter().any(|w| w == "disable_esmtp");
        let esmtp = self.reader.line_text().split(|b| b.is_ascii_whitespace()).any(|word| word == b"ESMTP");
        match (self.settings.protocol, self.settings.ehlo) {
            (Protocol::Lmtp, _) => self.hello(Stage::Lhlo, out),
            _ if helo => self.hello(Stage::Helo, out),
            (_, EhloUse::Always) => self.hello(Stage::Ehlo, out),
            (_, EhloUse::WhereGreeted) if esmtp => self.hello(Stage::Ehlo, out),
            _ => self.hello(Stage::Helo, out),
        }
    }

    fn hello(&mut self, stage: Stage, out: &mut Outputs) {
        self.server_name.clear();
        let word = match stage {
            Stage::Ehlo => "EHLO",
            Stage::Lhlo => "LHLO",
            _ => "HELO",
        };
        let command = format!("{word} {}\r\n", self.settings.helo_name);
        self.command(command.as_bytes(), Awaited::Hello(stage), out);
    }

    fn said_hello(&mut self, stage: Stage, out: &mut Outputs) {
        if self.is_success() {
            // The last line is like those before it; `awaited` was popped, so `more` does not see it.
            self.awaited.push_front(Awaited::Hello(stage));
            self.more();
            self.awaited.pop_front();
            self.ready = true;
            out.events.push_back(Event::Ready);
        } else if stage == Stage::Ehlo && !self.closing {
            self.capabilities = Capabilities::default();
            self.hello(Stage::Helo, out);
        } else {
            self.refused(stage, out);
        }
    }

    fn refused(&mut self, stage: Stage, out: &mut Outputs) {
        self.closing = true;
        out.events.push_back(Event::Refused { stage, response: self.response() });
    }

    fn answered_mail(&mut self, out: &mut Outputs) {
        if self.is_success() {
            self.open = true;
        } else {
            self.fail_message(Stage::Mail, out);
        }
        self.go_on(out);
    }

    fn answered_rcpt(&mut self, place: usize, out: &mut Outputs) {
        let success = self.is_success();
        let Some(running) = &mut self.running else { return };
        if success && running.transaction.probe == Some(Probe::Rcpt) {
            let response = self.response();
            out.events.push_back(Event::Delivered { place, response });
        } else if success {
            running.accepted.push(place);
        } else if !running.failed {
            let response = self.response();
            out.events.push_back(Event::RecipientFailed { place, stage: Stage::Rcpt, response });
        }
        self.go_on(out);
    }

    fn answered_data(&mut self, out: &mut Outputs) {
        let go_ahead = self.reader.code() / 100 == 3;
        let Some(running) = &self.running else { return };
        let wanted = !running.failed && !running.accepted.is_empty();
        match (go_ahead, wanted) {
            (true, true) if running.transaction.probe.is_some() => {
                (self.closing, self.silent) = (true, true);
                self.accepted_delivered(out);
                self.end_if_answered(out);
            }
            (true, true) => {
                self.sending = true;
                out.events.push_back(Event::SendContent);
            }
            // RFC 2920 3.1: the server waits for content though nobody is to get it.
            (true, false) => self.command(b".\r\n", Awaited::Abandoned, out),
            (false, _) => {
                if wanted {
                    self.fail_message(Stage::Data, out);
                }
                self.end_if_answered(out);
            }
        }
    }

    fn answered_content(&mut self, place: Option<usize>, out: &mut Outputs) {
        self.open = false;
        let response = self.response();
        let success = self.is_success();
        match place {
            Some(place) if success => out.events.push_back(Event::Delivered { place, response }),
            Some(place) => {
                out.events.push_back(Event::RecipientFailed { place, stage: Stage::End, response })
            }
            None if success => self.accepted_delivered(out),
            None => self.fail_message(Stage::End, out),
        }
        self.end_if_answered(out);
    }

    /// The reply just read holds for all whom the server took.
    fn accepted_delivered(&mut self, out: &mut Outputs) {
        let response = self.response();
        let accepted = self.running.iter_mut().flat_map(|r| std::mem::take(&mut r.accepted));
        let delivered = accepted.map(|place| Event::Delivered { place, response: response.clone() });
        out.events.extend(delivered);
    }

    fn fail_message(&mut self, stage: Stage, out: &mut Outputs) {
        let response = self.response();
        if let Some(running) = &mut self.running {
            running.failed = true;
            out.events.push_back(Event::MessageFailed { stage, response });
        }
    }

    /// After a reply to MAIL or RCPT: the next commands, or the end where nothing is left to ask.
    fn go_on(&mut self, out: &mut Outputs) {
        self.ask_more(out);
        self.end_if_answered(out);
    }

    /// Sends XFORWARD, MAIL, as many RCPT commands as may be under way, and DATA behind the last.
    fn ask_more(&mut self, out: &mut Outputs) {
        let awaited_max = if self.capabilities.pipelining { AWAITED_MAX } else { 1 };
        let Some(running) = &mut self.running else { return };
        if running.data_sent || running.failed || self.awaited.len() > awaited_max / 2 {
            return;
        }
        let quote = self.settings.quote_addresses;
        while self.awaited.len() < awaited_max
            && let Some((stage, line)) = running.forward.pop_front()
        {
            out.bytes.extend_from_slice(&line);
            self.awaited.push_back(Awaited::Forward(stage));
        }
        if self.awaited.len() >= awaited_max && !running.mail_sent {
            return;
        }
        if !running.mail_sent {
            running.mail_sent = true;
            running.transaction.mail(&self.capabilities, quote, &mut out.bytes);
            self.awaited.push_back(Awaited::Mail);
        }
        while self.awaited.len() < awaited_max && running.asked < running.transaction.recipients.len() {
            running.transaction.rcpt(running.asked, &self.capabilities, quote, &mut out.bytes);
            self.awaited.push_back(Awaited::Rcpt(running.asked));
            running.asked += 1;
        }
        match running.transaction.probe {
            Some(Probe::Rcpt) => return,
            // A server that has taken nobody is not asked for more: it might take an empty message for one.
            Some(Probe::Data) if !self.awaited.is_empty() => return,
            _ => {}
        }
        let all_asked = running.asked == running.transaction.recipients.len();
        // With every reply at hand and nobody accepted there is no reason to go on.
        let wanted = !running.accepted.is_empty() || !self.awaited.is_empty();
        if all_asked && wanted && self.awaited.len() < awaited_max {
            running.data_sent = true;
            self.command(b"DATA\r\n", Awaited::Data, out);
        }
    }

    /// Ends the transaction once no reply is awaited.
    fn end_if_answered(&mut self, out: &mut Outputs) {
        if self.awaited.is_empty() && !self.sending && self.running.take().is_some() {
            out.events.push_back(Event::TransactionOver);
        }
    }

    fn command(&mut self, line: &[u8], awaited: Awaited, out: &mut Outputs) {
        out.bytes.extend_from_slice(line);
        self.awaited.push_back(awaited);
    }

    fn is_success(&self) -> bool {
        self.reader.code() / 100 == 2
    }

    fn response(&self) -> Rc<Response> {
        Rc::new(self.reader.response())
    }
}

fn first_word(text: &[u8]) -> String {
    let word = text.split(|b| b.is_ascii_whitespace()).next().unwrap_or_default();
    String::from_utf8_lossy(word).into_owned()
}
