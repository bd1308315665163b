//! postconf -M, -F and -P with -e, -X and -#: changes of master.cf that leave comments and other services as they were.

use super::Output;
use super::edit::split_nameval;
use super::entry::{COMMAND, Entry, FIELDS, check};
use super::file;
use super::options::{Edit, Mode, Options};
use crate::lines::is_space;

/// A `service/type[/…]` of the command line; `*` stands for any.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    /// Reads a pattern of `min` to `max` parts; the error is `what` that is required.
    pub fn parse(text: &str, min: usize, max: usize, what: &str) -> Result<Pattern, String> {
        let parts: Vec<String> = text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let is_whole = |part: &String| part == "*" || !part.contains('*');
        if !(min..=max).contains(&parts.len()) || text.starts_with('/') || !parts.iter().all(is_whole) {
            return Err(what.to_owned());
        }
        Ok(Pattern { parts })
    }

    /// Whether the part at `index` allows this text.
    pub fn allows(&self, index: usize, text: &str) -> bool {
        self.parts.get(index).is_none_or(|part| part == "*" || part == text)
    }

    /// Whether name and type are those of the service.
    pub fn fits(&self, name: &str, kind: &str) -> bool {
        self.allows(0, name) && self.allows(1, kind)
    }

    /// The part at `index`, if there is one.
    pub fn part(&self, index: usize) -> Option<&str> {
        self.parts.get(index).map(String::as_str)
    }
}

/// One change.
struct Request {
    pattern: Pattern,
    /// The word as it was given.
    word: String,
    change: Change,
    matched: bool,
}

impl Request {
    /// Whether the new line of this request is one of this service.
    fn writes(&self, name: &str, kind: &str) -> bool {
        match &self.change {
            Change::Replace(entry) => entry.fields[0] == name && entry.fields[1] == kind,
            _ => false,
        }
    }
}

enum Change {
    /// `-Me`: another line.
    Replace(Box<Entry>),
    /// `-MX`.
    Exclude,
    /// `-M#`.
    Comment,
    /// `-Fe`.
    Field(String),
    /// `-Pe`.
    Setting(String),
    /// `-PX`.
    RemoveSetting,
}

/// Edits master.cf as the options say.
pub(super) fn run(options: &Options, output: &mut Output) -> Result<(), String> {
    if options.words.is_empty() {
        let sets = options.edit == Some(Edit::Set);
        let text = if sets { "-e requires name=value argument" } else { "missing service argument" };
        return Err(text.to_owned());
    }
    let mut requests = Vec::new();
    for word in &options.words {
        requests.push(request(options, word, output)?);
    }
    let path = options.directory.join("master.cf");
    let text = file::read_to_edit(&path)?;
    check_lines(&text, &file::shown(&path))?;
    let edited = match options.mode {
        Mode::Services => replace_lines(&text, &mut requests),
        _ => change_entries(&text, &mut requests, &file::shown(&path), output)?,
    };
    for request in requests.iter().filter(|r| !r.matched && options.mode != Mode::Services) {
        output.warn(&format!("unmatched service_name/type: \"{}\"", request.word));
    }
    if edited == text {
        return Ok(());
    }
    file::replace_text(&path, &edited)
}

/// Each service must begin with its name and type.
fn check_lines(text: &str, file: &str) -> Result<(), String> {
    for (number, line) in text.lines().enumerate() {
        let visible = line.trim_start_matches(is_space);
        let begins = !visible.is_empty() && !visible.starts_with('#') && !line.starts_with(is_space);
        if begins && line.split(is_space).filter(|column| !column.is_empty()).count() < 2 {
            let number = number + 1;
            return Err(format!(
                "file {file}: line {number}: specify service name and type on the same line"
            ));
        }
    }
    Ok(())
}

fn request(options: &Options, word: &str, output: &mut Output) -> Result<Request, String> {
    if word.contains('\n') {
        return Err("-Me, -Fe, -Pe, -X, or -# accept no multi-line input".to_owned());
    }
    let (pattern, value) = match options.edit {
        Some(Edit::Set) => split_nameval(word).map_err(|text| format!("{text}: \"{word}\""))?,
        _ => (word, ""),
    };
    let (pattern, change) = match options.mode {
        Mode::Services => {
            let what = "-Me, -MX or -M# requires service_name/type";
            (Pattern::parse(pattern, 2, 2, what)?, service_change(options, word, value, output)?)
        }
        Mode::Fields => {
            let what = "-Fe or -FX requires service_name/type/field_name";
            let pattern = Pattern::parse(pattern, 3, 3, what)?;
            let field = pattern.part(2).unwrap_or_default();
            known_field(field)?;
            if field != COMMAND {
                if value.contains(is_space) {
                    return Err("-Fe does not accept whitespace in non-command field".to_owned());
                }
                check(field, value, value).map_err(|bad| bad.0)?;
            }
            (pattern, Change::Field(value.to_owned()))
        }
        _ => {
            let what = "-Pe or -PX requires service_name/type/parameter";
            let pattern = Pattern::parse(pattern, 3, 3, what)?;
            if pattern.part(2) == Some("*") {
                return Err("-Pe does not accept wild-card parameter name".to_owned());
            }
            if value.contains(is_space) {
                return Err("-Pe does not accept whitespace in parameter value".to_owned());
            }
            let sets = options.edit == Some(Edit::Set);
            (pattern, if sets { Change::Setting(value.to_owned()) } else { Change::RemoveSetting })
        }
    };
    Ok(Request { pattern, word: word.to_owned(), change, matched: false })
}

fn service_change(options: &Options, word: &str, value: &str, output: &mut Output) -> Result<Change, String> {
    Ok(match options.edit {
        Some(Edit::Set) => {
            let place = || format!("bad field count: \"{word}\"");
            let entry = Entry::parse(value, &place, &mut |text| output.warn(&text)).map_err(|bad| bad.0)?;
            Change::Replace(Box::new(entry))
        }
        Some(Edit::Exclude) => Change::Exclude,
        _ => Change::Comment,
    })
}

/// Whether `-F` knows a field of this name; `*` stands for all.
pub(super) fn known_field(name: &str) -> Result<(), String> {
    if FIELDS.contains(&name) || name == COMMAND || name == "*" {
        return Ok(());
    }
    Err(format!("invalid service attribute name: \"{name}\""))
}

/// -M: whole lines. A new one takes the place of the first it names; more of them go.
fn replace_lines(text: &str, requests: &mut [Request]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut current: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let visible = line.trim_start_matches(is_space);
        if visible.is_empty() || visible.starts_with('#') {
            out.push_str(line);
            continue;
        }
        if !line.starts_with(is_space) {
            let mut columns = line.split(is_space);
            let (name, kind) =
                (columns.next().unwrap_or_default(), columns.find(|c| !c.is_empty()).unwrap_or_default());
            current = requests.iter().rposition(|r| r.pattern.fits(name, kind) || r.writes(name, kind));
            if let Some(request) = current.map(|at| &mut requests[at]) {
                if let (Change::Replace(entry), false) = (&request.change, request.matched) {
                    out.push_str(&entry.line(true));
                }
                request.matched = true;
            }
        }
        match current.map(|at| &requests[at].change) {
            None => out.push_str(line),
            Some(Change::Comment) => {
                out.push('#');
                out.push_str(line);
            }
            Some(_) => {}
        }
    }
    for request in requests.iter().filter(|r| !r.matched) {
        if let Change::Replace(entry) = &request.change {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(&entry.line(true));
        }
    }
    out
}

/// -F and -P: parts of lines. Comments within a changed line come before it.
fn change_entries(
    text: &str,
    requests: &mut [Request],
    file: &str,
    output: &mut Output,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    for group in groups(text) {
        let Some(first) = group.first_line else {
            out.push_str(group.text);
            continue;
        };
        let mut columns = first.split(is_space).filter(|c| !c.is_empty());
        let (name, kind) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
        if !requests.iter().any(|r| r.pattern.fits(name, kind)) {
            out.push_str(group.text);
            continue;
        }
        let (comments, joined) = group.parts();
        let place = || format!("file {file}: line {}: bad field count", group.number);
        let mut warn = |text: String| output.warn(&text);
        let mut entry = Entry::parse(&joined, &place, &mut warn).map_err(|bad| bad.0)?;
        for request in requests.iter_mut().filter(|r| r.pattern.fits(name, kind)) {
            request.matched = true;
            change(&mut entry, request, &mut warn);
        }
        out.push_str(&comments);
        out.push_str(&entry.line(true));
    }
    Ok(out)
}

fn change(entry: &mut Entry, request: &Request, warn: &mut dyn FnMut(String)) {
    let name = request.pattern.part(2).unwrap_or_default();
    match &request.change {
        Change::Field(value) if name == COMMAND => entry.set_command(value, warn),
        Change::Field(value) => {
            for (field, old) in FIELDS.iter().zip(&mut entry.fields) {
                if name == "*" || name == *field {
                    old.clone_from(value);
                }
            }
        }
        Change::Setting(value) => entry.set(name, value),
        Change::RemoveSetting => entry.remove(name),
        Change::Replace(_) | Change::Exclude | Change::Comment => {}
    }
}

/// A service's physical lines with the comments among and behind them, or what stands before the first service.
struct Group<'a> {
    text: &'a str,
    first_line: Option<&'a str>,
    /// The number of its first line.
    number: usize,
}

impl Group<'_> {
    /// Its comments and blank lines, and its logical line.
    fn parts(&self) -> (String, String) {
        let (mut comments, mut joined) = (String::new(), String::new());
        for line in self.text.split_inclusive('\n') {
            let visible = line.trim_start_matches(is_space);
            if visible.is_empty() || visible.starts_with('#') {
                comments.push_str(line);
            } else {
                joined.push_str(line.strip_suffix('\n').unwrap_or(line));
            }
        }
        joined.truncate(joined.trim_end_matches(is_space).len());
        (comments, joined)
    }
}

fn groups(text: &str) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut open = Group { text: "", first_line: None, number: 0 };
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let visible = line.trim_start_matches(is_space);
        let is_comment = visible.is_empty() || visible.starts_with('#');
        if !is_comment && !line.starts_with(is_space) {
            groups.push(Group { text: &text[start..at], ..open });
            open = Group { text: "", first_line: Some(line), number: number + 1 };
            start = at;
        }
        at += line.len();
    }
    groups.push(Group { text: &text[start..], ..open });
    groups
}
