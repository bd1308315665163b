//! Case files: settings, a zone, sinks, and named cases that share them.
//!
//! ```text
//! # A comment. Everything before the first `case:` holds for the whole file.
//! main.cf: NAME = VALUE         over the ground settings of `GROUND`
//! master.cf: LINE               after the ground lines; a line for the same service and type replaces that one
//! file: /etc/postfix/transport  its content follows in lines beginning with `| `
//! dns: NAME TYPE DATA           see `dns`
//! sink: ADDRESS:PORT [lmtp]     its rules follow in lines beginning with `| `, see `sink`
//! tables: ADDRESS:PORT          its answers follow in lines beginning with `| `, see `asked`
//! policy: ADDRESS:PORT         a policy service; its rules follow in lines beginning with `| `, see `policy`
//! mailboxes: DIRECTORY…         shows what is delivered below these, too, with owner and mode; not names with a dot
//! spool: no                     leaves the queue directory for the program to make
//! words: shown                  compares the words of reports, too: the templates are the file's own
//!
//! case: NAME
//! C: … S: … client: … close     a dialogue, see `dialogue`
//! begin: FROM TO…               EHLO, MAIL, RCPT and DATA in a new connection; the content follows in `C:` lines
//! send: FROM TO…                the same with `CONTENT` and QUIT; FROM is `<>` or an address without brackets
//! settle                        waits until every message has got as far as it will
//! run: COMMAND                  shows what it prints and its exit status (`/bin/sh`, in the world)
//! ignore-log: WORDS             lines with these words are not compared (say why in a comment)
//! newer: OLD => NEW             what Debian's 3.7 says as OLD is NEW in 3.12; OLD is a regular expression
//! differs: OLD => NEW           as `newer`, where Posthaste means to differ; docs/differences.md says why
//!                               (both hold for all cases where they stand before the first)
//! compare: replies log sink mail run asked     parts that count; all without this line
//! ```

use crate::asked::TablesSettings;
use crate::dialogue::{self, Step};
use crate::policy::PolicySettings;
use crate::sink::SinkSettings;
use std::collections::BTreeSet;

/// The settings that every case starts from.
pub const GROUND: &[(&str, &str)] = &[
    ("compatibility_level", "3.6"),
    ("maillog_file", "/var/log/mail.log"),
    ("maillog_file_prefixes", "/var, /dev/stdout"),
    ("myhostname", "mail.example.com"),
    ("mydestination", ""),
    ("alias_maps", ""),
    ("alias_database", ""),
    ("local_recipient_maps", ""),
    ("inet_protocols", "all"),
    // 192.0.2.1 is the host's own address; the rest of that net belongs to clients and sinks.
    ("inet_interfaces", "127.0.0.1, [::1], 192.0.2.1"),
    ("mynetworks", "127.0.0.0/8, [::1]/128"),
    ("virtual_mailbox_domains", "example.com"),
    ("virtual_mailbox_base", "/var/mail/vhosts"),
    (
        "virtual_mailbox_maps",
        "inline:{ann@example.com=ann/, bob@example.com=bob/, box@example.com=box, postmaster@example.com=postmaster/}",
    ),
    ("virtual_uid_maps", "static:5003"),
    ("virtual_gid_maps", "static:5003"),
];

/// The services that every case starts from: Debian's, outside chroot.
pub const MASTER: &str = "\
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp -o syslog_name=postfix/$service_name
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// What `send:` sends: nothing is missing, so the mail system adds only its trace headers.
pub const CONTENT: &[&str] = &[
    "From: sender@example.net",
    "Subject: test",
    "Date: Thu, 01 Jan 2026 00:00:00 +0000",
    "Message-ID: <test@example.net>",
    "",
    "body",
    ".",
];

/// The parts of a transcript.
pub const PARTS: &[&str] = &["asked", "log", "mail", "replies", "run", "sink"];

/// A parsed case file.
#[derive(Clone, Debug, Default)]
pub struct CaseFile {
    /// Parameters beyond the ground's, in order.
    pub main: Vec<(String, String)>,
    /// Lines of master.cf beyond the ground's.
    pub master: Vec<String>,
    /// Files to write before the start.
    pub files: Vec<(String, String)>,
    /// The DNS zone.
    pub zone: String,
    /// Sinks to start.
    pub sinks: Vec<SinkSettings>,
    /// Servers of tables to start.
    pub tables: Vec<TablesSettings>,
    /// Policy services to start.
    pub policies: Vec<PolicySettings>,
    /// Directories besides the virtual mailboxes' in which mail is delivered.
    pub mailboxes: Vec<String>,
    /// The words of reports are shown: both programs have them from the same templates.
    pub words_shown: bool,
    /// What every case begins with of [`Case::newer`].
    pub newer: Vec<(String, String)>,
    /// The cases in order.
    pub cases: Vec<Case>,
}

/// One named case.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Its name, unique in the file.
    pub name: String,
    /// What happens, in order.
    pub actions: Vec<Action>,
    /// Log lines with these words are left out.
    pub ignore_log: Vec<String>,
    /// Patterns of what Debian's release says, and what is expected of Posthaste in their place.
    pub newer: Vec<(String, String)>,
    /// Posthaste means to differ in it.
    pub differs: bool,
    /// The parts that are compared.
    pub parts: BTreeSet<String>,
}

/// One thing that happens in a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An SMTP dialogue.
    Dialogue(Vec<Step>),
    /// Wait until the queue is at rest.
    Settle,
    /// Run a command and show what it prints.
    Run(String),
}

impl CaseFile {
    /// Reads a case file; errors name the line.
    pub fn parse(text: &str) -> Result<CaseFile, String> {
        let mut file = CaseFile::default();
        let mut last = Block::None;
        for (number, line) in text.lines().enumerate() {
            file.line(line, &mut last).map_err(|why| format!("line {}: {why}", number + 1))?;
        }
        Ok(file)
    }

    fn line(&mut self, line: &str, last: &mut Block) -> Result<(), String> {
        if let Some(content) = line.strip_prefix("| ").or_else(|| (line == "|").then_some("")) {
            return match last {
                Block::File => {
                    let (_, text) = self.files.last_mut().expect("a file came before");
                    *text += &format!("{content}\n");
                    Ok(())
                }
                Block::Sink => self.sinks.last_mut().expect("a sink came before").rule(content),
                Block::Tables => self.tables.last_mut().expect("a server came before").rule(content),
                Block::Policy => self.policies.last_mut().expect("a service came before").rule(content),
                Block::None => Err("`|` continues a `file:`, `sink:`, `tables:` or `policy:` only".into()),
            };
        }
        *last = Block::None;
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(case) = self.cases.last_mut()
            && case.line(line)?
        {
            return Ok(());
        }
        let (key, value) =
            line.split_once(':').ok_or_else(|| format!("expected `key: value`, found `{line}`"))?;
        let value = value.trim();
        match key {
            "case" => {
                if self.cases.iter().any(|case| case.name == value) {
                    return Err(format!("case `{value}` stands twice"));
                }
                let parts = PARTS.iter().map(|part| (*part).to_owned()).collect();
                let newer = self.newer.clone();
                self.cases.push(Case { name: value.to_owned(), parts, newer, ..Case::default() });
            }
            _ if !self.cases.is_empty() => return Err(format!("`{key}:` is not known within a case")),
            "newer" | "differs" => self.newer.push(replacement(key, value)?),
            "main.cf" => {
                let (name, value) = value.split_once('=').ok_or("main.cf: expected NAME = VALUE")?;
                self.main.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            "master.cf" => self.master.push(value.to_owned()),
            "words" if value == "shown" => self.words_shown = true,
            "mailboxes" => self.mailboxes.extend(value.split_whitespace().map(str::to_owned)),
            "dns" => self.zone += &format!("{value}\n"),
            "file" => {
                self.files.push((value.to_owned(), String::new()));
                *last = Block::File;
            }
            "sink" => {
                self.sinks.push(SinkSettings::parse(value)?);
                *last = Block::Sink;
            }
            "tables" => {
                self.tables.push(TablesSettings::new(value));
                *last = Block::Tables;
            }
            "policy" => {
                self.policies.push(PolicySettings::parse(value)?);
                *last = Block::Policy;
            }
            other => return Err(format!("`{other}:` is not known")),
        }
        Ok(())
    }

    /// The text of main.cf: the ground with this file's settings over it.
    pub fn main_cf(&self) -> String {
        let ground = GROUND.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut all: Vec<(String, String)> = ground.collect();
        for (name, value) in &self.main {
            all.retain(|(have, _)| have != name);
            all.push((name.clone(), value.clone()));
        }
        all.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
    }

    /// The text of master.cf: the ground with this file's lines in place of, or behind, its own.
    pub fn master_cf(&self) -> String {
        let key = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
        let own: Vec<_> = self.master.iter().map(|line| key(line)).collect();
        let ground = MASTER.lines().filter(|line| !own.contains(&key(line)));
        ground.map(str::to_owned).chain(self.master.iter().cloned()).map(|line| line + "\n").collect()
    }
}

/// The text of a case file with one of its cases alone.
pub fn only(text: &str, case: &str) -> String {
    let (mut kept, mut keeps) = (String::new(), true);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("case:") {
            keeps = name.trim() == case;
        }
        if keeps {
            kept += &format!("{line}\n");
        }
    }
    kept
}

impl Case {
    /// Takes a line of a case; false where it is none of a case's.
    fn line(&mut self, line: &str) -> Result<bool, String> {
        if line == "settle" {
            self.actions.push(Action::Settle);
            return Ok(true);
        }
        let mut steps = Vec::new();
        if let Some(parsed) = match self.actions.last_mut() {
            Some(Action::Dialogue(steps)) => dialogue::parse_line(line, steps),
            _ => dialogue::parse_line(line, &mut steps),
        } {
            parsed?;
            if !steps.is_empty() {
                self.actions.push(Action::Dialogue(steps));
            }
            return Ok(true);
        }
        let Some((key, value)) = line.split_once(':') else { return Ok(false) };
        let value = value.trim();
        match key {
            "run" => self.actions.push(Action::Run(value.to_owned())),
            "begin" | "send" => {
                for line in transaction(value, key == "send")? {
                    self.line(&line)?;
                }
            }
            "ignore-log" => self.ignore_log.push(value.to_owned()),
            "newer" | "differs" => {
                self.newer.push(replacement(key, value)?);
                self.differs |= key == "differs";
            }
            "compare" => {
                self.parts = value.split_whitespace().map(str::to_owned).collect();
                if let Some(wrong) = self.parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
                    return Err(format!("compare: expected {}, found `{wrong}`", PARTS.join(", ")));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `OLD => NEW`.
fn replacement(key: &str, value: &str) -> Result<(String, String), String> {
    let (old, new) = value.split_once("=>").ok_or_else(|| format!("{key}: expected OLD => NEW"))?;
    Ok((old.trim().to_owned(), new.trim().to_owned()))
}

/// The dialogue lines of `begin:` and `send:`.
fn transaction(value: &str, whole: bool) -> Result<Vec<String>, String> {
    let mut words = value.split_whitespace().map(|word| word.trim_matches(['<', '>']));
    let from = words.next().ok_or("expected FROM TO…")?;
    let mut lines = vec!["C: EHLO client.example.net".to_owned(), format!("C: MAIL FROM:<{from}>")];
    lines.extend(words.map(|to| format!("C: RCPT TO:<{to}>")));
    lines.push("C: DATA".to_owned());
    if whole {
        lines.extend(CONTENT.iter().map(|line| format!("C: {line}")));
        lines.push("C: QUIT".to_owned());
    }
    Ok(lines)
}

enum Block {
    None,
    File,
    Sink,
    Tables,
    Policy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_settings_and_cases() {
        let text = "main.cf: relayhost = [192.0.2.25]\nfile: /etc/postfix/t\n| a b\n|\ndns: a.example A 192.0.2.1\nsink: 192.0.2.25:25\n| greeting => 421 no\n\ncase: one\nC: QUIT\nsettle\nrun: postqueue -p\n\ncase: two\ncompare: replies\nC: NOOP\n";
        let file = CaseFile::parse(text).unwrap();
        assert!(file.main_cf().contains("relayhost = [192.0.2.25]\n"));
        assert_eq!(file.files[0].1, "a b\n\n");
        assert_eq!(file.cases[0].actions.len(), 3);
        assert_eq!(file.cases[1].parts.len(), 1);
    }

    #[test]
    fn a_service_line_replaces_the_grounds() {
        let file = CaseFile { master: vec!["smtp inet n - n - 5 smtpd".into()], ..CaseFile::default() };
        assert!(!file.master_cf().contains("smtp inet n - n - - smtpd"));
        assert!(file.master_cf().contains("smtp unix"));
    }

    #[test]
    fn one_case_is_taken_out_with_what_holds_for_all() {
        let text = "main.cf: a = b\ncase: one\nC: NOOP\ncase: two\nC: QUIT\ncase: twofold\n";
        assert_eq!(only(text, "two"), "main.cf: a = b\ncase: two\nC: QUIT\n");
    }

    #[test]
    fn an_error_names_its_line() {
        assert!(CaseFile::parse("main.cf: a = b\nnonsense: x\n").unwrap_err().starts_with("line 2:"));
    }
}
