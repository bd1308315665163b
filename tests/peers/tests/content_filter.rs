//! Debian's clamsmtp filters mail after the queue as it does behind Debian's Postfix.

/// What clients are told, what lies in the boxes, and what the log says.
fn told(program: &str) -> String {
    peers::in_world(program, "content_filter.py", &[program])
}

#[test]
fn clamsmtp_filters_after_the_queue_as_behind_postfix() {
    if !peers::have_worlds() {
        return;
    }
    let theirs = told("postfix");
    for words in [
        "ann: X-Virus-Scanned: by clamsmtp",
        "ann: Subject: checked x",
        "bob: Subject: Undelivered Mail Returned to Sender",
        "Virus Detected; Content Rejected",
    ] {
        assert!(theirs.contains(words), "{words}: {theirs}");
    }
    let ours = told("posthaste");
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
}
