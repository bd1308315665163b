//! Every type of report is read by Python's email package, and it reads what Postfix's reports say.

/// The reports that a program makes, each a line of JSON, in order.
fn reports(program: &str) -> Vec<String> {
    let said = peers::in_world(program, "reports.py", &[]);
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn pythons_email_package_reads_in_our_reports_what_it_reads_in_postfix_s() {
    if !peers::have_worlds() {
        return;
    }
    let ours = reports("posthaste");
    for line in &ours {
        assert!(line.contains("\"defects\": []"), "{line}");
        assert!(line.contains("\"type\": [\"multipart/report\", \"delivery-status\"]"), "{line}");
    }
    let theirs = reports("postfix");
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(our, their);
    }
    assert_eq!(ours.len(), theirs.len());
    for types in [
        r#""types": ["text/plain", "message/delivery-status", "message/rfc822"]"#,
        r#""types": ["text/plain", "message/delivery-status", "text/rfc822-headers"]"#,
        r#""types": ["text/plain", "message/global-delivery-status", "message/global"]"#,
        r#""types": ["text/plain", "message/global-delivery-status", "message/global-headers"]"#,
    ] {
        assert!(ours.iter().any(|line| line.contains(types)), "{types}");
    }
}
