//! The process `qmgr`.

use super::Start;

/// Runs the role.
pub fn run(start: Start) -> Result<(), String> {
    super::idle(start)
}
