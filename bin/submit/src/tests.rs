//! Tests of the commands in a queue directory of their own.

use crate::run;
use queue::record::Records;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// An instance's directories, removed at the end.
struct World(PathBuf);

impl World {
    fn new(name: &str) -> World {
        let root = std::env::temp_dir().join(format!("submit-{name}-{}", std::process::id()));
        for queue in ["maildrop", "active", "incoming", "deferred", "hold", "public"] {
            std::fs::create_dir_all(root.join("spool").join(queue)).unwrap();
        }
        let main_cf = format!(
            "queue_directory = {root}/spool\ncommand_directory = {root}\nmyhostname = mail.example.com\nmessage_size_limit = 100000\n",
            root = root.display()
        );
        std::fs::write(root.join("main.cf"), main_cf).unwrap();
        World(root)
    }

    fn run(&self, command: &str, words: &[&str], input: &[u8]) -> (i32, String) {
        let option = if command == "postqueue" || command == "postdrop" { "-c" } else { "-C" };
        let mut arguments = vec![option.into(), self.0.clone().into_os_string()];
        arguments.extend(words.iter().map(OsString::from));
        let mut out = Vec::new();
        let code = run(command, &arguments, &mut &input[..], &mut out);
        (code, String::from_utf8(out).unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join("spool/maildrop")).unwrap();
        entries.map(|e| e.unwrap().path()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The records of a file behind the time of arrival.
fn records(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let shown =
        |r: queue::record::Record<'_>| format!("{} {}", char::from(r.kind), String::from_utf8_lossy(r.data));
    let all: Vec<_> = Records::new(&bytes).map(|r| shown(r.unwrap())).collect();
    assert!(all[0].starts_with("T "));
    all[1..].join("\n")
}

#[test]
fn sendmail_writes_what_postfixs_sendmail_and_postdrop_write() {
    // Each case was asked of Debian's Postfix 3.7.
    for (name, words, input, expected) in [
        (
            "t",
            &["-F", "Full Name", "-f", "ann@example.com", "-t"][..],
            "Subject: local\nTo: dave@example.org\n\nlocal body\n..\n",
            "A rewrite_context=local\nF Full Name\nS ann@example.com\nM \nN Subject: local\nN To: dave@example.org\n\
             N \nN local body\nN ..\nX \nR dave@example.org\nE ",
        ),
        (
            "dsn",
            &[
                "-Froot",
                "-N",
                "success",
                "-V",
                "env1",
                "-R",
                "full",
                "-f",
                "",
                "frank@example.org",
                "x@y, z@w",
            ],
            "Subject: local\r\n\r\nlocal body\r\n.\r\nmore",
            "A envelope_id=env1\nA ret_flags=1\nA rewrite_context=local\nF root\nS \nA notify_flags=2\n\
             R frank@example.org\nA notify_flags=2\nR x@y\nA notify_flags=2\nR z@w\nM \nN Subject: local\nN \n\
             N local body\nX \nE ",
        ),
        (
            "verp",
            &["-i", "-XV+=", "-B", "8BITMIME", "-f", "Ann <ann@q.example>", "-Froot", "root"],
            "Subject: i\n\nlocal body\n.\nmore\n",
            "A rewrite_context=local\nF root\nS ann@q.example\nA encoding=8bit\nV +=\nR root\nM \nN Subject: i\nN \n\
             N local body\nN .\nN more\nX \nE ",
        ),
        (
            "from",
            &["-Froot", "-froot", "-t", "c@d"],
            "From u@h Mon\nTo: a@b\n\nx\n",
            "A rewrite_context=local\nF root\nS root\nR c@d\nM \nN To: a@b\nN \nN x\nX \nR a@b\nE ",
        ),
    ] {
        let world = World::new(name);
        assert_eq!(world.run("sendmail", words, input.as_bytes()).0, 0, "{name}");
        let files = world.files();
        assert_eq!(files.len(), 1, "{name}");
        assert_eq!(records(&files[0]), expected, "{name}");
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(std::fs::metadata(&files[0]).unwrap().mode() & 0o7777, 0o744);
    }
}

#[test]
fn smtp_is_spoken_on_standard_input() {
    let world = World::new("bs");
    let dialogue = "EHLO me\r\nRCPT TO:<x@y>\r\nMAIL FROM:<ann@example.org> BODY=8BITMIME\r\nRCPT TO:<bob@example.org>\r\n\
        DATA\r\nSubject: s\r\n\r\n..dot\r\n.\r\nDATA\r\nNONSENSE\r\nMAIL FROM:<>\r\nRSET\r\nQUIT\r\n";
    let (code, text) = world.run("sendmail", &["-bs"], dialogue.as_bytes());
    assert_eq!(code, 0);
    let codes: Vec<_> = text.lines().filter(|l| l.get(3..4) == Some(" ")).map(|l| &l[..3]).collect();
    assert_eq!(
        codes,
        ["220", "250", "503", "250", "250", "354", "250", "503", "502", "250", "250", "221"],
        "{text}"
    );
    let files = world.files();
    assert_eq!(
        records(&files[0]),
        "A rewrite_context=local\nS ann@example.org\nA encoding=8bit\nR bob@example.org\nM \nN Subject: s\nN \nN .dot\nX \nE "
    );
    let cut = "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: s\r\n";
    assert_eq!(world.run("sendmail", &["-bs"], cut.as_bytes()).0, 75);
    assert_eq!(world.files().len(), 1);
}

#[test]
fn smtp_takes_what_senders_want_to_be_told() {
    let world = World::new("dsn-smtp");
    let dialogue = "EHLO me\r\nMAIL FROM:<ann@example.org> RET=HDRS ENVID=a+2Bb SMTPUTF8\r\n\
        RCPT TO:<bob@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40x\r\nRCPT TO:<c@d> ORCPT=rfc822;b+0Ax\r\n\
        DATA\r\n.\r\nQUIT\r\n";
    assert_eq!(world.run("sendmail", &["-bs"], dialogue.as_bytes()).0, 0);
    assert_eq!(
        records(&world.files()[0]),
        "A envelope_id=a+b\nA ret_flags=2\nA rewrite_context=local\nS ann@example.org\nA notify_flags=10\n\
         A dsn_orig_rcpt=rfc822;b@x\nR bob@example.org\nM \nX \nE "
    );
}

#[test]
fn nothing_is_left_of_mail_that_is_refused() {
    let world = World::new("refused");
    let large = vec![b'x'; 200_000];
    assert_eq!(world.run("sendmail", &["a@b"], &large).0, 75);
    assert_eq!(world.run("sendmail", &[], b"x\n").0, 75);
    assert_eq!(world.run("sendmail", &["-t"], b"no recipients\n").0, 75);
    for bad in [
        &b"S\x01aM\x00p\x01x"[..],
        b"K\x00",
        b"S\xff\xff\xff\xff\xff\x01",
        b"S\x03a\x00bR\x01bM\x00X\x00E\x00",
        b"S\x01aM\x00X\x00E\x00",
    ] {
        assert_eq!(world.run("postdrop", &["-r"], bad).0, 1);
    }
    // Who goes before the end wants nothing any more.
    for cut in [&b""[..], b"S\x01aM\x00"] {
        assert_eq!(world.run("postdrop", &["-r"], cut), (0, String::new()));
    }
    assert!(world.files().is_empty());
}

#[test]
fn postdrop_drops_what_a_user_may_not_say() {
    let world = World::new("postdrop");
    let mut stream = Vec::new();
    for (kind, data) in [
        (b'A', &b"rewrite_context=other"[..]),
        (b'A', b"client_address=192.0.2.1"),
        (b'S', b"ann"),
        (b'R', b"bob"),
        (b'M', b""),
        (b'X', b""),
        (b'E', b""),
    ] {
        queue::record::put(&mut stream, kind, data);
    }
    let (code, answer) = world.run("postdrop", &["-r"], &stream);
    assert_eq!(code, 0);
    let files = world.files();
    let id = files[0].file_name().unwrap().to_str().unwrap();
    assert_eq!(answer.split('\0').nth(3), Some(id));
    assert_eq!(records(&files[0]), "S ann\nR bob\nM \nX \nE ");
}

#[test]
fn the_queue_is_listed_from_the_disk_when_nothing_runs() {
    let world = World::new("list");
    assert_eq!(world.run("postqueue", &["-p"], b""), (0, "Mail queue is empty\n".into()));
    world.run("sendmail", &["-f", "ann@example.org", "bob@example.org"], b"Subject: x\n\nx\n");
    let (code, text) = world.run("mailq", &[], b"");
    assert_eq!(code, 0);
    assert!(
        text.starts_with("-Queue ID-  --Size-- ") && text.ends_with("\n-- 0 Kbytes in 1 Request.\n"),
        "{text}"
    );
    let (_, json) = world.run("postqueue", &["-j"], b"");
    assert!(
        json.contains(
            "\"sender\": \"ann@example.org\", \"recipients\": [{\"address\": \"bob@example.org\"}]}"
        ),
        "{json}"
    );
    assert_eq!(world.run("postqueue", &["-f"], b"").0, 69);
    assert_eq!(world.run("postqueue", &[], b"").0, 69);
    assert_eq!(world.run("mailq", &["word"], b"").0, 75);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn any_input_of_postdrop_is_taken_or_refused(input in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
        let world = World::new("any");
        let code = world.run("postdrop", &["-r"], &input).0;
        proptest::prop_assert!(world.files().is_empty() || code == 0 && world.files().len() == 1);
    }
}
