//! Dovecot stores what Posthaste hands to its LMTP server and to its delivery agent.

#[test]
fn dovecot_stores_what_its_lmtp_server_and_its_delivery_agent_get() {
    if !peers::have_worlds() {
        return;
    }
    let text = peers::in_world("both", "dovecot.py", &[]);
    for finding in ["a reply of its own", "is tried again", "delivers by pipe", "is understood"] {
        assert!(text.contains(finding), "{finding}: {text}");
    }
}
