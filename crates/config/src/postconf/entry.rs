//! A line of master.cf as postconf sees it: seven columns, a command, and what of it may be printed or changed.

use super::edit::split_nameval;
use super::fold::{Line, SERVICE_WIDTH};
use crate::lines::is_space;
use crate::words::words;

/// The columns before the command, by the names that `-F` uses.
pub(super) const FIELDS: [&str; 7] =
    ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit"];
/// The name of the last field: program and arguments.
pub(super) const COMMAND: &str = "command";
/// Where the columns behind the first begin: as many blanks as bring the line there, at least one.
const STOPS: [usize; 7] = [11, 17, 25, 33, 41, 49, 57];

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The columns before the command.
    pub fields: [String; 7],
    /// The program and its arguments; `-o` and its setting are two.
    pub args: Vec<Word>,
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What stood within `{ }`, or the word.
    pub text: String,
    /// Whether it stood within braces.
    pub braced: bool,
}

impl Word {
    fn plain(text: &str) -> Word {
        Word { text: text.to_owned(), braced: false }
    }

    fn new(word: &str, warn: &mut dyn FnMut(String)) -> Word {
        Word { text: unbraced(word, "master.cf", warn), braced: word.starts_with('{') }
    }

    /// Takes the blanks around the `=` of a setting away; one that is none stays as it is.
    fn normalize(&mut self, warn: &mut dyn FnMut(String)) {
        match split_nameval(&self.text) {
            Ok((name, value)) => self.text = format!("{name}={value}"),
            Err(what) if self.braced => warn(format!("master.cf: {what}: \"{}\"", self.text)),
            Err(_) => {}
        }
    }

    /// The word in braces where it would fall apart without them; Postfix gives them to all but options and the first
    /// argument.
    fn printed(&self, always: bool) -> String {
        let text = &self.text;
        let falls_apart = (self.braced || always) && text.contains(is_space);
        if falls_apart || text.is_empty() { format!("{{{text}}}") } else { text.clone() }
    }
}

/// What is wrong with a line: fatal for the command.
pub(super) struct Bad(pub String);

impl Entry {
    /// Reads the text of a line. `place` tells where it stands (for a line with too few columns), `warn` takes what
    /// is odd in its braces.
    pub fn parse(text: &str, place: &dyn Fn() -> String, warn: &mut dyn FnMut(String)) -> Result<Entry, Bad> {
        let all: Vec<&str> = words(text, is_space).map(|(_, word)| word).collect();
        if all.len() <= FIELDS.len() {
            return Err(Bad(place()));
        }
        let fields: [String; 7] = std::array::from_fn(|i| all[i].to_owned());
        for (name, value) in FIELDS.iter().zip(&fields) {
            check(name, value, text)?;
        }
        let mut entry = Entry { fields, args: vec![Word::plain(all[7])] };
        entry.set_arguments(&all[8..], warn);
        Ok(entry)
    }

    /// Replaces the command by that of a text.
    pub fn set_command(&mut self, text: &str, warn: &mut dyn FnMut(String)) {
        let mut all = words(text, is_space).map(|(_, word)| word);
        if let Some(program) = all.next() {
            self.args = vec![Word::plain(program)];
            self.set_arguments(&all.collect::<Vec<_>>(), warn);
        }
    }

    fn set_arguments(&mut self, all: &[&str], warn: &mut dyn FnMut(String)) {
        self.args.extend(all.iter().map(|word| Word::new(word, warn)));
        let mut at = 1;
        while let Some(word) = self.args.get(at).filter(|word| is_option(&word.text)) {
            match word.text.strip_prefix("-o") {
                Some("") => at += 1,
                Some(setting) => {
                    let setting = Word::new(setting, warn);
                    self.args[at].text.truncate("-o".len());
                    at += 1;
                    self.args.insert(at, setting);
                }
                None => {
                    at += 1;
                    continue;
                }
            }
            if let Some(setting) = self.args.get_mut(at) {
                setting.normalize(warn);
                at += 1;
            }
        }
    }

    /// `NAME/TYPE`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.fields[0], self.fields[1])
    }

    /// Where the settings stand in `args`, in order, and where the options end.
    fn settings_at(&self) -> (Vec<usize>, usize) {
        let mut found = Vec::new();
        let mut at = 1;
        while let Some(word) = self.args.get(at).filter(|word| is_option(&word.text)) {
            at += 1;
            if word.text == "-o" && at < self.args.len() {
                if split_nameval(&self.args[at].text).is_ok() {
                    found.push(at);
                }
                at += 1;
            }
        }
        (found, at)
    }

    /// The `-o` settings in order.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let (found, _) = self.settings_at();
        found.into_iter().filter_map(|at| split_nameval(&self.args[at].text).ok())
    }

    /// Sets each `-o` setting of a name, or appends one to the options.
    pub fn set(&mut self, name: &str, value: &str) {
        let (found, end) = self.settings_at();
        let text = format!("{name}={value}");
        let mut is_new = true;
        for at in found {
            if split_nameval(&self.args[at].text).is_ok_and(|(n, _)| n == name) {
                self.args[at].text.clone_from(&text);
                is_new = false;
            }
        }
        if is_new {
            let words = ["-o", &text].map(Word::plain);
            self.args.splice(end..end, words);
        }
    }

    /// Takes the settings of a name away.
    pub fn remove(&mut self, name: &str) {
        let (found, _) = self.settings_at();
        for at in found.into_iter().rev() {
            if split_nameval(&self.args[at].text).is_ok_and(|(n, _)| n == name) {
                self.args.drain(at - 1..=at);
            }
        }
    }

    /// Changes the value of each setting.
    pub fn map_settings<E>(&mut self, mut change: impl FnMut(&str) -> Result<String, E>) -> Result<(), E> {
        for at in self.settings_at().0 {
            if let Ok((name, value)) = split_nameval(&self.args[at].text) {
                self.args[at].text = format!("{name}={}", change(value)?);
            }
        }
        Ok(())
    }

    /// The line as postconf prints it and writes it to the file.
    pub fn line(&self, fold: bool) -> String {
        let mut line = Line::new(fold.then_some(SERVICE_WIDTH));
        let mut columns = 0;
        for (field, stop) in
            self.fields.iter().map(String::as_str).chain([""]).zip([0].into_iter().chain(STOPS))
        {
            let blanks = if columns == 0 { 0 } else { stop.saturating_sub(columns).max(1) };
            line.append(&" ".repeat(blanks));
            line.append(field);
            columns += field.chars().count() + blanks;
        }
        line.append(&self.args[0].text);
        self.print_arguments(&mut line);
        line.finish()
    }

    /// The command as `-F` prints it, behind `head`.
    pub fn command(&self, head: &str, fold: bool) -> String {
        let mut line = Line::new(fold.then_some(SERVICE_WIDTH));
        line.append(head);
        line.append(&self.args[0].text);
        self.print_arguments(&mut line);
        line.finish()
    }

    fn print_arguments(&self, line: &mut Line) {
        let mut at = 1;
        let mut options = true;
        let mut after_setting = false;
        while at < self.args.len() {
            let word = &self.args[at];
            at += 1;
            let after_first = !options;
            options = options && is_option(&word.text);
            match self.args.get(at) {
                Some(setting) if options && word.text == "-o" => {
                    line.word_in_new_line(&format!("-o {}", setting.printed(true)));
                    at += 1;
                    after_setting = true;
                }
                _ if after_setting => {
                    line.word_in_new_line(&word.printed(after_first));
                    after_setting = false;
                }
                // Postfix measures what stands within the braces.
                _ => line.word_of(&word.printed(after_first), word.text.chars().count()),
            }
        }
    }
}

/// Whether a word belongs to the options that stand before the arguments.
fn is_option(word: &str) -> bool {
    word.starts_with('-') && word != "--"
}

/// What stands within the braces of a word that begins with one.
pub(super) fn unbraced(word: &str, file: &str, warn: &mut dyn FnMut(String)) -> String {
    if !word.starts_with('{') {
        return word.to_owned();
    }
    let mut depth = 0;
    for (at, c) in word.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            if at + 1 < word.len() {
                warn(format!("{file}: syntax error after '}}' in \"{word}\""));
            }
            return word[1..at].trim_matches(is_space).to_owned();
        }
    }
    warn(format!("{file}: missing '}}' in \"{word}\""));
    word[1..].trim_matches(is_space).to_owned()
}

/// Checks the value of a field as Postfix does; `text` is the line for the message.
pub(super) fn check(name: &str, value: &str, text: &str) -> Result<(), Bad> {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let good = match name {
        "type" => ["inet", "unix", "unix-dgram", "fifo", "pass", ""].contains(&value),
        "private" | "unprivileged" | "chroot" => ["y", "n", "-", ""].contains(&value),
        "wakeup" => value == "-" || is_number(value.strip_suffix('?').unwrap_or(value)),
        "process_limit" => value == "-" || is_number(value),
        _ => true,
    };
    if good { Ok(()) } else { Err(Bad(format!("invalid {name} field \"{value}\" in \"{text}\""))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry::parse(text, &|| unreachable!(), &mut |warning| panic!("{warning}")).ok().unwrap()
    }

    #[test]
    fn settings_end_at_the_first_argument() {
        let entry = entry("x unix - n n - - pipe -v -oa=b -o { c = d  e } -o x flags=R -o q=r");
        assert_eq!(entry.settings().collect::<Vec<_>>(), [("a", "b"), ("c", "d  e")]);
        assert_eq!(
            entry.line(false),
            "x          unix  -       n       n       -       -       pipe -v -o a=b -o {c=d  e} -o x flags=R -o q=r\n"
        );
    }

    #[test]
    fn settings_are_set_in_place_or_behind_the_options() {
        let mut entry = entry("x unix - n n - - pipe -o a=b -v c");
        entry.set("a", "1");
        entry.set("n", "2");
        assert_eq!(entry.command("", false), "pipe -o a=1 -v -o n=2 c\n");
        entry.remove("a");
        assert_eq!(entry.command("", true), "pipe -v\n    -o n=2\n    c\n");
    }

    #[test]
    fn odd_braces_are_told() {
        let mut warnings = Vec::new();
        let mut warn = |text| warnings.push(text);
        assert_eq!(unbraced("{ a b }", "f", &mut warn), "a b");
        assert_eq!(unbraced("{a", "f", &mut warn), "a");
        assert_eq!(unbraced("{b}c", "f", &mut warn), "b");
        assert_eq!(warnings, ["f: missing '}' in \"{a\"", "f: syntax error after '}' in \"{b}c\""]);
    }
}
