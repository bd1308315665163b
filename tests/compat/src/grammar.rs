//! A grammar of addresses, for tests that ask both programs about many.

/// Makes addresses: those that people write, and what comes of them where operators, quotes and blanks stand anywhere.
pub struct Grammar(u64);

const LOCALS: &[&str] = &[
    "ann",
    "Bob.Lee",
    "a+b",
    "\"a b\"",
    "\"a@b\"",
    "\"a!b\"",
    "\"a%b\"",
    "\"a\\\"b\"",
    "a\\@b",
    "\".a\"",
    "a..b",
    "\"\"",
    "-ann",
    "postmaster",
    "MAILER-DAEMON",
    "a/b=c",
    "owner-list",
    "\"ann\"",
    "a\\ b",
    "\"a.\"",
    "x'y",
];

const DOMAINS: &[&str] = &[
    "mail.example.com",
    "MAIL.example.COM",
    "localhost.example.com",
    "relay.example",
    "sub.relay.example",
    "alias.example",
    "box.example",
    "far.example",
    "far.example.",
    "nodot",
    "nodot.",
    "[127.0.0.1]",
    "[192.0.2.1]",
    "[192.0.2.99]",
    "[IPv6:::1]",
    "[ipv6:2001:db8::1]",
    "[::1]",
    "[1.2.3]",
    "192.0.2.5",
    "127.0.0.1",
    "under_score.example",
    "-bad.example",
    "a..b",
    "example",
    "xn--bcher-kva.example",
    "\"far.example\"",
    "",
    ".",
    "far .example",
];

const OPERATORS: &[&str] =
    &["@", "%", "!", ".", "\"", "\\", " ", ":", "[", "]", "<", ">", "(", ")", "(note)", "@@", "'"];

impl Grammar {
    /// One that makes the same for the same seed.
    pub fn new(seed: u64) -> Grammar {
        Grammar(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// One of some words.
    pub fn of(&mut self, words: &'static [&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// An address.
    pub fn address(&mut self) -> String {
        let (local, domain) = (self.of(LOCALS), self.of(DOMAINS));
        let other = self.of(DOMAINS);
        let mut address = match self.below(14) {
            0..=3 => format!("{local}@{domain}"),
            4 => local.to_owned(),
            5 => format!("{other}!{local}"),
            6 => format!("{other}!{local}@{domain}"),
            7 => format!("{local}%{other}"),
            8 => format!("{local}%{other}@{domain}"),
            9 => format!("@{other}:{local}@{domain}"),
            10 => format!("@{other},@{domain}:{local}@{}", self.of(DOMAINS)),
            11 => format!("{local}@{other}@{domain}"),
            12 => format!("Ann Lee <{local}@{domain}>"),
            _ => format!("{other}!{domain}!{local}%{}@{domain}", self.of(DOMAINS)),
        };
        if self.below(3) == 0 {
            for _ in 0..=self.below(2) {
                let at = self.below(address.len() + 1);
                match self.below(3) {
                    0 if at < address.len() => drop(address.remove(at)),
                    _ => address.insert_str(at, self.of(OPERATORS)),
                }
            }
        }
        address
    }
}
