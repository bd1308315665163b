//! The words of an SMTP command line, and the commands they name.
//!
//! Words are split as Postfix does: at blanks, but not inside `<>` or quotes; `FROM:` and `TO:` end a word, so that
//! `MAIL FROM:<a>` and `MAIL FROM: <a>` are the same.

/// The commands that a server counts by name, in the order of Postfix's `disconnect from` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// HELO.
    Helo,
    /// EHLO.
    Ehlo,
    /// XCLIENT.
    Xclient,
    /// XFORWARD.
    Xforward,
    /// STARTTLS (RFC 3207).
    Starttls,
    /// AUTH (RFC 4954).
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// VRFY.
    Vrfy,
    /// ETRN (RFC 1985).
    Etrn,
    /// QUIT.
    Quit,
    /// HELP.
    Help,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// All verbs in the order of the log.
    pub const ALL: [Verb; 17] = [
        Verb::Helo,
        Verb::Ehlo,
        Verb::Xclient,
        Verb::Xforward,
        Verb::Starttls,
        Verb::Auth,
        Verb::Mail,
        Verb::Rcpt,
        Verb::Data,
        Verb::Bdat,
        Verb::Rset,
        Verb::Noop,
        Verb::Vrfy,
        Verb::Etrn,
        Verb::Quit,
        Verb::Help,
        Verb::Unknown,
    ];

    /// The verb that `word` names, in either case.
    pub fn parse(word: &[u8]) -> Verb {
        Verb::ALL[..16]
            .iter()
            .copied()
            .find(|v| word.eq_ignore_ascii_case(v.name().as_bytes()))
            .unwrap_or(Verb::Unknown)
    }

    /// In capitals, as in `lost connection after RCPT`.
    pub const fn name(self) -> &'static str {
        match self {
            Verb::Helo => "HELO",
            Verb::Ehlo => "EHLO",
            Verb::Xclient => "XCLIENT",
            Verb::Xforward => "XFORWARD",
            Verb::Starttls => "STARTTLS",
            Verb::Auth => "AUTH",
            Verb::Mail => "MAIL",
            Verb::Rcpt => "RCPT",
            Verb::Data => "DATA",
            Verb::Bdat => "BDAT",
            Verb::Rset => "RSET",
            Verb::Noop => "NOOP",
            Verb::Vrfy => "VRFY",
            Verb::Etrn => "ETRN",
            Verb::Quit => "QUIT",
            Verb::Help => "HELP",
            Verb::Unknown => "UNKNOWN",
        }
    }

    /// In small letters, as in `disconnect from … ehlo=1`.
    pub const fn label(self) -> &'static str {
        match self {
            Verb::Helo => "helo",
            Verb::Ehlo => "ehlo",
            Verb::Xclient => "xclient",
            Verb::Xforward => "xforward",
            Verb::Starttls => "starttls",
            Verb::Auth => "auth",
            Verb::Mail => "mail",
            Verb::Rcpt => "rcpt",
            Verb::Data => "data",
            Verb::Bdat => "bdat",
            Verb::Rset => "rset",
            Verb::Noop => "noop",
            Verb::Vrfy => "vrfy",
            Verb::Etrn => "etrn",
            Verb::Quit => "quit",
            Verb::Help => "help",
            Verb::Unknown => "unknown",
        }
    }

    /// Commands that bring no mail: beyond `smtpd_junk_command_limit` each is an error.
    pub(super) const fn is_junk(self) -> bool {
        matches!(self, Verb::Helo | Verb::Ehlo | Verb::Rset | Verb::Noop | Verb::Vrfy | Verb::Etrn)
    }

    /// Commands whose reply a client must await before it sends more (RFC 2920 3.1).
    pub(super) const fn ends_a_group(self) -> bool {
        matches!(self, Verb::Helo | Verb::Ehlo | Verb::Data | Verb::Noop | Verb::Vrfy)
    }
}

/// One word of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The bytes as they came.
    pub text: &'a [u8],
    /// Every quote and every `<` in it is closed.
    pub closed: bool,
}

impl<'a> Word<'a> {
    /// Whether this is `other`, in either case.
    pub fn is(self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other.as_bytes())
    }

    /// What stands behind `NAME=`, in either case.
    pub fn value_of(self, name: &str) -> Option<&'a [u8]> {
        let (head, value) = self.text.split_at_checked(name.len())?;
        if !head.eq_ignore_ascii_case(name.as_bytes()) {
            return None;
        }
        value.strip_prefix(b"=")
    }
}

/// Words of one line at most; a line of 2,048 bytes could hold 1,024, and no command needs more than these.
const WORDS_MAX: usize = 64;

/// Splits a command line into its words.
pub fn words(line: &[u8]) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = line;
    while words.len() < WORDS_MAX {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            break;
        }
        let (word, behind) = word(rest);
        words.push(word);
        rest = behind;
    }
    words
}

fn word(line: &[u8]) -> (Word<'_>, &[u8]) {
    let mut i = 0;
    let mut closed = true;
    while i < line.len() {
        match line[i] {
            b if b.is_ascii_whitespace() => break,
            b'<' => (i, closed) = quoted(line, i, b'>'),
            b'"' => (i, closed) = quoted(line, i, b'"'),
            b'\\' => i = (i + 2).min(line.len()),
            b':' => {
                i += 1;
                let so_far = &line[..i];
                if so_far.eq_ignore_ascii_case(b"from:") || so_far.eq_ignore_ascii_case(b"to:") {
                    break;
                }
            }
            _ => i += 1,
        }
        if !closed {
            break;
        }
    }
    (Word { text: &line[..i], closed }, &line[i..])
}

/// Quotes and `<` within each other at most; deeper ones count as never closed.
const NESTING_MAX: usize = 32;

/// Where the quote that opens at `start` ends, and whether it does.
fn quoted(line: &[u8], start: usize, close: u8) -> (usize, bool) {
    let mut wanted = [0u8; NESTING_MAX];
    wanted[0] = close;
    let mut depth = 0;
    let mut i = start + 1;
    while i < line.len() {
        let b = line[i];
        i += 1;
        let opens = match b {
            b'\\' => {
                i += 1;
                continue;
            }
            b if b == wanted[depth] => {
                if depth == 0 {
                    return (i, true);
                }
                depth -= 1;
                continue;
            }
            _ if wanted[depth] == b'"' => continue,
            b'"' => b'"',
            b'<' => b'>',
            _ => continue,
        };
        depth += 1;
        if depth == NESTING_MAX {
            break;
        }
        wanted[depth] = opens;
    }
    (line.len(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<&str> {
        words(line.as_bytes()).iter().map(|w| std::str::from_utf8(w.text).unwrap()).collect()
    }

    #[test]
    fn from_and_to_end_a_word() {
        assert_eq!(texts("MAIL FROM:<a@b> SIZE=1"), ["MAIL", "FROM:", "<a@b>", "SIZE=1"]);
        assert_eq!(texts("mail from: a@b"), ["mail", "from:", "a@b"]);
        assert_eq!(texts("RCPT TO:a@b"), ["RCPT", "TO:", "a@b"]);
        assert_eq!(texts("EHLO foo:bar"), ["EHLO", "foo:bar"]);
    }

    #[test]
    fn blanks_inside_quotes_and_brackets_do_not_divide() {
        assert_eq!(texts("RCPT TO:<\"a b\"@c>  X"), ["RCPT", "TO:", "<\"a b\"@c>", "X"]);
        assert_eq!(texts("RCPT TO:\"a > b\"@c"), ["RCPT", "TO:", "\"a > b\"@c"]);
        assert_eq!(texts("RCPT TO:<a<b > c>@d> X"), ["RCPT", "TO:", "<a<b > c>@d>", "X"]);
    }

    #[test]
    fn address_literals_and_comments_are_like_any_text() {
        assert_eq!(texts("EHLO [IPv6: 1]"), ["EHLO", "[IPv6:", "1]"]);
        assert_eq!(texts("RCPT TO:<a@[192.0.2.1> X"), ["RCPT", "TO:", "<a@[192.0.2.1>", "X"]);
        assert_eq!(texts("RCPT TO:a(b c)@d"), ["RCPT", "TO:", "a(b", "c)@d"]);
        assert_eq!(texts("RCPT TO:<(x > y) a@b>"), ["RCPT", "TO:", "<(x >", "y)", "a@b>"]);
    }

    #[test]
    fn a_quote_that_never_closes_is_marked() {
        for line in ["<a@b", "\"a@b", "<\"a>", "<a\\", &"<".repeat(2000)] {
            let all = words(line.as_bytes());
            assert!(all.iter().any(|w| !w.closed), "{line}");
        }
    }

    #[test]
    fn every_verb_is_found_in_either_case() {
        for verb in &Verb::ALL[..16] {
            assert_eq!(Verb::parse(verb.label().as_bytes()), *verb);
            assert_eq!(Verb::parse(verb.name().as_bytes()), *verb);
        }
        assert_eq!(Verb::parse(b"XYZZY"), Verb::Unknown);
    }
}
