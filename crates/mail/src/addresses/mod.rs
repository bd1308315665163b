//! The addresses of a header (`To`, `From`, …): found, replaced one by one, and written again.
//!
//! RFC 5322 3.4. Postfix reads a header from its end and takes for addresses whatever may be some: words that no comma
//! divides are two addresses, comments go behind their address, groups and phrases stay. The same is done here; a header
//! in which no address is replaced need not be written again.

mod token;
mod written;

use token::{Token, scan, write_one};
pub use written::Written;

/// Lines are filled up to so many characters; an address that is longer has a line of its own.
const LINE_MAX: usize = 69;

/// The value of a header with addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHeader {
    parts: Vec<Part>,
    /// Places of the addresses among the parts.
    addresses: Vec<usize>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Stays as it is.
    Plain(Token),
    /// The colon behind a group's name.
    GroupName,
    /// Words and operators of an address, and the comments within and around it.
    Address { words: Vec<Token>, new: Option<Vec<u8>>, comments: Vec<Token> },
}

/// What has been read to the right of the place where reading is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    /// The end of an address, or nothing.
    Nothing,
    /// `<address>`: words before it are somebody's name.
    Angle,
    /// A group's colon: words before it are the group's name.
    GroupName,
}

impl AddressHeader {
    /// Reads what stands behind the colon of a header, at most so many words and operators of it
    /// (`header_address_token_limit`). Never fails; linear in the text.
    pub fn parse(value: &[u8], token_limit: usize) -> AddressHeader {
        let mut reader = Reader {
            tokens: scan(value, token_limit),
            parts: Vec::new(),
            right: Right::Nothing,
            in_group: false,
        };
        while let Some(token) = reader.tokens.pop() {
            reader.take(token);
        }
        let mut parts = reader.parts;
        parts.reverse();
        let is_address = |part: &Part| matches!(part, Part::Address { words, .. } if !words.is_empty());
        let addresses = (0..parts.len()).filter(|&at| is_address(&parts[at])).collect();
        AddressHeader { parts, addresses, changed: false }
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there is no address.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// An address.
    pub fn address(&self, index: usize) -> Written {
        match &self.parts[self.addresses[index]] {
            Part::Address { words, .. } => Written::of_words(words),
            _ => unreachable!("the places are those of addresses"),
        }
    }

    /// Puts another address into its place.
    pub fn replace(&mut self, index: usize, address: &Written) {
        if let Part::Address { words, new, .. } = &mut self.parts[self.addresses[index]]
            && written::shown(words) != address.to_external()
        {
            self.changed = true;
            *new = Some(address.shown());
        }
    }

    /// Whether some address has become another.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// The whole header with its name: lines with CR LF, folded behind commas.
    pub fn write(&self, name: &[u8]) -> Vec<u8> {
        let mut pieces: Vec<Vec<u8>> = vec![[name, b": "].concat()];
        let mut before: Option<&Token> = None;
        for part in &self.parts {
            let out = pieces.last_mut().expect("there is one from the start");
            match part {
                Part::Plain(comma) if comma.is(b',') => {
                    out.push(b',');
                    pieces.push(Vec::new());
                    before = None;
                }
                Part::Plain(token) => {
                    write_one(token, before, out);
                    before = Some(token);
                }
                Part::GroupName => {
                    out.extend_from_slice(b": ");
                    before = None;
                }
                Part::Address { words, new, comments } => {
                    if !words.is_empty() {
                        match new {
                            Some(new) => out.extend_from_slice(new),
                            None => out.extend(Written::of_words(words).shown()),
                        }
                        before = words.last();
                    }
                    for token in comments {
                        if before.is_some_and(|before| !words.is_empty() && !before.is_text()) {
                            out.push(b' ');
                        }
                        write_one(token, before, out);
                        before = Some(token);
                    }
                }
            }
        }
        fold(&pieces)
    }
}

struct Reader {
    tokens: Vec<Token>,
    /// From the right to the left.
    parts: Vec<Part>,
    right: Right,
    /// A `;` stands to the right, and no colon of its group yet.
    in_group: bool,
}

impl Reader {
    fn take(&mut self, token: Token) {
        match (&token, self.right) {
            (Token::Operator(b','), _) => self.plain(token, Right::Nothing),
            (_, Right::GroupName) => self.plain(token, Right::GroupName),
            (Token::Operator(b';'), _) => {
                self.in_group = true;
                self.plain(token, Right::Nothing);
            }
            (Token::Operator(b'>'), _) => {
                self.plain(token, Right::Angle);
                self.angle();
            }
            (Token::Operator(b':'), _) if self.in_group => {
                self.in_group = false;
                self.right = Right::GroupName;
                self.parts.push(Part::GroupName);
            }
            (Token::Operator(b':'), Right::Angle) => self.plain(token, Right::Nothing),
            (_, Right::Angle) => self.plain(token, Right::Angle),
            (_, Right::Nothing) => self.address(token),
        }
    }

    fn plain(&mut self, token: Token, right: Right) {
        self.right = right;
        self.parts.push(Part::Plain(token));
    }

    /// What stands between `<` and `>`.
    fn angle(&mut self) {
        let (mut words, mut comments) = (Vec::new(), Vec::new());
        let mut open = false;
        while let Some(token) = self.tokens.pop() {
            match token {
                Token::Operator(b'<') => {
                    open = true;
                    break;
                }
                Token::Comment(_) => comments.push(token),
                _ => words.push(token),
            }
        }
        self.push_address(words, comments);
        if open {
            self.parts.push(Part::Plain(Token::Operator(b'<')));
        }
    }

    /// An address without brackets whose last token is known.
    fn address(&mut self, last: Token) {
        let (mut words, mut comments) = (Vec::new(), Vec::new());
        let mut next = Some(last);
        while let Some(token) = next {
            match token {
                Token::Comment(_) => comments.push(token),
                _ => words.push(token),
            }
            let goes_on = self.tokens.last().is_some_and(|left| match left {
                Token::Operator(b',' | b';' | b'>') => false,
                Token::Operator(b':') => !self.in_group,
                left => !(left.is_word() && words.last().is_some_and(Token::is_word)),
            });
            next = if goes_on { self.tokens.pop() } else { None };
        }
        let is_address = !words.is_empty();
        self.push_address(words, comments);
        let divided = match self.tokens.last() {
            None | Some(Token::Operator(b',')) => true,
            Some(Token::Operator(b':')) => self.in_group,
            Some(_) => false,
        };
        if is_address && !divided {
            self.parts.push(Part::Plain(Token::Operator(b',')));
        }
    }

    fn push_address(&mut self, mut words: Vec<Token>, mut comments: Vec<Token>) {
        words.reverse();
        comments.reverse();
        self.parts.push(Part::Address { words, new: None, comments });
    }
}

/// Joins pieces, each of which ends with a comma, to lines. A comment without end may have lines of its own.
fn fold(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut length = 0;
    for (at, line) in pieces.iter().flat_map(|piece| piece.split(|&byte| byte == b'\n')).enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if at > 0 && length + 1 + line.len() > LINE_MAX {
            out.extend_from_slice(b"\r\n");
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                out.push(b'\t');
            }
            length = 0;
        } else if at > 0 {
            out.push(b' ');
            length += 1;
        }
        out.extend_from_slice(line);
        length += line.len();
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10_240;

    fn found(value: &str) -> Vec<String> {
        let header = AddressHeader::parse(value.as_bytes(), LIMIT);
        let text = |at| String::from_utf8_lossy(header.address(at).text()).into_owned();
        (0..header.len()).map(text).collect()
    }

    /// The header with each address that has no domain in example.org.
    fn completed(value: &str, limit: usize) -> String {
        let mut header = AddressHeader::parse(value.as_bytes(), limit);
        for at in 0..header.len() {
            let mut address = header.address(at);
            if address.last(b'@').is_none() {
                address.push(b'@');
                address.push_domain(b"example.org");
                header.replace(at, &address);
            }
        }
        assert!(header.is_changed());
        String::from_utf8_lossy(&header.write(b"To")).into_owned()
    }

    #[test]
    fn addresses_are_found_among_names_comments_and_groups() {
        for (value, addresses) in [
            (" ann@a.org, Bob B. <bob@a.org> (x)", vec!["ann@a.org", "bob@a.org"]),
            (" ann bob", vec!["ann", "bob"]),
            (" team: ann, <bob>; , carl", vec!["ann", "bob", "carl"]),
            (" nobody:;", vec![]),
            (" <>", vec![]),
            (" \"ann smith\" @ (at) a . org", vec!["ann smith@a.org"]),
            (" <@a,@b:ann@c>", vec!["@a, @b:ann@c"]),
            (" a\\@b", vec!["a@b"]),
            ("", vec![]),
        ] {
            assert_eq!(found(value), addresses, "{value}");
        }
    }

    #[test]
    fn what_is_open_at_the_end_is_closed_there() {
        assert_eq!(found("\"ann"), ["ann"]);
        assert_eq!(found("[ann"), ["[ann]"]);
        assert_eq!(found("ann>"), ["ann"]);
        assert_eq!(completed(" ann (x", LIMIT), "To: ann@example.org (x\r\n");
    }

    #[test]
    fn names_and_groups_stay_and_comments_go_behind_their_address() {
        for (value, written) in [
            (" Ann Other <ann>", "Ann Other <ann@example.org>"),
            (" (x) ann (y)", "ann@example.org (x) (y)"),
            (" team: ann, bob;", "team: ann@example.org, bob@example.org;"),
            (" \"a b\"", "\"a b\"@example.org"),
            (" a\\ b <c>", "\"a b\" <c@example.org>"),
            (" ann,", "ann@example.org, "),
        ] {
            assert_eq!(completed(value, LIMIT), format!("To: {written}\r\n"));
        }
    }

    #[test]
    fn long_headers_are_folded_behind_commas() {
        let written = completed(&" someone".repeat(5), LIMIT);
        let address = "someone@example.org";
        assert_eq!(written, format!("To: {address}, {address}, {address},\r\n\t{address}, {address}\r\n"));
    }

    #[test]
    fn a_limit_of_words_cuts_the_header_off() {
        assert_eq!(completed(" a b c d", 3), "To: a@example.org, b@example.org, c@example.org\r\n");
    }

    #[test]
    fn a_header_whose_addresses_stay_is_not_changed() {
        let mut header = AddressHeader::parse(b" ann @ a.org", LIMIT);
        let address = header.address(0);
        header.replace(0, &address);
        assert!(!header.is_changed());
    }

    #[test]
    fn an_atom_is_told_from_what_stood_in_quotes() {
        let header = AddressHeader::parse(b" a!b, \"a!b\"", LIMIT);
        assert_eq!((header.address(0).first(b'!'), header.address(1).first(b'!')), (Some(1), None));
        let (user, site) = header.address(0).split(1);
        assert_eq!(user.join(b'@', &site).to_external(), b"a@b");
    }
}
