//! Each restriction is compared with Postfix's: its name stands in some case.

use std::path::Path;

#[test]
fn each_restriction_stands_in_a_case() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |directory: &Path| -> Vec<_> {
        std::fs::read_dir(directory).expect("a directory of the tree").flatten().map(|e| e.path()).collect()
    };
    let cases: String = names(&here.join("cases"))
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("cases are text"))
        .collect();
    let words: std::collections::HashSet<&str> =
        cases.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let mut count = 0;
    for path in names(&here.join("../../crates/smtpd/src/restrictions")) {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        if name != "mod" {
            assert!(words.contains(name.as_str()), "no case names the restriction {name}");
            count += 1;
        }
    }
    assert!(count > 50, "only {count} restrictions were found");
}
