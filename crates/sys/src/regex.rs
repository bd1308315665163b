//! POSIX regular expressions as the C library matches them: leftmost, then longest.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::Range;

/// How a pattern is to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct PosixOptions {
    /// Extended syntax (`REG_EXTENDED`) in place of the basic one.
    pub extended: bool,
    /// Letters match in either case (`REG_ICASE`).
    pub ignore_case: bool,
    /// `^` and `$` match at newlines within the text, `.` matches none (`REG_NEWLINE`).
    pub newline: bool,
    /// Only whether it matches will be asked, not where its groups are (`REG_NOSUB`): that is faster.
    pub no_groups: bool,
}

/// A compiled POSIX regular expression. It works on bytes as long as nobody calls setlocale, which Rust does not.
pub struct PosixRegex {
    /// Boxed, so that what regcomp filled stays where it is.
    regex: Box<libc::regex_t>,
    groups: usize,
}

// SAFETY: a regex_t is plain memory of the heap that no thread owns; regfree may be called from any thread.
unsafe impl Send for PosixRegex {}
// SAFETY: shared references only reach regexec, which takes the regex_t as const and is MT-Safe by POSIX and by glibc's
// manual; glibc guards the automaton that it builds up while matching by a lock of its own in the regex_t.
unsafe impl Sync for PosixRegex {}

impl PosixRegex {
    /// Compiles a pattern; the error is the C library's text. A pattern that would take it seconds, gigabytes or the whole
    /// stack is refused with its text for such.
    pub fn compile(pattern: &CStr, options: PosixOptions) -> Result<PosixRegex, String> {
        let groups = groups_of(pattern, options).ok_or_else(|| error_text(libc::REG_ESPACE))?;
        let mut flags = 0;
        for (on, flag) in [
            (options.extended, libc::REG_EXTENDED),
            (options.ignore_case, libc::REG_ICASE),
            (options.newline, libc::REG_NEWLINE),
            (options.no_groups, libc::REG_NOSUB),
        ] {
            flags |= if on { flag } else { 0 };
        }
        let mut regex = Box::new(MaybeUninit::<libc::regex_t>::uninit());
        // SAFETY: regcomp fills the regex_t that the first pointer names, which is live, exclusive and of the right size;
        // the pattern is NUL-terminated and only read.
        let code = unsafe { libc::regcomp(regex.as_mut_ptr(), pattern.as_ptr(), flags) };
        if code != 0 {
            return Err(error_text(code));
        }
        // SAFETY: regcomp returned 0, so it has filled the whole regex_t.
        let regex = unsafe { regex.assume_init() };
        Ok(PosixRegex { regex, groups })
    }

    /// How many groups `( )` the pattern has.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether the pattern matches somewhere in `text`.
    pub fn is_match(&self, text: &CStr) -> Result<bool, String> {
        self.run(text, &mut [])
    }

    /// Whether the pattern matches somewhere in `text`, and where its groups are: number 0 is the whole match. A pattern
    /// compiled with `no_groups` says nothing about them.
    pub fn captures(&self, text: &CStr, groups: &mut Vec<Option<Range<usize>>>) -> Result<bool, String> {
        let unset = libc::regmatch_t { rm_so: -1, rm_eo: -1 };
        let mut found = vec![unset; self.groups + 1];
        let matched = self.run(text, &mut found)?;
        groups.clear();
        groups.extend(found.iter().map(|group| {
            let (from, to) = (usize::try_from(group.rm_so).ok()?, usize::try_from(group.rm_eo).ok()?);
            Some(from..to)
        }));
        Ok(matched)
    }

    fn run(&self, text: &CStr, groups: &mut [libc::regmatch_t]) -> Result<bool, String> {
        // SAFETY: `regex` was filled by regcomp and is not freed while `self` is borrowed; the text is NUL-terminated and
        // only read; `groups` is exclusive memory for as many entries as its length says.
        let code = unsafe {
            libc::regexec(&raw const *self.regex, text.as_ptr(), groups.len(), groups.as_mut_ptr(), 0)
        };
        match code {
            0 => Ok(true),
            libc::REG_NOMATCH => Ok(false),
            code => Err(error_text(code)),
        }
    }
}

impl Drop for PosixRegex {
    fn drop(&mut self) {
        // SAFETY: `regex` was filled by regcomp, is freed here only, and nobody can use it afterwards.
        unsafe { libc::regfree(&raw mut *self.regex) }
    }
}

/// The C library's text for an error of regcomp or regexec; for regcomp's errors it needs no regex_t.
fn error_text(code: libc::c_int) -> String {
    /// The longest texts have some forty bytes.
    const TEXT_MAX: usize = 256;
    let mut text = [0u8; TEXT_MAX];
    // SAFETY: a null regex_t is allowed (POSIX: only the code counts then, and glibc never looks at it); the buffer is
    // exclusive memory of the length that is passed, and regerror ends what it writes with a NUL within that.
    unsafe { libc::regerror(code, std::ptr::null(), text.as_mut_ptr().cast(), text.len()) };
    CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy().into_owned()
}

/// Groups within groups; glibc goes down its stack for each, and 20,000 were the end of 8 MB. PCRE2 has the same bound.
const DEPTH_MAX: usize = 250;

/// Repetitions of one thing behind each other, as in `a**`; glibc's time grows with their square.
const REPEATS_MAX: usize = 100;

/// Nodes that a pattern may come to when its bounds `{m,n}` are written out. Those that may be left out count twenty
/// times: glibc's time grows with their square (`.{0,5000}` 0.2 s, `.{0,32767}` 18 s and 4 GB).
const NODES_MAX: usize = 1 << 18;
const OPTIONAL_WEIGHT: usize = 20;

/// The number of groups in a pattern; nothing where it is too much for the C library. That counts groups too, but where
/// it keeps the number differs from one C library to the next.
fn groups_of(pattern: &CStr, options: PosixOptions) -> Option<usize> {
    let mut scan = Scan::default();
    let (pattern, mut at) = (pattern.to_bytes(), 0);
    while let Some(&byte) = pattern.get(at) {
        let next = pattern.get(at + 1).copied();
        // What stands for itself in one syntax is an operator behind a backslash in the other.
        let (symbol, length) = match (byte, next) {
            (b'\\', Some(next)) => (if options.extended { b'a' } else { next }, 2),
            (b'(' | b')' | b'{' | b'+' | b'?' | b'|', _) if !options.extended => (b'a', 1),
            (byte, _) => (byte, 1),
        };
        at += length;
        match symbol {
            b'(' => scan.open()?,
            b')' => scan.close(),
            b'*' | b'+' | b'?' => scan.repeat(0, 1)?,
            b'{' => {
                let end = pattern[at..].iter().position(|b| !b.is_ascii_digit() && *b != b',');
                let (least, most) = bounds(&pattern[at..at + end.unwrap_or(pattern.len() - at)]);
                scan.repeat(least, most)?;
            }
            b'[' if length == 1 => {
                at = end_of_bracket(pattern, at);
                scan.atom();
            }
            _ => scan.atom(),
        }
    }
    Some(scan.groups)
}

/// `m`, `m,` or `m,n` as the least and the most; what is no number is none.
fn bounds(text: &[u8]) -> (usize, usize) {
    let mut numbers = text.split(|&b| b == b',').map(|number| {
        number.iter().fold(0usize, |sum, b| sum.saturating_mul(10).saturating_add(usize::from(b & 15)))
    });
    let least = numbers.next().unwrap_or(0);
    (least, numbers.next().unwrap_or(least).max(least))
}

/// What a pattern comes to, while it is read.
#[derive(Default)]
struct Scan {
    groups: usize,
    /// The nodes of the groups that are open, outermost first.
    outer: Vec<usize>,
    /// The nodes of the innermost group up to the last thing in it.
    nodes: usize,
    /// The nodes of the last thing, which a repetition would repeat.
    last: usize,
    /// Repetitions behind the last thing.
    repeats: usize,
    /// The nodes of all that bounds repeat.
    copied: usize,
}

impl Scan {
    fn atom(&mut self) {
        self.nodes = self.nodes.saturating_add(self.last);
        (self.last, self.repeats) = (1, 0);
    }

    fn open(&mut self) -> Option<()> {
        self.groups += 1;
        self.outer.push(self.nodes.saturating_add(self.last));
        (self.nodes, self.last, self.repeats) = (0, 0, 0);
        (self.outer.len() <= DEPTH_MAX).then_some(())
    }

    fn close(&mut self) {
        // One that closes nothing is for regcomp to refuse, or to take as it is.
        let Some(outer) = self.outer.pop() else { return self.atom() };
        self.last = self.nodes.saturating_add(self.last).saturating_add(1);
        (self.nodes, self.repeats) = (outer, 0);
    }

    fn repeat(&mut self, least: usize, most: usize) -> Option<()> {
        let copies = least.saturating_add((most - least).saturating_mul(OPTIONAL_WEIGHT)).max(1);
        if copies > 1 && (least, most) != (0, 1) {
            self.last = self.last.saturating_mul(copies);
            self.copied = self.copied.saturating_add(self.last);
        }
        self.repeats += 1;
        (self.repeats <= REPEATS_MAX && self.copied <= NODES_MAX).then_some(())
    }
}

/// Where the bracket expression ends whose `[` stands before `at`.
fn end_of_bracket(pattern: &[u8], mut at: usize) -> usize {
    at += usize::from(pattern.get(at) == Some(&b'^'));
    // A `]` that comes first stands for itself.
    at += usize::from(pattern.get(at) == Some(&b']'));
    loop {
        match (pattern.get(at), pattern.get(at + 1)) {
            (None | Some(b']'), _) => return at + 1,
            (Some(b'['), Some(&kind @ (b':' | b'.' | b'='))) => {
                let inner = &pattern[at + 2..];
                let length = inner.windows(2).position(|w| w == [kind, b']']).unwrap_or(inner.len());
                at += 2 + length + 2;
            }
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    const EXTENDED: PosixOptions =
        PosixOptions { extended: true, ignore_case: true, newline: false, no_groups: false };

    fn compile(pattern: &str, options: PosixOptions) -> Result<PosixRegex, String> {
        PosixRegex::compile(&CString::new(pattern).unwrap(), options)
    }

    fn groups(regex: &PosixRegex, text: &str) -> Option<Vec<Option<Range<usize>>>> {
        let mut found = Vec::new();
        regex.captures(&CString::new(text).unwrap(), &mut found).unwrap().then_some(found)
    }

    #[test]
    fn the_leftmost_longest_match_is_found_with_its_groups() {
        let regex = compile("(a|ab)(c|bcd)(d*)(x)?", EXTENDED).unwrap();
        let found = groups(&regex, "zABCD").unwrap();
        assert_eq!(found, [Some(1..5), Some(1..2), Some(2..5), Some(5..5), None]);
        assert_eq!(groups(&regex, "nothing"), None);
        let whole = compile("b$", PosixOptions { newline: true, no_groups: true, ..EXTENDED }).unwrap();
        assert_eq!(whole.is_match(c"ab\nc"), Ok(true));
        assert_eq!(compile("b$", EXTENDED).unwrap().is_match(c"ab\nc"), Ok(false));
    }

    #[test]
    fn a_wrong_pattern_is_told_in_the_librarys_words() {
        assert_eq!(compile("a(", EXTENDED).err().as_deref(), Some("Unmatched ( or \\("));
        assert_eq!(compile("a(", PosixOptions::default()).map(|r| r.groups()), Ok(0));
    }

    /// `\N` behind a pattern is an error of its own where there is no group N.
    #[test]
    fn groups_are_counted_as_the_library_counts_them() {
        for pattern in [
            "a",
            "(a)",
            "()((b)|c)",
            r"\(a\)",
            "[(](a)[)]",
            "[]()](x)",
            "[^](](x)",
            "[[:alpha:](](x)",
            "[[.].](](x)",
            "[[=(=]](x)",
            r"[\(](y)",
            r"\\(a)",
            "(a[)]b)",
            "[a[(](b)",
        ] {
            for extended in [true, false] {
                let options = PosixOptions { extended, ..EXTENDED };
                let Ok(regex) = compile(pattern, options) else { panic!("{pattern}") };
                let known = (1..=9).filter(|n| compile(&format!("{pattern}\\{n}"), options).is_ok()).count();
                assert_eq!(regex.groups(), known, "{pattern} extended: {extended}");
            }
        }
    }

    #[test]
    fn patterns_that_would_be_too_much_for_the_library_are_refused() {
        let deep = |n: usize| "(".repeat(n) + "a" + &")".repeat(n);
        let stars = |n: usize| "a".to_owned() + &"*".repeat(n);
        for (pattern, right) in [
            (deep(250), true),
            (deep(20_000), false),
            (stars(100), true),
            (stars(10_000), false),
            (".{0,5000}z".to_owned(), true),
            (".{0,32767}z".to_owned(), false),
            (".{0,2500}".repeat(6), false),
            ("(a{100}){100}".to_owned(), true),
            ("((((a{99}){99}){99}){99}){99}".to_owned(), false),
            ("a{1,64}".repeat(100), true),
            ("a".repeat(100_000), true),
        ] {
            let result = compile(&pattern, EXTENDED).err();
            assert_eq!(result, (!right).then(|| "Memory exhausted".to_owned()), "{pattern:.40}");
        }
        let basic = compile(r"\(\(a\{999\}\)\{999\}\)\{999\}", PosixOptions::default()).err();
        assert_eq!(basic.as_deref(), Some("Memory exhausted"));
    }

    #[test]
    fn threads_share_a_pattern() {
        let regex = compile("^(a+)(b*)$", EXTENDED).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 1..200 {
                        let text = "a".repeat(n);
                        assert_eq!(groups(&regex, &text).unwrap()[1], Some(0..n));
                    }
                });
            }
        });
    }
}
