//! The message as a command gets it: another line end, dots and `From ` at the beginning of lines, lines around it.

use crate::local_role::text::Pieces;
use std::io;

/// How lines are written: letters of `flags=`, and `eol=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineStyle {
    /// What ends a line.
    pub eol: String,
    /// `.`: a dot before lines that begin with one.
    pub stuff_dots: bool,
    /// `>`: that before lines that begin with `From `.
    pub quote_from: bool,
    /// `B`: an empty line at the end.
    pub blank_line: bool,
}

const FROM: &[u8] = b"From ";

/// The bytes for a command's standard input, piece by piece.
pub struct Stream<'a> {
    /// Stands in front; its lines end with LF and are not looked at otherwise.
    prefix: Option<Vec<u8>>,
    content: Option<Pieces<'a>>,
    style: &'a LineStyle,
    /// The beginning of a line that may turn out to be one that is changed; `None` within a line.
    begin: Option<Vec<u8>>,
}

impl<'a> Stream<'a> {
    /// A message with these lines in front.
    pub fn new(prefix: Vec<u8>, content: Pieces<'a>, style: &'a LineStyle) -> Self {
        Stream { prefix: Some(prefix), content: Some(content), style, begin: Some(Vec::new()) }
    }

    /// The next bytes; `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(prefix) = self.prefix.take() {
            let mut out = Vec::with_capacity(prefix.len());
            prefix.iter().for_each(|&byte| self.byte(byte, &mut out));
            return Ok(Some(out));
        }
        let Some(content) = &mut self.content else { return Ok(None) };
        if let Some(piece) = content.next_piece()? {
            let mut out = Vec::with_capacity(piece.len() + piece.len() / 32);
            self.convert(&piece, &mut out);
            return Ok(Some(out));
        }
        self.content = None;
        let mut out = self.begin.take().unwrap_or_default();
        if self.style.blank_line {
            out.extend_from_slice(self.style.eol.as_bytes());
        }
        Ok(Some(out))
    }

    fn byte(&self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'\n' => out.extend_from_slice(self.style.eol.as_bytes()),
            other => out.push(other),
        }
    }

    fn convert(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            if let Some(begin) = &mut self.begin {
                let (&first, rest) = piece.split_first().expect("it is not empty");
                begin.push(first);
                piece = rest;
                if self.style.quote_from && begin.len() < FROM.len() && FROM.starts_with(begin) {
                    continue;
                }
                let begin = self.begin.take().expect("it was there");
                if self.style.quote_from && begin == FROM {
                    out.push(b'>');
                } else if self.style.stuff_dots && begin == b"." {
                    out.push(b'.');
                }
                begin.iter().for_each(|&byte| self.byte(byte, out));
                if begin.last() == Some(&b'\n') {
                    self.begin = Some(Vec::new());
                }
                continue;
            }
            let line_end = memchr::memchr(b'\n', piece);
            out.extend_from_slice(&piece[..line_end.unwrap_or(piece.len())]);
            let Some(at) = line_end else { return };
            out.extend_from_slice(self.style.eol.as_bytes());
            self.begin = Some(Vec::new());
            piece = &piece[at + 1..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_role::text::Text;

    const ALL: LineStyle =
        LineStyle { eol: String::new(), stuff_dots: true, quote_from: true, blank_line: true };

    fn written(prefix: &str, text: &str, style: &LineStyle) -> String {
        let text = Text::Shared(text.as_bytes().to_vec());
        let mut stream = Stream::new(prefix.into(), text.pieces(), style);
        let mut out = Vec::new();
        while let Some(piece) = stream.next_piece().unwrap() {
            out.extend(piece);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_letter_changes_what_it_should_and_nothing_else() {
        let text = ".a\nFrom b\nFrom\n..\nx From c\n\nF\n";
        let none = LineStyle { eol: "\n".into(), stuff_dots: false, quote_from: false, blank_line: false };
        assert_eq!(written("R: x\n", text, &none), format!("R: x\n{text}"));
        let dots = LineStyle { stuff_dots: true, ..none.clone() };
        assert_eq!(written("", text, &dots), "..a\nFrom b\nFrom\n...\nx From c\n\nF\n");
        let from = LineStyle { quote_from: true, ..none.clone() };
        assert_eq!(written("", text, &from), ".a\n>From b\nFrom\n..\nx From c\n\nF\n");
        let blank = LineStyle { blank_line: true, ..none.clone() };
        assert_eq!(written("", text, &blank), format!("{text}\n"));
        let crlf = LineStyle { eol: "\r\n".into(), ..ALL };
        assert_eq!(
            written("From x\nR: y\n", text, &crlf),
            "From x\r\nR: y\r\n..a\r\n>From b\r\nFrom\r\n...\r\nx From c\r\n\r\nF\r\n\r\n"
        );
    }

    #[test]
    fn it_does_not_matter_where_pieces_break() {
        let text = ".a\nFrom b\nFrom\nFro\n\n.\nFrom";
        let style = LineStyle { eol: "|".into(), ..ALL };
        let expected = "..a|>From b|From|Fro||..|From|";
        let whole = Text::Shared(Vec::new());
        for at in 0..=text.len() {
            let mut stream = Stream::new(Vec::new(), whole.pieces(), &style);
            let mut out = Vec::new();
            stream.convert(&text.as_bytes()[..at], &mut out);
            stream.convert(&text.as_bytes()[at..], &mut out);
            while let Some(piece) = stream.next_piece().unwrap() {
                out.extend(piece);
            }
            assert_eq!(String::from_utf8(out).unwrap(), expected, "at {at}");
        }
    }
}
