//! Each action of header and body checks is compared with Postfix's at each kind of line where it is valid.

use compat::cases;
use std::path::Path;

/// A file of cases for each kind of line: `CASE: begin … C: LINE`, where the table says what the case's name means.
const KINDS: [&str; 4] = ["header-checks", "header-checks-mime", "header-checks-nested", "body-checks"];

/// Actions that a table may name. All of them are valid for all kinds of lines.
fn actions() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/cleanup/src/checks/action.rs");
    let source = std::fs::read_to_string(path).expect("the actions stand there");
    let parse = source.split("fn parse(").nth(1).and_then(|rest| rest.split("\nfn ").next());
    let parse = parse.expect("`parse` is followed by another function");
    // The words of patterns: `"DUNNO" | "OK" => …`.
    let patterns = parse.lines().filter_map(|line| line.split_once("=>")).map(|(pattern, _)| pattern);
    let mut actions: Vec<String> = patterns
        .flat_map(|pattern| pattern.split('"').skip(1).step_by(2))
        .filter(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect();
    actions.sort();
    actions.dedup();
    actions
}

/// The actions that cases of a file bring about: each case sends a line that a rule of the file's table names.
fn compared(kind: &str) -> Vec<String> {
    let file = cases::parse(kind).expect("the ring reads it, too");
    let parameter = match kind {
        "header-checks" => "header_checks",
        "header-checks-mime" => "mime_header_checks",
        "header-checks-nested" => "nested_header_checks",
        _ => "body_checks",
    };
    let (_, table) = &file.files[0];
    assert!(file.main.iter().any(|(name, _)| name == parameter), "{kind} sets {parameter}");
    let used = |rule: &str| {
        let (pattern, action) = rule.strip_prefix("/^")?.split_once("/ ")?;
        let name = pattern.trim_end_matches('$').rsplit(' ').next()?;
        let action = action.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        // The plain case has the action's name; those of its mistakes show that it is refused.
        let is_plain = name.eq_ignore_ascii_case(&action);
        let sent =
            file.cases.iter().any(|case| case.name == name && format!("{:?}", case.actions).contains(name));
        (is_plain && sent).then_some(action)
    };
    table.lines().filter_map(used).collect()
}

#[test]
fn each_action_has_a_case_at_each_kind_of_line() {
    let actions = actions();
    assert!(actions.len() > 12, "only {actions:?} were found");
    for kind in KINDS {
        let compared = compared(kind);
        let missing: Vec<_> = actions.iter().filter(|action| !compared.contains(action)).collect();
        assert!(missing.is_empty(), "cases/{kind}.case has no case for {missing:?}");
    }
}
