//! What the postmaster is told of a session in which something went wrong (`notify_classes`), with what was said.
//!
//! The dialogue is kept only where policy, protocol or bounce is named: by default a session costs nothing, and a notice of
//! a resource or software error shows the command that failed. Which error is of which class was asked of Debian's
//! Postfix. A session whose sender is `double_bounce_sender` is told to nobody: it may be a notice on its way.

use crate::driver::Driver;
use crate::notes::Scene;
use crate::settings::Reader;
use bounce::{NoticeSettings, Session};
use config::parameters::{Bounce, Global, Smtpd};
use mail::{Address, QueueId};
use observe::events::cleanup::MessageId;
use std::fmt::Write as _;
use std::mem::take;

/// Bytes of a transcript: a hundred lines of usual length. What comes later in the session is left out.
const TRANSCRIPT_BYTES_MAX: usize = 32 * 1024;

/// Bytes of one line of it.
const LINE_BYTES_MAX: usize = 1000;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An address that does not exist, a message that is too large.
    Bounce,
    /// A restriction refused.
    Policy,
    /// The client does not speak SMTP as it should.
    Protocol,
    /// Disk space is short.
    Resource,
    /// The configuration makes no sense.
    Software,
}

/// Some of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Classes(u8);

/// Who is told of what.
#[derive(Clone)]
pub(crate) struct Notices {
    classes: Classes,
    /// Lines of a transcript beyond which a notice is sent in the middle of a session.
    lines_max: usize,
    bounce_recipient: Address,
    settings: NoticeSettings,
}

/// What was said in a session so far, and what went wrong.
#[derive(Default)]
pub(crate) struct History {
    text: String,
    lines: usize,
    left_out: usize,
    wrong: Classes,
    is_cut: bool,
    /// The class of the next refusal is known.
    is_told: bool,
    /// A message was queued: what went wrong on the way to it is of no interest.
    is_over: bool,
    /// Nobody is told of this session.
    is_muted: bool,
    aborted: Option<&'static str>,
    /// Transcripts that are long enough to be sent.
    due: Vec<(Classes, String)>,
}

impl Classes {
    fn with(self, class: Class) -> Classes {
        Classes(self.0 | 1 << class as u8)
    }

    fn and(self, other: Classes) -> Classes {
        Classes(self.0 & other.0)
    }

    fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u8 != 0
    }

    fn named(words: &[String]) -> Classes {
        let of = |word: &String| {
            Some(match word.to_ascii_lowercase().as_str() {
                "bounce" => Class::Bounce,
                "policy" => Class::Policy,
                "protocol" => Class::Protocol,
                "resource" => Class::Resource,
                "software" => Class::Software,
                _ => return None,
            })
        };
        words.iter().filter_map(of).fold(Classes::default(), Classes::with)
    }
}

impl Reader<'_> {
    /// Reads them.
    pub(crate) fn notices(&mut self, global: &Global, p: &Smtpd) -> Notices {
        let bounce = Bounce::read_in(&self.open.scope());
        let (error, double) = match &bounce {
            Ok(b) => (b.error_notice_recipient.as_str(), b.double_bounce_sender.as_str()),
            // What is wrong is told where reports are made.
            Err(_) => ("postmaster", "double-bounce"),
        };
        let bounces = bounce.as_ref().map_or("postmaster", |b| &b.bounce_notice_recipient);
        Notices {
            classes: Classes::named(&p.notify_classes),
            lines_max: crate::settings::count(p.smtpd_history_flush_threshold),
            bounce_recipient: Address::from(bounces),
            settings: NoticeSettings::new(global, double, error),
        }
    }
}

impl Notices {
    /// Whether the dialogue is kept.
    pub(crate) fn keeps(&self) -> bool {
        [Class::Bounce, Class::Policy, Class::Protocol].into_iter().any(|class| self.classes.has(class))
    }

    /// Who is told: where a bounce is among it, whoever is told of bounces.
    fn recipient(&self, wrong: Classes) -> Option<&Address> {
        let told = wrong.and(self.classes);
        match told.has(Class::Bounce) {
            true => Some(&self.bounce_recipient),
            false => Some(&self.settings.error_notice_recipient).filter(|_| told != Classes::default()),
        }
    }
}

impl History {
    fn line(&mut self, direction: &str, line: &str) {
        if self.text.len() >= TRANSCRIPT_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        let mut shown = line;
        if let Some((at, _)) = line.char_indices().find(|(at, _)| *at >= LINE_BYTES_MAX) {
            shown = &line[..at];
        }
        self.text.push_str(direction);
        let hidden = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
        self.text.extend(shown.chars().map(|c| if hidden(c) { '?' } else { c }));
        self.text.push('\n');
        self.lines += 1;
    }

    fn heard(&mut self, line: &[u8], lines_max: usize) {
        let line = String::from_utf8_lossy(line);
        self.line("In:  ", line.trim_end());
        let verb = line.get(..4).unwrap_or_default();
        let ends = ["RSET", "EHLO", "HELO"].iter().any(|v| v.eq_ignore_ascii_case(verb));
        if ends && self.lines > lines_max {
            let text = self.take_text();
            self.due.push((take(&mut self.wrong), text));
        }
    }

    fn said(&mut self, replies: &[u8], lines_max: usize) {
        for line in String::from_utf8_lossy(replies).lines() {
            self.line("Out: ", line);
            let is_last = line.as_bytes().get(3) != Some(&b'-');
            if is_last && line.starts_with(['4', '5']) && !take(&mut self.is_told) {
                self.wrong = of_session(line).map_or(self.wrong, |class| self.wrong.with(class));
            }
        }
        if take(&mut self.is_over) {
            (self.wrong, self.is_told) = (Classes::default(), false);
            if self.lines > lines_max {
                self.take_text();
            }
        }
    }

    fn take_text(&mut self) -> String {
        let (mut text, left_out) = (take(&mut self.text), take(&mut self.left_out));
        self.lines = 0;
        if left_out > 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "({left_out} further lines)");
        }
        text
    }

    /// Whether somebody may have to be told.
    pub(crate) fn is_of_interest(&self) -> bool {
        self.wrong != Classes::default() || !self.due.is_empty()
    }

    /// What is to be told, whether it begins with the command that failed, and how the session was broken off.
    fn take_due(&mut self, end: bool) -> (Vec<(Classes, String)>, bool, Option<&'static str>) {
        let mut due = take(&mut self.due);
        if end {
            due.push((take(&mut self.wrong), self.take_text()));
        }
        if self.is_muted {
            due.clear();
        }
        (due, self.is_cut, self.aborted.filter(|_| end))
    }

    /// The command of a scene, where the dialogue was not kept.
    fn reconstruct(&mut self, scene: &Scene<'_>, reply: &str) {
        self.is_cut = true;
        let addresses = [("MAIL FROM", scene.sender), ("RCPT TO", scene.recipient)];
        for (verb, address) in addresses {
            if let Some(address) = address {
                self.line("In:  ", &format!("{verb}:<{address}>"));
            }
        }
        if !matches!(scene.command, "MAIL" | "RCPT") {
            self.line("In:  ", scene.command);
        }
        self.line("Out: ", reply);
    }
}

/// The class of a refusal that the session gave by itself.
fn of_session(reply: &str) -> Option<Class> {
    let text = reply.get(4..).unwrap_or_default();
    let enhanced = text.split(' ').next().unwrap_or_default();
    match (&reply[..3], enhanced.get(1..).unwrap_or_default()) {
        (_, ".3.4") if text.contains("message file too big") => Some(Class::Bounce),
        (_, ".3.4") => Some(Class::Policy),
        ("554" | "454", ".5.1") => None,
        ("500" | "501" | "502" | "503" | "504" | "555" | "450" | "451" | "453" | "554" | "454", code)
            if code.starts_with(".5.") || code == ".1.7" || code == ".1.3" =>
        {
            Some(Class::Protocol)
        }
        ("501" | "500" | "502" | "503", _) if !enhanced.contains('.') => Some(Class::Protocol),
        _ => None,
    }
}

impl Driver {
    /// The client said something.
    pub(crate) fn note_heard(&self, line: &[u8]) {
        if self.settings.notices.keeps() {
            self.history.borrow_mut().heard(line, self.settings.notices.lines_max);
        }
    }

    /// The client was told something.
    pub(crate) fn note_said(&self, replies: &[u8]) {
        if self.settings.notices.keeps() {
            self.history.borrow_mut().said(replies, self.settings.notices.lines_max);
        }
    }

    /// Something went wrong, and the client is told `reply`.
    pub(crate) fn went_wrong(&self, class: Option<Class>, scene: &Scene<'_>, reply: &str) {
        let notices = &self.settings.notices;
        let mut history = self.history.borrow_mut();
        history.is_told = true;
        let Some(class) = class else { return };
        history.is_muted |= scene.sender == Some(&notices.settings.double_bounce_sender);
        history.wrong = history.wrong.with(class);
        if !notices.keeps() && notices.classes.has(class) {
            history.reconstruct(scene, reply);
        }
    }

    /// A message was queued.
    pub(crate) fn went_well(&self) {
        self.history.borrow_mut().is_over = self.settings.notices.keeps();
    }

    /// The session ends before QUIT.
    pub(crate) fn note_end(&self, how: &'static str) {
        self.history.borrow_mut().aborted = Some(how);
    }

    /// Sends what the postmaster is to be told so far; at the `end` of the session also what is left.
    pub(crate) async fn tell_postmaster(&self, end: bool) {
        let (due, is_cut, aborted) = self.history.borrow_mut().take_due(end);
        for (wrong, transcript) in due {
            let Some(to) = self.settings.notices.recipient(wrong) else { continue };
            let client = &self.peer.name_and_address;
            let transcript = &transcript;
            self.send(&Session { server: "SMTP server", client, transcript, is_cut, aborted }, to).await;
        }
    }

    /// Queues a notice. Where the queue has no room it is dropped: it would only say so.
    async fn send(&self, session: &Session<'_>, to: &Address) {
        let id = self.shared.intake.new_id(net::clock::now());
        // On the heap, since hardly a session gets here.
        if let Err(why) = Box::pin(self.queue(&id, session, to)).await {
            observe::warn(&self.tag, format_args!("{id}: a notice to {to} is dropped: {why}"));
        }
    }

    async fn queue(&self, id: &QueueId, session: &Session<'_>, to: &Address) -> Result<(), String> {
        let (tag, intake) = (self.cleanup_tag(), &self.shared.intake);
        let settings = &self.settings.notices.settings;
        let heading = settings.heading(to.clone());
        let log = cleanup::Log { tag: &tag, queue_id: id };
        let addressed = heading.mapped(&self.settings.cleanup.mapper, &log).await;
        let addressed = addressed.map_err(|_| "its addresses cannot be mapped")?;
        let notice = settings.notice(session, &addressed, (id, net::clock::now()));
        observe::emit(&tag, &MessageId { queue_id: id, resent: false, id: notice.message_id.as_bytes() });
        let mut draft = intake.draft(id.clone());
        draft.append(notice.content).map_err(|e| format!("{e:?}"))?;
        intake.commit(draft, notice.envelope, notice.flags).await.map_err(|e| e.to_string())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_own_refusals_have_the_classes_that_postfix_gives_them() {
        for (reply, class) in [
            ("500 5.5.2 Error: command not recognized", Some(Class::Protocol)),
            ("501 Syntax: EHLO hostname", Some(Class::Protocol)),
            ("501 5.1.7 Bad sender address syntax", Some(Class::Protocol)),
            ("503 5.5.1 Error: nested MAIL command", Some(Class::Protocol)),
            ("555 5.5.4 Unsupported option: FOO=BAR", Some(Class::Protocol)),
            ("552 5.3.4 Message size exceeds fixed limit", Some(Class::Policy)),
            ("552 5.3.4 Error: message file too big", Some(Class::Bounce)),
            ("554 5.5.1 Error: no valid recipients", None),
            ("452 4.5.3 Error: too many recipients", None),
            ("421 4.7.0 mx.example.org Error: too many errors", None),
            ("458 Unable to queue messages", None),
        ] {
            assert_eq!(of_session(reply), class, "{reply}");
        }
    }

    #[test]
    fn a_transcript_is_bounded_and_says_what_is_missing() {
        let mut history = History::default();
        for _ in 0..2000 {
            history.line("In:  ", &"ö".repeat(3000));
        }
        let text = history.take_text();
        assert!(text.len() < TRANSCRIPT_BYTES_MAX + 2 * LINE_BYTES_MAX, "{}", text.len());
        assert!(text.ends_with(" further lines)\n"), "{}", &text[text.len() - 40..]);
        assert_eq!((history.lines, history.left_out), (0, 0));
    }

    #[test]
    fn what_went_wrong_before_a_message_is_forgotten_and_what_was_said_where_it_is_long() {
        let said = |lines_max| {
            let mut history = History::default();
            history.said(b"500 5.5.2 Error: command not recognized\r\n", lines_max);
            assert!(history.wrong.has(Class::Protocol));
            history.is_over = true;
            history.said(b"250 2.0.0 Ok: queued as 4XyZ1\r\n", lines_max);
            assert_eq!(history.wrong, Classes::default());
            history.text
        };
        assert_eq!(said(1), "");
        assert!(said(2).ends_with("queued as 4XyZ1\n"));
    }
}
