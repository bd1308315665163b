//! Calls of postconf with the output that Postfix 3.7 gives for the same files.

use super::{Program, Template};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const MAIN: &str = "# head\nmyhostname = mail.example.com\ncompatibility_level = 3.6\nmydestination = $myhostname,\n  localhost\n\
                    #relayhost = x\nsmtpd_banner = $myhostname ESMTP\nmua = permit\nsmtpd_client_restrictions = $mua\n\
                    foo_destination_rate_delay = 1s\njunk = 1\nrelayhost =\n";

const MASTER: &str = "smtp      inet  n       -       y       -       -       smtpd\n\
                      smtp      unix  -       -       y       -       -       smtp\n\
                      relay     unix  -       -       y       -       -       smtp\n        -o syslog_name=postfix/$service_name\n\
                      x unix - n n - - pipe -o a=b -o { c = d  e } -v\n  flags=R user=x\n  argv=/bin/x { y z } -o q\n";

/// What a call printed, as text.
struct Said {
    out: String,
    err: String,
    status: u8,
}

fn said(directory: &Path, args: &[&str]) -> Said {
    let args: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
    let templates = [Template {
        class: "failure",
        charset: "us-ascii".to_owned(),
        from: "daemon".to_owned(),
        subject: "Undelivered".to_owned(),
        postmaster_subject: None,
        body: "Host $myhostname, $delay_warning_time_minutes minutes.\n".to_owned(),
    }];
    let program = Program { table_types: &["cidr", "texthash"], templates: &templates, tls_library: "" };
    let output = super::run(directory, &program, &args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { out: text(output.out), err: text(output.err), status: output.status }
}

struct Directory(PathBuf);

impl Directory {
    fn new(main: &str) -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("postconf-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("main.cf"), main).unwrap();
        std::fs::write(path.join("master.cf"), MASTER).unwrap();
        Directory(path)
    }

    fn run(&self, args: &[&str]) -> Said {
        said(&self.0, args)
    }

    fn main(&self) -> String {
        std::fs::read_to_string(self.0.join("main.cf")).unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn parameters_are_shown_as_postfix_shows_them() {
    let d = Directory::new(MAIN);
    for (args, out) in [
        (
            &["-n"][..],
            "compatibility_level = 3.6\nmua = permit\nmydestination = $myhostname, localhost\n\
             myhostname = mail.example.com\nrelayhost =\nsmtpd_banner = $myhostname ESMTP\n\
             smtpd_client_restrictions = $mua\n",
        ),
        (&["myhostname", "relayhost", "nosuch"], "myhostname = mail.example.com\nrelayhost =\n"),
        (&["-h", "mydestination", "myhostname"], "$myhostname, localhost\nmail.example.com\n"),
        (&["-d", "mydestination"], "mydestination = $myhostname, localhost.$mydomain, localhost\n"),
        (&["-x", "mydestination"], "mydestination = mail.example.com, localhost\n"),
        (&["-H", "relayhost"], "relayhost\n"),
        (&["-o", "myhostname=x.y", "myhostname"], "myhostname = x.y\n"),
        (&["smtp_destination_rate_delay"], "smtp_destination_rate_delay = $default_destination_rate_delay\n"),
        (&["foo_destination_rate_delay"], ""),
        (&["x_time_limit"], "x_time_limit = $command_time_limit\n"),
        (&["-C", "user"], "mua = permit\n"),
        (&["virtual_alias_maps"], "virtual_alias_maps = $virtual_maps\n"),
    ] {
        assert_eq!(d.run(args).out, out, "{args:?}");
    }
    assert_eq!(
        d.run(&["nosuch"]).err.replace(d.0.to_str().unwrap(), "d"),
        "postconf: warning: nosuch: unknown parameter\n\
         postconf: warning: d/main.cf: unused parameter: foo_destination_rate_delay=1s\n\
         postconf: warning: d/main.cf: unused parameter: junk=1\n\
         postconf: warning: d/master.cf: unused parameter: a=b\n\
         postconf: warning: d/master.cf: unused parameter: c=d  e\n"
    );
    assert!(d.run(&[]).out.lines().count() > 900);
    assert_eq!(d.run(&["-d", "-n"]).err, "postconf: fatal: specify one of -d -n\n");
}

#[test]
fn long_values_fold_as_postfix_folds_them() {
    let d = Directory::new(
        "mydestination = $myhostname,\n  localhost, aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.org, \
         bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example.org, ccc.example.org,\n\tddd.example.org\n",
    );
    assert_eq!(
        d.run(&["-nf"]).out,
        "mydestination = $myhostname, localhost,\n    aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.org,\n    \
         bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.example.org, ccc.example.org,\n    ddd.example.org\n"
    );
}

#[test]
fn services_are_shown_as_postfix_shows_them() {
    let d = Directory::new("");
    let x = "x          unix  -       n       n       -       -       pipe";
    for (args, out) in [
        (
            &["-M", "smtp/inet"][..],
            "smtp       inet  n       -       y       -       -       smtpd\n".to_owned(),
        ),
        (
            &["-M", "smtp"],
            "smtp       inet  n       -       y       -       -       smtpd\n\
             smtp       unix  -       -       y       -       -       smtp\n"
                .to_owned(),
        ),
        (&["-M", "x/unix"], format!("{x} -o a=b -o {{c=d  e}} -v flags=R user=x argv=/bin/x {{y z}} -o q\n")),
        (
            &["-Mf", "x/unix"],
            format!("{x}\n    -o a=b\n    -o {{c=d  e}}\n    -v flags=R user=x argv=/bin/x {{y z}} -o q\n"),
        ),
        (
            &["-P"],
            "relay/unix/syslog_name = postfix/$service_name\nx/unix/a = b\nx/unix/c = d e\n".to_owned(),
        ),
        (&["-Px", "relay"], "relay/unix/syslog_name = postfix/relay\n".to_owned()),
        (&["-F", "smtp/inet/chroot"], "smtp/inet/chroot = y\n".to_owned()),
        (&["-Fh", "smtp/inet/command"], "smtpd\n".to_owned()),
    ] {
        assert_eq!(d.run(args).out, out, "{args:?}");
    }
    assert!(d.run(&["-M", "no/inet"]).err.starts_with("postconf: warning: unmatched request: \"no/inet\"\n"));
}

#[test]
fn edits_change_what_they_name_and_nothing_else() {
    let d = Directory::new(
        "# head\nmyorigin   =  a    b\nmydestination = $myhostname,\n  localhost\n#relayhost = x\nrelayhost = [a]\n\
         \x20 # note\n  , [b]\n# after\nrelayhost = [c]\nsmtpd_helo_required = yes\n",
    );
    let output = d.run(&["-e", "relayhost = [x]:25", "newname=v w", "mydestination=one"]);
    assert_eq!(output.status, 0);
    assert!(output.err.ends_with("multiple entries for \"relayhost\"\n"));
    assert_eq!(
        d.main(),
        "# head\nmyorigin   =  a    b\nmydestination = one\n#relayhost = x\nrelayhost = [x]:25\n  # note\n# after\n\
         relayhost = [x]:25\nsmtpd_helo_required = yes\nnewname = v w\n"
    );
    d.run(&["-X", "relayhost", "nosuch"]);
    d.run(&["-#", "smtpd_helo_required"]);
    d.run(&["empty="]);
    assert_eq!(
        d.main(),
        "# head\nmyorigin   =  a    b\nmydestination = one\n#relayhost = x\n  # note\n# after\n\
         #smtpd_helo_required = yes\nnewname = v w\nempty = \n"
    );
    for args in [&["-e"][..], &["-e", "novalue"], &["-e", "bad name=x"]] {
        assert_eq!(d.run(args).status, 1, "{args:?}");
    }
}

#[test]
fn a_missing_file_is_fatal() {
    let output = said(Path::new("/"), &["-c", "/nonexistent", "-n"]);
    assert_eq!(output.status, 1);
    assert!(output.err.starts_with("postconf: fatal: open /nonexistent/main.cf: No such file"));
}

#[test]
fn what_the_program_brings_along_is_shown() {
    let d = Directory::new("myhostname = a.b\ndelay_warning_time = 2h\n");
    assert_eq!(d.run(&["-m"]).out, "cidr\ntexthash\n");
    let template = "failure_template = <<EOF\nCharset: us-ascii\nFrom: daemon\nSubject: Undelivered\n\nHost $myhostname, $delay_warning_time_minutes minutes.\nEOF\n";
    assert_eq!(d.run(&["-t"]).out, template);
    assert_eq!(d.run(&["-b"]).out, "expanded_failure_text = <<EOF\nHost a.b, 120 minutes.\nEOF\n");
    std::fs::write(d.0.join("t"), template.replace("Subject: Undelivered\n\n", "subject: Other\n\n"))
        .unwrap();
    let file = d.0.join("t");
    assert_eq!(d.run(&["-t", file.to_str().unwrap()]).out, template.replace("Undelivered", "Other"));
    for (text, status, told) in [
        ("failure_template\n", 1, "line 1: missing '=' after attribute name"),
        ("\nnosuch_template = <<EOF\nEOF\n", 0, "line 2: unknown template name: nosuch_template"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = d.run(&["-t", file.to_str().unwrap()]);
        assert!(said.status == status && said.err.contains(told), "{}", said.err);
    }
}
