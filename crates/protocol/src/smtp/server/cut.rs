//! Lines out of the client's bytes: how long they may be, and how they end.

use super::session::{Outputs, Session};
use super::state::Line;
use super::{BareNewline, Host, Note};
use bytes::{Buf, Bytes};
use mail::Reply;

impl<H: Host> Session<H> {
    /// Takes one line from the front, without its end.
    pub(super) fn line(&mut self, input: &mut Bytes, out: &mut Outputs) -> Line {
        if input.is_empty() {
            return Line::Partial;
        }
        let limit = self.settings.line_length_limit;
        let Some(end) = memchr::memchr(b'\n', input) else {
            // One byte more than the limit: the CR before the newline.
            let room = limit.saturating_add(1).saturating_sub(self.partial.len());
            if input.len() > room && !self.skipping {
                self.skipping = true;
                self.partial.extend_from_slice(&input[..room]);
            } else if !self.skipping {
                self.partial.extend_from_slice(input);
            }
            input.clear();
            return Line::Partial;
        };
        let head = input.split_to(end);
        input.advance(1);
        self.next_request();
        let line = if self.partial.is_empty() {
            head
        } else {
            let mut line = std::mem::take(&mut self.partial);
            if !self.skipping {
                line.extend_from_slice(&head);
            }
            Bytes::from(line)
        };
        let bare = line.last() != Some(&b'\r');
        // As Postfix: a line of just so many bytes is too long already.
        let length = line.len() - usize::from(line.last() == Some(&b'\r'));
        if std::mem::take(&mut self.skipping) || length >= limit {
            out.notes.push(Note::LineTooLong(line[..line.len().min(30)].to_vec()));
            let text = format!("{} Error: command too long", self.settings.myhostname);
            self.say(out, &Reply::new(500, mail::Dsn::new(5, 5, 2), text));
            return Line::Unusable;
        }
        if bare && self.peer.bare_newline == BareNewline::Reject {
            self.tell_heard(&line, out);
            self.refuse_bare_newline(out);
            return Line::Forbidden;
        }
        let kept = line.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1);
        Line::Whole(line.slice(..kept))
    }

    /// `smtpd_forbid_bare_newline = reject`: the reply before the session ends.
    pub(super) fn refuse_bare_newline(&mut self, out: &mut Outputs) {
        let code = self.settings.forbid_bare_newline_reject_code;
        let class = if code / 100 == 4 { 4 } else { 5 };
        let text = format!("{} Error: bare <LF> received", self.settings.myhostname);
        let reply = Reply::new(code, mail::Dsn::new(class, 5, 2), text);
        let envelope = self.transaction.as_deref().map(|t| {
            let last = t.recipients.last().map(|(recipient, _)| recipient.address.clone());
            (t.request.sender.clone(), last)
        });
        out.notes.push(Note::BareNewline { command: self.place_name(), envelope });
        self.say(out, &reply);
    }
}
