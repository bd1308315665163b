//! A text that every match of a pattern has in it, so that most patterns of a table need not be tried on a key.
//!
//! It is read off the pattern, without regard to case, and only where that is plain to see: what stands outside of groups,
//! classes and alternatives and is not repeated. Whatever could mean something else makes the pattern one without a needle,
//! which is tried always. A test holds both libraries to it.

use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::HashMap;

/// Which language a pattern is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// POSIX extended, as glibc reads it.
    Posix,
    /// PCRE2, without its extended option.
    Perl,
}

/// Shorter ones are in too many keys to be of use.
const NEEDLE_MIN: usize = 3;

/// So few patterns are tried as fast as their needles are looked for.
const NEEDLES_MIN: usize = 16;

/// The needles of a table.
#[derive(Default)]
pub(crate) struct Needles {
    search: Option<AhoCorasick>,
    count: usize,
}

/// Which needles a key has in it.
pub(crate) struct Seen(Option<Vec<u64>>);

/// The number of a needle in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NeedleId(u32);

impl Needles {
    /// Collects needles, and tells each who brought it its number.
    pub(crate) fn of<'a>(
        tests: impl Iterator<Item = (Option<Vec<u8>>, &'a mut Option<NeedleId>)>,
    ) -> Needles {
        let mut ids: HashMap<Vec<u8>, u32> = HashMap::new();
        let mut needles = Vec::new();
        for (needle, id) in tests {
            let Some(needle) = needle.map(|needle| needle.to_ascii_lowercase()) else { continue };
            let next =
                u32::try_from(needles.len()).expect("there are fewer needles than rules, see RULES_MAX");
            *id = Some(NeedleId(*ids.entry(needle).or_insert_with_key(|needle| {
                needles.push(needle.clone());
                next
            })));
        }
        if needles.len() < NEEDLES_MIN {
            return Needles::default();
        }
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::Standard).ascii_case_insensitive(true);
        // Where it cannot be built, all patterns are tried.
        Needles { search: builder.build(&needles).ok(), count: needles.len() }
    }

    /// Looks for all needles in a key at once.
    pub(crate) fn seen(&self, key: &[u8]) -> Seen {
        Seen(self.search.as_ref().map(|search| {
            let mut seen = vec![0u64; self.count.div_ceil(64)];
            for found in search.find_overlapping_iter(key) {
                let number = found.pattern().as_usize();
                seen[number / 64] |= 1 << (number % 64);
            }
            seen
        }))
    }
}

impl Seen {
    /// Whether a pattern may match: it has no needle, or the key has it.
    pub(crate) fn allows(&self, needle: Option<NeedleId>) -> bool {
        match (&self.0, needle) {
            (Some(seen), Some(NeedleId(number))) => seen[number as usize / 64] >> (number % 64) & 1 == 1,
            _ => true,
        }
    }
}

/// The longest needle of a pattern.
pub(crate) fn needle(pattern: &[u8], language: Language) -> Option<Vec<u8>> {
    let mut reader = Reader { pattern, at: 0, language, run: Vec::new(), best: Vec::new() };
    while let Some(byte) = reader.next() {
        match byte {
            b'\\' => reader.escape()?,
            b'[' => {
                reader.end_run();
                reader.class()?;
            }
            b'(' => {
                reader.end_run();
                reader.group()?;
            }
            b'|' => return None,
            b'*' | b'?' => reader.optional(),
            b'+' if reader.peek().is_some_and(|next| b"*?+{".contains(&next)) => reader.optional(),
            b'{' => reader.bounds(),
            b'^' | b'$' | b'.' | b')' | b'+' => reader.end_run(),
            literal => reader.run.push(literal),
        }
    }
    reader.end_run();
    (reader.best.len() >= NEEDLE_MIN).then_some(reader.best)
}

struct Reader<'a> {
    pattern: &'a [u8],
    at: usize,
    language: Language,
    run: Vec<u8>,
    best: Vec<u8>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// What follows does not stand right behind what was read.
    fn end_run(&mut self) {
        if self.run.len() > self.best.len() {
            self.best.clone_from(&self.run);
        }
        self.run.clear();
    }

    /// The last thing may be left out.
    fn optional(&mut self) {
        self.run.pop();
        self.end_run();
    }

    /// Behind a `{`: where it is no bound, it stands for itself, which costs a needle at most.
    fn bounds(&mut self) {
        self.optional();
        let rest = &self.pattern[self.at..];
        let inner = rest.iter().position(|b| !b.is_ascii_digit() && !b", ".contains(b)).unwrap_or(rest.len());
        if rest.get(inner) == Some(&b'}') {
            self.at += inner + 1;
        }
    }

    fn escape(&mut self) -> Option<()> {
        let escaped = self.next()?;
        let stands_for_itself = match (self.language, escaped) {
            (Language::Posix, b'<' | b'>' | b'`' | b'\'') => false,
            (Language::Posix, escaped) => !escaped.is_ascii_alphanumeric(),
            // Others take more of the pattern with them (`\12`, `\x41`, `\Q`, `\g{1}`) or change what a match is (`\K`).
            (Language::Perl, escaped) if escaped.is_ascii_alphanumeric() => {
                if !b"dDwWsSbBAzZhHvVRtnrfae".contains(&escaped) {
                    return None;
                }
                false
            }
            (Language::Perl, _) => true,
        };
        match stands_for_itself {
            true => self.run.push(escaped),
            false => self.end_run(),
        }
        Some(())
    }

    /// Passes over a class, behind its `[`.
    fn class(&mut self) -> Option<()> {
        if self.peek() == Some(b'^') {
            self.at += 1;
        }
        if self.peek() == Some(b']') {
            self.at += 1;
        }
        loop {
            match (self.next()?, self.peek()) {
                (b']', _) => return Some(()),
                (b'[', Some(kind @ (b':' | b'.' | b'='))) => {
                    let inner = &self.pattern[self.at + 1..];
                    let end = inner.windows(2).position(|w| w == [kind, b']'])?;
                    // What is no name of a class means different things to different libraries.
                    if kind != b':' || !inner[..end].iter().all(u8::is_ascii_lowercase) {
                        return None;
                    }
                    self.at += 1 + end + 2;
                }
                (b'\\', escaped) if self.language == Language::Perl => {
                    if escaped.is_none_or(|escaped| b"QE".contains(&escaped)) {
                        return None;
                    }
                    self.at += 1;
                }
                _ => {}
            }
        }
    }

    /// Passes over a group and the groups in it, behind its `(`.
    fn group(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            if self.language == Language::Perl {
                let rest = &self.pattern[self.at..];
                // `(*VERB)` may end a match early, `(?x)` changes the language, `(?(…` and `(?|` are rare.
                let odd = match rest {
                    [b'*', ..] => true,
                    [b'?', next, ..] => !b":=!<>P".contains(next),
                    _ => false,
                };
                if odd {
                    return None;
                }
            }
            loop {
                match self.next()? {
                    b'\\' => {
                        if self.language == Language::Perl && b"QE".contains(&self.peek()?) {
                            return None;
                        }
                        self.at += 1;
                    }
                    b'[' => self.class()?,
                    b'(' => {
                        depth += 1;
                        break;
                    }
                    b')' if depth == 0 => return Some(()),
                    b')' => depth -= 1,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::CString;
    use sys::{Pcre, PcreOptions, PosixOptions, PosixRegex};

    fn of(pattern: &str, language: Language) -> Option<String> {
        needle(pattern.as_bytes(), language).map(|needle| String::from_utf8(needle).unwrap())
    }

    #[test]
    fn needles_are_what_has_to_be_there() {
        for (pattern, posix, perl) in [
            (
                r"^user12@host3\.example\.(com|net)$",
                Some("user12@host3.example."),
                Some("user12@host3.example."),
            ),
            ("abc|def", None, None),
            ("ab", None, None),
            ("abcd*ef", Some("abc"), Some("abc")),
            ("abcd+efgh", Some("abcd"), Some("abcd")),
            ("abcd+?ef", Some("abc"), Some("abc")),
            ("abcd{0,1}e", Some("abc"), Some("abc")),
            ("(abcdef)?ghi", Some("ghi"), Some("ghi")),
            ("[abc]def[^]x]", Some("def"), Some("def")),
            (r"abc\d12345", Some("12345"), Some("12345")),
            (r"abcd\x41234", Some("41234"), None),
            (r"abc\Qd*\E", Some("abc"), None),
            ("(*ACCEPT)abc", Some("ACCEPT"), None),
            ("(?i)abc", Some("abc"), None),
            ("(?=x)abc(?<!y)", Some("abc"), Some("abc")),
        ] {
            let expected = |needle: Option<&str>| needle.map(str::to_owned);
            if pattern != "(*ACCEPT)abc" && pattern != r"abcd\x41234" {
                assert_eq!(of(pattern, Language::Posix), expected(posix), "{pattern}");
            }
            assert_eq!(of(pattern, Language::Perl), expected(perl), "{pattern}");
        }
    }

    /// Pieces of both languages, so that some combine to what means something else.
    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => "[abc]{1,4}",
            4 => proptest::sample::select(vec![
                "*", "+", "?", "{2}", "{0,1}", "{,2}", "{", "}", ".", "^", "$", "(", ")", "|", "[ab]", "[^a]", "[]a]", "[", "]",
                "[[:alpha:]]", "\\", "\\.", "\\b", "\\w", "\\1", "\\Q", "\\E", "\\K", "\\x61", "\\141", "\\<", "\\`", "\\{", "(?:", "(?i)",
                "(?x)", "(?=", "(?!", "(?<=", "(?>", "(?|", "(?#", "(*ACCEPT)", "(?R)", "(?(1)", "(?x: #", "\\\\", " ", "#",
            ]).prop_map(str::to_owned),
        ];
        proptest::collection::vec(piece, 1..10).prop_map(|pieces| pieces.concat())
    }

    fn has(text: &str, needle: &[u8]) -> bool {
        let (text, needle) = (text.to_ascii_lowercase(), needle.to_ascii_lowercase());
        text.as_bytes().windows(needle.len()).any(|window| window == needle)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_library_matches_a_text_without_the_needle(
            pattern in pattern(),
            texts in proptest::collection::vec("[abcABC.{} ]{0,10}", 24),
        ) {
            let c = CString::new(pattern.as_str()).unwrap();
            let extended = PosixOptions { extended: true, ignore_case: true, ..PosixOptions::default() };
            let perl = PcreOptions { caseless: true, dotall: true, ..PcreOptions::default() };
            let posix = PosixRegex::compile(&c, extended).ok().zip(needle(pattern.as_bytes(), Language::Posix));
            let perl = Pcre::compile(pattern.as_bytes(), perl).ok().zip(needle(pattern.as_bytes(), Language::Perl));
            for text in &texts {
                let c = CString::new(text.as_str()).unwrap();
                if let Some((regex, needle)) = &posix {
                    prop_assert!(has(text, needle) || regex.is_match(&c) != Ok(true), "posix {pattern:?} {text:?}");
                }
                if let Some((regex, needle)) = &perl {
                    prop_assert!(has(text, needle) || regex.is_match(text.as_bytes()) != Ok(true), "perl {pattern:?} {text:?}");
                }
            }
        }
    }
}
