//! Mail that the mail system itself submits: what the agent `local` sends on.
//!
//! A request is one byte with the descriptor of a sealed memory file: a head (who sends to whom), then the content as
//! CRLF lines. The answer comes when the message is on stable storage: the queue id, or why there is none.

mod head;
mod thread;

pub use head::{Submission, decode, encode};
pub use thread::{Submissions, SubmissionsStop};

use crate::{Addresses, Context, Finished, Message, Origin, Settings, map_addresses};
use bytes::Bytes;
use mail::smtputf8::Asking;
use mail::{ContentFlags, Envelope, QueueId, Timestamp};
use observe::Tag;
use queue::Intake;
use rewrite::Tables;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

/// Where requests are taken, below queue_directory.
pub const SOCKET: &str = "private/cleanup";

/// Answers begin with this where the message was taken in; its queue id follows, to the end of the line.
pub const TAKEN: &str = "ok ";

/// How much of the content is read at once.
const PIECE: usize = 64 * 1024;

/// What taking in needs.
#[derive(Clone)]
pub struct Inputs {
    /// The way into the queue.
    pub intake: Intake,
    /// cleanup's settings.
    pub settings: Arc<Settings>,
    /// `delay_warning_time`; zero is never.
    pub delay_warning_time: Duration,
    /// Mail that needs SMTPUTF8 asks for it (`smtputf8_autodetect_classes`).
    pub detects_smtputf8: bool,
    /// Tag of cleanup's lines.
    pub tag: Tag,
}

impl Inputs {
    /// Takes a message in; the reason, for the log, where that is not possible now.
    fn take(&self, file: &File, now: Timestamp) -> Result<QueueId, String> {
        let text = |e: io::Error| e.to_string();
        let (submission, start) = head::read(file).map_err(text)?;
        let id = self.intake.new_id(now);
        let rules = self.settings.mapper.rules();
        let mut recipients = submission.recipients;
        let asking = Asking::new(submission.smtputf8, self.detects_smtputf8);
        for recipient in &mut recipients {
            recipient.address = rules.canonical(&recipient.address);
        }
        let sender = rules.canonical(&submission.sender);
        // Whatever receive_override_options says: it is about mail that comes from outside.
        let mapped = map_addresses(&self.settings, (&self.tag, &id), &sender, recipients, Tables::Asked);
        let Addresses { sender, mapped } = tables::wait(mapped).map_err(|refusal| refusal.to_string())?;
        let wide = mapped.needs_smtputf8;
        let mut envelope = Envelope::new(sender, now);
        envelope.recipients = mapped.recipients;
        envelope.set_expanded(&mapped.expanded);
        envelope.envid = submission.envid;
        envelope.ret = submission.ret;
        envelope.encoding = submission.encoding;
        envelope.rewrite_context = mail::RewriteContext::Local;
        if !self.delay_warning_time.is_zero() && !envelope.sender.is_null() {
            envelope.warn_at = Some(now.after(self.delay_warning_time));
        }
        let context = Context {
            queue_id: id.clone(),
            arrival: now,
            sender: envelope.sender.clone(),
            full_name: String::new(),
            rewrite_context: envelope.rewrite_context,
            tables: Tables::Asked,
            prepended: Vec::new(),
            // What its content holds was looked at when it came in.
            inspection: None,
        };
        let draft = self.intake.draft(id.clone());
        let (settings, tag) = (self.settings.clone(), self.tag.clone());
        let mut message = Message::new(settings, tag, draft, context, Origin::Internal, None);
        let mut flags = Lines::default();
        tables::wait(message.append(flags.seen(submission.headers.into())));
        let (mut at, end) = (start, file.metadata().map_err(text)?.len());
        while at < end && !message.has_failed() {
            let mut piece = vec![0; usize::try_from(end - at).map_or(PIECE, |left| left.min(PIECE))];
            file.read_exact_at(&mut piece, at).map_err(text)?;
            at += piece.len() as u64;
            tables::wait(message.append(flags.seen(piece.into())));
        }
        let Finished { sink, flags: own, .. } =
            tables::wait(message.finish()).map_err(|refusal| refusal.to_string())?;
        let flags = flags.flags.with(own);
        envelope.smtputf8 = asking.options(&envelope.sender, wide, flags);
        self.intake.commit_blocking(sink, envelope, flags).map_err(|e| e.to_string())?;
        Ok(id)
    }
}

/// What is known of the content's lines, as a client of smtpd would have shown it.
#[derive(Default)]
struct Lines {
    flags: ContentFlags,
    /// Length of the line so far, its CR among it.
    length: usize,
}

impl Lines {
    fn seen(&mut self, piece: Bytes) -> Bytes {
        if !piece.is_ascii() {
            self.flags = self.flags.with(ContentFlags::EIGHT_BIT);
        }
        let mut lines = piece.split(|&b| b == b'\n').peekable();
        while let Some(line) = lines.next() {
            self.length += line.len();
            if self.length > mail::WIDE_LINE {
                self.flags = self.flags.with(ContentFlags::WIDE_LINE);
            }
            if self.length > LONG_LINE + 1 {
                self.flags = self.flags.with(ContentFlags::LONG_LINE);
            }
            if lines.peek().is_some() {
                self.length = 0;
            }
        }
        piece
    }
}

/// Lines longer than this need care when they are sent on (RFC 5321 4.5.3.1.6).
const LONG_LINE: usize = 998;

#[cfg(test)]
mod tests;
