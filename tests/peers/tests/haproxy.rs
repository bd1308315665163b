//! Debian's HAProxy tells smtpd and postscreen who their clients are.

#[test]
fn haproxy_tells_the_clients_and_direct_ones_are_taken_where_so_configured() {
    if !peers::have_worlds() {
        return;
    }
    let text = peers::in_world("posthaste", "haproxy.py", &[]);
    assert_eq!(text.matches("apart").count(), 8, "{text}");
    for finding in ["checks are taken", "with and without the proxy", "must be whole"] {
        assert!(text.contains(finding), "{text}");
    }
}
