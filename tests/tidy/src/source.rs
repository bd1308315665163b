//! What the conventions ask of the source text itself.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold no source of ours.
const NOT_OURS: &[&str] = &["target", ".git", "corpus", "artifacts"];
/// Ways to make a channel without a bound.
const UNBOUNDED: &[&str] = &["unbounded_channel", "mpsc::channel()", "unbounded()", "UnboundedSender"];

/// Every .rs file below a directory.
pub fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !NOT_OURS.iter().any(|skip| name.to_str() == Some(skip)) {
                found.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The text before the file's own tests, without comments: what ships.
pub fn shipped(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code = before_tests.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// Whether a file is all tests, by its place.
pub fn is_test(path: &Path) -> bool {
    let words: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    words.iter().any(|word| ["tests", "benches", "examples", "fuzz", "tests.rs"].contains(word))
}

/// What is wrong with one file; `path` is relative to the tree's root.
pub fn check(path: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = path.display();
    // Compiled test programs and build scripts may begin with an attribute of the crate.
    let first = text.lines().find(|line| !line.starts_with("#!["));
    if !first.is_some_and(|line| line.starts_with("//! ")) {
        wrong.push(format!("{name}: the first line must say the file's one idea (`//! …`)"));
    }
    if is_test(path) {
        return wrong;
    }
    let code = shipped(text);
    for (number, line) in code.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if line.contains(".unwrap()") {
            wrong.push(format!("{at}: plain unwrap; `expect` says why it cannot fail"));
        }
        let line = without_turbofish(line);
        if let Some(channel) = UNBOUNDED.iter().find(|channel| line.contains(**channel)) {
            wrong.push(format!("{at}: `{channel}` has no bound"));
        }
        let is_unsafe = line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        if is_unsafe && !path.starts_with("crates/sys") {
            wrong.push(format!("{at}: unsafe outside crates/sys"));
        }
    }
    wrong
}

/// `channel::<T>()` and `channel()` are the same to us.
fn without_turbofish(line: &str) -> String {
    match line.split_once("channel::<") {
        Some((before, after)) => {
            format!("{before}channel{}", after.rsplit_once('>').map_or(after, |(_, rest)| rest))
        }
        None => line.to_owned(),
    }
}

/// The modules that a file declares for its tests only, as paths of files.
pub fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let parent = path.parent().unwrap_or(path);
    let folder = if ["mod", "lib", "main"].contains(&stem) { parent.to_owned() } else { parent.join(stem) };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0].starts_with("#[cfg(test)]")).filter_map(|pair| {
        let (_, name) = pair[1].strip_suffix(';')?.rsplit_once("mod ")?;
        Some([folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")])
    });
    declared.flatten().collect()
}

/// Checks a list `KINDS` (if the text has one): sorted, and each file beside it has its line and its golden file.
///
/// `path` is `…/FOLDER/mod.rs` or `…/FOLDER.rs`; a kind's golden file is `golden/FOLDER/KIND.*` of its crate.
pub fn check_kinds(root: &Path, path: &Path, text: &str) -> Vec<String> {
    let Some(entries) = kinds(text) else { return Vec::new() };
    let mut wrong = Vec::new();
    let name = path.display();
    if let Some(pair) = entries.windows(2).find(|pair| pair[0] >= pair[1]) {
        wrong.push(format!("{name}: KINDS is not sorted: `{}` stands before `{}`", pair[0], pair[1]));
    }
    let folder = if path.ends_with("mod.rs") {
        path.parent().unwrap_or(path).to_owned()
    } else {
        path.with_extension("")
    };
    let crate_directory: PathBuf = path.iter().take(2).collect();
    let golden = root.join(crate_directory).join("golden").join(folder.file_name().unwrap_or_default());
    for file in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
        let text = match file.path() {
            directory if directory.is_dir() => {
                fs::read_to_string(directory.join("mod.rs")).unwrap_or_default()
            }
            file => fs::read_to_string(file).unwrap_or_default(),
        };
        let Some(module) = file.path().file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else {
            continue;
        };
        if module == "mod" || !text.contains("const KIND:") {
            continue;
        }
        if !entries
            .iter()
            .any(|entry| entry.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == module))
        {
            wrong.push(format!("{name}: {module} has no line in KINDS"));
        }
        let plain = module.trim_end_matches('_');
        let has_golden = fs::read_dir(&golden).into_iter().flatten().flatten().any(|entry| {
            entry
                .path()
                .file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| stem == plain || stem == module)
        });
        if !has_golden {
            wrong.push(format!("{}: {module} has no golden file ({}.*)", name, golden.join(plain).display()));
        }
    }
    wrong
}

/// The entries of `KINDS … = &[…]`, one string each.
fn kinds(text: &str) -> Option<Vec<String>> {
    let code = shipped(text);
    let after = &code[code.find("const KINDS")?..];
    let list = after.split_once('=')?.1.split("];").next()?;
    let inner = list.trim().trim_start_matches('&').trim_start_matches('[');
    let split: Vec<&str> =
        if inner.contains('\n') { inner.lines().collect() } else { inner.split(',').collect() };
    let entries = split.into_iter().map(|entry| entry.trim().trim_matches(',').to_owned());
    // What a feature decides has an attribute on the line before.
    Some(entries.filter(|entry| !entry.is_empty() && !entry.starts_with('#')).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_file_may_unwrap() {
        let text = "//! Idea.\nfn a() {}\n#[cfg(test)]\nmod tests { fn b() { x.unwrap() } }\n";
        assert!(check(Path::new("crates/mail/src/a.rs"), text).is_empty());
    }

    #[test]
    fn each_offence_is_found() {
        let text = "fn a() { x.unwrap() }\nfn b() { unsafe { } }\nlet (a, b) = tokio::sync::mpsc::unbounded_channel();\n";
        assert_eq!(check(Path::new("crates/mail/src/a.rs"), text).len(), 4);
        assert_eq!(check(Path::new("crates/sys/src/a.rs"), text).len(), 3);
    }

    #[test]
    fn a_bounded_channel_with_its_type_is_no_offence() {
        let text = "//! Idea.\nlet a = mpsc::channel::<u8>(8);\nlet b = mpsc::channel::<Vec<u8>>();\n";
        assert_eq!(check(Path::new("crates/mail/src/a.rs"), text).len(), 1);
    }

    #[test]
    fn modules_for_tests_are_known_by_their_declaration() {
        let found = test_modules(
            Path::new("crates/mail/src/a.rs"),
            "#[cfg(test)]\npub(crate) mod helper;\nmod real;\n",
        );
        assert!(found.contains(&PathBuf::from("crates/mail/src/a/helper.rs")));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn kinds_are_read_in_either_layout() {
        assert_eq!(kinds("pub const KINDS: &[&str] = &[a::KIND, b::KIND];").unwrap(), ["a::KIND", "b::KIND"]);
        assert_eq!(
            kinds("const KINDS: &[K] = &[\n    (b::KIND, b::new),\n    (a::KIND, a::new),\n];\n")
                .unwrap()
                .len(),
            2
        );
    }
}
