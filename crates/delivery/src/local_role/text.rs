//! A message as mailboxes hold it: lines end with LF, and each recipient's own lines stand in front.

use super::wire::{Head, Recipient};
use mail::Address;
use memchr::memmem;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Content up to this size is converted once for all recipients of a job; larger content once for each, in pieces.
const SHARED_MAX: u64 = 1 << 20;

/// How much of large content is read at once.
const PIECE: usize = 64 * 1024;

/// The content of a job.
pub enum Text {
    /// Converted.
    Shared(Vec<u8>),
    /// In the memory file, from `start` to `end`, as CRLF lines.
    File {
        /// The memory file.
        file: File,
        /// Where the content begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
}

impl Text {
    /// The content of a memory file, which lies at `place`; its first bytes have been read already.
    pub fn read(file: &File, place: Range<u64>, begun: &[u8]) -> io::Result<Text> {
        let Range { start, end } = place;
        if end - start > SHARED_MAX {
            return Ok(Text::File { file: file.try_clone()?, start, end });
        }
        let mut rest = vec![0; (end - start) as usize - begun.len()];
        if !rest.is_empty() {
            file.read_exact_at(&mut rest, start + begun.len() as u64)?;
        }
        let mut out = Vec::with_capacity((end - start) as usize);
        let mut lines = Lines::default();
        lines.convert(begun, &mut out);
        lines.convert(&rest, &mut out);
        lines.finish(&mut out);
        Ok(Text::Shared(out))
    }

    /// An upper bound of what `write` writes, for limits.
    pub fn size_max(&self) -> u64 {
        match self {
            Text::Shared(bytes) => bytes.len() as u64,
            Text::File { start, end, .. } => end - start + 1,
        }
    }

    /// Writes `prefix` and the content, with one call where the content is small.
    pub fn write(&self, prefix: &[u8], out: &mut File) -> io::Result<()> {
        if let Text::Shared(bytes) = self {
            return write_both(prefix, bytes, out);
        }
        out.write_all(prefix)?;
        self.each_piece(&mut |piece| out.write_all(piece))
    }

    /// The same as an mbox entry: `>` before lines that begin with `From `, an empty line behind.
    pub fn write_mbox(&self, prefix: &[u8], out: &mut File) -> io::Result<()> {
        let mut quoting = Quoting { out: io::BufWriter::with_capacity(PIECE, out), held: Some(0) };
        quoting.out.write_all(prefix)?;
        self.each_piece(&mut |piece| quoting.put(piece))?;
        quoting.out.write_all(b"\n")?;
        quoting.out.flush()
    }

    fn each_piece(&self, put: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if let Text::Shared(bytes) = self {
            return put(bytes);
        }
        let mut pieces = self.pieces();
        while let Some(piece) = pieces.next_piece()? {
            put(&piece)?;
        }
        Ok(())
    }

    /// The content from its beginning, for who takes it piece by piece.
    pub fn pieces(&self) -> Pieces<'_> {
        let at = if let Text::File { start, .. } = self { *start } else { 0 };
        Pieces { text: self, at, lines: Lines::default(), ended: false }
    }
}

/// The content of a message on its way to a command.
pub struct Pieces<'a> {
    text: &'a Text,
    /// In the memory file.
    at: u64,
    lines: Lines,
    ended: bool,
}

impl Pieces<'_> {
    /// The next bytes; `None` at the end.
    pub fn next_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let (file, end) = match self.text {
            Text::Shared(bytes) => {
                self.ended = true;
                return Ok(Some(bytes.clone()));
            }
            Text::File { file, end, .. } => (file, *end),
        };
        let mut converted = Vec::with_capacity(PIECE + 2);
        if self.at < end {
            let mut piece = vec![0; usize::try_from(end - self.at).map_or(PIECE, |left| left.min(PIECE))];
            file.read_exact_at(&mut piece, self.at)?;
            self.at += piece.len() as u64;
            self.lines.convert(&piece, &mut converted);
        } else {
            self.ended = true;
            self.lines.finish(&mut converted);
        }
        Ok(Some(converted))
    }
}

/// `Return-Path`, `X-Original-To` (where `original` wants it) and `Delivered-To`, in Postfix's order.
pub fn prefix(head: &Head, recipient: &Recipient, original: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"Return-Path: <");
    out.extend_from_slice(&head.sender.to_external());
    out.extend_from_slice(b">\n");
    if original && !recipient.original.is_null() {
        header(&mut out, b"X-Original-To: ", &recipient.original.to_external());
    }
    header(&mut out, b"Delivered-To: ", &recipient.address.to_external());
    out
}

/// A line of an address that a stranger chose: it must not bring lines of its own.
pub fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend(value.iter().map(|&b| if b < b' ' || b == 0x7f { b'?' } else { b }));
    out.push(b'\n');
}

/// Whether the header in front of these lines has a Delivered-To with this address: the message was here already.
pub fn has_delivered_to(lines: &[u8], address: &Address) -> bool {
    const NAME: &[u8] = b"delivered-to:";
    let end = memmem::find(lines, b"\n\n").unwrap_or(lines.len());
    let address = address.to_external();
    let is_same = |line: &[u8]| {
        line.len() > NAME.len()
            && line[..NAME.len()].eq_ignore_ascii_case(NAME)
            && line[NAME.len()..].trim_ascii().eq_ignore_ascii_case(&address)
    };
    lines[..end].split(|&byte| byte == b'\n').any(is_same)
}

fn write_both(prefix: &[u8], bytes: &[u8], out: &mut File) -> io::Result<()> {
    let total = prefix.len() + bytes.len();
    let written = out.write_vectored(&[IoSlice::new(prefix), IoSlice::new(bytes)])?;
    if written == total {
        return Ok(());
    }
    match written.checked_sub(prefix.len()) {
        Some(of_bytes) => out.write_all(&bytes[of_bytes..]),
        None => {
            out.write_all(&prefix[written..])?;
            out.write_all(bytes)
        }
    }
}

/// Turns CRLF into LF over pieces that break anywhere.
#[derive(Default)]
struct Lines {
    /// The last piece ended with a CR that may belong to a CRLF.
    cr: bool,
    /// The last byte so far, to know whether the text ends with a line end.
    last: Option<u8>,
}

impl Lines {
    fn convert(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let Some(&last) = piece.last() else { return };
        if std::mem::take(&mut self.cr) && piece[0] != b'\n' {
            out.push(b'\r');
        }
        self.cr = last == b'\r';
        let piece = if self.cr { &piece[..piece.len() - 1] } else { piece };
        let mut at = 0;
        for crlf in memmem::find_iter(piece, b"\r\n") {
            out.extend_from_slice(&piece[at..crlf]);
            at = crlf + 1;
        }
        out.extend_from_slice(&piece[at..]);
        self.last = Some(last);
    }

    /// Text in a mailbox ends with a line end.
    fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            out.push(b'\r');
        }
        if self.last.is_some_and(|last| last != b'\n') {
            out.push(b'\n');
        }
    }
}

/// Puts `>` before lines that begin with `From `.
struct Quoting<W: Write> {
    out: W,
    /// At the beginning of a line: how many bytes of `From ` were seen and not written yet.
    held: Option<usize>,
}

const FROM: &[u8] = b"From ";

impl<W: Write> Quoting<W> {
    fn put(&mut self, mut piece: &[u8]) -> io::Result<()> {
        while let Some(&next) = piece.first() {
            match self.held {
                Some(held) if next == FROM[held] => {
                    piece = &piece[1..];
                    self.held = Some(held + 1);
                    if held + 1 == FROM.len() {
                        self.out.write_all(b">From ")?;
                        self.held = None;
                    }
                }
                Some(held) => {
                    self.out.write_all(&FROM[..held])?;
                    self.held = None;
                }
                None => {
                    let line_end = memchr::memchr(b'\n', piece);
                    let (line, rest) = piece.split_at(line_end.map_or(piece.len(), |at| at + 1));
                    self.out.write_all(line)?;
                    self.held = line_end.map(|_| 0);
                    piece = rest;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(pieces: &[&str]) -> String {
        let (mut out, mut lines) = (Vec::new(), Lines::default());
        for piece in pieces {
            lines.convert(piece.as_bytes(), &mut out);
        }
        lines.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn line_ends_become_lf_wherever_pieces_break() {
        let text = "a\r\nb\r\r\n\r\nc\rd\r\n";
        let expected = "a\nb\r\n\nc\rd\n";
        for at in 0..=text.len() {
            for second in at..=text.len() {
                let pieces = [&text[..at], &text[at..second], &text[second..]];
                assert_eq!(converted(&pieces), expected, "{pieces:?}");
            }
        }
        assert_eq!(converted(&["no end"]), "no end\n");
        assert_eq!(converted(&["cr\r"]), "cr\r\n");
        assert_eq!(converted(&[""]), "");
    }

    #[test]
    fn only_lines_that_begin_with_from_are_quoted_wherever_pieces_break() {
        let text = "From a\nFrom\nFro From b\n>From c\n\nFrom d\nF";
        let expected = ">From a\nFrom\nFro From b\n>From c\n\n>From d\n";
        for at in 0..=text.len() {
            let mut quoting = Quoting { out: Vec::new(), held: Some(0) };
            quoting.put(&text.as_bytes()[..at]).unwrap();
            quoting.put(&text.as_bytes()[at..]).unwrap();
            assert_eq!(String::from_utf8(quoting.out).unwrap(), expected);
        }
    }

    #[test]
    fn large_content_is_written_in_pieces_as_it_would_be_at_once() {
        let line = "0123456789".repeat(9) + "\r\n";
        let large = line.repeat(20_000) + "end";
        let source = sys::sealed_memory_file([large.as_bytes()]).unwrap();
        let text = Text::read(&source, 0..large.len() as u64, &large.as_bytes()[..7]).unwrap();
        assert!(matches!(text, Text::File { .. }));
        let path = std::env::temp_dir().join(format!("delivery-text-{}", std::process::id()));
        text.write(b"Prefix: x\n", &mut File::create(&path).unwrap()).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(written, format!("Prefix: x\n{}\n", large.replace("\r\n", "\n")));
    }
}
