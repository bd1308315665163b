//! Debian's smtp-sink, Debian's Postfix and Dovecot's LMTP receive; they store what was sent, byte for byte.

#[test]
fn real_servers_store_every_body_byte_for_byte() {
    if !peers::have_worlds() {
        return;
    }
    let text = peers::in_world("posthaste", "servers.py", &[]);
    assert_eq!(text.matches("bodies arrived unchanged").count(), 4, "{text}");
}
