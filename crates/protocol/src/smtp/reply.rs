//! How a reply is written on the wire: lines, enhanced codes, and the longest line a client must take.

use mail::Reply;

/// The longest reply line without its CRLF (RFC 5321 4.5.3.1.5 allows 512 with it).
const LINE_MAX: usize = 510;

/// Appends a reply. Lines of the text become lines of the reply, each with the codes; what is unprintable becomes a
/// blank; lines that are too long are divided, behind a blank where there is one.
pub fn write(reply: &Reply, out: &mut Vec<u8>) {
    use std::io::Write;
    let dsn = reply.dsn.map(|dsn| format!("{dsn} ")).unwrap_or_default();
    let room = LINE_MAX - "250-".len() - dsn.len();
    let mut lines = reply.text.split('\n').flat_map(|line| Pieces { rest: Some(line), room }).peekable();
    while let Some(line) = lines.next() {
        let divider = if lines.peek().is_some() { '-' } else { ' ' };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{:03}{divider}{dsn}", reply.code);
        out.extend(line.bytes().map(|b| if b < 0x20 || b == 0x7f { b' ' } else { b }));
        out.extend_from_slice(b"\r\n");
    }
}

/// A line in pieces of at most `room` bytes; at least one, which may be empty.
struct Pieces<'a> {
    rest: Option<&'a str>,
    room: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        if rest.len() <= self.room {
            return Some(rest);
        }
        let most = (1..=self.room).rev().find(|&n| rest.is_char_boundary(n)).unwrap_or(rest.len());
        let end = rest[..most].rfind(' ').map_or(most, |blank| blank + 1);
        let (piece, rest) = rest.split_at(end);
        self.rest = Some(rest).filter(|rest| !rest.is_empty());
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Dsn;

    fn written(reply: &Reply) -> String {
        let mut out = Vec::new();
        write(reply, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_line_has_the_codes() {
        let reply = Reply::new(550, Dsn::new(5, 7, 1), "no\nreally");
        assert_eq!(written(&reply), "550-5.7.1 no\r\n550 5.7.1 really\r\n");
        assert_eq!(written(&Reply::plain(354, "go")), "354 go\r\n");
    }

    #[test]
    fn a_long_line_becomes_several() {
        let word = "x".repeat(99);
        let text = [word.as_str(); 6].join(" ");
        let five = [word.as_str(); 5].join(" ");
        let reply = Reply::new(550, Dsn::new(5, 7, 1), text);
        assert_eq!(written(&reply), format!("550-5.7.1 {five} \r\n550 5.7.1 {word}\r\n"));
        let long = written(&Reply::plain(250, "ä".repeat(600)));
        assert!(long.split("\r\n").all(|line| line.len() <= 510));
        assert_eq!(long.replace("250-", "").replace("250 ", "").replace("\r\n", ""), "ä".repeat(600));
    }

    #[test]
    fn a_line_cannot_smuggle_another() {
        assert_eq!(written(&Reply::plain(250, "a\r250 b")), "250 a 250 b\r\n");
        assert_eq!(written(&Reply::plain(250, "")), "250 \r\n");
    }
}
