//! procmail, maildrop and Dovecot's delivery agent file mail as they do behind Debian's Postfix.

#[test]
fn programs_that_file_mail_get_and_say_the_same_as_behind_postfix() {
    if !peers::have_worlds() {
        return;
    }
    let theirs = peers::in_world("postfix", "filing.py", &["postfix"]);
    for finding in [
        "dsn=2.0.0, status=sent (delivered to command: /usr/bin/procmail -a \"$EXTENSION\")",
        "dsn=5.1.1, status=bounced (user unknown)",
        "dsn=4.3.0, status=deferred (temporary failure)",
        "relay=procmail, dsn=2.0.0, status=sent (delivered via procmail service (procmail: ",
        "relay=maildrop, dsn=2.0.0, status=sent (delivered via maildrop service)",
        "file: /home/proc/inbox 6001:6001",
        "file: /home/forw/Maildir/new 6002:6002",
        "file: /home/drop/Maildir/new 6003:",
        "file: /home/lda/Maildir/new 6004:6004",
        "file: /var/mail/vhosts/common-Ann 5003:5003",
        "file: /var/mail/vhosts/dropped 5003:",
    ] {
        assert!(theirs.contains(finding), "{finding}: {theirs}");
    }
    let ours = peers::in_world("both", "filing.py", &["posthaste"]);
    assert_eq!(ours.lines().collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
}
