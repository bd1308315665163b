//! `pcre:/file`, `pcre:{ { /pattern/ result } … }`: Perl-like regular expressions as PCRE2 matches them.

use super::Kind;
use crate::needle::{Language, needle};
use crate::pattern_rules::{Engine, Groups, PatternTable, Toggle};
use std::ffi::CStr;
use sys::{Pcre, PcreOptions};

/// The kind `pcre`.
pub const KIND: Kind = Kind { name: "pcre", open: PatternTable::<Pcre>::open };

impl Engine for Pcre {
    const KIND: &'static str = "pcre";
    const UNCLOSED: &'static str = "ignoring";
    const ZERO: &'static str = "out of range";
    const HAS_SECOND: bool = false;
    type Flags = PcreOptions;

    fn default_flags() -> PcreOptions {
        PcreOptions { caseless: true, dotall: true, ..PcreOptions::default() }
    }

    fn toggle(flags: &mut PcreOptions, letter: u8) -> Toggle {
        let flag = match letter {
            b'i' => &mut flags.caseless,
            b'm' => &mut flags.multiline,
            b's' => &mut flags.dotall,
            b'x' => &mut flags.extended,
            b'A' => &mut flags.anchored,
            b'E' => &mut flags.dollar_endonly,
            b'U' => &mut flags.ungreedy,
            // PCRE_EXTRA, which PCRE2 has not: it refuses unknown escapes anyway.
            b'X' => return Toggle::Obsolete,
            _ => return Toggle::Unknown,
        };
        *flag = !*flag;
        Toggle::Done
    }

    fn compile(pattern: &CStr, flags: PcreOptions, _: bool) -> Result<Self, String> {
        Pcre::compile(pattern.to_bytes(), flags)
            .map_err(|error| format!("error in regex at offset {}: {}", error.offset, error.text))
    }

    fn needle(pattern: &[u8], flags: PcreOptions) -> Option<Vec<u8>> {
        if flags.extended { None } else { needle(pattern, Language::Perl) }
    }

    fn groups(&self) -> usize {
        self.groups()
    }

    fn is_match(&self, key: &CStr) -> Result<bool, String> {
        self.is_match(key.to_bytes())
    }

    fn captures(&self, key: &CStr, groups: &mut Groups) -> Result<bool, String> {
        self.captures(key.to_bytes(), groups)
    }
}
