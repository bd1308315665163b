//! Programs that know nothing but sendmail, and local users who mean harm.

use peers::{have, have_worlds, in_world, said};

#[test]
fn programs_send_by_sendmail() {
    if !have_worlds() || !have("git") {
        return;
    }
    let output = in_world("posthaste", "senders.py", &[]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
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
    let output = in_world("posthaste", "hostile_users.py", &[]);
    assert!(output.status.success() && said(&output).ends_with("done\n"), "{}", said(&output));
}
