//! swaks, Python's smtplib, msmtp and smtp-source send; what the next hop gets is what they sent.

use peers::{Ring, body, client, debian, have, run};
use std::fs;
use std::process::Command;

/// Bodies that have broken mail systems before, by name; all in CRLF form.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let eight_bit: Vec<u8> = (0x80..=0xffu8).chain(*b"\r\n").collect();
    let mut large = Vec::new();
    for n in 0..126_000u32 {
        large.extend_from_slice(format!("{n:08} {}\r\n", "y".repeat(69)).as_bytes());
    }
    vec![
        ("dots", b".\r\n..\r\n.x\r\n...\r\nx.\r\n".to_vec()),
        ("eight-bit", eight_bit),
        ("empty", Vec::new()),
        ("large", large),
        ("long-lines", [&b"z".repeat(998)[..], b"\r\n", &b"z".repeat(5_000), b"\r\nend\r\n"].concat()),
        ("only-newlines", b"\r\n\r\n\r\n".to_vec()),
        ("tabs-and-blanks", b" \r\n\t\r\n trailing  \r\n".to_vec()),
    ]
}

#[test]
fn smtplib_sends_every_body_byte_for_byte() {
    if !have("python3") {
        return;
    }
    let ring = Ring::start("smtplib", "");
    let directory = ring.instance.dir.join("bodies");
    fs::create_dir(&directory).unwrap();
    for (name, text) in bodies() {
        fs::write(directory.join(name), text).unwrap();
    }
    run(Command::new("python3")
        .arg(client("send_bodies.py"))
        .arg(ring.instance.port.to_string())
        .arg(&directory));
    let received = ring.received(bodies().len());
    for (name, text) in bodies() {
        let subject = format!("Subject: {name}\r\n");
        let found = received.iter().find(|t| String::from_utf8_lossy(&t.content).contains(&subject));
        let found = found.unwrap_or_else(|| panic!("{name} did not arrive"));
        assert!(body(&found.content) == text, "{name} arrived changed ({} bytes)", found.content.len());
    }
}

#[test]
fn smtplib_sends_smtputf8_addresses() {
    if !have("python3") {
        return;
    }
    let ring = Ring::start("smtputf8", "");
    run(Command::new("python3").arg(client("send_smtputf8.py")).arg(ring.instance.port.to_string()));
    let received = ring.received(1);
    assert!(received[0].mail.contains("<grüße@example.com>") && received[0].mail.contains("SMTPUTF8"));
    assert!(received[0].rcpts[0].contains("<δοκιμή@example.org>"), "{:?}", received[0].rcpts);
    assert_eq!(body(&received[0].content), "größer\r\n".as_bytes());
}

#[test]
fn swaks_sends_with_pipelining_and_without() {
    if !have("swaks") {
        return;
    }
    let ring = Ring::start("swaks", "");
    for extra in [&[][..], &["--pipeline"], &["--protocol", "SMTP"]] {
        run(Command::new("swaks")
            .args(["--server", "127.0.0.1", "--port", &ring.instance.port.to_string()])
            .args(["--from", "a@example.com", "--to", "b@example.org,c@example.org", "--helo", "client.test"])
            .args(["--body", "one line\n.dot\n", "--timeout", "20"])
            .args(extra));
    }
    for transaction in ring.received(3) {
        assert_eq!(transaction.rcpts.len(), 2);
        assert!(body(&transaction.content).starts_with(b"one line\r\n.dot\r\n"));
    }
}

#[test]
fn msmtp_sends() {
    if !have("msmtp") {
        return;
    }
    let ring = Ring::start("msmtp", "");
    let message = ring.instance.dir.join("message");
    fs::write(&message, "From: a@example.com\nTo: b@example.org\nSubject: x\n\n.first\nlast\n").unwrap();
    run(Command::new("msmtp")
        .args(["--host=127.0.0.1", &format!("--port={}", ring.instance.port), "--from=a@example.com"])
        .args(["--auth=off", "--tls=off", "--file=/dev/null", "b@example.org"])
        .stdin(fs::File::open(&message).unwrap()));
    assert_eq!(body(&ring.received(1)[0].content), b".first\r\nlast\r\n");
}

#[test]
fn smtp_source_sends_from_many_sessions() {
    let Some(source) = debian("usr/sbin/smtp-source") else { return };
    let libraries = debian("usr/lib/postfix").expect("unpacked together");
    let ring = Ring::start("smtp-source", "");
    // Without -d a connection a message, with it connections are reused.
    for reuse in [&[][..], &["-d"]] {
        run(Command::new(&source)
            .env("LD_LIBRARY_PATH", &libraries)
            .args(["-s", "10", "-m", "100", "-l", "2000", "-f", "a@example.com", "-t", "b@example.org"])
            .args(["-M", "client.test"])
            .args(reuse)
            .arg(format!("127.0.0.1:{}", ring.instance.port)));
    }
    for transaction in ring.received(200) {
        assert!(transaction.content.len() > 2_000, "{} bytes", transaction.content.len());
    }
}
