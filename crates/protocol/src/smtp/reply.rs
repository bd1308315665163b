//! How a reply is written on the wire: lines, enhanced codes, and the longest line a client must take.

use mail::Reply;

/// The longest reply line without its CRLF (RFC 5321 4.5.3.1.5 allows 512 with it).
const LINE_MAX: usize = 510;

/// Appends a reply. Lines of the text become lines of the reply, each with the codes; what is unprintable becomes a
/// blank; lines that are too long are cut.
pub fn write(reply: &Reply, out: &mut Vec<u8>) {
    use std::io::Write;
    let mut lines = reply.text.split('\n').peekable();
    while let Some(line) = lines.next() {
        let start = out.len();
        let divider = if lines.peek().is_some() { '-' } else { ' ' };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{:03}{divider}", reply.code);
        if let Some(dsn) = reply.dsn {
            let _ = write!(out, "{dsn} ");
        }
        out.extend(line.bytes().map(|b| if b < 0x20 || b == 0x7f { b' ' } else { b }));
        if out.len() - start > LINE_MAX {
            let mut end = start + LINE_MAX;
            while end > start && out[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            out.truncate(end);
        }
        out.extend_from_slice(b"\r\n");
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
    fn a_line_is_cut_and_cannot_smuggle_another() {
        let long = written(&Reply::plain(250, "ä".repeat(600)));
        assert!(long.len() <= 512 && long.ends_with("\r\n"));
        assert_eq!(written(&Reply::plain(250, "a\r250 b")), "250 a 250 b\r\n");
    }
}
