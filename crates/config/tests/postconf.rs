//! postconf on strange files: nothing makes it panic, and an edit changes its entry and nothing else.
#![allow(clippy::unwrap_used)]

use config::postconf::{Output, Program, run};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

struct Directory(PathBuf);

impl Directory {
    fn new(main: &[u8], master: &[u8]) -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("postconf-any-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("main.cf"), main).unwrap();
        std::fs::write(path.join("master.cf"), master).unwrap();
        Directory(path)
    }

    fn run(&self, args: &[&str]) -> Output {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        run(&self.0, &Program::default(), &args)
    }

    fn main(&self) -> Vec<u8> {
        std::fs::read(self.0.join("main.cf")).unwrap()
    }

    fn master(&self) -> Vec<u8> {
        std::fs::read(self.0.join("master.cf")).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Bytes made of what the readers look at.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&'static [u8]> = vec![
        b"\n",
        b"\n ",
        b"\n#",
        b"#",
        b" = ",
        b"=",
        b"$",
        b"${",
        b"}",
        b"{",
        b"?",
        b":",
        b" -o ",
        b"-o",
        b"\r\n",
        b"\0",
        b"\xff",
        b"smtp inet n - n - - smtpd",
        b"x unix - - - 1? 0 pipe",
        b"foo",
        b"$foo",
        b"relayhost",
        b"a=b",
        b"{ a = b c }",
        b" ",
        b"\xef\xbb\xbf",
        b"compatibility_level",
        b"3.6",
        b"ldap:foo",
        b"smtpd_restriction_classes",
    ];
    proptest::collection::vec(proptest::sample::select(words), 0..40).prop_map(|words| words.concat())
}

/// main.cf as lines: entries of one or more lines, comments and blank lines, each with its line end.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        "[a-c]{1,2} ?= ?[ -~]{0,20}\n",
        "[a-c]{1,2}=[a-z]{1,5}\n[ \t]{1,2}[a-z$]{1,9}\n",
        "[a-c]{1,2} = \n  # inner\n [a-z]{1,9}\n",
        "#[ -~]{0,20}\n",
        "[ \t]{0,3}\n",
    ];
    proptest::collection::vec(line, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_makes_postconf_panic_and_showing_changes_no_file(main in bytes(), master in bytes()) {
        let d = Directory::new(&main, &master);
        for args in [&["-n"][..], &["-x", "foo", "relayhost"], &["-Mf"], &["-Px"], &["-F"], &["-jn"], &["-jM"], &["-C", "user"], &["-t"], &["-b"]] {
            let output = d.run(args);
            prop_assert!(output.status <= 1);
            prop_assert!(output.err.iter().all(|b| matches!(b, b' '..=b'~' | b'\n')));
        }
        prop_assert_eq!((d.main(), d.master()), (main.clone(), master.clone()));
        for args in [&["-e", "foo=1"][..], &["-X", "foo"], &["-#", "relayhost"], &["-MX", "x/unix"], &["-F", "smtp/inet/chroot=y"], &["-P", "*/*/a=1"]] {
            prop_assert!(d.run(args).status <= 1);
        }
    }

    #[test]
    fn an_edit_changes_its_entry_and_nothing_else(lines in lines(), name in "[a-c]{1,2}", value in "[!-~]([ -~]{0,20}[!-~])?") {
        let is_of = |entry: &String| entry.split(['=', ' ']).next() == Some(name.as_str());
        let d = Directory::new(lines.concat().as_bytes(), b"");
        prop_assert_eq!(d.run(&["-e", &format!("{name}={value}")]).status, 0);
        let edited = String::from_utf8(d.main()).unwrap();
        let shown = config::Config::parse(&d.0, &edited, "", config::Host::default());
        // A value may be one that no configuration can have, such as `$`; what is read is what was set.
        if let Ok(config) = shown {
            let read = config.main().get(&name).map(|entry| entry.value.clone());
            prop_assert_eq!(read, Some(value.clone()));
        }
        for line in lines.iter().filter(|entry| !is_of(entry) && !entry.trim().is_empty()) {
            prop_assert!(edited.contains(line.as_str()), "{line:?} is gone");
        }
        d.run(&["-X", &name]);
        let rest: String = lines.iter().filter(|entry| !is_of(entry)).cloned().collect();
        let without = String::from_utf8(d.main()).unwrap();
        // Comments within the entry stay.
        let kept = |text: &str| text.lines().filter(|l| !l.trim_start().starts_with('#') && !l.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(kept(&without), kept(&rest));
    }
}
