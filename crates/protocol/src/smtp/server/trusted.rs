//! XCLIENT and XFORWARD: a program that we trust speaks for a client.
//!
//! After XCLIENT the session is that client's from the greeting on; only the counts of errors and commands stay.
//! Postfix: XCLIENT_README, XFORWARD_README.

use super::session::{Outputs, Session};
use super::state::{Asked, Done};
use super::{Ask, Host, Next, Peer, Xclient, Xforward};
use crate::smtp::command::{Verb, Word};

impl<H: Host> Session<H> {
    pub(super) fn xclient_command(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        if let Some(failed) = self.trusted(Verb::Xclient, words, self.peer.xclient, out) {
            return failed;
        }
        match Xclient::parse(&words[1..]) {
            Ok(said) => {
                let said = Box::new(said);
                Done::Ask(Asked::Xclient(said.clone()), Ask::Xclient(said))
            }
            Err(reply) => {
                self.say(out, &reply);
                Done::Failed
            }
        }
    }

    pub(super) fn xforward_command(&mut self, words: &[Word<'_>], out: &mut Outputs) -> Done {
        if let Some(failed) = self.trusted(Verb::Xforward, words, self.peer.xforward, out) {
            return failed;
        }
        match self.forwarded().with(&words[1..]) {
            Ok(said) => {
                self.xforward = Some(Box::new(said));
                self.ok(out);
                Done::Ok
            }
            Err(reply) => {
                self.say(out, &reply);
                Done::Failed
            }
        }
    }

    /// What XFORWARD said for the next message or the open one.
    pub fn forwarded(&self) -> Xforward {
        self.xforward.as_deref().cloned().unwrap_or_default()
    }

    /// What both commands need, in Postfix's order.
    fn trusted(&mut self, verb: Verb, words: &[Word<'_>], allowed: bool, out: &mut Outputs) -> Option<Done> {
        if self.transaction.is_some() {
            return Some(self.fail(out, 503, (5, 5, 1), "Error: MAIL transaction in progress"));
        }
        if words.len() < 2 {
            let text = format!("Syntax: {} attribute=value...", verb.name());
            return Some(self.fail(out, 501, (5, 5, 4), &text));
        }
        (!allowed).then(|| self.fail(out, 550, (5, 7, 0), "Error: insufficient authorization"))
    }

    /// XCLIENT was taken: from here on the session is `peer`'s.
    pub(super) fn renew(&mut self, said: Xclient, peer: Peer, out: &mut Outputs) -> Next<H> {
        self.reset();
        self.peer = peer;
        (self.helo, self.esmtp) = (said.helo, said.esmtp);
        self.begin(out)
    }
}
