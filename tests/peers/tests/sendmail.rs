//! Programs that know nothing but sendmail, and local users who mean harm.

use peers::{have, have_worlds, in_world};

#[test]
fn programs_send_by_sendmail() {
    if !have_worlds() || !have("git") {
        return;
    }
    let text = in_world("posthaste", "senders.py", &[]);
    for program in ["cron", "a script", "mutt", "s-nail", "mailx", "git send-email", "PHP", "SMTP to a pipe"]
    {
        assert!(text.contains(program), "{program}: {text}");
    }
}

#[test]
fn hostile_users_hurt_nobody_else() {
    if !have_worlds() || !have("strace") {
        return;
    }
    let text = in_world("posthaste", "hostile_users.py", &[]);
    assert!(text.ends_with("done\n"), "{text}");
}
