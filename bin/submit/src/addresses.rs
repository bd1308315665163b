//! Addresses in header fields and on the command line (RFC 5322 3.4), as internal forms.
//!
//! Lenient like Postfix: what makes no sense is taken as it stands, so that the mail fails visibly at delivery
//! rather than losing a recipient here.

/// The addresses of a list: `Joe <joe@example.org>, "a b"@example.org (comment), group: x, y;`.
pub fn parse_list(text: &str) -> Vec<Vec<u8>> {
    let mut list = List::default();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => list.quoted(&mut chars),
            '(' => skip_comment(&mut chars),
            '\\' => list.push(chars.next().unwrap_or('\\')),
            '<' => list.begin_angle(),
            '>' => list.end_angle(),
            // A group's name says nothing, its members are addresses; inside <> a colon ends a source route.
            ':' => list.forget(),
            ',' | ';' => list.end(),
            c if c.is_whitespace() => list.blank(),
            c => list.push(c),
        }
    }
    list.end();
    list.found
}

#[derive(Default)]
struct List {
    found: Vec<Vec<u8>>,
    current: String,
    angle: Option<String>,
    in_angle: bool,
    /// A blank was seen behind a word: the next word begins anew unless a special joins them.
    blank: bool,
    /// Something that stands, even when empty (`""`).
    any: bool,
}

impl List {
    fn push(&mut self, c: char) {
        let joins = matches!(c, '@' | '.') || self.current.ends_with(['@', '.']);
        if self.blank && !self.current.is_empty() && !joins {
            // Words without a special between them: the parts of a display name, or of a local part with blanks.
            self.current.push(' ');
        }
        self.blank = false;
        self.any = true;
        self.current.push(c);
    }

    fn quoted(&mut self, chars: &mut std::str::Chars<'_>) {
        self.any = true;
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => self.current.extend(chars.next()),
                // Folded header lines: a line end within quotes is a blank.
                '\r' | '\n' => {}
                c => self.current.push(c),
            }
        }
        self.blank = false;
    }

    fn blank(&mut self) {
        self.blank = true;
    }

    fn begin_angle(&mut self) {
        self.current.clear();
        (self.in_angle, self.blank, self.any) = (true, false, true);
    }

    fn end_angle(&mut self) {
        if self.in_angle {
            self.angle = Some(std::mem::take(&mut self.current));
            self.in_angle = false;
        }
    }

    fn forget(&mut self) {
        self.current.clear();
        self.any = false;
    }

    fn end(&mut self) {
        let current = std::mem::take(&mut self.current);
        let address = self.angle.take().unwrap_or(current);
        if self.any && !address.is_empty() {
            self.found.push(address.into_bytes());
        }
        (self.any, self.in_angle, self.blank) = (false, false, false);
    }
}

fn skip_comment(chars: &mut std::str::Chars<'_>) {
    let mut depth = 1;
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(chars.next()),
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse_list(text).into_iter().map(|a| String::from_utf8(a).unwrap()).collect()
    }

    #[test]
    fn addresses_come_out_of_all_their_dresses() {
        for (text, addresses) in [
            ("ann@example.org", &["ann@example.org"][..]),
            ("Ann <ann@example.org>, bob@example.org", &["ann@example.org", "bob@example.org"]),
            ("\"Doe, Joe\" <joe@e.f>", &["joe@e.f"]),
            ("\"a b\"@x.example", &["a b@x.example"]),
            ("c@d (a (nested) comment, with comma)", &["c@d"]),
            ("friends: x@y, z@w;, root", &["x@y", "z@w", "root"]),
            ("<@relay.example:ann@example.org>", &["ann@example.org"]),
            ("ann @ example . org", &["ann@example.org"]),
            ("<>", &[]),
            (" , ,", &[]),
            ("undisclosed-recipients:;", &[]),
            ("a\\,b@c", &["a,b@c"]),
        ] {
            assert_eq!(parsed(text), addresses, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_list(text in ".{0,200}") {
            let _ = parse_list(&text);
        }
    }
}
