//! Looks at headers and body lines on their way out, and changes them. Postfix: `smtp_header_checks`,
//! `smtp_mime_header_checks`, `smtp_nested_header_checks`, `smtp_body_checks`.

use mail::QueueId;
use mail::mime::{Header, Section, field_name};
use observe::{Escaped, Tag};
use tables::search::Key;
use tables::{Lookup, Maps};

/// Bytes of a header or line that are logged.
const SHOWN_BYTES: usize = 60;

/// The tables of one client.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    /// `smtp_header_checks`.
    pub header: Maps,
    /// `smtp_mime_header_checks`.
    pub mime: Maps,
    /// `smtp_nested_header_checks`.
    pub nested: Maps,
    /// `smtp_body_checks`.
    pub body: Maps,
    /// `smtp` or `lmtp`: how the parameters begin.
    pub prefix: &'static str,
}

/// What becomes of a header or line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays.
    Stays,
    /// Another text takes its place.
    Becomes(String),
    /// A text stands before it.
    Follows(String),
    /// It is left out.
    Goes,
}

/// Who logs, and about which message.
pub(super) struct Witness {
    pub tag: Tag,
    pub queue_id: QueueId,
}

/// A kind of check: its tables, and how they are called.
struct Kind<'a> {
    maps: &'a Maps,
    /// As in `smtp_header_checks`.
    name: &'static str,
    is_header: bool,
}

impl Checks {
    /// Whether nothing is looked at.
    pub fn is_empty(&self) -> bool {
        [&self.header, &self.mime, &self.nested, &self.body].iter().all(|maps| maps.is_empty())
    }

    /// What becomes of a header; an error is a table that failed, in words.
    pub(super) async fn header(&self, header: &Header, by: &Witness) -> Result<Fate, String> {
        // What describes content counts as of a part, wherever it stands.
        let section = if header.describes_content { Section::Part } else { header.section };
        self.header_of_ours(section, &header.text, by).await
    }

    /// The same for a header that we add: it counts by its place alone, as in Postfix.
    pub(super) async fn header_of_ours(
        &self,
        section: Section,
        text: &[u8],
        by: &Witness,
    ) -> Result<Fate, String> {
        let (maps, name) = match section {
            Section::Part => (&self.mime, "mime_header_checks"),
            Section::Nested => (&self.nested, "nested_header_checks"),
            Section::Message => (&self.header, "header_checks"),
        };
        self.check(&Kind { maps, name, is_header: true }, text, by).await
    }

    /// What becomes of a body line.
    pub(super) async fn line(&self, text: &[u8], by: &Witness) -> Result<Fate, String> {
        self.check(&Kind { maps: &self.body, name: "body_checks", is_header: false }, text, by).await
    }

    async fn check(&self, kind: &Kind<'_>, text: &[u8], by: &Witness) -> Result<Fate, String> {
        if kind.maps.is_empty() {
            return Ok(Fate::Stays);
        }
        let key = String::from_utf8_lossy(text).into_owned();
        match kind.maps.lookup(&Key { text: key.clone(), part: false }).await {
            Lookup::NotFound => Ok(Fate::Stays),
            Lookup::Found(action) => Ok(self.act(kind, &key, &action, by)),
            Lookup::TempFail(_) => {
                Err(format!("{} {} lookup error", self.prefix, kind.name.replace('_', " ")))
            }
        }
    }

    fn act(&self, kind: &Kind<'_>, text: &str, action: &str, by: &Witness) -> Fate {
        let (word, words) = action.split_once([' ', '\t']).unwrap_or((action, ""));
        let words = words.trim_start();
        let told = |done: &str| by.tell(done, kind, text, words);
        match word.to_ascii_uppercase().as_str() {
            "DUNNO" | "OK" => Fate::Stays,
            "IGNORE" => Fate::Goes,
            "STRIP" => {
                told("strip");
                Fate::Goes
            }
            "INFO" => {
                told("info");
                Fate::Stays
            }
            "WARN" => {
                told("warning");
                Fate::Stays
            }
            "REPLACE" if self.is_good(kind, "REPLACE", words, by) => {
                told("replace");
                Fate::Becomes(words.to_owned())
            }
            "PREPEND" if self.is_good(kind, "PREPEND", words, by) => {
                told("prepend");
                Fate::Follows(words.to_owned())
            }
            "REPLACE" | "PREPEND" => Fate::Stays,
            _ => {
                let text = format_args!("unsupported command in {}_{} map: {action}", self.prefix, kind.name);
                observe::warn(&by.tag, text);
                Fate::Stays
            }
        }
    }

    /// Whether a text may stand where it is to; a warning says why not.
    fn is_good(&self, kind: &Kind<'_>, action: &str, words: &str, by: &Witness) -> bool {
        let (prefix, name) = (self.prefix, kind.name);
        if words.is_empty() {
            let text = format_args!("{action} action without text in {prefix}_{name} map");
            observe::warn(&by.tag, text);
            return false;
        }
        if kind.is_header && field_name(words.as_bytes()).is_none() {
            let text = format_args!(
                "bad {action} header text \"{words}\" in {prefix}_{name} map -- need \"headername: headervalue\""
            );
            observe::warn(&by.tag, text);
            return false;
        }
        true
    }
}

impl Witness {
    fn tell(&self, done: &str, kind: &Kind<'_>, text: &str, words: &str) {
        let what = if kind.is_header { "header" } else { "body" };
        let shown = Escaped(&text.as_bytes()[..text.len().min(SHOWN_BYTES)]);
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let queue_id = &self.queue_id;
        observe::info(&self.tag, format_args!("{queue_id}: {done}: {what} {shown}{words}"));
    }
}
