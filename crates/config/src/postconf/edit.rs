//! postconf -e, -X and -#: changes of main.cf that leave everything else in it as it was.

use super::Output;
use super::file;
use super::options::{Edit, Options};
use crate::lines::is_space;
use std::collections::BTreeSet;

/// Splits `name=value` as Postfix does; the error is its text, to which the caller adds what was found.
pub(super) fn split_nameval(text: &str) -> Result<(&str, &str), &'static str> {
    const NO_SIGN: &str = "missing '=' after attribute name";
    let trimmed = text.trim_start_matches(is_space);
    if trimmed.is_empty() || trimmed.starts_with('=') {
        return Err("missing attribute name");
    }
    let (name, value) = trimmed.split_once('=').ok_or(NO_SIGN)?;
    let name = name.trim_end_matches(is_space);
    if name.contains(is_space) {
        return Err(NO_SIGN);
    }
    Ok((name, value.trim_matches(is_space)))
}

/// Edits main.cf as the options say.
pub(super) fn run(options: &Options, output: &mut Output) -> Result<(), String> {
    let edits = requests(options, output)?;
    let path = options.directory.join("main.cf");
    let text = file::read_to_edit(&path)?;
    let edited = apply(&text, &edits, options.edit == Some(Edit::Comment), |name| {
        output.warn(&format!("{}: multiple entries for \"{name}\"", file::shown(&path)));
    });
    if edited == text {
        return Ok(());
    }
    file::replace_text(&path, &edited)
}

/// Name and new value of each edit; without value the entry is to go.
type Edits = Vec<(String, Option<String>)>;

fn requests(options: &Options, output: &mut Output) -> Result<Edits, String> {
    let sets = options.edit == Some(Edit::Set);
    if options.words.is_empty() {
        let text = if sets { "-e requires name=value argument" } else { "missing service argument" };
        return Err(text.to_owned());
    }
    let mut edits: Edits = Vec::new();
    for word in &options.words {
        if word.contains('\n') {
            return Err("-e, -X, or -# accepts no multi-line input".to_owned());
        }
        let trimmed = word.trim_start_matches(is_space);
        if trimmed.starts_with('#') {
            return Err("-e, -X, or -# accepts no comment input".to_owned());
        }
        let (name, value) = if sets {
            let (name, value) = split_nameval(word).map_err(|text| format!("{text}: \"{word}\""))?;
            (name.to_owned(), Some(value.to_owned()))
        } else if trimmed.is_empty() {
            return Err("-X or -# requires non-blank parameter names".to_owned());
        } else {
            (word.trim_matches(is_space).to_owned(), None)
        };
        if let Some(at) = edits.iter().position(|(n, _)| *n == name)
            && let (_, Some(value)) = edits.remove(at)
        {
            output.warn(&format!("ignoring earlier request: '{name} = {value}'"));
        }
        edits.push((name, value));
    }
    Ok(edits)
}

/// The text with each entry of an edited name replaced, or left out, or made a comment; new names at the end.
fn apply(text: &str, edits: &Edits, comment: bool, mut warn_of_several: impl FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut seen = BTreeSet::new();
    let mut editing = false;
    for line in text.split_inclusive('\n') {
        let visible = line.trim_start_matches(is_space);
        if visible.is_empty() || visible.starts_with('#') {
            out.push_str(line);
            continue;
        }
        if !line.starts_with(is_space) {
            let name = line.split(|c| c == '=' || is_space(c)).next().unwrap_or_default();
            let edit = edits.iter().find(|(n, _)| n == name);
            editing = edit.is_some();
            if let Some((name, value)) = edit {
                if !seen.insert(name.as_str()) {
                    warn_of_several(name);
                }
                if let Some(value) = value {
                    out.push_str(&format!("{name} = {value}\n"));
                }
            }
        }
        if editing && comment {
            out.push('#');
        }
        if !editing || comment {
            out.push_str(line);
        }
    }
    for (name, value) in edits.iter().filter(|(name, _)| !seen.contains(name.as_str())) {
        if let Some(value) = value {
            // Postfix would write behind the last entry, in its line.
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&format!("{name} = {value}\n"));
        }
    }
    out
}
