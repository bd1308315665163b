//! What happens to a command line before it is a command: the filter, commands that do nothing, forbidden ones.
//!
//! Postfix: `smtpd_command_filter`, `smtpd_noop_commands`, `smtpd_forbidden_commands`. Each may be a table of a server,
//! so that the driver is asked; meanwhile the line waits in [`Asked`].

use super::session::{Outputs, Session, bad};
use super::state::{Asked, State};
use super::{Answer, Ask, CommandList, Host, Next, Note};
use crate::smtp::command::{self, Word};
use mail::Reply;

/// So much of what a client sent behind a line is kept while the line waits: what a log line shows of it.
pub(super) const EARLY_MAX: usize = 100;

/// A line that waits, with the beginning of what the client sent behind it.
pub(super) struct Waiting {
    line: Vec<u8>,
    rest: Vec<u8>,
}

impl Waiting {
    fn new(line: &[u8], rest: &[u8]) -> Self {
        Waiting { line: line.to_vec(), rest: rest[..rest.len().min(EARLY_MAX)].to_vec() }
    }
}

impl<H: Host> Session<H> {
    /// The driver may replace the line.
    pub(super) fn filter(&mut self, line: &[u8], rest: &[u8]) -> Next<H> {
        self.state = State::Asked(Box::new(Asked::Filter(Waiting::new(line, rest))));
        Next::Ask(Ask::Filter(line.to_vec()))
    }

    /// A line as the filter left it: something that does nothing, or a command.
    pub(super) fn filtered(&mut self, line: &[u8], rest: &[u8], out: &mut Outputs) -> Option<Next<H>> {
        let words = command::words(line);
        let Some(first) = words.first() else {
            return self.failed(out, &bad("bad syntax"));
        };
        match self.settings.noop_commands.has(first.text) {
            Some(true) => self.nothing(out),
            Some(false) => self.obey(line, &words, rest, out),
            None => {
                self.state = State::Asked(Box::new(Asked::Noop(Waiting::new(line, rest))));
                Some(Next::Ask(Ask::Noop(text(first))))
            }
        }
    }

    /// `smtpd_noop_commands`.
    fn nothing(&mut self, out: &mut Outputs) -> Option<Next<H>> {
        self.ok(out);
        self.count_junk();
        None
    }

    /// A command that nobody knows.
    pub(super) fn unknown(&mut self, line: &[u8], first: &Word<'_>, out: &mut Outputs) -> Option<Next<H>> {
        let name = first.text.iter().position(|&b| b == b':').map(|n| &first.text[..n]);
        let looks_like_header = name.is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_graphic));
        match looks_like_header.then_some(true).or_else(|| self.settings.forbidden_commands.has(first.text)) {
            Some(true) => Some(self.forbidden(line, out)),
            Some(false) => self.not_recognized(out),
            None => {
                self.state = State::Asked(Box::new(Asked::Forbidden(Waiting::new(line, &[]))));
                Some(Next::Ask(Ask::Forbidden(text(first))))
            }
        }
    }

    fn forbidden(&mut self, line: &[u8], out: &mut Outputs) -> Next<H> {
        out.notes.push(Note::NonSmtpCommand(line.to_vec()));
        self.write(out, b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n");
        self.closing()
    }

    fn not_recognized(&mut self, out: &mut Outputs) -> Option<Next<H>> {
        match self.denied() {
            Some(reply) => self.failed(out, &reply),
            None => self.failed(out, &bad("command not recognized")),
        }
    }

    /// The driver's answer about a line; a refusal ended in the caller.
    pub(super) fn line_answered(
        &mut self,
        asked: Asked,
        answer: Answer<H>,
        out: &mut Outputs,
    ) -> Option<Next<H>> {
        match (asked, answer) {
            (Asked::Filter(waiting), Answer::Pass) => self.filtered(&waiting.line, &waiting.rest, out),
            (Asked::Filter(waiting), Answer::Command(line)) => self.filtered(&line, &waiting.rest, out),
            (Asked::Noop(_), Answer::Listed) => self.nothing(out),
            (Asked::Noop(waiting), Answer::Pass) => {
                self.obey(&waiting.line, &command::words(&waiting.line), &waiting.rest, out)
            }
            (Asked::Forbidden(waiting), Answer::Listed) => Some(self.forbidden(&waiting.line, out)),
            (Asked::Forbidden(_), Answer::Pass) => self.not_recognized(out),
            _ => panic!("the answer does not fit the question"),
        }
    }

    /// What all commands but QUIT are answered with, where the client was refused when it connected.
    pub(super) fn denied(&self) -> Option<Reply> {
        self.denied.as_ref()?;
        let text = format!("Error: access denied for {}", self.peer.name_and_address);
        Some(Reply::new(503, mail::Dsn::new(5, 7, 0), text))
    }
}

impl CommandList {
    /// Whether a command is in the list; nothing where the driver has to be asked.
    fn has(&self, word: &[u8]) -> Option<bool> {
        match self {
            CommandList::Words(words) => Some(words.iter().any(|w| w.as_bytes().eq_ignore_ascii_case(word))),
            CommandList::Asked => None,
        }
    }
}

fn text(word: &Word<'_>) -> String {
    String::from_utf8_lossy(word.text).into_owned()
}
