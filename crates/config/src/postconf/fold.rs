//! How long lines are broken: at blanks, what follows indented.

/// Columns of a line of main.cf with `-f`.
pub(super) const PARAMETER_WIDTH: usize = 80;
/// Columns of a line of master.cf with `-f`, and in the file.
pub(super) const SERVICE_WIDTH: usize = 79;
const INDENT: &str = "    ";

/// A line that grows by words.
pub(super) struct Line {
    text: String,
    /// Characters since the last line end.
    columns: usize,
    /// The longest line; without one, lines are never broken.
    width: Option<usize>,
}

impl Line {
    pub fn new(width: Option<usize>) -> Line {
        Line { text: String::new(), columns: 0, width }
    }

    /// Appends a word behind a blank, or in a new line where it does not fit.
    pub fn word(&mut self, word: &str) {
        self.word_of(word, word.chars().count());
    }

    /// [`Line::word`] for a word that counts as one of `length` characters.
    pub fn word_of(&mut self, word: &str, length: usize) {
        if self.columns > 0 && self.width.is_some_and(|width| self.columns + 1 + length > width) {
            self.new_line();
        } else if self.columns > 0 {
            self.text.push(' ');
            self.columns += 1;
        }
        self.append(word);
    }

    /// Appends a word in a line of its own, where lines are broken at all.
    pub fn word_in_new_line(&mut self, word: &str) {
        match self.width {
            None => self.word(word),
            Some(_) => {
                self.new_line();
                self.append(word);
            }
        }
    }

    /// Appends text where the line stands.
    pub fn append(&mut self, text: &str) {
        self.text.push_str(text);
        self.columns += text.chars().count();
    }

    fn new_line(&mut self) {
        self.text.push('\n');
        self.text.push_str(INDENT);
        self.columns = INDENT.len();
    }

    /// The text with its last line end.
    pub fn finish(mut self) -> String {
        self.text.push('\n');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_does_not_fit_begins_a_line() {
        let mut line = Line::new(Some(10));
        ["abcd", "efghi", "j", "klmnopqrstuvw", "x"].iter().for_each(|word| line.word(word));
        line.word_in_new_line("y");
        assert_eq!(line.finish(), "abcd efghi\n    j\n    klmnopqrstuvw\n    x\n    y\n");
        let mut line = Line::new(None);
        ["a", "b"].iter().for_each(|word| line.word(word));
        line.word_in_new_line("c");
        assert_eq!(line.finish(), "a b c\n");
    }
}
