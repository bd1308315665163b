//! `regexp:/file`, `regexp:{ { /pattern/ result } … }`: POSIX regular expressions as the C library matches them.

use super::Kind;
use crate::needle::{Language, needle};
use crate::pattern_rules::{Engine, Groups, PatternTable, Toggle};
use std::ffi::CStr;
use sys::{PosixOptions, PosixRegex};

/// The kind `regexp`.
pub const KIND: Kind = Kind { name: "regexp", open: PatternTable::<PosixRegex>::open };

impl Engine for PosixRegex {
    const KIND: &'static str = "regexp";
    const UNCLOSED: &'static str = "skipping";
    const ZERO: &'static str = "out-of-range";
    const HAS_SECOND: bool = true;
    type Flags = PosixOptions;

    fn default_flags() -> PosixOptions {
        PosixOptions { extended: true, ignore_case: true, newline: false, no_groups: false }
    }

    fn toggle(flags: &mut PosixOptions, letter: u8) -> Toggle {
        let flag = match letter {
            b'i' => &mut flags.ignore_case,
            b'm' => &mut flags.newline,
            b'x' => &mut flags.extended,
            _ => return Toggle::Unknown,
        };
        *flag = !*flag;
        Toggle::Done
    }

    fn compile(pattern: &CStr, flags: PosixOptions, wants_groups: bool) -> Result<Self, String> {
        PosixRegex::compile(pattern, PosixOptions { no_groups: !wants_groups, ..flags })
    }

    fn needle(pattern: &[u8], flags: PosixOptions) -> Option<Vec<u8>> {
        if flags.extended { needle(pattern, Language::Posix) } else { None }
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn is_match(&self, key: &CStr) -> Result<bool, String> {
        self.is_match(key)
    }

    fn captures(&self, key: &CStr, groups: &mut Groups) -> Result<bool, String> {
        self.captures(key, groups)
    }
}
