//! Both programs on one spool: neither starts while the other runs, and each goes on where the other stopped.

use compat::both;

fn in_a_world_of_both(script: &str) -> Option<String> {
    both::run(&format!("{HELPERS}{script}"))
}

/// Shell functions: wait for a condition, for the port, for its end; send one message.
const HELPERS: &str = r#"
until_ok() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.05; done; echo "timed out: $*"; return 1; }
listening() { grep -q ':0019 0\{8\}:0000 0A\|:0019 0\{32\}:0000 0A' /proc/net/tcp /proc/net/tcp6; }
silent() { ! listening; }
send() { smtp-source -m 1 -f a@example.net -t "$1" -S "$2" 127.0.0.1:25; }
mails() { find /var/mail/vhosts -path '*/new/*' -type f | wc -l; }
flushed_to() { posthaste postqueue -c /etc/postfix -f; has "$1"; }
has() { [ "$(mails)" -ge "$1" ]; }
"#;

#[test]
fn posthaste_does_not_start_on_a_spool_that_postfix_uses() {
    let Some(said) = in_a_world_of_both(
        "postfix start </dev/null >/dev/null 2>&1; until_ok listening; timeout 10 posthaste start -c /etc/postfix </dev/null; echo status $?\n",
    ) else {
        return;
    };
    assert!(said.contains("status 1"), "{said}");
}

#[test]
fn postfix_does_not_start_on_a_spool_that_posthaste_uses() {
    let Some(said) = in_a_world_of_both(
        "posthaste start -c /etc/postfix </dev/null >/dev/null 2>&1; until_ok listening; timeout 10 postfix start </dev/null >/dev/null 2>&1; echo status $?\n",
    ) else {
        return;
    };
    assert!(said.contains("status 1"), "{said}");
}

#[test]
fn what_one_leaves_in_the_queue_the_other_delivers() {
    let script = r#"
echo 'transport_maps = inline:{{example.com = smtp:[192.0.2.36]}}' >>/etc/postfix/main.cf
postfix start </dev/null >/dev/null 2>&1; until_ok listening; send ann@example.com one; send bob@example.com two
until_ok test "$(postqueue -p | tail -1 | grep -c 2.Requests)" = 1; sleep 0.5
postfix stop </dev/null >/dev/null 2>&1; until_ok silent
sed -i /transport_maps/d /etc/postfix/main.cf
posthaste start -c /etc/postfix </dev/null >/dev/null 2>&1; until_ok listening; until_ok flushed_to 2
echo "posthaste delivered $(mails)"
echo 'transport_maps = inline:{{example.com = smtp:[192.0.2.36]}}' >>/etc/postfix/main.cf
posthaste reload -c /etc/postfix </dev/null; sleep 0.5; send ann@example.com three; sleep 1
posthaste stop -c /etc/postfix </dev/null; until_ok silent
sed -i /transport_maps/d /etc/postfix/main.cf
# Postfix's postsuper gives files their inode's name at the start and tells so as mail_owner, in the log file itself.
chown postfix /var/log/mail.log
postfix start </dev/null >/tmp/start 2>&1 || { echo "postfix start: $?"; cat /tmp/start; tail -5 /var/log/mail.log; }
until_ok listening; postqueue -f; until_ok has 3
echo "postfix delivered up to $(mails)"
"#;
    let Some(said) = in_a_world_of_both(script) else { return };
    assert!(said.contains("posthaste delivered 2"), "{said}");
    assert!(said.contains("postfix delivered up to 3"), "{said}");
}

/// A mail that Postfix was told to send to someone else, or through a filter, keeps that in its queue file.
#[test]
fn redirections_and_filters_of_postfixs_queue_files_hold() {
    let script = r#"
cat >>/etc/postfix/main.cf <<'END'
transport_maps = inline:{{example.com = smtp:[192.0.2.36]}}
smtpd_recipient_restrictions = check_recipient_access texthash:/etc/postfix/access, permit_mynetworks, reject
END
printf 'redirected@example.com REDIRECT box@example.com\nfiltered@example.com FILTER scan:filter\n' >/etc/postfix/access
sed -i 's/^virtual_mailbox_maps.*/virtual_mailbox_maps = inline:{box@example.com=box\/, redirected@example.com=redirected\/, filtered@example.com=filtered\/, other@example.com=other\/}/' /etc/postfix/main.cf
echo 'scan unix - - n - 1 smtp -o smtp_connect_timeout=1' >>/etc/postfix/master.cf
postfix start </dev/null >/dev/null 2>&1; until_ok listening
smtp-source -m 1 -f a@example.net -t redirected@example.com 127.0.0.1:25; smtp-source -m 1 -f a@example.net -t filtered@example.com 127.0.0.1:25
until_ok test "$(postqueue -p | tail -1 | grep -c 2.Requests)" = 1; sleep 1
postfix stop </dev/null >/dev/null 2>&1; until_ok silent
sed -i '/transport_maps/d; /smtpd_recipient_restrictions/d' /etc/postfix/main.cf; sed -i /^scan/d /etc/postfix/master.cf
posthaste start -c /etc/postfix </dev/null >/dev/null 2>&1; until_ok listening; until_ok flushed_to 1; sleep 1
find /var/mail/vhosts -type f -path '*/new/*' | cut -d/ -f5 | sed 's/^/delivered to /'
posthaste postqueue -c /etc/postfix -p
posthaste stop -c /etc/postfix </dev/null
"#;
    let Some(said) = in_a_world_of_both(script) else { return };
    assert!(said.contains("delivered to box") && !said.contains("delivered to redirected"), "{said}");
    assert!(said.contains("(mail transport unavailable)") && said.contains("filtered@example.com"), "{said}");
    assert!(!said.contains("delivered to filtered"), "{said}");
}
