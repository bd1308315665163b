//! What a client's errors cost: each reply beyond a number of them waits, and in the end the session is over.
//!
//! Postfix: `smtpd_soft_error_limit`, `smtpd_hard_error_limit`, `smtpd_error_sleep_time`, `smtpd_junk_command_limit`,
//! `smtpd_recipient_overshoot_limit`.

use super::session::{Outputs, Session};
use super::state::Done;
use super::{Ending, Host, Next};
use crate::smtp::reply;
use mail::Reply;

impl<H: Host> Session<H> {
    /// Replies; a refusal may be the driver's to write.
    pub(super) fn say(&mut self, out: &mut Outputs, reply: &Reply) {
        self.slow |= self.errors >= self.settings.soft_error_limit;
        self.last_words_said |= matches!(reply.code, 421 | 521);
        if self.settings.hand_over_refusals && reply.code >= 400 {
            self.hand_over(reply, out);
        } else if self.settings.soft_bounce {
            reply::write(&reply.clone().softened(), &mut out.replies);
        } else {
            reply::write(reply, &mut out.replies);
        }
    }

    /// Writes a reply that refuses nothing.
    pub(super) fn write(&mut self, out: &mut Outputs, reply: &[u8]) {
        self.slow |= self.errors >= self.settings.soft_error_limit;
        out.replies.extend_from_slice(reply);
    }

    /// A reply as it leaves, with regard to `soft_bounce`.
    pub(super) fn softened(&self, reply: Reply) -> Reply {
        if self.settings.soft_bounce { reply.softened() } else { reply }
    }

    pub(super) fn set_failed(&mut self) {
        self.errors = self.errors.saturating_add(1);
    }

    pub(super) fn count_junk(&mut self) {
        if self.junk > self.settings.junk_command_limit {
            self.errors = self.errors.saturating_add(1);
        }
        self.junk = self.junk.saturating_add(1);
    }

    pub(super) fn overshoot(&mut self) -> Done {
        self.overshoot += 1;
        if self.overshoot <= self.settings.recipient_overshoot_limit { Done::Ok } else { Done::Failed }
    }

    pub(super) fn too_many_errors(&mut self, out: &mut Outputs) {
        let text = format!("{} Error: too many errors", self.settings.myhostname);
        self.say(out, &Reply::new(421, mail::Dsn::new(4, 7, 0), text));
        self.end(Ending::TooManyErrors, out);
    }

    /// The last reply was said; beyond the soft error limit it waits, too.
    pub(super) fn closing(&mut self) -> Next<H> {
        self.last_words_said = true;
        match std::mem::take(&mut self.slow) {
            true => Next::Sleep(self.settings.error_sleep_time),
            false => Next::Close,
        }
    }
}
