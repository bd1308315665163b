//! Faults that tests plant, to see that the simulator finds them. Compiled in by the feature `faults` only.

use std::cell::Cell;

/// A way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Groups are not synced.
    NoSync,
    /// Sessions are answered before the sync.
    AckBeforeSync,
    /// A segment is freed while messages in it have work to do.
    SegmentFreedEarly,
    /// A final outcome is not written.
    OutcomeLost,
    /// Recovery believes a record whose payload fails its check.
    TornRecordAccepted,
    /// A spilled file gets its name, and the message counts as moved, before the file is synced.
    RenameBeforeSync,
}

/// All of them.
pub const ALL: [Fault; 6] = [
    Fault::NoSync,
    Fault::AckBeforeSync,
    Fault::SegmentFreedEarly,
    Fault::OutcomeLost,
    Fault::TornRecordAccepted,
    Fault::RenameBeforeSync,
];

thread_local! {
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Plants a fault on this thread, or takes it away.
pub fn plant(fault: Option<Fault>) {
    PLANTED.set(fault);
}

/// Whether this fault is planted on this thread.
pub fn planted(fault: Fault) -> bool {
    PLANTED.get() == Some(fault)
}
