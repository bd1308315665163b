//! master.cf: no text makes the reader panic; what it accepts has eight columns, and each mistake names its line.

use crate::{Target, config_files};

pub(super) const TARGET: Target = Target {
    name: "master_cf",
    dictionary: &[
        b"\n",
        b"\n ",
        b"\n\t",
        b"\r\n",
        b"#",
        b" ",
        b"\t",
        b"smtp inet n - n - - smtpd",
        b"smtp unix - - n - - smtp",
        b"x unix - n n - - pipe",
        b" inet ",
        b" unix ",
        b" unix-dgram ",
        b" fifo ",
        b" pass ",
        b" - ",
        b" y ",
        b" n ",
        b" 60? ",
        b" 1 ",
        b"[::1]:25",
        b"127.0.0.1:2525",
        b":",
        b" -o ",
        b"-o",
        b"a=b",
        b"{ a = b c }",
        b"{",
        b"}",
        b"=",
        b" -v",
        b" user=nobody:mail",
        b" argv=/bin/cat -u",
        b" flags=DRhu",
        b"${recipient}",
        b"\0",
        b"\xef\xbb\xbf",
        b"smtpd_timeout=5s",
        b"99999999999999999999",
        b" ? ",
        b" -- ",
    ],
    run,
};

fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let config = config_files::read("compatibility_level = 3.12", &text, "master.cf");
    let lines = text.split('\n').count() as u32;
    for service in config.services() {
        assert!(service.columns.iter().all(|column| !column.is_empty()));
        assert!((1..=lines).contains(&service.origin.line));
        assert_eq!(service.overrides.len(), service.override_origins.len());
        let within = service.origin.line..=lines;
        assert!(service.override_origins.iter().all(|origin| within.contains(&origin.line)));
        let (_, port) = config::split_endpoint(&service.name);
        assert!(service.name.ends_with(port));
        let same = |other: &&config::ServiceLine| (&other.name, other.kind) == (&service.name, service.kind);
        assert_eq!(config.services().iter().filter(same).count(), 1);
    }
}
