//! The dialogue itself for the log, where a client is watched: commands and replies in the order in which they came.
//!
//! Postfix: `debug_peer_list`, and `-v` in master.cf. Content is no part of it.

use super::session::{Outputs, Session};
use super::{Host, Note};

impl<H: Host> Session<H> {
    /// From here on, what is added to the replies has not been told.
    pub(super) fn begin_telling(&mut self, out: &Outputs) {
        self.told = out.replies.len();
    }

    /// A command line came.
    pub(super) fn tell_heard(&mut self, line: &[u8], out: &mut Outputs) {
        if self.peer.verbose {
            self.tell_said(out);
            out.notes.push(Note::Heard(line.to_vec()));
        }
    }

    /// Replies were given.
    pub(super) fn tell_said(&mut self, out: &mut Outputs) {
        let new = &out.replies[self.told..];
        if self.peer.verbose && !new.is_empty() {
            let new = new.to_vec();
            self.told = out.replies.len();
            out.notes.push(Note::Said(new));
        }
    }
}
