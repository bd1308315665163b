//! The process `smtpd`.

use super::{Reach, Start};

/// Runs the role.
pub fn run(start: Start) -> Result<(), String> {
    super::idle(
        start,
        &Reach { read: &[], write: &["journal", "maildrop", "public", "private"], configuration: false },
    )
}
