//! missing.txt: the cases by name that Posthaste does not pass yet, and what a run makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Cases of tests/compat/tools stand in the list under this prefix; the others are those of tests/compat/cases.
pub const TOOLS: &str = "tools/";

const HEAD: &str = "\
# Cases of tests/compat that Posthaste does not pass yet, one FILE/CASE a line (those of tests/compat/tools with
# `tools/` before it). A listed case that agrees with Postfix fails the run until it is taken off.
# `cargo test -p compat --test compat -- --write-missing` (or `--test tools`) writes its part of this file anew.
";

/// How one case ended.
pub enum Ending {
    /// Both programs did the same.
    Agrees,
    /// What differs, `-` Postfix and `+` Posthaste.
    Differs(Vec<String>),
}

/// The endings of a run by the cases' names.
pub type Endings = BTreeMap<String, Ending>;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("missing.txt")
}

fn read() -> Result<BTreeSet<String>, String> {
    let path = path();
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let names = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Writes the list anew from a whole run of one of the two kinds; the other kind's names stay.
pub fn write(endings: &Endings, tools: bool) -> Result<ExitCode, String> {
    let kept = read()?.into_iter().filter(|name| name.starts_with(TOOLS) != tools);
    let differing = endings.iter().filter(|(_, ending)| matches!(ending, Ending::Differs(_)));
    let names: BTreeSet<String> = kept.chain(differing.map(|(name, _)| name.clone())).collect();
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    let path = path();
    std::fs::write(&path, format!("{HEAD}{lines}")).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Prints what differs and the result; `whole` says that every case of the kind was run.
pub fn judge(endings: &Endings, tools: bool, whole: bool, verbose: bool) -> Result<ExitCode, String> {
    let missing: BTreeSet<String> =
        read()?.into_iter().filter(|name| name.starts_with(TOOLS) == tools).collect();
    let (mut passed, mut failed, mut absent) = (0, Vec::new(), 0);
    for (name, ending) in endings {
        let listed = missing.contains(name);
        match ending {
            Ending::Agrees if listed => failed.push(format!("{name} agrees now: take it off missing.txt")),
            Ending::Agrees => passed += 1,
            Ending::Differs(_) if listed && !verbose => absent += 1,
            Ending::Differs(lines) => {
                let mark = if listed { " [listed]" } else { "" };
                println!("\n{name}{mark} (- Postfix, + Posthaste)\n{}", lines.join("\n"));
                if listed { absent += 1 } else { failed.push(format!("{name} differs")) }
            }
        }
    }
    if whole {
        let unknown = missing.iter().filter(|name| !endings.contains_key(*name));
        failed.extend(unknown.map(|name| format!("{name} stands in missing.txt but is no case")));
    }
    println!();
    for line in &failed {
        println!("FAILED {line}");
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "test result: {result}. {passed} passed; {} failed; {absent} ignored; 0 measured; 0 filtered out",
        failed.len()
    );
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
