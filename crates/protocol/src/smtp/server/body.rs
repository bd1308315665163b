//! From the bytes behind DATA or BDAT to the canonical form: CRLF lines without dot-stuffing.
//!
//! One pass. A stretch of input that is canonical already is passed on as it lies; only from its first irregularity on
//! (a stuffed dot, a bare newline, a stray CR, a line end torn between two reads) is the rest of that read copied.

use super::BareNewline;
use bytes::{Buf, Bytes};
use mail::{ContentFlags, WIDE_LINE};
use std::ops::Range;

/// Lines longer than this need care when they are sent on (RFC 5321 4.5.3.1.6).
const LONG_LINE: u64 = 998;

/// Room for what a copy gains over its source before it must grow: one CR for each bare newline.
const COPY_SLACK: usize = 256;

/// So many CRs in front of a newline belong to it at most; what comes before them is text and need not be held back.
const HELD_CRS_MAX: usize = 2048;

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By a line with a dot; other dots at the beginning of a line are doubled (RFC 5321 4.5.2).
    Dot,
    /// By counting (RFC 3030).
    Chunks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the beginning of a line.
    Start,
    /// Behind a dot that began a line; not passed on.
    Dot,
    /// Behind such a dot and a CR; not passed on.
    DotCr,
    /// Inside a line.
    Inside,
    /// Behind CRs inside a line, `held_crs` of them; not passed on.
    Cr,
    /// Behind the final line.
    End,
}

/// Reads one content, piece by piece.
#[derive(Debug)]
pub struct Scanner {
    framing: Framing,
    bare_newline: BareNewline,
    replace_stray_cr: bool,
    at: At,
    /// The line before ended with CRLF, or there was none.
    after_crlf: bool,
    /// CRs that belong to the line's end, should a newline follow.
    held_crs: usize,
    line_length: u64,
    flags: ContentFlags,
    saw_bare_newline: bool,
}

/// A copy in the making: `out` holds what was input up to `copied`.
struct Edit<'a> {
    input: &'a Bytes,
    out: Option<Vec<u8>>,
    copied: usize,
}

impl Edit<'_> {
    /// Keeps what lies before `upto`, puts `text` there, and goes on at `resume`.
    fn replace(&mut self, upto: usize, text: &[u8], resume: usize) {
        let input = self.input;
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(input.len() + COPY_SLACK));
        out.extend_from_slice(&input[self.copied..upto]);
        out.extend_from_slice(text);
        self.copied = resume;
    }

    fn finish(self, upto: usize) -> Bytes {
        match self.out {
            None => self.input.slice(self.copied..upto),
            Some(mut out) => {
                out.extend_from_slice(&self.input[self.copied..upto]);
                Bytes::from(out)
            }
        }
    }
}

impl Scanner {
    /// A scanner at the beginning of a content.
    pub fn new(framing: Framing, bare_newline: BareNewline, replace_stray_cr: bool) -> Self {
        Scanner {
            framing,
            bare_newline,
            replace_stray_cr,
            at: At::Start,
            after_crlf: true,
            held_crs: 0,
            line_length: 0,
            flags: ContentFlags::default(),
            saw_bare_newline: false,
        }
    }

    /// Whether the final dot was seen.
    pub fn ended(&self) -> bool {
        self.at == At::End
    }

    /// Whether some line ended with a bare newline.
    pub fn saw_bare_newline(&self) -> bool {
        self.saw_bare_newline
    }

    /// Bytes that were passed on of a line whose end has not come.
    pub(super) fn line_so_far(&self) -> u64 {
        self.line_length
    }

    /// What is known about the lines so far.
    pub fn flags(&self) -> ContentFlags {
        self.flags
    }

    /// Takes from the front of `input` what belongs to the content, and gives it in canonical form; may be empty.
    pub fn scan(&mut self, input: &mut Bytes) -> Bytes {
        let whole = input.clone();
        let mut edit = Edit { input: &whole, out: None, copied: 0 };
        let mut i = 0;
        // Where the content ends in this input: before what is held back, and before the final dot.
        let mut upto = whole.len();
        while i < whole.len() {
            match self.at {
                At::Start => {
                    if whole[i] != b'.' {
                        self.at = At::Inside;
                    } else if self.framing == Framing::Chunks {
                        self.flags = self.flags.with(ContentFlags::LEADING_DOT);
                        self.at = At::Inside;
                    } else {
                        match self.dot(&whole[i..]) {
                            DotLine::Final(length) => {
                                (upto, i) = (i, i + length);
                                self.at = At::End;
                                break;
                            }
                            DotLine::Unknown(at) => {
                                (upto, i) = (i, whole.len());
                                self.at = at;
                                break;
                            }
                            // As Postfix: what may have been meant as the end is no text either.
                            DotLine::Lone(length) => {
                                edit.replace(i, b"", i + length);
                                i += length;
                                self.saw_bare_newline |= length == 2;
                                self.end_line(length == 3);
                            }
                            DotLine::Stuffed => {
                                edit.replace(i, b"", i + 1);
                                i += 1;
                                self.unstuffed(whole.get(i));
                            }
                        }
                    }
                }
                At::Dot => match whole[i] {
                    b'\r' => {
                        self.at = At::DotCr;
                        i += 1;
                        edit.copied = i;
                        upto = upto.max(i);
                    }
                    b'\n' if self.bare_newline == BareNewline::Allow => {
                        self.at = At::End;
                        (upto, i) = (edit.copied, i + 1);
                        break;
                    }
                    b'\n' => {
                        i += 1;
                        edit.copied = i;
                        self.saw_bare_newline = true;
                        self.end_line(false);
                    }
                    _ => self.unstuffed(whole.get(i)),
                },
                At::DotCr => match whole[i] {
                    b'\n' if self.after_crlf || self.bare_newline == BareNewline::Allow => {
                        self.at = At::End;
                        i += 1;
                        edit.copied = i;
                        upto = i;
                        break;
                    }
                    b'\n' => {
                        i += 1;
                        edit.copied = i;
                        self.end_line(true);
                    }
                    // The CR that was held back comes first.
                    _ => (self.at, self.held_crs) = (At::Cr, 1),
                },
                At::Inside => match memchr::memchr2(b'\r', b'\n', &whole[i..]) {
                    None => {
                        self.grow_line(whole.len() - i);
                        i = whole.len();
                    }
                    Some(n) => {
                        self.grow_line(n);
                        i += n;
                        if whole[i] == b'\n' {
                            edit.replace(i, b"\r\n", i + 1);
                            i += 1;
                            self.saw_bare_newline = true;
                            self.end_line(false);
                            continue;
                        }
                        let crs = leading_crs(&whole[i..]);
                        match whole.get(i + crs) {
                            Some(b'\n') if crs == 1 => {
                                i += 2;
                                self.end_line(true);
                            }
                            // As Postfix: all CRs in front of a newline belong to it.
                            Some(b'\n') => {
                                edit.replace(i, &[&self.excess(crs)[..], b"\r\n"].concat(), i + crs + 1);
                                i += crs + 1;
                                self.end_line(true);
                            }
                            Some(_) => {
                                self.stray_crs(crs, i..i + crs, &mut edit);
                                i += crs;
                            }
                            None => {
                                self.at = At::Cr;
                                (upto, i) = (self.hold_crs(crs, i, &mut edit), whole.len());
                            }
                        }
                    }
                },
                At::Cr => {
                    let crs = leading_crs(&whole[i..]);
                    let crs_so_far = self.held_crs + crs;
                    match whole.get(i + crs) {
                        Some(b'\n') => {
                            edit.replace(i, &[&self.excess(crs_so_far)[..], b"\r\n"].concat(), i + crs + 1);
                            i += crs + 1;
                            self.end_line(true);
                        }
                        Some(_) => {
                            self.stray_crs(crs_so_far, i..i + crs, &mut edit);
                            i += crs;
                            self.at = At::Inside;
                        }
                        None => {
                            (upto, i) = (self.hold_crs(crs_so_far, i, &mut edit), whole.len());
                        }
                    }
                }
                At::End => break,
            }
        }
        let body = edit.finish(upto);
        if !body.is_ascii() {
            self.flags = self.flags.with(ContentFlags::EIGHT_BIT);
        }
        input.advance(i);
        body
    }

    /// The end of the last chunk: what was held back, and the end of a line that has none.
    pub fn finish(&mut self) -> Bytes {
        let held = match self.at {
            At::Cr => [self.stray_cr().repeat(self.held_crs), b"\r\n".to_vec()].concat().into(),
            At::Inside => Bytes::from_static(b"\r\n"),
            _ => Bytes::new(),
        };
        self.at = At::End;
        held
    }

    /// What a line that begins with a dot is, as far as `line` shows it.
    fn dot(&self, line: &[u8]) -> DotLine {
        let lenient = self.bare_newline == BareNewline::Allow;
        match line {
            [_] => DotLine::Unknown(At::Dot),
            [_, b'\n', ..] if lenient => DotLine::Final(2),
            [_, b'\r'] => DotLine::Unknown(At::DotCr),
            // A bare LF must not take part in the end of a message: a server before us may have read it as text.
            [_, b'\r', b'\n', ..] if lenient || self.after_crlf => DotLine::Final(3),
            [_, b'\n', ..] => DotLine::Lone(2),
            [_, b'\r', b'\n', ..] => DotLine::Lone(3),
            _ => DotLine::Stuffed,
        }
    }

    /// What becomes of a CR inside a line (`cleanup_replace_stray_cr_lf`).
    fn stray_cr(&self) -> &'static [u8] {
        if self.replace_stray_cr { b" " } else { b"\r" }
    }

    /// So many CRs turn out to be text, of which this input has those in `here`.
    fn stray_crs(&mut self, crs: usize, here: Range<usize>, edit: &mut Edit<'_>) {
        if self.replace_stray_cr || crs > here.len() {
            edit.replace(here.start, &self.stray_cr().repeat(crs), here.end);
        }
        self.grow_line(crs);
    }

    /// Holds back the CRs that end this input from `start` on, except those that are too many. Gives where the content of
    /// this input ends.
    fn hold_crs(&mut self, crs: usize, start: usize, edit: &mut Edit<'_>) -> usize {
        self.held_crs = crs.min(HELD_CRS_MAX);
        if crs == self.held_crs {
            return start;
        }
        let end = edit.input.len();
        edit.replace(start, &self.excess(crs), end);
        end
    }

    /// What becomes of those of `crs` that are too many to belong to a newline behind them.
    fn excess(&mut self, crs: usize) -> Vec<u8> {
        let excess = crs.saturating_sub(HELD_CRS_MAX);
        self.grow_line(excess);
        self.stray_cr().repeat(excess)
    }

    fn unstuffed(&mut self, next: Option<&u8>) {
        self.at = At::Inside;
        if next == Some(&b'.') {
            self.flags = self.flags.with(ContentFlags::LEADING_DOT);
        }
    }

    fn grow_line(&mut self, by: usize) {
        self.line_length += by as u64;
        if self.line_length >= WIDE_LINE as u64 {
            self.flags = self.flags.with(ContentFlags::WIDE_LINE);
        }
        if self.line_length > LONG_LINE {
            self.flags = self.flags.with(ContentFlags::LONG_LINE);
        }
    }

    fn end_line(&mut self, with_crlf: bool) {
        self.at = At::Start;
        self.after_crlf = with_crlf;
        self.line_length = 0;
    }
}

fn leading_crs(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&b| b == b'\r').count()
}

enum DotLine {
    /// The final line, so many bytes.
    Final(usize),
    /// So many bytes that would be the final line, had all newlines been whole.
    Lone(usize),
    /// The input ends before it can be told.
    Unknown(At),
    /// The dot is there for transparency only.
    Stuffed,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `wire` in reads of `step` bytes; gives the content and what was left behind the end.
    fn scanned(
        wire: &[u8],
        step: usize,
        mode: BareNewline,
        framing: Framing,
    ) -> (Vec<u8>, Option<Vec<u8>>, Scanner) {
        let mut scanner = Scanner::new(framing, mode, true);
        let mut content = Vec::new();
        let mut offset = 0;
        for part in wire.chunks(step) {
            let mut input = Bytes::copy_from_slice(part);
            content.extend_from_slice(&scanner.scan(&mut input));
            offset += part.len() - input.len();
            if scanner.ended() {
                return (content, Some(wire[offset..].to_vec()), scanner);
            }
            assert!(input.is_empty(), "what belongs to the content is taken");
        }
        (content, None, scanner)
    }

    /// The definition, byte by byte: what the scanner must agree with.
    fn slow(wire: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut out = Vec::new();
        let mut start = 0;
        let mut after_crlf = true;
        loop {
            let Some(n) = wire[start..].iter().position(|&b| b == b'\n') else {
                return (out, None);
            };
            let line = &wire[start..start + n];
            let next = start + n + 1;
            let crlf = line.last() == Some(&b'\r');
            if line == b".\r" && after_crlf {
                return (out, Some(wire[next..].to_vec()));
            }
            if line == b"." || line == b".\r" {
                (start, after_crlf) = (next, crlf);
                continue;
            }
            let text = line.strip_prefix(b".").unwrap_or(line);
            let text = &text[..text.iter().rposition(|&b| b != b'\r').map_or(0, |last| last + 1)];
            out.extend(text.iter().map(|&b| if b == b'\r' { b' ' } else { b }));
            out.extend_from_slice(b"\r\n");
            (start, after_crlf) = (next, crlf);
        }
    }

    #[test]
    fn canonical_input_is_passed_on_without_a_copy() {
        let wire = Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n");
        let mut input = wire.clone();
        let mut scanner = Scanner::new(Framing::Dot, BareNewline::Normalize, true);
        let body = scanner.scan(&mut input);
        assert_eq!(body.as_ptr(), wire.as_ptr());
        assert_eq!((&body[..], &input[..]), (&b"Subject: x\r\n\r\nhello\r\n"[..], &b"QUIT\r\n"[..]));
        assert!(scanner.ended());
    }

    #[test]
    fn reads_of_any_size_give_the_same_content() {
        let wire =
            b"a\r\n..b\r\n.c\r\n\nbare\nlone\rcr\r\r\n\r\r\rx\r\r\r\n.\r\r\n.\n\n.\r\nx.\r\n\r\n.\r\nQUIT";
        let whole = scanned(wire, wire.len(), BareNewline::Normalize, Framing::Dot);
        assert_eq!((whole.0.clone(), whole.1.clone()), slow(wire));
        for step in 1..wire.len() {
            let torn = scanned(wire, step, BareNewline::Normalize, Framing::Dot);
            assert_eq!((&torn.0, &torn.1), (&whole.0, &whole.1), "{step}");
            assert_eq!(torn.2.flags(), whole.2.flags(), "{step}");
        }
    }

    #[test]
    fn only_the_standard_sequence_ends_a_message() {
        for end in ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\r\r\n", "\r\n.\r", "\r\n.\0\r\n"] {
            let wire = format!("a{end}MAIL FROM:<x>\r\n");
            for step in 1..wire.len() {
                let (content, rest, _) = scanned(wire.as_bytes(), step, BareNewline::Normalize, Framing::Dot);
                assert_eq!(rest, None, "{end:?}");
                assert!(String::from_utf8_lossy(&content).contains("MAIL"), "{end:?}");
            }
        }
        // What Postfix did before: any newline will do.
        for end in ["\n.\n", "\r\n.\n", "\n.\r\n"] {
            let wire = format!("a{end}QUIT\r\n");
            for step in 1..wire.len() {
                let (_, rest, _) = scanned(wire.as_bytes(), step, BareNewline::Allow, Framing::Dot);
                assert_eq!(rest.as_deref(), Some(&b"QUIT\r\n"[..]), "{end:?} in reads of {step}");
            }
        }
    }

    #[test]
    fn the_content_itself_holds_no_bare_newline_and_no_stray_cr() {
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut wire = Vec::new();
            for _ in 0..(seed >> 40) % 24 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                wire.push(b"\r\n.\r\nax\n."[(seed >> 33) as usize % 9]);
            }
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            for step in [1, 2, 3, 64] {
                let (content, rest, _) = scanned(&wire, step, BareNewline::Normalize, Framing::Dot);
                let (expected, expected_rest) = slow(&wire);
                assert_eq!(rest, expected_rest, "{:?}", String::from_utf8_lossy(&wire));
                assert!(content.starts_with(&expected), "{:?}", String::from_utf8_lossy(&wire));
                for (i, &b) in content.iter().enumerate() {
                    assert!(b != b'\n' || (i > 0 && content[i - 1] == b'\r'));
                    assert!(b != b'\r' || content.get(i + 1).is_none_or(|&n| n == b'\n'));
                }
            }
        }
    }

    #[test]
    fn a_run_of_stray_crs_is_text_and_costs_no_memory() {
        let crs = b"\r".repeat(1 << 20);
        let mut scanner = Scanner::new(Framing::Dot, BareNewline::Normalize, true);
        let mut text = 0;
        for _ in 0..4 {
            let mut input = Bytes::from(crs.clone());
            let body = scanner.scan(&mut input);
            assert!(body.iter().all(|&b| b == b' ') && input.is_empty());
            text += body.len();
        }
        let mut input = Bytes::from_static(b"x\r\n.\r\n");
        let last = scanner.scan(&mut input);
        assert!(scanner.ended() && last.ends_with(b" x\r\n"));
        assert_eq!(text + last.len() - 3, 4 << 20);
    }

    #[test]
    fn a_run_of_crs_before_a_newline_is_the_same_for_any_size_of_reads() {
        for crs in [1, 2, 2047, 2048, 2049, 5000] {
            let wire = [b"a", &b"\r".repeat(crs)[..], b"\nb\r\n.\r\n"].concat();
            let expected = format!("a{}\r\nb\r\n", " ".repeat(crs.saturating_sub(2048)));
            for step in [1, 2, 1000, 2048, 2049, 10_000] {
                let (content, rest, scanner) = scanned(&wire, step, BareNewline::Normalize, Framing::Dot);
                assert!(content == expected.as_bytes(), "{crs} in reads of {step}");
                assert!(rest.is_some() && !scanner.saw_bare_newline(), "{crs} in reads of {step}");
            }
        }
    }

    #[test]
    fn flags_tell_what_the_lines_hold() {
        let long = format!("{}\r\n..dot\r\n\u{e4}\r\n.\r\n", "x".repeat(999));
        let (_, _, s) = scanned(long.as_bytes(), 100, BareNewline::Normalize, Framing::Dot);
        let all = ContentFlags::EIGHT_BIT.with(ContentFlags::LEADING_DOT).with(ContentFlags::LONG_LINE);
        assert_eq!(s.flags(), all.with(ContentFlags::WIDE_LINE));
        let plain = format!("{}\r\n.\r\n", "x".repeat(998));
        let flags = |text: &str| scanned(text.as_bytes(), 7, BareNewline::Normalize, Framing::Dot).2.flags();
        assert_eq!(flags(&plain), ContentFlags::WIDE_LINE);
        assert_eq!(flags(&format!("{}\r\n.\r\n", "x".repeat(128))), ContentFlags::WIDE_LINE);
        assert_eq!(flags(&format!("{}\r\n.\r\n", "x".repeat(127))), ContentFlags::default());
    }

    #[test]
    fn chunks_keep_their_dots_and_get_the_last_newline() {
        let (mut content, _, mut s) =
            scanned(b".\r\n..a\r\nb\nc\r", 3, BareNewline::Normalize, Framing::Chunks);
        content.extend_from_slice(&s.finish());
        assert_eq!(content, b".\r\n..a\r\nb\r\nc \r\n");
        assert_eq!(s.flags(), ContentFlags::LEADING_DOT);
        assert!(s.saw_bare_newline());
    }
}
