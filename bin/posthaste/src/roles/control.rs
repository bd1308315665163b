//! The process `control`.

use super::{Reach, Start};

/// Runs the role.
pub fn run(start: Start) -> Result<(), String> {
    super::idle(start, &Reach { read: &["."], write: &["public", "private"], configuration: true })
}
