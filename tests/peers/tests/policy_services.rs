//! Debian's postgrey and policyd-spf decide as they do behind Debian's Postfix.

/// What clients are told, what the mail gets in front, and what the log says.
fn told(program: &str) -> String {
    peers::in_world(program, "policy_services.py", &[program])
}

#[test]
fn postgrey_and_policyd_spf_decide_as_behind_postfix() {
    if !peers::have_worlds() {
        return;
    }
    if !peers::have("perl") {
        return;
    }
    let theirs = told("postfix");
    for words in ["Greylisted", "SPF fail", "mail: Received-SPF: Pass", "mail: X-Greylist: delayed"] {
        assert!(theirs.contains(words), "{words}: {theirs}");
    }
    let ours = told("posthaste");
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
}
