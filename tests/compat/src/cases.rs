//! The files of cases, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use testkit::case::CaseFile;

/// The text of `cases/NAME.case`.
pub fn text(name: &str) -> Result<String, String> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cases/{name}.case")))
}

/// All files of cases: names, sorted, and texts.
pub fn texts() -> Result<Vec<(String, String)>, String> {
    texts_in("cases", "case")
}

/// The files of a directory of this crate whose names end so: names, sorted and without that end, and texts.
pub fn texts_in(directory: &str, extension: &str) -> Result<Vec<(String, String)>, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let failed = |e: std::io::Error| format!("{}: {e}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// A file of cases as the ring understands it.
pub fn parse(name: &str) -> Result<CaseFile, String> {
    understood(name, &text(name)?)
}

fn understood(name: &str, text: &str) -> Result<CaseFile, String> {
    CaseFile::parse(text).map_err(|why| format!("{name}.case: {why}"))
}

/// All files of cases as the ring understands them, by name.
pub fn parsed() -> Result<BTreeMap<String, CaseFile>, String> {
    texts()?.into_iter().map(|(name, text)| understood(&name, &text).map(|file| (name, file))).collect()
}

/// Every case: `FILE/CASE`.
pub fn names() -> Result<BTreeSet<String>, String> {
    let files = parsed()?;
    Ok(files.iter().flat_map(|(f, file)| file.cases.iter().map(move |c| format!("{f}/{}", c.name))).collect())
}

/// Fails if a step has no case, or names one that does not exist.
#[track_caller]
pub fn assert_each_step_has_cases(steps: &[(&str, &[&str])]) {
    let names = names().expect("the cases can be read");
    for (step, cases) in steps {
        assert!(!cases.is_empty(), "{step}: names no case");
        for case in *cases {
            assert!(names.contains(*case), "{step}: there is no case `{case}`");
        }
    }
}
