//! Debian's HAProxy tells smtpd and postscreen who their clients are.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

#[test]
fn haproxy_tells_the_clients_and_direct_ones_are_taken_where_so_configured() {
    if !peers::have_worlds() {
        return;
    }
    let output = peers::in_world("posthaste", "haproxy.py", &[]);
    let text = peers::said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("apart").count(), 8, "{text}");
    for finding in ["checks are taken", "with and without the proxy", "must be whole"] {
        assert!(text.contains(finding), "{text}");
    }
}
