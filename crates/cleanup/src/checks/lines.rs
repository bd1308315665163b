//! A header as lines.

/// A header as CRLF lines, of which at most `limit` bytes are kept (`header_size_limit`). As Postfix has it, a line
/// that would begin in the last tenth goes, too.
pub(super) fn folded(text: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut at = 0;
    for line in text.split(|&b| b == b'\n') {
        let room = limit.saturating_sub(at);
        if at > 0 && line.len() > room && at > limit - limit / 10 {
            break;
        }
        // What a table puts in may have lost the blank of a fold; without it the header would end there.
        if at > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
            out.push(b'\t');
        }
        out.extend_from_slice(&line[..line.len().min(room)]);
        out.extend_from_slice(b"\r\n");
        if line.len() > room {
            break;
        }
        at += line.len() + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_too_long_is_cut() {
        let cut = |text: &str| String::from_utf8(folded(text.as_bytes(), 60)).unwrap();
        assert_eq!(cut("X-1: a\n b"), "X-1: a\r\n b\r\n");
        assert_eq!(cut("X-1: a\nb\n\nc"), "X-1: a\r\n\tb\r\n\t\r\n\tc\r\n");
        let fifty = "0123456789".repeat(5);
        assert_eq!(cut(&format!("X-1: {fifty}\n 678")), format!("X-1: {fifty}\r\n 678\r\n"));
        assert_eq!(cut(&format!("X-1: {fifty}\n 678901")), format!("X-1: {fifty}\r\n"));
        assert_eq!(cut(&format!("X-1: {fifty}{fifty}")).len(), 62);
        let forty = &fifty[10..];
        assert_eq!(
            cut(&format!("X-2: {forty}\n 5678901234567890")),
            format!("X-2: {forty}\r\n 5678901234567\r\n")
        );
    }
}
