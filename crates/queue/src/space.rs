//! When `MAIL` is refused with 452 because the queue's file system is too full.
//!
//! Postfix: `smtpd_check_queue` with `queue_minfree` and `message_size_limit`.

use crate::Space;

/// The limits that decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceRule {
    /// `queue_minfree`: bytes that must stay free; 0 means no such limit.
    pub minfree: u64,
    /// `message_size_limit`; 0 means that messages are not limited.
    pub message_size_limit: u64,
}

/// Whether a message may come in: more than `queue_minfree` is free, and at least 1.5 times the largest message.
pub fn enough_space(rule: SpaceRule, space: Space) -> bool {
    let above_minfree = rule.minfree == 0 || space.free_bytes > rule.minfree;
    let for_one_message = rule.message_size_limit.saturating_add(rule.message_size_limit / 2);
    above_minfree && space.free_bytes >= for_one_message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_must_exceed_minfree_and_hold_one_and_a_half_messages() {
        let space = |free_bytes| Space { free_bytes, block_bytes: 4096 };
        let rule = SpaceRule { minfree: 1000, message_size_limit: 400 };
        assert!(!enough_space(rule, space(1000)));
        assert!(enough_space(rule, space(1001)));
        let rule = SpaceRule { minfree: 0, message_size_limit: 400 };
        assert!(!enough_space(rule, space(599)));
        assert!(enough_space(rule, space(600)));
    }
}
