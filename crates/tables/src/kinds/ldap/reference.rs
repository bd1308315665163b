//! What an attribute's value refers to: an entry by its name, or a search by its LDAP URL.
//!
//! RFC 4516: `ldap://host/base?attributes?scope?filter`. The host of a value counts for nothing: the table's own server is
//! asked, so that nobody who may write to the directory makes this host connect elsewhere.

use ldap3::Scope;

/// What a value refers to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reference {
    /// The entry of this name.
    Entry(String),
    /// What a search finds.
    Search {
        /// Where it starts.
        base: String,
        /// The attributes that count; none stands for all of the table.
        attributes: Vec<String>,
        /// How deep it goes.
        scope: Scope,
        /// What it looks for.
        filter: String,
    },
}

impl Reference {
    /// Reads a value; the error says what was expected.
    pub(super) fn parse(value: &str) -> Result<Reference, String> {
        let bare = value.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(value);
        let bare = match bare.get(..4) {
            Some(prefix) if prefix.eq_ignore_ascii_case("url:") => &bare[4..],
            _ => bare,
        };
        let Some(url) = Url::parse(bare)? else { return Ok(Reference::Entry(value.to_owned())) };
        Ok(Reference::Search {
            base: url.base,
            attributes: url.attributes,
            scope: url.scope.unwrap_or(Scope::Base),
            filter: url.filter.unwrap_or_else(|| ALL.to_owned()),
        })
    }
}

/// An LDAP URL, without its percent-encoding.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Url {
    /// `scheme://host:port`, as far as it is there.
    pub(super) server: String,
    /// The name of an entry; empty where there is none.
    pub(super) base: String,
    pub(super) attributes: Vec<String>,
    pub(super) scope: Option<Scope>,
    pub(super) filter: Option<String>,
}

impl Url {
    /// Reads a URL; nothing where the text is none of a directory.
    pub(super) fn parse(text: &str) -> Result<Option<Url>, String> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        if !["ldap", "ldaps", "ldapi"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Ok(None);
        }
        let wrong = |what: &str| format!("expected an LDAP URL with {what}, found `{text}`");
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut parts = path.split('?').map(decoded);
        let mut part =
            || parts.next().unwrap_or(Ok(String::new())).map_err(|()| wrong("%XX for what is encoded"));
        let (base, attributes, scope, filter) = (part()?, part()?, part()?, part()?);
        let scope = match scope.to_ascii_lowercase().as_str() {
            "" => None,
            "base" => Some(Scope::Base),
            "one" => Some(Scope::OneLevel),
            "sub" => Some(Scope::Subtree),
            _ => return Err(wrong("the scope base, one or sub")),
        };
        let attributes = attributes.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let filter = (!filter.is_empty()).then(|| super::parenthesized(filter));
        Ok(Some(Url { server: format!("{scheme}://{host}"), base, attributes, scope, filter }))
    }
}

/// The filter that every entry passes.
pub(super) const ALL: &str = "(objectClass=*)";

/// A text without its percent-encoding.
fn decoded(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(());
        bytes.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    String::from_utf8(bytes).map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_entries_or_searches() {
        let entry = |text: &str| Ok(Reference::Entry(text.to_owned()));
        for name in ["uid=ann,dc=example", "no dn", "http://a/b", ""] {
            assert_eq!(Reference::parse(name), entry(name));
        }
        let search = |base: &str, attributes: &[&str], scope, filter: &str| {
            Ok(Reference::Search {
                base: base.to_owned(),
                attributes: attributes.iter().map(|name| name.to_string()).collect(),
                scope,
                filter: filter.to_owned(),
            })
        };
        assert_eq!(
            Reference::parse("ldap:///dc=a%20b?mail,cn?sub?(uid=b*)"),
            search("dc=a b", &["mail", "cn"], Scope::Subtree, "(uid=b*)")
        );
        assert_eq!(Reference::parse("<URL:LDAP://host:1/dc=a>"), search("dc=a", &[], Scope::Base, ALL));
        assert_eq!(Reference::parse("ldaps://host"), search("", &[], Scope::Base, ALL));
        assert_eq!(Reference::parse("ldap:///??one?uid=x"), search("", &[], Scope::OneLevel, "(uid=x)"));
        assert!(Reference::parse("ldap:///dc=a??deep").is_err());
        assert!(Reference::parse("ldap:///dc=%zz").is_err());
    }

    proptest! {
        #[test]
        fn any_value_is_a_reference_or_an_error(value in "\\PC*|ldap://[a-z%?,/()0-9]*") {
            let _ = Reference::parse(&value);
        }
    }
}
