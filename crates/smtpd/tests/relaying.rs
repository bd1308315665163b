//! A service whose lists let anybody relay is an error with its place.

#![allow(clippy::unwrap_used, reason = "all of this file is a test")]

mod server;

const LINE: &str = "smtp inet n - n - - smtpd\n";

fn wrong(main_cf: &str, master_cf: &str) -> String {
    server::settings_of_line(main_cf, master_cf).err().unwrap_or_default()
}

#[test]
fn lists_without_a_guard_are_refused_with_the_line_that_sets_them() {
    let none = "smtpd_relay_restrictions = permit_mynetworks\n";
    let text = wrong(none, LINE);
    assert!(text.starts_with("/etc/postfix/main.cf:") && text.contains("anybody could relay mail"), "{text}");
    let text = wrong("", &format!("{LINE}  -o smtpd_relay_restrictions=permit_mynetworks\n"));
    assert!(
        text.starts_with("/etc/postfix/master.cf:2:") && text.contains("anybody could relay mail"),
        "{text}"
    );
}

#[test]
fn a_guard_counts_where_it_is_asked() {
    for guard in
        ["reject", "defer", "defer_if_permit", "reject_unauth_destination", "defer_unauth_destination"]
    {
        for list in ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"] {
            let text =
                wrong(&format!("smtpd_relay_restrictions =\n{list} = permit_mynetworks, {guard}\n"), LINE);
            assert_eq!(text, "", "{guard} in {list}");
        }
    }
    let in_a_class = "smtpd_restriction_classes = guard\nguard = reject_unauth_destination\n\
                      smtpd_relay_restrictions = permit_mynetworks, guard\n";
    assert_eq!(wrong(in_a_class, LINE), "");
    for never in ["permit, reject", "warn_if_reject reject", "check_client_access inline:{192.0.2.1=reject}"]
    {
        let text = wrong(&format!("smtpd_relay_restrictions = {never}\n"), LINE);
        assert!(text.contains("anybody could relay mail"), "{never}: {text}");
    }
}
