//! The trap of Postfix's that every client is `unknown`: here check and the start say why names cannot be resolved.
//!
//! Each part runs in a world of its own against the scripted name server there.

use compat::ring;
use std::process::ExitCode;
use testkit::play;

/// Waits for the line of the start, then shows what check says.
const LOOK: &str = "run: for _ in $(seq 30); do grep -q 'names cannot be resolved' /var/log/mail.log && break; sleep 0.1; done; \
                    grep -c 'smtpd.*names cannot be resolved' /var/log/mail.log\nrun: posthaste check 2>&1\n\
                    run: postfix check 2>&1\n";

/// What is set up, and what must be said: how often in the log, and which words in check.
type Part = (&'static str, &'static str, &'static [&'static str]);

/// Name servers that answer, and all ways in which they do not.
const PARTS: &[Part] = &[
    ("", "0", &[]),
    ("dns: 127.0.0.1 SERVFAIL\n", "0", &[]),
    (
        "dns: 127.0.0.1 SILENCE\n",
        "1",
        &["names cannot be resolved: 127.0.0.1:53 does not answer (it is silent)", "`unknown`"],
    ),
    (
        "dns: 127.0.0.1 SILENCE\nfile: /etc/resolv.conf\n| search example.com\n",
        "1",
        &[
            "/etc/resolv.conf has no `nameserver` line with an address, so this host itself is asked: 127.0.0.1:53",
        ],
    ),
    (
        "main.cf: dns_nameservers = 127.0.0.1:1\n",
        "1",
        &["127.0.0.1:1 does not answer (nobody listens there)"],
    ),
    ("main.cf: dns_nameservers = 127.0.0.1:1\nmain.cf: smtpd_peername_lookup = no\n", "0", &[]),
    (
        "main.cf: dns_nameservers = 127.0.0.1:1\nmaster.cf: smtp inet n - y - - smtpd\n",
        "1",
        &["a chrooted smtpd reads the host's own before it changes its root"],
    ),
];

fn main() -> ExitCode {
    ring::program(play::inside, all)
}

fn all() -> Result<(), String> {
    ring::ready()?;
    // Most of a world's time is waiting.
    let results: Vec<_> = std::thread::scope(|scope| {
        let parts: Vec<_> = PARTS.iter().map(|part| scope.spawn(move || part_holds(part))).collect();
        parts.into_iter().map(|part| part.join().expect("a part does not panic")).collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    println!("test result: ok. {} setups: names can be resolved, or it is told why not", PARTS.len());
    Ok(())
}

fn part_holds((setup, in_log, words): &Part) -> Result<(), String> {
    let transcripts = play::outside("posthaste", &format!("{setup}case: names\n{LOOK}"))?;
    let lines = transcripts.iter().flat_map(|t| &t.lines);
    // Commands are shown, too.
    let printed = lines.filter(|(part, line)| part == "run" && !line.starts_with("$ "));
    let said: Vec<&str> = printed.map(|(_, line)| line.as_str()).collect();
    let all = said.join("\n");
    let wrong = |what: &str| Err(format!("{setup}: {what}:\n{all}"));
    if said.first() != Some(in_log) {
        return wrong("the log should tell it so often");
    }
    if let Some(missing) = words.iter().find(|words| all.matches(**words).count() != 1) {
        return wrong(missing);
    }
    if words.is_empty() && all.contains("names cannot be resolved") {
        return wrong("nothing should be told");
    }
    Ok(())
}
