//! What an alias, an `:include:` file or a `.forward` file names: addresses, `|commands`, `/files`, more files.
//!
//! Postfix: aliases(5). The text comes from users: nothing here may fail, whatever it is.

/// One thing that is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An address, without quotes; perhaps without domain, perhaps with a `\` in front.
    Address(String),
    /// A command, without `|`.
    Command(String),
    /// A file's path; a Maildir where it ends with `/`.
    File(String),
    /// A file that names more.
    Include(String),
}

/// A word of more than this is no address and no command that a system runs (ARG_MAX is about as large).
const WORD_MAX: usize = 128 * 1024;

const INCLUDE: &str = ":include:";

/// The items of one line of a file, or of an alias' whole value.
pub fn items(text: &str) -> Vec<Item> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while rest.peek().is_some() {
        group(&mut rest, &mut found);
    }
    found
}

/// The items of a file: lines, of which empty ones and those that begin with `#` say nothing.
pub fn lines(text: &str) -> Vec<Item> {
    let says = |line: &&str| !line.trim_start().starts_with('#');
    text.lines().filter(says).flat_map(items).collect()
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// What stands up to the next comma: words that are an address each, or `A Name <address>`.
fn group(rest: &mut Chars<'_>, found: &mut Vec<Item>) {
    let (mut words, mut routes) = (Vec::new(), Vec::new());
    while let Some(&c) = rest.peek() {
        match c {
            ',' => {
                rest.next();
                break;
            }
            '(' => comment(rest),
            '<' => {
                rest.next();
                routes.push(word(rest, true));
                rest.next_if_eq(&'>');
            }
            c if c.is_whitespace() || c == '>' => {
                rest.next();
            }
            _ => words.push(word(rest, false)),
        }
    }
    let chosen = if routes.is_empty() { words } else { routes };
    found.extend(chosen.into_iter().filter(|w| !w.is_empty() && w.len() <= WORD_MAX).map(item));
}

/// A word without its quotes; within `<…>` blanks and commas belong to it.
fn word(rest: &mut Chars<'_>, in_angles: bool) -> String {
    let mut out = String::new();
    while let Some(&c) = rest.peek() {
        match c {
            '"' => {
                rest.next();
                quoted(rest, &mut out);
            }
            '\\' => {
                rest.next();
                // `\user` goes round aliases; elsewhere the next character is meant as it stands.
                match (out.is_empty() && !in_angles, rest.next()) {
                    (true, Some(next)) => out.extend(['\\', next]),
                    (_, next) => out.extend(next),
                }
            }
            '>' if in_angles => break,
            '<' | ',' | '(' if !in_angles => break,
            c if c.is_whitespace() && !in_angles => break,
            c => {
                rest.next();
                if !c.is_whitespace() {
                    out.push(c);
                }
            }
        }
    }
    out
}

/// Up to the closing quote, or to the end where there is none.
fn quoted(rest: &mut Chars<'_>, out: &mut String) {
    while let Some(c) = rest.next() {
        match c {
            '"' => return,
            '\\' => out.extend(rest.next()),
            c => out.push(c),
        }
    }
}

/// Comments may hold comments.
fn comment(rest: &mut Chars<'_>) {
    let mut depth = 0usize;
    while let Some(c) = rest.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(rest.next()),
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

fn item(word: String) -> Item {
    if let Some(command) = word.strip_prefix('|') {
        return Item::Command(command.to_owned());
    }
    if word.starts_with('/') {
        return Item::File(word);
    }
    match word.get(..INCLUDE.len()).filter(|start| start.eq_ignore_ascii_case(INCLUDE)) {
        Some(_) => Item::Include(word[INCLUDE.len()..].trim_start().to_owned()),
        None => Item::Address(word),
    }
}

#[cfg(test)]
mod tests {
    use super::Item::{Address, Command, File, Include};
    use super::*;

    fn all(text: &str) -> Vec<Item> {
        items(text)
    }

    #[test]
    fn addresses_stand_between_commas_or_blanks() {
        let address = |a: &str| Address(a.into());
        let two = [address("ann"), address("bob@x.example")];
        assert_eq!(all("ann, bob@x.example"), two);
        assert_eq!(all(" ann bob@x.example ,, "), two);
        assert_eq!(all("Ann Lee <ann>, (a (comment), with) bob@x.example (b)"), two);
        assert_eq!(all("\"Lee, Ann\" <ann>,<bob@x.example>"), two);
        assert_eq!(all("\\ann, \"joe smith\"@x.example"), [address("\\ann"), address("joe smith@x.example")]);
        assert_eq!(all("\"a\\\"b\"@x"), [address("a\"b@x")]);
        assert_eq!(all(""), []);
    }

    #[test]
    fn commands_files_and_includes_are_told_by_their_beginning() {
        assert_eq!(
            all("\"|/bin/echo a, b\", |/bin/true x"),
            [Command("/bin/echo a, b".into()), Command("/bin/true".into()), Address("x".into())]
        );
        assert_eq!(all("|\"/bin/echo a\""), [Command("/bin/echo a".into())]);
        assert_eq!(all("/var/x, \"/a b/\""), [File("/var/x".into()), File("/a b/".into())]);
        assert_eq!(
            all(":include:/etc/list, \":Include: /a b\""),
            [Include("/etc/list".into()), Include("/a b".into())]
        );
    }

    #[test]
    fn lines_of_a_file_are_read_one_by_one() {
        let text = "# ann\n\n  bob vmail\n  # x\n\"|a\nb\" c\n";
        let found =
            [Address("bob".into()), Address("vmail".into()), Command("a".into()), Address("b c".into())];
        assert_eq!(lines(text), found);
    }

    #[test]
    fn whatever_is_not_closed_ends_with_the_text() {
        for text in ["\"|a", "<ann", "(x", "\\", "\"\\", "a\\", "<\\", "((", ")", ">", "a(b"] {
            let _ = all(text);
        }
        assert_eq!(all("\"|a b"), [Command("a b".into())]);
        assert_eq!(all("<ann"), [Address("ann".into())]);
    }
}
