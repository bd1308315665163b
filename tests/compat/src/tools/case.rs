//! The cases of tests/compat/tools: files, command lines, and where our text is better than Postfix's.
//!
//! The format stands at the top of tests/tools.rs.

/// One case: files of a private directory, and the commands that run in it one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Case {
    /// Its name within its file.
    pub name: String,
    /// What the directory holds at the start.
    pub files: Vec<Node>,
    /// The command lines.
    pub commands: Vec<Command>,
    /// Patterns of files that are not compared; `*` stands for any text.
    pub ignore: Vec<String>,
    /// Whether order and repetition of lines on standard error count for nothing.
    pub sorted: bool,
    /// Whether of a command that fails only the last words on standard error count: which warnings come before them
    /// follows a hash in Postfix.
    pub fatal_only: bool,
}

/// A file, directory or link that a case begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its path below the case's directory.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Its mode, where it is not 644 or 755.
    pub mode: Option<u32>,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A file with these bytes.
    File(Vec<u8>),
    /// An empty directory.
    Directory,
    /// A symbolic link to this.
    Link(String),
}

/// One command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// As it stands in the file.
    pub text: String,
    /// Variables beside PATH and TZ.
    pub environment: Vec<(String, String)>,
    /// The program and its arguments.
    pub words: Vec<String>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Where our text counts instead of Postfix's.
    pub ours: Vec<Ours>,
}

/// A text of ours that takes the place of Postfix's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// `stdout`, `stderr` or `status`.
    pub part: &'static str,
    /// Its lines as `shown` gives them.
    pub lines: Vec<String>,
}

const PARTS: [&str; 3] = ["status", "stdout", "stderr"];

/// What a content line adds to.
enum Target {
    File,
    Stdin,
    Ours(Vec<u8>),
}

/// Reads a case file; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut target: Option<Target> = None;
    for (index, line) in text.lines().enumerate() {
        let wrong = |expected: &str| format!("line {}: expected {expected}, found `{line}`", index + 1);
        if let Some(bytes) = content(line).map_err(|why| wrong(&why))? {
            let case = cases.last_mut().ok_or_else(|| wrong("`case: NAME` first"))?;
            add(
                case,
                target.as_mut().ok_or_else(|| wrong("`file:`, `<<` or `…: ours` before content"))?,
                &bytes,
            );
            continue;
        }
        settle(&mut cases, &mut target);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("case:") {
            let name = name.trim().to_owned();
            if name.is_empty() || name.contains(char::is_whitespace) || cases.iter().any(|c| c.name == name) {
                return Err(wrong("a new name without blanks"));
            }
            cases.push(Case { name, ..Case::default() });
            continue;
        }
        if let Some(name) = line.strip_prefix("files of:") {
            let other = cases.iter().find(|case| case.name == name.trim());
            let files = other.ok_or_else(|| wrong("the name of a case before this one"))?.files.clone();
            cases.last_mut().ok_or_else(|| wrong("`case: NAME` first"))?.files.extend(files);
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| wrong("`case: NAME` first"))?;
        target = directive(case, line).ok_or_else(|| {
            wrong("file:, files of:, dir:, link:, ignore:, sorted, $, <<, or stdout/stderr/status: ours (REASON)")
        })?;
    }
    settle(&mut cases, &mut target);
    match cases.iter().find(|case| case.commands.is_empty()) {
        Some(case) => Err(format!("case {}: expected a command", case.name)),
        None => Ok(cases),
    }
}

/// Reads one line that is no content; nothing where it is not understood.
fn directive(case: &mut Case, line: &str) -> Option<Option<Target>> {
    if let Some(text) = line.strip_prefix("$ ") {
        let mut command = Command { text: text.to_owned(), ..Command::default() };
        for word in words(text)? {
            match word.split_once('=') {
                Some((name, value)) if command.words.is_empty() => {
                    command.environment.push((name.to_owned(), value.to_owned()));
                }
                _ => command.words.push(word),
            }
        }
        case.commands.push(command);
        return Some(None);
    }
    match line {
        "<<" => return case.commands.last().map(|_| Some(Target::Stdin)),
        "sorted" => {
            case.sorted = true;
            return Some(None);
        }
        _ => {}
    }
    let (key, rest) = line.split_once(':')?;
    let mut rest = rest.split_whitespace();
    let mode =
        |text: Option<&str>| text.map(|m| u32::from_str_radix(m, 8).ok()).map_or(Some(None), |m| m.map(Some));
    match key {
        "file" | "dir" => {
            let name = rest.next()?.to_owned();
            let kind = if key == "dir" { NodeKind::Directory } else { NodeKind::File(Vec::new()) };
            case.files.push(Node { name, kind, mode: mode(rest.next())? });
            Some((key == "file").then_some(Target::File))
        }
        "link" => {
            let (name, to) = (rest.next()?.to_owned(), rest.next()?.to_owned());
            case.files.push(Node { name, kind: NodeKind::Link(to), mode: None });
            Some(None)
        }
        "ignore" => {
            case.ignore.extend(rest.map(str::to_owned));
            Some(None)
        }
        _ => {
            let part = PARTS.into_iter().find(|part| *part == key)?;
            let has_reason = rest.next() == Some("ours") && rest.next()?.starts_with('(');
            case.commands.last_mut()?.ours.push(Ours { part, lines: Vec::new() });
            has_reason.then_some(Some(Target::Ours(Vec::new())))
        }
    }
}

/// The bytes of a content line: `| text` with its line end, `\ text` with escapes and without one.
fn content(line: &str) -> Result<Option<Vec<u8>>, String> {
    if let Some(text) = line.strip_prefix('|') {
        return Ok(Some([text.strip_prefix(' ').unwrap_or(text).as_bytes(), b"\n"].concat()));
    }
    line.strip_prefix("\\ ")
        .map(|text| unescaped(text).ok_or_else(|| "escapes \\n \\r \\t \\0 \\\\ \\xHH".to_owned()))
        .transpose()
}

fn add(case: &mut Case, target: &mut Target, bytes: &[u8]) {
    match target {
        Target::Ours(text) => text.extend_from_slice(bytes),
        Target::Stdin => {
            if let Some(command) = case.commands.last_mut() {
                command.stdin.extend_from_slice(bytes);
            }
        }
        Target::File => {
            if let Some(Node { kind: NodeKind::File(text), .. }) = case.files.last_mut() {
                text.extend_from_slice(bytes);
            }
        }
    }
}

/// Ends a text of ours: its lines go to the command before it.
fn settle(cases: &mut [Case], target: &mut Option<Target>) {
    if let Some(Target::Ours(text)) = target.take()
        && let Some(ours) =
            cases.last_mut().and_then(|c| c.commands.last_mut()).and_then(|c| c.ours.last_mut())
    {
        ours.lines = shown(&text);
    }
}

/// Bytes as lines that can be printed, nothing lost: what is no printable ASCII is escaped, and a last line that has
/// no line end says so.
pub fn shown(bytes: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, ""),
            None => (line, "\\(no line end)"),
        };
        let mut out = String::with_capacity(text.len());
        for &byte in text {
            match byte {
                b'\\' => out.push_str("\\\\"),
                b' '..=b'~' => out.push(char::from(byte)),
                byte => out.push_str(&byte.escape_ascii().to_string()),
            }
        }
        lines.push(out + end);
    }
    lines
}

/// Words of a command line with the shell's quotes `'…'`, `"…"`, `$'…'` (with escapes) and `\`.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' => words.extend(word.take()),
            '\'' => quoted(&mut rest, word.get_or_insert_default(), '\'', false)?,
            '"' => quoted(&mut rest, word.get_or_insert_default(), '"', true)?,
            '$' if rest.peek() == Some(&'\'') => {
                rest.next();
                let mut raw = String::new();
                quoted(&mut rest, &mut raw, '\'', false)?;
                word.get_or_insert_default().push_str(&String::from_utf8(unescaped(&raw)?).ok()?);
            }
            '\\' => word.get_or_insert_default().push(rest.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Takes what stands up to the quote that closes; with `escapes` a backslash takes the next character as it is.
fn quoted(
    rest: &mut impl Iterator<Item = char>,
    word: &mut String,
    quote: char,
    escapes: bool,
) -> Option<()> {
    loop {
        match rest.next()? {
            c if c == quote => return Some(()),
            '\\' if escapes => word.push(rest.next()?),
            c => word.push(c),
        }
    }
}

/// The bytes that a text with escapes stands for.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next()? {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'0' => 0,
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_files_commands_and_texts_of_ours() {
        let text = "# note\ncase: one\nfile: main.cf 600\n| a = b\n|\n\\ c = d\\r\\x00\ndir: x\nlink: l main.cf\n\
                    ignore: *.db *.lmdb\n$ A=b postconf -c DIR 'x y' \"q\\\"\" $'\\n' a=b\n<<\n| in\n\
                    stderr: ours (newer)\n| said\n";
        let cases = parse(&format!("{text}case: two\nfiles of: one\n$ true\n")).unwrap();
        assert_eq!(cases[1].files, cases[0].files);
        let case = &cases[0];
        let file = Node {
            name: "main.cf".into(),
            kind: NodeKind::File(b"a = b\n\nc = d\r\0".to_vec()),
            mode: Some(0o600),
        };
        assert_eq!(case.files[0], file);
        assert_eq!((case.files.len(), case.ignore.len()), (3, 2));
        let command = &case.commands[0];
        assert_eq!(command.environment, [("A".to_owned(), "b".to_owned())]);
        assert_eq!(command.words, ["postconf", "-c", "DIR", "x y", "q\"", "\n", "a=b"]);
        assert_eq!(command.stdin, b"in\n");
        assert_eq!(command.ours, [Ours { part: "stderr", lines: vec!["said".into()] }]);
    }

    #[test]
    fn what_is_not_understood_names_its_line() {
        for (text, line) in [
            ("$ postconf\n", "line 1"),
            ("case: a\n$ x\ncase: a\n", "line 3"),
            ("case: a\nwhat\n", "line 2"),
            ("case: a\n| x\n", "line 2"),
            ("case: a\n$ x\nstderr: ours\n", "line 3"),
            ("case: a\nfile: x\n\\ \\q\n", "line 3"),
            ("case: a\nfiles of: b\n$ x\n", "line 2"),
            ("case: a\n", "case a"),
        ] {
            assert!(parse(text).unwrap_err().starts_with(line), "{text}");
        }
    }

    #[test]
    fn bytes_are_shown_without_loss() {
        assert_eq!(shown(b"a\\\xff\r\nb"), ["a\\\\\\xff\\r", "b\\(no line end)"]);
    }
}
