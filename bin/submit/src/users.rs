//! Who may use a command: `authorized_submit_users`, `authorized_mailq_users`, `authorized_flush_users`.
//!
//! The commands link no tables, so that of these only `static:` is known; another one lets nobody in.

use std::path::Path;

/// Files within files that are read at most; Postfix's own bound is its stack.
const DEPTH_MAX: usize = 10;

/// Whether a list of users names this one: names, `!name`, `/file` with more of them, `static:…`. The first that fits
/// decides; a name's letters are folded. An error says which pattern cannot be asked.
pub fn are_allowed(list: &[String], user: &str) -> Result<bool, String> {
    Ok(decide(list.iter().map(String::as_str), user, DEPTH_MAX)?.unwrap_or(false))
}

/// What the first pattern that fits says; `None` where none does.
fn decide<'a>(
    patterns: impl Iterator<Item = &'a str>,
    user: &str,
    depth: usize,
) -> Result<Option<bool>, String> {
    for pattern in patterns {
        let bare = pattern.trim_start_matches('!');
        let allowed = (pattern.len() - bare.len()) % 2 == 0;
        let fits = match bare.split_once(':') {
            _ if bare.starts_with('/') => match depth.checked_sub(1) {
                Some(depth) => decide(words(&read(bare)?).iter().map(String::as_str), user, depth)?,
                None => return Err(format!("{bare}: files name each other")),
            },
            Some(("static", _)) => Some(true),
            Some((kind, _)) => {
                return Err(format!(
                    "{bare}: this command knows names, /files and static:, no tables of type {kind}"
                ));
            }
            None => bare.eq_ignore_ascii_case(user).then_some(true),
        };
        if let Some(fits) = fits {
            return Ok(Some(fits == allowed));
        }
    }
    Ok(None)
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(Path::new(path))
        .map_err(|e| format!("open {path}: {}", crate::settings::os_text(&e)))
}

/// The words of a file's logical lines, comments left out.
fn words(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split([' ', '\t', ','])).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pattern_that_fits_decides() {
        let file = std::env::temp_dir().join(format!("submit-users-{}", std::process::id()));
        std::fs::write(&file, "# who may\nann, !bob\n carol\n").unwrap();
        let file = file.display().to_string();
        for (list, user, allowed) in [
            ("static:anyone", "ann", true),
            ("!ann static:all", "ann", false),
            ("!ann static:all", "bob", true),
            ("root", "Root", true),
            ("root", "ann", false),
            ("", "root", false),
            (&file, "carol", true),
            (&format!("{file} static:all"), "bob", false),
            (&format!("!{file}"), "ann", false),
            (&format!("!{file} dave"), "dave", true),
        ] {
            let list: Vec<_> = list.split_whitespace().map(str::to_owned).collect();
            assert_eq!(are_allowed(&list, user), Ok(allowed), "{list:?} {user}");
        }
        std::fs::remove_file(&file).unwrap();
        for wrong in ["hash:/etc/users", &file] {
            assert!(are_allowed(&[wrong.to_owned()], "ann").unwrap_err().contains(wrong));
        }
    }
}
