//! Perl-like regular expressions as PCRE2 matches them, compiled to machine code where the processor allows it.

use pcre2_sys as pcre2;
use std::cell::RefCell;
use std::ops::Range;
use std::ptr::{NonNull, null_mut};

/// How a pattern is to be read: PCRE2's options of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PcreOptions {
    /// Letters match in either case.
    pub caseless: bool,
    /// `^` and `$` match at newlines within the text.
    pub multiline: bool,
    /// `.` matches a newline.
    pub dotall: bool,
    /// White space and comments in the pattern are ignored.
    pub extended: bool,
    /// The match begins where the text begins.
    pub anchored: bool,
    /// `$` does not match before a newline at the end.
    pub dollar_endonly: bool,
    /// Quantifiers are not greedy unless followed by `?`.
    pub ungreedy: bool,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Where in the pattern, in bytes.
    pub offset: usize,
    /// PCRE2's text.
    pub text: String,
}

/// A compiled pattern; it works on bytes.
///
/// A match that takes too many steps ends with an error: PCRE2's default limits (ten million steps, 20 MB) are a fraction
/// of a second.
pub struct Pcre {
    code: NonNull<pcre2::pcre2_code_8>,
    groups: usize,
}

// SAFETY: a compiled pattern is plain memory of the heap that no thread owns.
unsafe impl Send for Pcre {}
// SAFETY: a compiled pattern is not changed by matching (pcre2api, "Multithreading"); only `compile` changes it, before
// anybody else can see it. What matching writes to is the thread's own, see MATCH.
unsafe impl Sync for Pcre {}

impl Pcre {
    /// Compiles a pattern.
    pub fn compile(pattern: &[u8], options: PcreOptions) -> Result<Pcre, PatternError> {
        let (mut number, mut offset) = (0, 0);
        // SAFETY: the pattern is live memory of the length that is passed and only read; both results go to live,
        // exclusive integers; no compile context means PCRE2's defaults.
        let code = unsafe {
            pcre2::pcre2_compile_8(
                pattern.as_ptr(),
                pattern.len(),
                bits(options),
                &raw mut number,
                &raw mut offset,
                null_mut(),
            )
        };
        let Some(code) = NonNull::new(code) else {
            return Err(PatternError { offset, text: error_text(number) });
        };
        // SAFETY: `code` was just made by pcre2_compile and is seen by nobody else. A refusal (no machine code for this
        // processor, no memory that may be executed) leaves the pattern to the interpreter.
        unsafe { pcre2::pcre2_jit_compile_8(code.as_ptr(), pcre2::PCRE2_JIT_COMPLETE) };
        let mut groups = 0u32;
        // SAFETY: `code` is live; for PCRE2_INFO_CAPTURECOUNT the result is a uint32_t, which `groups` is.
        unsafe {
            pcre2::pcre2_pattern_info_8(
                code.as_ptr(),
                pcre2::PCRE2_INFO_CAPTURECOUNT,
                (&raw mut groups).cast(),
            )
        };
        Ok(Pcre { code, groups: groups as usize })
    }

    /// How many groups `( )` the pattern has.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether the pattern matches somewhere in `text`; the error is PCRE2's text, such as `match limit exceeded`.
    pub fn is_match(&self, text: &[u8]) -> Result<bool, String> {
        MATCH.with_borrow_mut(|scratch| scratch.run(self, text)).map(|pairs| pairs > 0)
    }

    /// Whether the pattern matches somewhere in `text`, and where its groups are: number 0 is the whole match.
    pub fn captures(&self, text: &[u8], groups: &mut Vec<Option<Range<usize>>>) -> Result<bool, String> {
        MATCH.with_borrow_mut(|scratch| {
            let pairs = scratch.run(self, text)?;
            groups.clear();
            groups.extend((0..=self.groups).map(|n| if n < pairs { scratch.pair(n) } else { None }));
            Ok(pairs > 0)
        })
    }
}

impl Drop for Pcre {
    fn drop(&mut self) {
        // SAFETY: `code` was made by pcre2_compile, is freed here only, and nobody can use it afterwards.
        unsafe { pcre2::pcre2_code_free_8(self.code.as_ptr()) }
    }
}

fn bits(options: PcreOptions) -> u32 {
    [
        (options.caseless, pcre2::PCRE2_CASELESS),
        (options.multiline, pcre2::PCRE2_MULTILINE),
        (options.dotall, pcre2::PCRE2_DOTALL),
        (options.extended, pcre2::PCRE2_EXTENDED),
        (options.anchored, pcre2::PCRE2_ANCHORED),
        (options.dollar_endonly, pcre2::PCRE2_DOLLAR_ENDONLY),
        (options.ungreedy, pcre2::PCRE2_UNGREEDY),
    ]
    .into_iter()
    .filter_map(|(on, bit)| on.then_some(bit))
    .sum()
}

/// What a match writes to; a thread makes it once, since making it costs more than most matches.
struct Scratch {
    data: *mut pcre2::pcre2_match_data_8,
    pairs: usize,
}

thread_local! {
    static MATCH: RefCell<Scratch> = const { RefCell::new(Scratch { data: null_mut(), pairs: 0 }) };
}

impl Scratch {
    /// How many pairs of offsets a match has set, from the first; 0 where nothing matches.
    fn run(&mut self, pattern: &Pcre, text: &[u8]) -> Result<usize, String> {
        self.make_room(pattern.groups + 1)?;
        // SAFETY: the pattern and the match data are live, the latter exclusively ours; the text is live memory of the
        // length that is passed and only read, and nobody reads it through the match data after this call; no match
        // context means PCRE2's defaults.
        let code = unsafe {
            pcre2::pcre2_match_8(
                pattern.code.as_ptr(),
                text.as_ptr(),
                text.len(),
                0,
                0,
                self.data,
                null_mut(),
            )
        };
        match code {
            pcre2::PCRE2_ERROR_NOMATCH => Ok(0),
            code => usize::try_from(code).map_err(|_| error_text(code)),
        }
    }

    fn make_room(&mut self, pairs: usize) -> Result<(), String> {
        /// Most patterns have fewer groups; more are made room for once.
        const PAIRS: usize = 32;
        if pairs <= self.pairs {
            return Ok(());
        }
        let pairs = pairs.max(PAIRS);
        self.free();
        let number = u32::try_from(pairs).map_err(|_| "too many groups".to_owned())?;
        // SAFETY: no general context means malloc; the result is checked.
        self.data = unsafe { pcre2::pcre2_match_data_create_8(number, null_mut()) };
        if self.data.is_null() {
            return Err("no more memory".to_owned());
        }
        self.pairs = pairs;
        Ok(())
    }

    /// The pair of offsets of group `n` of the last match; `n` is below the number that `run` returned.
    fn pair(&self, n: usize) -> Option<Range<usize>> {
        assert!(n < self.pairs, "a group of the pattern that was matched");
        // SAFETY: the match data is live and has `pairs` pairs of offsets.
        let (from, to) = unsafe {
            let offsets = pcre2::pcre2_get_ovector_pointer_8(self.data);
            (*offsets.add(2 * n), *offsets.add(2 * n + 1))
        };
        // A group that took no part has PCRE2_UNSET twice; `\K` may set the start of a match behind its end.
        (from != pcre2::PCRE2_UNSET && from <= to).then_some(from..to)
    }

    fn free(&mut self) {
        // SAFETY: the match data is null or was made by pcre2_match_data_create; it is freed once, since it is null after.
        unsafe { pcre2::pcre2_match_data_free_8(self.data) };
        (self.data, self.pairs) = (null_mut(), 0);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.free();
    }
}

/// PCRE2's text for an error.
fn error_text(code: i32) -> String {
    /// PCRE2's texts are shorter.
    const TEXT_MAX: usize = 256;
    let mut text = [0u8; TEXT_MAX];
    // SAFETY: the buffer is exclusive memory of the length that is passed; what is written ends with a NUL within that.
    let length = unsafe { pcre2::pcre2_get_error_message_8(code, text.as_mut_ptr(), text.len()) };
    let length = usize::try_from(length).unwrap_or(0).min(TEXT_MAX);
    String::from_utf8_lossy(&text[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(pattern: &str, options: PcreOptions) -> Result<Pcre, PatternError> {
        Pcre::compile(pattern.as_bytes(), options)
    }

    #[test]
    fn the_first_alternative_that_fits_wins_and_groups_are_told() {
        let regex =
            compile("(a|ab)(c|bcd)?(x)?(d*)", PcreOptions { caseless: true, ..Default::default() }).unwrap();
        let mut found = Vec::new();
        assert_eq!(regex.captures(b"zABCD", &mut found), Ok(true));
        assert_eq!(found, [Some(1..5), Some(1..2), Some(2..5), None, Some(5..5)]);
        assert_eq!(regex.captures(b"nothing", &mut found), Ok(false));
        assert_eq!(regex.is_match(b"zzz"), Ok(false));
    }

    #[test]
    fn options_are_pcre2s() {
        let matches = |pattern: &str, options: PcreOptions, text: &[u8]| {
            compile(pattern, options).unwrap().is_match(text).unwrap()
        };
        let none = PcreOptions::default();
        assert!(!matches("a", none, b"A"));
        assert!(
            !matches("a.b", none, b"a\nb") && matches("a.b", PcreOptions { dotall: true, ..none }, b"a\nb")
        );
        assert!(
            !matches("^b", none, b"a\nb") && matches("^b", PcreOptions { multiline: true, ..none }, b"a\nb")
        );
        assert!(!matches("a b", PcreOptions { extended: true, ..none }, b"a b"));
        assert!(!matches("b", PcreOptions { anchored: true, ..none }, b"ab"));
        assert!(
            matches("b$", none, b"b\n")
                && !matches("b$", PcreOptions { dollar_endonly: true, ..none }, b"b\n")
        );
        let mut found = Vec::new();
        compile("a+", PcreOptions { ungreedy: true, ..none }).unwrap().captures(b"aaa", &mut found).unwrap();
        assert_eq!(found, [Some(0..1)]);
    }

    #[test]
    fn a_wrong_pattern_is_told_with_its_place() {
        let error = compile("ab(", PcreOptions::default()).err().unwrap();
        assert_eq!(error, PatternError { offset: 3, text: "missing closing parenthesis".into() });
    }

    #[test]
    fn a_pattern_without_end_ends_with_an_error() {
        let regex = compile("^(a+)+$", PcreOptions::default()).unwrap();
        let text = [&b"a".repeat(40)[..], b"b"].concat();
        assert_eq!(regex.is_match(&text), Err("match limit exceeded".into()));
    }

    #[test]
    fn threads_share_a_pattern_with_more_groups_than_most() {
        let regex = compile(&"(a)".repeat(100), PcreOptions::default()).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut found = Vec::new();
                    assert_eq!(regex.captures(&b"a".repeat(100), &mut found), Ok(true));
                    assert_eq!((found.len(), found[100].clone()), (101, Some(99..100)));
                });
            }
        });
    }
}
