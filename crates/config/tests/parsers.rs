//! The readers of main.cf, master.cf and values take any text without a panic, and read back what was written.
#![allow(clippy::unwrap_used)]

use config::{Config, Host, Severity, expand, lines, parameters, words};
use proptest::prelude::*;
use std::borrow::Cow;
use std::path::Path;

/// Text made of what the readers look at, so that strange files are common.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\n".to_owned()),
        Just("\n ".to_owned()),
        Just("#".to_owned()),
        Just(" = ".to_owned()),
        Just("$".to_owned()),
        Just("${".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just("?".to_owned()),
        Just(":".to_owned()),
        Just("-o ".to_owned()),
        Just(" inet n - - 1? - smtpd ".to_owned()),
        Just("myhostname".to_owned()),
        Just("smtpd_timeout".to_owned()),
        Just("smtp_destination_rate_delay".to_owned()),
        Just("<level".to_owned()),
        "[a-z0-9_]{1,6}",
        "[ \\t,.=<>!()\\r\u{0}é]{1,3}",
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

struct NoNames;

impl expand::Names for NoNames {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        // Names that name each other, so that depth is tried too.
        (name.len() < 4).then(|| Cow::Owned(format!("${{{name}x?{{$x{name}}}:$y}}")))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_configuration_makes_the_readers_panic(main in text(), master in text()) {
        let directory = Path::new("/nonexistent");
        match Config::parse(directory, &main, &master, Host::default()) {
            Ok(config) => {
                for finding in config.check() {
                    prop_assert!(!finding.to_string().is_empty());
                    prop_assert!(matches!(finding.severity, Severity::Error | Severity::Warning));
                }
                for service in config.services() {
                    let _ = parameters::Smtpd::read(&config, Some(service));
                    prop_assert!(service.endpoint().is_none_or(|(_, port)| port.len() <= service.name.len()));
                }
                let _ = (parameters::Global::read(&config, None), parameters::Qmgr::read(&config, None));
            }
            Err(errors) => prop_assert!(errors.iter().next().is_some()),
        }
    }

    #[test]
    fn no_value_makes_expansion_panic_or_grow(value in text()) {
        if let Ok(expanded) = expand::expand(&value, &NoNames) {
            prop_assert!(expanded.len() <= 1 << 20);
        }
        if !value.contains('$') {
            prop_assert_eq!(expand::expand(&value, &NoNames), Ok(value));
        }
    }

    #[test]
    fn every_parameter_reads_or_refuses_any_value(value in text()) {
        let value = value.replace('\n', " ");
        for (_, list) in parameters::VIEWS {
            for parameter in list.iter() {
                let name = if parameter.family { format!("x_{}", parameter.name) } else { parameter.name.to_owned() };
                if let Err(errors) = Config::parse(Path::new("/nonexistent"), &format!("{name} = {value}\n"), "", Host::default()) {
                    for error in errors.iter() {
                        prop_assert!(error.to_string().starts_with("/nonexistent/main.cf:1: "), "{}", error);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read(entries in proptest::collection::btree_map("[a-z][a-z0-9_]{0,12}x", "[!-~]([ -~]{0,30}[!-~])?", 0..8)) {
        let main: String = entries.iter().map(|(name, value)| format!("# c\n{name} =\n\t{value}\n")).collect();
        // A value that begins with `#` is a comment in a line of its own.
        prop_assume!(entries.values().all(|value| !value.starts_with('#')));
        let config = Config::parse(Path::new("/nonexistent"), &main, "", Host::default()).unwrap();
        let read: Vec<(&str, &str)> = config.main().iter().map(|(name, entry)| (name, entry.value.as_str())).collect();
        let written: Vec<(&str, &str)> = entries.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn words_lose_nothing_but_separators(value in text()) {
        let list: String = words::list(&value).concat();
        let squeeze = |text: &str| text.chars().filter(|&c| !words::is_list_separator(c)).collect::<String>();
        prop_assert_eq!(squeeze(&list), squeeze(&value));
    }

    #[test]
    fn each_byte_of_a_logical_line_knows_its_line(value in text()) {
        let count = u32::try_from(value.split('\n').count()).unwrap();
        for line in lines::logical_lines(&value).lines {
            for offset in 0..=line.text.len() {
                prop_assert!((line.line()..=line.last_line()).contains(&line.line_at(offset)));
            }
            prop_assert!(line.last_line() <= count);
        }
    }
}
