//! Changes the replies of servers line by line before we understand them. Postfix: `smtp_reply_filter`.

use tables::search::Key;
use tables::{Lookup, Maps};

/// Bytes of a line that are kept: the dialogue takes no more of one either. Postfix: `line_length_limit`.
const LINE_BYTES_MAX: usize = 2048;

/// What the log should tell.
#[derive(Debug)]
pub(super) enum Note {
    /// A line was changed: the whole text.
    Replaced(String),
    /// A table failed: the text behind the queue id.
    Failed(String),
}

/// What a server sent and we have not looked at yet, with the filter it goes through.
pub(super) struct FilteredReplies {
    maps: Maps,
    /// Whole lines, and the beginning of the next.
    waiting: Vec<u8>,
    notes: Vec<Note>,
}

impl FilteredReplies {
    /// Nothing where there is no filter.
    pub fn new(maps: &Maps) -> Option<Self> {
        let maps = Some(maps).filter(|maps| !maps.is_empty())?.clone();
        Some(FilteredReplies { maps, waiting: Vec::new(), notes: Vec::new() })
    }

    /// Whether nothing waits to be looked at.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes what the server sent.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let begun = self.waiting.iter().rev().take(LINE_BYTES_MAX).take_while(|&&b| b != b'\n').count();
            let ends = piece.ends_with(b"\n");
            let text = if ends { &piece[..piece.len() - 1] } else { piece };
            self.waiting.extend_from_slice(&text[..text.len().min(LINE_BYTES_MAX - begun)]);
            if ends {
                self.waiting.push(b'\n');
            }
        }
    }

    /// The next line with its end, changed; nothing where none is complete. An error is a table that failed.
    pub async fn line(&mut self, relay: &str) -> Result<Option<Vec<u8>>, ()> {
        let Some(end) = memchr::memchr(b'\n', &self.waiting) else { return Ok(None) };
        let text = String::from_utf8_lossy(&self.waiting[..end]);
        let text = text.trim_end_matches('\r').to_owned();
        let line = match self.maps.lookup(&Key { text: text.clone(), part: false }).await {
            Lookup::NotFound => self.waiting[..=end].to_vec(),
            Lookup::Found(new) => {
                let note = format!("{relay}: replacing server reply \"{text}\" with \"{new}\"");
                self.notes.push(Note::Replaced(note));
                // One line stays one line.
                let new: String = new.chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }).collect();
                format!("{new}\r\n").into_bytes()
            }
            Lookup::TempFail(_) => {
                let tables: Vec<&str> = self.maps.tables().iter().map(tables::Table::spec).collect();
                let note = format!("table {} lookup error for {text}", tables.join(","));
                self.notes.push(Note::Failed(note));
                return Err(());
            }
        };
        self.waiting.drain(..=end);
        Ok(Some(line))
    }

    /// What the log should tell since the last time.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come_and_bounded() {
        let table = "pcre:{{/^250 a/ 450 b}}".to_owned();
        let maps = Maps::open(&[table], &tables::Settings::default()).unwrap();
        let input = b"220 x\r\n250 a\r\n25";
        for cut in 0..input.len() {
            let mut filter = FilteredReplies::new(&maps).unwrap();
            filter.push(&input[..cut]);
            filter.push(&input[cut..]);
            let lines = tables::wait(async {
                let mut lines = Vec::new();
                while let Ok(Some(line)) = filter.line("relay").await {
                    lines.push(String::from_utf8(line).unwrap());
                }
                lines
            });
            assert_eq!(lines, ["220 x\r\n", "450 b\r\n"], "cut at {cut}");
            assert!(!filter.is_empty() && filter.take_notes().len() == 1);
        }
        let mut filter = FilteredReplies::new(&maps).unwrap();
        for _ in 0..100 {
            filter.push(&[b'2'; 1000]);
        }
        assert_eq!(filter.waiting.len(), LINE_BYTES_MAX);
    }
}
