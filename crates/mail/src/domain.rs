//! Names of domains: which texts are some, and the ASCII form of those in UTF-8 (RFC 5890, UTS 46).

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::borrow::Cow;

/// Bytes of a whole name and of one label (RFC 1035 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// Which rules turn a name in UTF-8 into ASCII.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idna {
    /// Those of 2008: UTS 46, nontransitional.
    #[default]
    V2008,
    /// As in 2003 where the two differ: `ß` is `ss`, `ς` is `σ`, joiners are nothing (`enable_idna2003_compatibility`).
    V2003,
}

/// The name as DNS knows it; nothing where it is none. A name in ASCII is taken as it is.
///
/// Stricter than Postfix, whose library is not asked about RFC 5892 (joiners) and RFC 5893 (both directions of writing).
pub fn to_ascii(name: &str, idna: Idna) -> Option<Cow<'_, str>> {
    if name.is_ascii() {
        return Some(Cow::Borrowed(name));
    }
    let name = match idna {
        Idna::V2008 => Cow::Borrowed(name),
        Idna::V2003 => Cow::Owned(as_in_2003(name)),
    };
    let form = Uts46::new().to_ascii(
        name.as_bytes(),
        AsciiDenyList::EMPTY,
        Hyphens::Check,
        DnsLength::VerifyAllowRootDot,
    );
    Some(Cow::Owned(form.ok()?.into_owned()))
}

fn as_in_2003(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            'ß' | 'ẞ' => out.push_str("ss"),
            'ς' => out.push('σ'),
            '\u{200c}' | '\u{200d}' => {}
            c => out.push(c),
        }
    }
    out
}

/// Whether it may be a host's or a domain's name: labels of letters, digits, `-` (neither first nor last) and `_`, not
/// all digits. With `utf8`, a name whose ASCII form is that counts too.
pub fn is_host_name(name: &[u8], utf8: bool) -> bool {
    if !name.is_ascii() {
        let ascii = || to_ascii(std::str::from_utf8(name).ok()?, Idna::default());
        return utf8 && ascii().is_some_and(|ascii| is_host_name(ascii.as_bytes(), false));
    }
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
            && label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A name of digits only is an address without brackets (resolve_numeric_domain = no).
    let numeric = name.iter().all(|&b| b.is_ascii_digit() || b == b'.');
    name.len() <= NAME_MAX && name.split(|&b| b == b'.').all(label) && !numeric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_an_ascii_form() {
        for (name, ascii) in [
            ("Example.ORG", Some("Example.ORG")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("bu\u{308}cher.example.", Some("xn--bcher-kva.example.")),
            ("straße.example", Some("xn--strae-oqa.example")),
            ("ü。example", Some("xn--tda.example")),
            ("ü_x.example", Some("xn--_x-wka.example")),
            ("aa--ü.example", None),
            ("ü-.example", None),
            ("ü..example", None),
            ("\u{308}a.example", None),
            ("xn--zzzzzz.ü.example", None),
        ] {
            assert_eq!(to_ascii(name, Idna::V2008).as_deref(), ascii, "{name}");
        }
        let name = "straßeς\u{200d}.example";
        assert_eq!(to_ascii(name, Idna::V2003), to_ascii("strasseσ.example", Idna::V2008));
    }

    #[test]
    fn a_host_name_is_labels_that_are_not_all_digits() {
        let long = "ü".repeat(58) + ".example";
        for (name, wide, is) in [
            ("a_b.example", true, true),
            ("a..b", true, false),
            ("-a.example", true, false),
            ("1.2.3.4", true, false),
            ("１.２.３.４", true, false),
            ("grün.example", true, true),
            ("grün.example", false, false),
            ("ü b.example", true, false),
            (long.as_str(), true, false),
        ] {
            assert_eq!(is_host_name(name.as_bytes(), wide), is, "{name}");
        }
        assert!(!is_host_name(b"gr\xfcn.example", true));
    }
}
