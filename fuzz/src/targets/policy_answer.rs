//! Answers of policy services: pieces make the same answer as the whole, and no answer is longer than its bound.

use crate::Target;
use protocol::policy::{ANSWER_BYTES_MAX, Answer, Problem, Scanner};

pub(super) const TARGET: Target = Target {
    name: "policy_answer",
    dictionary: &[b"action=", b"action", b"REJECT x", b"=", b"\n", b"\n\n", b"\0"],
    run,
};

fn run(bytes: &[u8]) {
    let whole = Scanner::default().take(bytes);
    if let Ok(Some(answer)) = &whole {
        assert!(answer.action.len() < ANSWER_BYTES_MAX && !answer.action.contains(&b'\n'));
    }
    let mut scanner = Scanner::default();
    let mut pieces = Ok(None);
    for byte in bytes {
        pieces = scanner.take(std::slice::from_ref(byte));
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    // What stands behind an answer is not looked at byte by byte.
    let plain =
        |result: Result<Option<Answer>, Problem>| result.map(|answer| answer.map(|answer| answer.action));
    match (plain(pieces), plain(whole)) {
        (Err(Problem::NoAction(_)), Err(Problem::NoAction(_))) => {}
        (pieces, whole) => assert_eq!(pieces, whole),
    }
}
