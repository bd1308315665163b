//! The %-expansions that tables which ask a server share: of the key into a query, of each result into the answer.
//!
//! Postfix: mysql_table(5), pgsql_table(5), sqlite_table(5), ldap_table(5), memcache_table(5). In a query `%s`, `%u`
//! and `%d` stand for the key, its local part and its domain, as `%S`, `%U` and `%D` do; in `result_format` the
//! small letters stand for the result. `%1` is the last label of the key's domain, `%2` the one before it. A key
//! that lacks what a template wants is not asked for at all.

use crate::lists::{NameList, Unanswered};
use crate::lookup::Lookup;
use crate::table::Settings;
use std::borrow::Cow;

/// Bytes of one answer, all results joined: 500,000 addresses. A longer one fails for the time being.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A text with expansions, checked when the table is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    /// Of the result in `result_format`, of the key elsewhere.
    Subject(Part),
    /// Of the key, wherever it stands.
    Key(Part),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Local,
    Domain,
    /// The n-th label of the domain from its end, from 1.
    Label(usize),
}

impl Template {
    /// Parses a template; the error says what was expected and what was found.
    pub fn parse(text: &str) -> Result<Template, String> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                literal.push(c);
                continue;
            }
            let piece = match rest.next() {
                Some('%') => {
                    literal.push('%');
                    continue;
                }
                Some('s') => Piece::Subject(Part::Whole),
                Some('u') => Piece::Subject(Part::Local),
                Some('d') => Piece::Subject(Part::Domain),
                Some('S') => Piece::Key(Part::Whole),
                Some('U') => Piece::Key(Part::Local),
                Some('D') => Piece::Key(Part::Domain),
                Some(digit @ '1'..='9') => Piece::Key(Part::Label(digit as usize - '0' as usize)),
                other => {
                    let found = other.map_or("a `%` at the end".to_owned(), |c| format!("`%{c}`"));
                    return Err(format!(
                        "expected %s, %u, %d, %S, %U, %D, %1 to %9, or %% for a percent sign, found {found}"
                    ));
                }
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Template(pieces))
    }

    /// The template as one of the key, each part of it quoted; nothing where the key lacks a part that is wanted.
    pub fn for_key<'k>(&self, key: &'k str, quote: impl Fn(&'k str) -> Cow<'k, str>) -> Option<String> {
        self.fill(key, key, quote)
    }

    /// The template as the format of a result; nothing where the result (or the key) lacks a part that is wanted.
    pub fn for_result(&self, result: &str, key: &str) -> Option<String> {
        self.fill(result, key, Cow::Borrowed)
    }

    /// Whether nothing but the text itself comes out, whatever the key.
    pub fn is_literal(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Literal(_)))
    }

    fn fill<'t>(
        &self,
        subject: &'t str,
        key: &'t str,
        quote: impl Fn(&'t str) -> Cow<'t, str>,
    ) -> Option<String> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Subject(part) => out.push_str(&quote(part.of(subject)?)),
                Piece::Key(part) => out.push_str(&quote(part.of(key)?)),
            }
        }
        Some(out)
    }

    /// Whether the key has what the template wants of it when it is the format of results.
    fn key_suffices(&self, key: &str) -> bool {
        self.0.iter().all(|piece| match piece {
            Piece::Key(part) => part.of(key).is_some(),
            Piece::Literal(_) | Piece::Subject(_) => true,
        })
    }
}

impl Part {
    /// This part of a text such as `ann@example.org`; nothing where it is missing or empty.
    fn of(self, text: &str) -> Option<&str> {
        let (local, domain) = match text.rsplit_once('@') {
            Some((local, domain)) => (local, Some(domain)),
            None => (text, None),
        };
        let part = match self {
            Part::Whole => Some(text),
            Part::Local => Some(local),
            Part::Domain => domain,
            Part::Label(n) => domain?.split('.').filter(|label| !label.is_empty()).rev().nth(n - 1),
        };
        part.filter(|part| !part.is_empty())
    }
}

/// What a table does with keys before it asks, and with results after: `domain`, `result_format`, `expansion_limit`.
#[derive(Clone, Debug)]
pub struct Expansion {
    /// Only keys with a local part and one of these domains are asked for; nothing admits every key.
    domains: Option<NameList>,
    result_format: Template,
    /// Results that one answer may have; nothing sets no limit.
    limit: Option<usize>,
}

impl Expansion {
    /// Puts the settings of a table together; `domain` is empty where the table has no such list, and a limit of zero
    /// or less is none. Each error comes with the name of the parameter it is about.
    pub fn new(
        result_format: &str,
        domain: &[String],
        limit: i32,
        settings: &Settings,
    ) -> Result<Expansion, Vec<(&'static str, String)>> {
        let mut errors = Vec::new();
        let format = match result_format {
            "" => Err("expected a text with %s, found nothing".to_owned()),
            text => Template::parse(text),
        };
        let format = format.map_err(|text| errors.push(("result_format", text))).ok();
        let domains = match domain {
            [] => None,
            list => NameList::parse(list, settings)
                .map_err(|texts| errors.extend(texts.into_iter().map(|text| ("domain", text))))
                .ok(),
        };
        match format {
            Some(result_format) if errors.is_empty() => Ok(Expansion {
                domains,
                result_format,
                limit: usize::try_from(limit).ok().filter(|&limit| limit > 0),
            }),
            _ => Err(errors),
        }
    }

    /// Whether `key` is to be asked for at all.
    pub async fn admits(&self, key: &str) -> Result<bool, Unanswered> {
        // No server takes a zero byte within a query's text, and no key that anybody stored has one.
        if key.is_empty() || key.contains('\0') || !self.result_format.key_suffices(key) {
            return Ok(false);
        }
        let Some(domains) = &self.domains else { return Ok(true) };
        match key.rsplit_once('@') {
            None | Some(("", _)) => Ok(false),
            Some((_, domain)) => domains.matches(domain).await,
        }
    }

    /// Starts an answer for `key`; results are added one by one.
    pub fn answer<'a>(&'a self, key: &'a str) -> Answer<'a> {
        Answer { expansion: self, key, results: 0, text: String::new(), empty: false }
    }
}

/// The results for one key, formatted and joined with commas.
#[derive(Debug)]
pub struct Answer<'a> {
    expansion: &'a Expansion,
    key: &'a str,
    results: usize,
    text: String,
    empty: bool,
}

/// An answer that is longer than it may be; the text says by what. Whoever asked defers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooMuch(pub String);

impl Answer<'_> {
    /// Takes one result: a field of a row, a value of an attribute. What lacks a part that `result_format` wants is
    /// left out.
    pub fn add(&mut self, result: &str) -> Result<(), TooMuch> {
        if result.is_empty() {
            self.empty = true;
            return Ok(());
        }
        let Some(text) = self.expansion.result_format.for_result(result, self.key) else { return Ok(()) };
        self.results += 1;
        if let Some(limit) = self.expansion.limit.filter(|&limit| self.results > limit) {
            let key = self.key;
            return Err(TooMuch(format!(
                "key `{key}`: expected at most {limit} results (expansion_limit), found more"
            )));
        }
        if self.text.len() + text.len() >= ANSWER_BYTES_MAX {
            let key = self.key;
            return Err(TooMuch(format!(
                "key `{key}`: expected at most {ANSWER_BYTES_MAX} bytes, found more"
            )));
        }
        if self.results > 1 {
            self.text.push(',');
        }
        self.text.push_str(&text);
        Ok(())
    }

    /// Whether there was an empty result, which Postfix leaves out with a warning.
    pub fn had_empty(&self) -> bool {
        self.empty
    }

    /// The answer; without a result there is none.
    pub fn finish(self) -> Lookup {
        if self.results == 0 { Lookup::NotFound } else { Lookup::Found(self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::now;
    use proptest::prelude::*;

    fn for_key(template: &str, key: &str) -> Option<String> {
        Template::parse(template).unwrap().for_key(key, Cow::Borrowed)
    }

    fn expansion(format: &str, domain: &str, limit: i32) -> Expansion {
        Expansion::new(format, &config::words::list(domain), limit, &Settings::default()).unwrap()
    }

    fn answer(format: &str, key: &str, results: &[&str]) -> Lookup {
        let expansion = expansion(format, "", 0);
        let mut answer = expansion.answer(key);
        for result in results {
            answer.add(result).unwrap();
        }
        answer.finish()
    }

    #[test]
    fn a_key_is_divided_at_its_last_at_sign() {
        let all = |key| {
            ["%s", "%u", "%d", "%1", "%2", "%3"].map(|template| for_key(template, key).unwrap_or("-".into()))
        };
        assert_eq!(all("a@b.c"), ["a@b.c", "a", "b.c", "c", "b", "-"]);
        assert_eq!(all("plain"), ["plain", "plain", "-", "-", "-", "-"]);
        assert_eq!(all("@b.c"), ["@b.c", "-", "b.c", "c", "b", "-"]);
        assert_eq!(all("a@"), ["a@", "a", "-", "-", "-", "-"]);
        assert_eq!(all("@"), ["@", "-", "-", "-", "-", "-"]);
        assert_eq!(all("a@b@c.d"), ["a@b@c.d", "a@b", "c.d", "d", "c", "-"]);
        assert_eq!(all("a@.b..c."), ["a@.b..c.", "a", ".b..c.", "c", "b", "-"]);
        assert_eq!(for_key("%S|%U|%D|100%%", "a@b"), Some("a@b|a|b|100%".into()));
    }

    #[test]
    fn a_template_with_an_unknown_expansion_is_refused() {
        for (text, found) in [("%x", "`%x`"), ("a%", "a `%` at the end"), ("%0", "`%0`"), ("% s", "`% `")] {
            assert_eq!(
                Template::parse(text).unwrap_err(),
                format!("expected %s, %u, %d, %S, %U, %D, %1 to %9, or %% for a percent sign, found {found}")
            );
        }
        let errors = Expansion::new("", &["!".into()], 0, &Settings::default()).unwrap_err();
        assert_eq!(errors.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["result_format", "domain"]);
    }

    #[test]
    fn results_are_formatted_and_joined_and_what_lacks_a_part_is_left_out() {
        let results = ["u@d.e", "@d", "u@", "", "plain", "@", "a@b@c", "x,y"];
        let found = |format, key| match answer(format, key, &results) {
            Lookup::Found(text) => text,
            other => format!("{other:?}"),
        };
        assert_eq!(found("%s", "k"), "u@d.e,@d,u@,plain,@,a@b@c,x,y");
        assert_eq!(found("<%u>", "k"), "<u>,<u>,<plain>,<a@b>,<x,y>");
        assert_eq!(found("<%d>", "k"), "<d.e>,<d>,<c>");
        assert_eq!(found("%u-%d", "k"), "u-d.e,a@b-c");
        assert_eq!(found("%%", "k"), "%,%,%,%,%,%,%");
        assert_eq!(answer("%U at %D: %u", "k@x.y", &["r"]), Lookup::Found("k at x.y: r".into()));
        assert_eq!(answer("%s", "k", &["", ""]), Lookup::NotFound);
        assert_eq!(answer("%d", "k", &["plain"]), Lookup::NotFound);
    }

    #[test]
    fn a_key_that_the_result_format_cannot_use_is_not_asked_for() {
        let admits = |format, key| now(expansion(format, "", 0).admits(key)).unwrap().unwrap();
        assert!(admits("%u %d", "plain") && admits("%S", "plain") && admits("%U%D%2", "a@b.c"));
        assert!(!admits("%D", "plain") && !admits("%U", "@b") && !admits("%3", "a@b.c"));
        assert!(!admits("%s", "") && !admits("%s", "a\0b"));
    }

    #[test]
    fn a_domain_list_admits_addresses_in_its_domains_only() {
        let admits = |domain, key| now(expansion("%s", domain, 0).admits(key)).unwrap();
        for (domain, yes, no) in [
            (
                "Example.ORG",
                "a@example.org a@b@example.org",
                "a@sub.example.org @example.org example.org a@ a",
            ),
            ("!example.org static:all", "a@sub.example.org a@", "a@example.org @x plain"),
            ("inline:{example.org=x}", "a@example.org", "a@x @example.org"),
            (".example.org", "a@.example.org", "a@sub.example.org a@example.org"),
        ] {
            assert!(yes.split(' ').all(|key| admits(domain, key) == Ok(true)), "{domain}");
            assert!(no.split(' ').all(|key| admits(domain, key) == Ok(false)), "{domain}");
        }
        assert!(admits("fail:x", "a@b").is_err());
        assert_eq!(admits("fail:x", "@b"), Ok(false));
    }

    #[test]
    fn more_results_than_the_limit_are_too_much_and_left_out_ones_do_not_count() {
        let (two, none) = (expansion("%u", "", 2), expansion("%u", "", -1));
        let add = |expansion: &Expansion, results: &[&str]| {
            let mut answer = expansion.answer("k");
            results.iter().try_for_each(|result| answer.add(result)).map(|()| answer.finish())
        };
        assert_eq!(add(&two, &["u@d", "@d", "", "x"]), Ok(Lookup::Found("u,x".into())));
        let text = "key `k`: expected at most 2 results (expansion_limit), found more";
        assert_eq!(add(&two, &["a", "b", "c"]), Err(TooMuch(text.into())));
        assert_eq!(add(&none, &["a", "b", "c"]), Ok(Lookup::Found("a,b,c".into())));
        let long = "x".repeat(ANSWER_BYTES_MAX / 2);
        assert!(add(&none, &[&long, &long]).is_err());
    }

    /// Texts in which what matters stands often.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof!["[a-z]{1,3}", "[@.%'\\\\sudSUD0-9]", any::<char>().prop_map(String::from)];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_template_is_right_where_each_percent_sign_is(template in text()) {
            let mut rest = template.as_str();
            let mut right = true;
            while let Some((_, behind)) = rest.split_once('%') {
                right &= behind.starts_with(|c| "%sudSUD123456789".contains(c));
                rest = behind.get(behind.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
            }
            prop_assert_eq!(Template::parse(&template).is_ok(), right);
        }

        #[test]
        fn doubled_percent_signs_make_any_text_a_template_of_itself(template in text(), key in text()) {
            let parsed = Template::parse(&template.replace('%', "%%")).unwrap();
            prop_assert_eq!(parsed.for_key(&key, |_| Cow::Borrowed("never")), Some(template));
        }

        #[test]
        fn local_part_and_domain_make_the_key_again(key in text()) {
            if let Some(text) = for_key("%u@%D", &key) {
                prop_assert_eq!(text, key);
            }
        }

        #[test]
        fn nothing_of_the_key_comes_out_unquoted(key in text(), template in "(%[sudSUD1-9]){0,4}") {
            let hidden = |part: &str| Cow::Owned("#".repeat(part.len()));
            if let Some(text) = Template::parse(&template).unwrap().for_key(&key, hidden) {
                prop_assert!(text.chars().all(|c| c == '#'));
            }
        }

        #[test]
        fn any_results_make_an_answer(format in text(), key in text(), results in proptest::collection::vec(text(), 0..4)) {
            let Ok(expansion) = Expansion::new(&format, &[], 3, &Settings::default()) else { return Ok(()) };
            prop_assert!(now(expansion.admits(&key)).is_some());
            let mut answer = expansion.answer(&key);
            for result in &results {
                if answer.add(result).is_err() {
                    return Ok(());
                }
            }
            let _ = answer.finish();
        }
    }
}
