//! What one program knows of addresses is known to the other, and outlives restarts.

use compat::both;

/// Settings, and shell functions: ask about an address, count the probes of it.
const HELPERS: &str = r#"
ask() {
    exec 3<>/dev/tcp/127.0.0.1/25
    read -r -t 15 line <&3; printf 'HELO client.example.net\r\n' >&3
    read -r -t 15 line <&3; printf 'VRFY %s\r\n' "$1" >&3
    read -r -t 15 line <&3; printf 'QUIT\r\n' >&3
    echo "$line" | cut -d' ' -f1,2; cat <&3 >/dev/null; exec 3>&-
}
queue_manager() { for p in /proc/[0-9]*; do tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q 'role qmgr' && echo "${p#/proc/}"; done | head -1; }
another_than() { local now; now=$(queue_manager); [ -n "$now" ] && [ "$now" != "$1" ]; }
probes() { grep -c "to=<$1>.*status=.*deliverable" /var/log/mail.log; }
kept() { postmap -s "$1" | grep -q "^$2"; }
cat >>/etc/postfix/main.cf <<'END'
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unverified_recipient
smtpd_reject_unlisted_recipient = no
smtpd_peername_lookup = no
address_verify_poll_delay = 1s
address_verify_poll_count = 8
unverified_recipient_reject_code = 550
END
"#;

#[test]
fn each_program_goes_on_with_what_the_other_knows() {
    let script = r#"
echo 'address_verify_map = lmdb:/var/lib/postfix/known' >>/etc/postfix/main.cf
posthaste_serves; echo "first $(ask ann@example.com) $(ask nobody@example.com)"
until_ok kept lmdb:/var/lib/postfix/known nobody@example.com; posthaste_ends
posthaste_serves; echo "restarted $(ask ann@example.com) $(ask nobody@example.com)"; posthaste_ends
postfix_serves; echo "postfix $(ask ann@example.com) $(ask nobody@example.com) $(ask bob@example.com)"; postfix_ends
posthaste_serves; echo "again $(ask bob@example.com)"; posthaste_ends
echo "probes $(probes ann@example.com) $(probes nobody@example.com) $(probes bob@example.com)"
"#;
    let Some(said) = both::run(&format!("{HELPERS}{script}")) else { return };
    assert!(said.contains("first 252 2.0.0 550 5.1.1"), "{said}");
    assert!(said.contains("restarted 252 2.0.0 550 5.1.1"), "{said}");
    assert!(said.contains("postfix 252 2.0.0 550 5.1.1 252 2.0.0"), "{said}");
    assert!(said.contains("again 252 2.0.0"), "{said}");
    assert!(said.contains("probes 1 1 1"), "{said}");
}

#[test]
fn what_is_known_outlives_the_queue_manager_and_so_does_the_asking() {
    let script = r#"
cat >>/etc/postfix/main.cf <<'END'
address_verify_map = lmdb:/var/lib/postfix/known
END
posthaste_serves; echo "before $(ask ann@example.com)"; until_ok kept lmdb:/var/lib/postfix/known ann@example.com
before=$(queue_manager); kill -9 "$before"
until_ok another_than "$before"; until_ok test "$(ask ann@example.com)" = "252 2.0.0"
echo "after $(ask ann@example.com) $(ask bob@example.com)"; posthaste_ends
echo "probes $(probes ann@example.com) $(probes bob@example.com)"
"#;
    let Some(said) = both::run(&format!("{HELPERS}{script}")) else { return };
    assert!(said.contains("before 252 2.0.0"), "{said}");
    assert!(said.contains("after 252 2.0.0 252 2.0.0"), "{said}");
    assert!(said.contains("probes 1 1"), "{said}");
}
