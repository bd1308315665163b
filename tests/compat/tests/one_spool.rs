//! Both programs on one spool: neither starts while the other runs, and each goes on where the other stopped.

use compat::both;

fn in_a_world_of_both(script: &str) -> Option<String> {
    both::run(&format!("{HELPERS}{script}"))
}

/// Shell functions: send one message, count those that came.
const HELPERS: &str = r#"
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

/// The command lines of the README's two ways, as printed there.
fn ways() -> [Vec<String>; 2] {
    let readme = include_str!("../../../README.md");
    let section = readme.split("## From Postfix to Posthaste, and back").nth(1).expect("the section");
    let blocks = section.split("```sh\n").skip(1).take(2);
    let mut ways =
        blocks.map(|b| b.split("```").next().unwrap_or_default().lines().map(str::to_owned).collect());
    [ways.next().expect("the way there"), ways.next().expect("the way back")]
}

#[test]
fn the_readme_leads_from_postfix_to_posthaste_and_back_in_five_commands_each() {
    let [there, back] = ways();
    assert_eq!((there.len(), back.len()), (5, 5));
    let run = |commands: &[String]| -> String {
        let line = |command: &String| {
            format!("{command} </dev/null >/tmp/said 2>&1; echo \"status $? of {command}\"; cat /tmp/said\n")
        };
        commands.iter().map(line).collect()
    };
    let script = format!(
        r#"
sed -i /^virtual_mailbox_maps/d /etc/postfix/main.cf
cat >>/etc/postfix/main.cf <<'END'
virtual_mailbox_maps = hash:/etc/postfix/mailboxes
transport_maps = inline:{{{{later.example = smtp:[192.0.2.36]}}}}
END
echo 'ann@example.com example.com/ann/' >/etc/postfix/mailboxes
postmap hash:/etc/postfix/mailboxes
postfix start </dev/null >/dev/null 2>&1; until_ok listening
send ann@example.com one; until_ok has 1; send x@later.example waits; sleep 1
{}
until_ok listening; send ann@example.com two; until_ok has 2; echo "under posthaste: $(mails)"
echo 'bob@example.com example.com/bob/' >>/etc/postfix/mailboxes
sleep 1; posthaste postmap hash:/etc/postfix/mailboxes; until_ok test -e /etc/postfix/mailboxes.phx
sleep 2.5; send bob@example.com three; until_ok has 3; echo "a new mailbox: $(mails)"
{}
until_ok listening; send bob@example.com four; until_ok has 4; echo "under postfix: $(mails)"
ls /etc/postfix/mailboxes.*; postfix stop </dev/null >/dev/null 2>&1
"#,
        run(&there),
        run(&back)
    );
    let Some(said) = in_a_world_of_both(&script) else { return };
    for line in [
        "under posthaste: 2",
        "a new mailbox: 3",
        "under postfix: 4",
        "hash:/etc/postfix/mailboxes: rebuilt by `/usr/sbin/postmap -c /etc/postfix hash:/etc/postfix/mailboxes`",
    ] {
        assert!(said.contains(line), "expected `{line}` in: {said}");
    }
    // The stock master.cf has services that are not built yet; everything else succeeds.
    for command in there[1..].iter().chain(&back) {
        assert!(said.contains(&format!("status 0 of {command}\n")), "{command}: {said}");
    }
    assert_eq!(
        said.matches("x@later.example").count(),
        2,
        "the mail that waits stands in both listings: {said}"
    );
    assert!(!said.contains("mailboxes.phx\n"), "our index goes when Postfix's is rebuilt: {said}");
}
