//! Whose rights a worker has on files just now.

use std::io;

/// The rights of one thread; a change costs system calls, so they are kept until others are needed.
#[derive(Debug, Default)]
pub struct Rights {
    acting_as: Option<(u32, u32)>,
    as_caller: bool,
}

impl Rights {
    /// Takes the rights of a user on files, for this thread alone.
    pub fn take(&mut self, uid: u32, gid: u32) -> io::Result<()> {
        if !self.as_caller && self.acting_as != Some((uid, gid)) {
            self.acting_as = None;
            sys::act_as(uid, gid)?;
            self.acting_as = Some((uid, gid));
        }
        Ok(())
    }

    /// Whether this process runs everything as its caller.
    pub fn set_as_caller(&mut self, as_caller: bool) {
        self.as_caller = as_caller;
    }
}
