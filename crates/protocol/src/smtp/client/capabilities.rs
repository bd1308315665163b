//! What a server said it can do, in its reply to EHLO or LHLO.

use super::Xforward;

/// Extensions that a server offered and that we may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 1870; the limit is 0 where the server named none.
    pub size: Option<u64>,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 4954: the mechanisms.
    pub auth: Option<String>,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// What it wants to know of the original client.
    pub xforward: Xforward,
}

/// Bytes of the mechanisms that are kept.
const AUTH_BYTES_MAX: usize = 1000;

impl Capabilities {
    /// Takes one line of the reply, without its code. `discard` names keywords that are not to be used
    /// (`smtp_discard_ehlo_keywords`), in lower case.
    pub fn add(&mut self, line: &[u8], discard: &[String]) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split([' ', '\t', '=']).filter(|w| !w.is_empty());
        let Some(keyword) = words.next() else { return };
        let keyword = keyword.to_ascii_lowercase();
        if discard.contains(&keyword) {
            return;
        }
        match keyword.as_str() {
            "pipelining" => self.pipelining = true,
            "size" => self.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
            "8bitmime" => self.eight_bit_mime = true,
            "dsn" => self.dsn = true,
            "smtputf8" => self.smtputf8 = true,
            "starttls" => self.starttls = true,
            "chunking" => self.chunking = true,
            "xforward" => self.xforward = Xforward::offered(words),
            "enhancedstatuscodes" => self.enhanced_status_codes = true,
            "auth" => {
                let mut mechanisms = words.collect::<Vec<_>>().join(" ");
                if mechanisms.len() <= AUTH_BYTES_MAX {
                    mechanisms.make_ascii_uppercase();
                    self.auth = Some(mechanisms);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found_whatever_their_case_and_unknown_ones_passed_over() {
        let mut found = Capabilities::default();
        let lines = ["PIPELINING", "size 1000", "8BitMime", "AUTH=plain LOGIN", "VRFY", "", "SMTPUTF8"];
        for line in lines {
            found.add(line.as_bytes(), &["smtputf8".into()]);
        }
        let expected = Capabilities {
            pipelining: true,
            size: Some(1000),
            eight_bit_mime: true,
            auth: Some("PLAIN LOGIN".into()),
            ..Capabilities::default()
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn a_size_that_is_no_number_is_no_limit() {
        for line in ["SIZE", "SIZE x", "SIZE -1", "SIZE 99999999999999999999999"] {
            let mut found = Capabilities::default();
            found.add(line.as_bytes(), &[]);
            assert_eq!(found.size, Some(0), "{line}");
        }
    }
}
