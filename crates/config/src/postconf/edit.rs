//! postconf -e, -X and -#: changes of main.cf that leave everything else in it as it was.

use super::{Mode, Options, Output};
use crate::lines::is_space;
use crate::main_cf::split_assignment;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::Path;

/// Splits `name=value` of the command line.
pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    if text.contains('\n') {
        return Err(format!("-e accepts no multi-line input: \"{}\"", text.replace('\n', "\\n")));
    }
    match split_assignment(text) {
        Ok((name, value)) if !name.starts_with('#') => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("missing '=' after attribute name: \"{text}\"")),
    }
}

/// Edits main.cf as the options say.
pub(super) fn run(options: &Options, output: &mut Output) -> Result<(), String> {
    let mut edits: Vec<(String, Option<String>)> = Vec::new();
    for word in &options.words {
        let (name, value) = match options.mode {
            Mode::Edit => assignment(word).map(|(name, value)| (name, Some(value)))?,
            _ if word.contains('=') => return Err(format!("-X and -# accept names only, found \"{word}\"")),
            _ => (word.clone(), None),
        };
        edits.retain(|(n, _)| *n != name);
        edits.push((name, value));
    }
    if edits.is_empty() {
        let what =
            if options.mode == Mode::Edit { "-e requires name=value" } else { "-X and -# require a name" };
        return Err(format!("{what} argument"));
    }
    let path = options.directory.join("main.cf");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("open {}: {error}", path.display()))?;
    let edited = apply(&text, &edits, options.mode == Mode::Comment, |name| {
        let _ =
            writeln!(output.err, "postconf: warning: {}: multiple entries for \"{name}\"", path.display());
    });
    if edited != text {
        replace(&path, &edited).map_err(|error| format!("write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// The text with each entry of an edited name replaced, or left out, or made a comment; new names at the end.
fn apply(
    text: &str,
    edits: &[(String, Option<String>)],
    comment: bool,
    mut warn_of_several: impl FnMut(&str),
) -> String {
    let mut out = String::new();
    let mut seen = BTreeSet::new();
    let mut editing = false;
    for line in text.split_inclusive('\n') {
        let visible = line.trim_start_matches(is_space);
        if visible.is_empty() || visible.starts_with('#') {
            out.push_str(line);
            continue;
        }
        if !line.starts_with(is_space) {
            let name = line.split('=').next().unwrap_or_default().trim_matches(is_space);
            let edit = edits.iter().find(|(n, _)| n == name);
            editing = edit.is_some();
            if let Some((name, value)) = edit {
                if !seen.insert(name.as_str()) {
                    warn_of_several(name);
                }
                if let Some(value) = value {
                    out.push_str(&entry(name, value));
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
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    for (name, value) in edits.iter().filter(|(name, _)| !seen.contains(name.as_str())) {
        if let Some(value) = value {
            out.push_str(&entry(name, value));
        }
    }
    out
}

fn entry(name: &str, value: &str) -> String {
    format!("{name} = {value}").trim_end().to_owned() + "\n"
}

/// Puts a new file in place of `path`, with its owner and mode; readers see the old text or the new.
pub fn replace(path: &Path, text: impl AsRef<[u8]>) -> io::Result<()> {
    let meta = std::fs::metadata(path)?;
    let new = path.with_extension("cf.tmp");
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(meta.mode() & 0o7777).open(&new)?;
    let written = (|| {
        chown(&new, Some(meta.uid()), Some(meta.gid()))?;
        file.set_permissions(meta.permissions())?;
        file.write_all(text.as_ref())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}
