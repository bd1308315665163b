//! Each restriction permits, goes on, refuses and cannot decide in some case, but for what it never does.

use super::witnessed;
use Finding::{CannotDecide, GoesOn, Permits, Refuses};
use std::collections::BTreeMap;
use testkit::play::Transcript;

/// What a restriction finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finding {
    /// The rest of its list is passed over.
    Permits,
    /// The next one decides.
    GoesOn,
    /// No, or not yet.
    Refuses,
    /// What it asks does not answer.
    CannotDecide,
}

const ALL: [Finding; 4] = [Permits, GoesOn, Refuses, CannotDecide];

/// What a restriction never finds, and why. `*` stands for any letters.
const NEVER: &[(&str, &[Finding], &str)] = &[
    ("permit", &[GoesOn, Refuses, CannotDecide], "it permits whatever is asked"),
    ("reject", &[Permits, GoesOn, CannotDecide], "it refuses whatever is asked"),
    ("defer", &[Permits, GoesOn, CannotDecide], "it refuses whatever is asked, for now"),
    ("defer_if_*", &[Permits, GoesOn, CannotDecide], "it puts off whatever is asked, at the end of the list"),
    ("sleep", &[Permits, Refuses, CannotDecide], "it only waits"),
    ("permit_*", &[Refuses], "what it does not permit is the next one's"),
    ("reject_*", &[Permits], "what it does not refuse is the next one's"),
    ("defer_unauth_destination", &[Permits], "what it does not refuse is the next one's"),
    ("check_reverse_*_access", &[Permits], "whoever owns the address chooses its name"),
    ("check_*_a_access", &[Permits], "whoever owns the name chooses the hosts behind it"),
    ("check_*_mx_access", &[Permits], "whoever owns the name chooses the hosts behind it"),
    ("check_*_ns_access", &[Permits], "whoever owns the name chooses the hosts behind it"),
    ("permit_inet_interfaces", &[CannotDecide], "it asks nobody: it compares with the host's own addresses"),
    ("permit_sasl_authenticated", &[CannotDecide], "it asks nobody: the login is known"),
    ("reject_invalid_helo_hostname", &[CannotDecide], "it asks nobody: it reads the name"),
    ("reject_non_fqdn_*", &[CannotDecide], "it asks nobody: it reads the name"),
    ("reject_multi_recipient_bounce", &[CannotDecide], "it asks nobody: it counts"),
    ("reject_unauth_pipelining", &[CannotDecide], "it asks nobody: it looks at what has come in"),
    ("reject_plaintext_session", &[CannotDecide], "it asks nobody: the session is encrypted or not"),
    ("reject_plaintext_session", &[GoesOn], "no session is encrypted before STARTTLS is built"),
    (
        "check_ccert_access",
        &[Permits, GoesOn, Refuses, CannotDecide],
        "nobody is asked for a certificate before STARTTLS is built",
    ),
    ("permit_tls_*", &[Permits, CannotDecide], "no client has a certificate before STARTTLS is built"),
];

/// What is missing, and what occurs that never should.
pub(super) fn gaps(shown: &[Transcript]) -> Vec<String> {
    let mut found: BTreeMap<(&str, Finding), &str> = BTreeMap::new();
    for (case, fields) in witnessed(shown, "restriction") {
        if let [name, words] = fields[..]
            && let Some(finding) = finding(name, words)
        {
            found.entry((name, finding)).or_insert(case);
        }
    }
    let mut gaps = Vec::new();
    for kind in smtpd::restrictions::KINDS {
        for finding in ALL {
            let never = never(kind.name, finding);
            match (found.get(&(kind.name, finding)), never) {
                (None, None) => gaps.push(format!("no case shows that {} {}", kind.name, told(finding))),
                (Some(case), Some(why)) => gaps.push(format!(
                    "{case} shows that {} {}, of which the ring's table says: never, {why}",
                    kind.name,
                    told(finding)
                )),
                _ => {}
            }
        }
    }
    gaps
}

fn never(name: &str, finding: Finding) -> Option<&'static str> {
    let row = NEVER.iter().find(|(pattern, findings, _)| fits(pattern, name) && findings.contains(&finding));
    row.map(|(_, _, why)| *why)
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.len() >= pattern.len() - 1 && name.starts_with(before) && name.ends_with(after)
        }
    }
}

/// The finding that the words of the trail tell; nothing where something else happens, such as an action on the message.
fn finding(name: &str, words: &str) -> Option<Finding> {
    let first = words.split([':', ',']).next().unwrap_or_default();
    match first {
        "permits" => Some(Permits),
        "goes on" => Some(GoesOn),
        "refuses" => Some(Refuses),
        "cannot decide" | "cannot be known" => Some(CannotDecide),
        // A table's DEFER_IF_PERMIT is one of its answers.
        "puts off what is permitted" | "puts off what is refused" if name.starts_with("check_") => None,
        "puts off what is permitted" | "puts off what is refused" if name.starts_with("defer_if_") => {
            Some(Refuses)
        }
        "puts off what is permitted" | "puts off what is refused" => Some(CannotDecide),
        _ => None,
    }
}

fn told(finding: Finding) -> &'static str {
    match finding {
        Permits => "permits",
        GoesOn => "goes on",
        Refuses => "refuses",
        CannotDecide => "cannot decide for now",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_letters() {
        assert!(fits("check_*_a_access", "check_helo_a_access") && fits("permit_*", "permit_mynetworks"));
        assert!(!fits("check_*_a_access", "check_helo_access") && !fits("permit_*", "permit"));
        assert!(!fits("check_*_a_access", "check_a_access"));
    }

    #[test]
    fn each_row_of_the_table_is_about_some_restriction() {
        for (pattern, _, _) in NEVER {
            assert!(smtpd::restrictions::KINDS.iter().any(|kind| fits(pattern, kind.name)), "{pattern}");
        }
    }

    #[test]
    fn what_is_missing_and_what_should_never_be_is_told() {
        let line = |text: &str| ("witness".to_owned(), text.to_owned());
        let lines = vec![
            line("restriction\tpermit\tpermits"),
            line("restriction\treject\tpermits"),
            line("restriction\treject_unknown_helo_hostname\tputs off what is permitted: 450 4.7.1 x"),
        ];
        let gaps = gaps(&[Transcript { case: "file/case".into(), lines }]);
        assert!(!gaps.iter().any(|gap| gap.contains(" permit permits")));
        assert!(gaps.iter().any(|gap| gap.starts_with("file/case shows that reject permits, of which")));
        assert!(gaps.contains(&"no case shows that reject refuses".to_owned()));
        let helo = |what| gaps.contains(&format!("no case shows that reject_unknown_helo_hostname {what}"));
        assert!(helo("refuses") && !helo("cannot decide for now"));
    }
}
