//! main.cf: no text makes the reader, the checks or the expansion panic, and each mistake names its line.

use crate::{Target, config_files};
use config::{Config, expand, lines};

pub(super) const TARGET: Target = Target {
    name: "main_cf",
    dictionary: &[
        b"\n",
        b"\n ",
        b"\n\t",
        b"\r\n",
        b"#",
        b" = ",
        b"=",
        b"$",
        b"$$",
        b"${",
        b"$(",
        b"}",
        b")",
        b"{",
        b"?",
        b":",
        b"?{",
        b"}:{",
        b"${{",
        b"} == {",
        b"} <level {",
        b"3.6",
        b"myhostname",
        b"$myhostname",
        b"mydomain",
        b"$mydomain",
        b"compatibility_level = ",
        b"smtpd_timeout = 10s",
        b"smtpd_recipient_limit",
        b"myorigin",
        b"mynetworks",
        b"slow_destination_rate_delay = 1s",
        b"inline:{ a = b, { c = d e } }",
        b"!",
        b"/file",
        b",",
        b"\0",
        b"\xef\xbb\xbf",
        b"domain_to_ascii{",
        b"stress",
        b"${stress?{10}:{300}}s",
        b"\xff",
        b"foo",
        b"$foo",
        b"foo = $foo",
        b"permit",
    ],
    run,
};

/// Bytes that an expanded value may have; the reader's own bound.
const EXPANDED_BYTES_MAX: usize = 1 << 20;

struct Names<'a>(&'a Config);

impl expand::Names for Names<'_> {
    fn raw(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.0.main().get(name).map(|entry| entry.value.as_str().into())
    }
}

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let config = config_files::read(&text, "", "main.cf");
    for (name, entry) in config.main().iter() {
        assert!(!name.is_empty() && !name.contains([' ', '\n', '=']), "{name:?}");
        assert_eq!(entry.value, entry.value.trim_matches(lines::is_space));
        if let Ok(value) = expand::expand(&entry.value, &Names(&config)) {
            assert!(value.len() <= EXPANDED_BYTES_MAX);
        }
        let mut names = 0;
        if expand::names_in(&entry.value, &mut |_| names += 1).is_ok() {
            assert!(names <= entry.value.len());
        }
    }
    // Each byte of a logical line knows the physical line that it came from.
    let count = u32::try_from(text.split('\n').count()).unwrap_or(u32::MAX);
    for line in lines::logical_lines(&text).lines {
        assert!(line.line() <= line.last_line() && line.last_line() <= count);
        assert_eq!(line.line_at(0), line.line());
    }
}
