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
    /// Compiles a pattern; the error is the C library's text.
    pub fn compile(pattern: &CStr, options: PosixOptions) -> Result<PosixRegex, String> {
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
        let groups = groups_of(pattern, options);
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

/// The number of groups in a pattern that regcomp took. The C library counts them too, but where it keeps the number is
/// different from one to the next.
fn groups_of(pattern: &CStr, options: PosixOptions) -> usize {
    let pattern = pattern.to_bytes();
    let (mut at, mut groups) = (0, 0);
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'\\' => {
                groups += usize::from(!options.extended && pattern.get(at + 1) == Some(&b'('));
                at += 2;
            }
            b'[' => at = end_of_bracket(pattern, at + 1),
            _ => {
                groups += usize::from(options.extended && byte == b'(');
                at += 1;
            }
        }
    }
    groups
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
