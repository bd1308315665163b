//! Plays a case file in a world and writes one transcript a case.

use crate::asked::Tables;
use crate::case::{Action, Case, CaseFile};
use crate::dialogue::Player;
use crate::dns::Zone;
use crate::mask::{LogLine, Masker};
use crate::mta::{self, Mta};
use crate::policy::Policy;
use crate::sink::{Sink, Transaction};
use crate::world;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What one case brought forth: a part's name and a line, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The case's name.
    pub case: String,
    /// `(part, line)`; parts are those of `case::PARTS`, `failure` and [`WITNESS`].
    pub lines: Vec<(String, String)>,
}

/// The queue must have come to rest by then.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A log that stays as it is for so long is complete.
const QUIET: Duration = Duration::from_millis(120);
/// For states from which a message may go on without a sign, such as a rejected content.
const LONG_QUIET: Duration = Duration::from_millis(1200);
/// A whole file must be through by then.
const FILE_TIMEOUT: Duration = Duration::from_secs(240);
/// A server that is silent in so many cases is not asked further.
const SILENT_MAX: usize = 2;
/// What a build of Posthaste for tests writes down in a file, and the part of a transcript that it becomes.
pub const WITNESS: &str = "witness";
const WITNESS_VARIABLE: &str = "POSTHASTE_WITNESS";
/// In data_directory: the process that writes it reaches little else.
const WITNESS_FILE: &str = "/var/lib/postfix/witness";
const MARK: &str = "\u{1}case ";

/// Plays a case file on a program in a new world; called outside.
pub fn outside(program: &str, text: &str) -> Result<Vec<Transcript>, String> {
    outside_with(program, text, &[])
}

/// [`outside`] for Posthaste, whose transcripts then have the part [`WITNESS`].
pub fn outside_with_witness(text: &str) -> Result<Vec<Transcript>, String> {
    outside_with("posthaste", text, &[(WITNESS_VARIABLE, WITNESS_FILE)])
}

/// [`outside`] with more variables in the environment.
pub fn outside_with(
    program: &str,
    text: &str,
    variables: &[(&str, &str)],
) -> Result<Vec<Transcript>, String> {
    CaseFile::parse(text)?;
    let output = world::run_self(program, &["--inside", program], variables, text)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut transcripts: Vec<Transcript> = Vec::new();
    for line in said.lines() {
        if let Some(name) = line.strip_prefix(MARK) {
            transcripts.push(Transcript { case: name.to_owned(), lines: Vec::new() });
        } else if let (Some(transcript), Some((part, text))) = (transcripts.last_mut(), line.split_once(' '))
        {
            transcript.lines.push((part.to_owned(), text.to_owned()));
        }
    }
    if !output.status.success() {
        let why = format!("{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
        if transcripts.is_empty() {
            return Err(why);
        }
        transcripts.push(Transcript { case: "*".into(), lines: vec![("failure".into(), why)] });
    }
    Ok(transcripts)
}

/// The part that runs inside the world: reads the case file from standard input, prints transcripts.
/// A `main` calls it when its first argument is `--inside`.
pub fn inside(program: &str) -> Result<(), String> {
    let text = std::io::read_to_string(std::io::stdin()).map_err(|e| e.to_string())?;
    std::thread::spawn(|| {
        std::thread::sleep(FILE_TIMEOUT);
        eprintln!("the case file took longer than {FILE_TIMEOUT:?}");
        std::process::exit(3);
    });
    let file = CaseFile::parse(&text)?;
    Zone::parse(&file.zone)?.serve(([127, 0, 0, 1], 53).into())?;
    for (path, content) in &file.files {
        if let Some(parent) = Path::new(path).parent() {
            fs::create_dir_all(parent).map_err(|e| format!("{path}: {e}"))?;
        }
        fs::write(path, content).map_err(|e| format!("{path}: {e}"))?;
    }
    let sinks: Vec<Sink> = file.sinks.iter().cloned().map(|sink| sink.start()).collect::<Result<_, _>>()?;
    let tables: Vec<Tables> = file.tables.iter().cloned().map(|t| t.start()).collect::<Result<_, _>>()?;
    let policies: Vec<Policy> = file.policies.iter().cloned().map(|p| p.start()).collect::<Result<_, _>>()?;
    let witness = std::env::var_os(WITNESS_VARIABLE).map(PathBuf::from);
    if let Some(path) = &witness {
        make_witness(path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let mut mta = mta::by_name(program)?;
    mta.configure(&file.main_cf(), &file.master_cf())?;
    mta.start(25)?;
    let mut offset = quiet_log(mta.as_ref());
    let mut silent = 0;
    for case in &file.cases {
        let mut run = Run {
            mta: mta.as_ref(),
            sinks: &sinks,
            tables: &tables,
            policies: &policies,
            mailboxes: &file.mailboxes,
            words_shown: file.words_shown,
            from: offset,
            masker: Masker::default(),
            out: Vec::new(),
            gave_up: false,
            ran: false,
        };
        run.case(case);
        silent = if run.gave_up { silent + 1 } else { 0 };
        println!("{MARK}{}", case.name);
        for (part, line) in &run.out {
            println!("{part} {line}");
        }
        for line in witness.iter().flat_map(|path| taken(path)) {
            println!("{WITNESS} {}", printable(&line));
        }
        offset = mta.log_lines(offset).1;
        if silent == SILENT_MAX {
            return Err(format!("no replies in {SILENT_MAX} cases one after the other"));
        }
    }
    Ok(())
}

/// The file, so that mail_owner can add to it, and belonging to whom data_directory does.
fn make_witness(path: &Path) -> std::io::Result<()> {
    fs::write(path, "")?;
    let owner = fs::metadata(path.parent().unwrap_or(path))?;
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

/// The lines of a file, which is empty then; all its writers append.
fn taken(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let _ = fs::OpenOptions::new().write(true).truncate(true).open(path);
    text.lines().map(str::to_owned).collect()
}

/// The log's length once the lines of the start are through.
fn quiet_log(mta: &dyn Mta) -> usize {
    let deadline = Instant::now() + LONG_QUIET;
    let mut offset = mta.log_lines(0).1;
    loop {
        std::thread::sleep(2 * QUIET);
        let now = mta.log_lines(0).1;
        if now == offset || Instant::now() > deadline {
            return now;
        }
        offset = now;
    }
}

struct Run<'a> {
    mta: &'a dyn Mta,
    sinks: &'a [Sink],
    tables: &'a [Tables],
    policies: &'a [Policy],
    mailboxes: &'a [String],
    words_shown: bool,
    from: usize,
    masker: Masker,
    out: Vec<(String, String)>,
    gave_up: bool,
    /// A command ran: what it submitted may still be on its way to the log.
    ran: bool,
}

impl Run<'_> {
    fn case(&mut self, case: &Case) {
        let mut player = Player::default();
        for action in &case.actions {
            match action {
                Action::Dialogue(steps) => {
                    player.play(steps, &|line| mask_reply(line));
                    self.push_all("replies", player.transcript.drain(..));
                    self.push_all("failure", player.mismatches.drain(..));
                }
                Action::Settle => {
                    player.finish();
                    self.settle();
                }
                Action::Run(command) => {
                    self.settle();
                    let shown = shell(command);
                    self.ran = true;
                    self.masker.learn_from(&self.mta.log_lines(self.from).0);
                    let shown: Vec<String> = shown.lines().map(|line| self.masker.mask(line)).collect();
                    self.push_all("run", std::iter::once(format!("$ {command}")).chain(shown));
                }
            }
        }
        player.finish();
        self.gave_up = player.gave_up;
        self.settle();
        self.log(case);
        self.sinks();
        self.mail();
        for tables in self.tables {
            self.push_all("asked", tables.take().into_iter());
        }
        for policy in self.policies {
            let told: Vec<String> = policy.take().iter().map(|line| self.masker.mask(line)).collect();
            self.push_all("asked", told.into_iter());
        }
    }

    fn push_all(&mut self, part: &str, lines: impl Iterator<Item = String>) {
        self.out.extend(lines.map(|line| (part.to_owned(), printable(&line))));
    }

    /// Waits until every session is closed and every message delivered, deferred, held or gone.
    fn settle(&mut self) {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        let (mut seen, mut since) = (usize::MAX, Instant::now());
        loop {
            let (lines, _) = self.mta.log_lines(self.from);
            if lines.len() != seen {
                (seen, since) = (lines.len(), Instant::now());
            }
            match rest(&lines) {
                Rest::Yes if since.elapsed() > if self.ran { LONG_QUIET } else { QUIET } => return,
                Rest::Perhaps if since.elapsed() > LONG_QUIET => return,
                Rest::No(why) if Instant::now() > deadline => {
                    self.out.push(("failure".into(), format!("not at rest after {SETTLE_TIMEOUT:?}: {why}")));
                    return;
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn log(&mut self, case: &Case) {
        let (lines, _) = self.mta.log_lines(self.from);
        let lines: Vec<LogLine> = lines.into_iter().filter(|line| !is_housekeeping(line)).collect();
        self.masker.learn_from(&lines);
        // Lines of one message stand together, and so do each program's other lines, which come first: which of two
        // programs or messages speaks first is a matter of scheduling.
        let mut groups: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for line in &lines {
            let key = match line.queue_id() {
                None => (0, line.tag.clone()),
                Some(id) => {
                    let at = order.iter().position(|have| have == id).unwrap_or_else(|| {
                        order.push(id.to_owned());
                        order.len() - 1
                    });
                    (at + 1, String::new())
                }
            };
            groups.entry(key).or_default().push(format!("{}: {}", line.tag, self.masker.mask(&line.text)));
        }
        let mut shown = Vec::new();
        for mut group in groups.into_values() {
            sort_deliveries(&mut group);
            shown.extend(group);
        }
        shown.retain(|line| !case.ignore_log.iter().any(|words| line.contains(words.as_str())));
        self.push_all("log", shown.into_iter());
    }

    fn sinks(&mut self) {
        for sink in self.sinks {
            let (mut transactions, _, _) = sink.take();
            // The content last: it holds queue ids.
            transactions.sort_by(|a, b| {
                (&a.mail, &a.rcpts, &a.reply, &a.content).cmp(&(&b.mail, &b.rcpts, &b.reply, &b.content))
            });
            for transaction in transactions {
                let lines = self.show_transaction(sink.address(), &transaction);
                self.push_all("sink", lines.into_iter());
            }
        }
    }

    fn show_transaction(&self, address: &str, taken: &Transaction) -> Vec<String> {
        let mut lines = vec![format!("{address} {}", taken.hello)];
        lines.extend(taken.xforward.iter().map(|command| self.masker.mask(command)));
        lines.push(self.masker.mask(&taken.mail));
        lines.extend(taken.rcpts.iter().map(|rcpt| self.masker.mask(rcpt)));
        lines.extend(self.show_content(&taken.content, true));
        lines.push(format!("=> {}", taken.reply));
        lines
    }

    /// Shows and removes everything below the mailbox directories.
    fn mail(&mut self) {
        let mut shown = Vec::new();
        let is_mail = |path: &PathBuf| {
            !path.iter().any(|part| part.as_encoded_bytes().starts_with(b"."))
                && !path.starts_with("/var/mail/vhosts")
        };
        for path in self.mailboxes.iter().flat_map(|d| files_below(Path::new(d))).filter(is_mail) {
            let Ok(stat) = fs::symlink_metadata(&path) else { continue };
            let content = fs::read(&path).unwrap_or_default();
            let _ = fs::remove_file(&path);
            let mode = stat.permissions().mode() & 0o7777;
            let mut lines = vec![format!("{} {}:{} {mode:o}", mailbox_name(&path), stat.uid(), stat.gid())];
            lines.extend(self.show_content(&content, false));
            shown.push(lines);
        }
        for path in files_below(Path::new("/var/mail/vhosts")) {
            let content = fs::read(&path).unwrap_or_default();
            let _ = fs::remove_file(&path);
            let mut lines = vec![mailbox_name(&path)];
            lines.extend(self.show_content(&content, false));
            shown.push(lines);
        }
        shown.sort();
        self.push_all("mail", shown.into_iter().flatten());
    }

    /// Content as lines: CR LF is expected (or LF), the other is marked; very long lines and contents are summed up.
    fn show_content(&self, content: &[u8], crlf: bool) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in content.split_inclusive(|&byte| byte == b'\n').take(400) {
            let text = match (line.strip_suffix(b"\r\n"), line.strip_suffix(b"\n")) {
                (Some(text), _) if crlf => text.to_vec(),
                (None, Some(text)) if !crlf => text.to_vec(),
                _ => [
                    line.strip_suffix(b"\n").unwrap_or(line),
                    if line.ends_with(b"\n") { b"<LF>" } else { b"<no newline>" },
                ]
                .concat(),
            };
            let shown = match text.len() {
                0..=300 => self.masker.mask(&readable(&text)),
                length => format!("{}… ({length} octets)", String::from_utf8_lossy(&text[..60])),
            };
            lines.push(format!("> {shown}"));
        }
        if !self.words_shown {
            without_notification_text(&mut lines);
        }
        if content.split(|&byte| byte == b'\n').count() > 400 {
            lines.push(format!("> … {} octets, {:016x}", content.len(), checksum(content)));
        }
        lines
    }
}

/// The words with which a report greets its reader are each program's own: one line stands for them.
fn without_notification_text(lines: &mut Vec<String>) {
    let mut at = 0;
    while let Some(found) = lines[at..].iter().position(|line| line == "> Content-Description: Notification")
    {
        let heading = |line: &String| line.starts_with("> Content-") || line == ">  ";
        let start = at + found + lines[at + found..].iter().take_while(|line| heading(line)).count();
        let text = lines[start..]
            .iter()
            .take_while(|line| !line.starts_with("> <") && !line.starts_with("> --"))
            .count();
        lines.splice(start..start + text, ["> (words to the reader)".to_owned()]);
        at = start + 1;
    }
}

/// Text as it is; octets that are none as escapes.
fn readable(octets: &[u8]) -> String {
    std::str::from_utf8(octets).map_or_else(|_| octets.escape_ascii().to_string(), str::to_owned)
}

/// FNV-1a, to tell contents apart.
fn checksum(content: &[u8]) -> u64 {
    content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn printable(line: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\t' { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() }
    };
    line.chars().map(shown).collect()
}

/// In replies only the queue id varies.
fn mask_reply(line: &str) -> String {
    match line.split_once("queued as ") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            format!("{before}queued as ID{rest}")
        }
        None => line.to_owned(),
    }
}

fn is_housekeeping(line: &LogLine) -> bool {
    // A coarse clock of the machine makes these.
    let clock =
        line.text.contains("file system clock is") || line.text.contains("resetting file time stamps");
    // Since 3.10.
    let not_queued =
        line.text.ends_with(": removed (canceled)") || line.text.ends_with(": removed (discarded)");
    // What Posthaste says of its own limits at the start.
    let start = line.text.contains("/inet: at most ") || line.text.contains("/pass: at most ");
    // Postfix's postscreen starts with its first client, and says this then.
    let cleanup = line.text.contains(" full cleanup: retained=");
    let daemons = ["master", "postfix-script", "anvil", "scache", "tlsmgr", "postlogd", "postlog", "control"];
    start
        || cleanup
        || clock
        || not_queued
        || daemons.iter().any(|daemon| line.tag.rsplit('/').next() == Some(daemon))
}

/// Recipients of one message are delivered in any order: neighbouring delivery lines are sorted.
fn sort_deliveries(lines: &mut [String]) {
    let is_delivery = |line: &String| line.contains(": to=<");
    let mut at = 0;
    while at < lines.len() {
        let run = lines[at..].iter().take_while(|line| is_delivery(line)).count();
        lines[at..at + run].sort();
        at += run.max(1);
    }
}

enum Rest {
    Yes,
    /// Some message gives no sign whether it goes on.
    Perhaps,
    No(String),
}

#[derive(Default)]
struct Fate {
    announced: bool,
    has_message_id: bool,
    held: bool,
    removed: bool,
    recipients: usize,
    tried: usize,
}

fn rest(lines: &[LogLine]) -> Rest {
    let mut fates: BTreeMap<&str, Fate> = BTreeMap::new();
    let (mut connects, mut disconnects) = (0, 0);
    // A client of postscreen goes away, or on to smtpd.
    let (mut screened, mut judged) = (0, 0);
    for line in lines {
        screened += usize::from(line.text.starts_with("CONNECT from "));
        judged += usize::from(line.text.starts_with("DISCONNECT ") || line.text.starts_with("connect from "));
        connects += usize::from(line.text.starts_with("connect from "));
        disconnects += usize::from(line.text.starts_with("disconnect from "));
        if let Some(new) = line.other_id() {
            fates.entry(new).or_default().announced = true;
        }
        let Some(id) = line.queue_id() else { continue };
        let text = line.text.split_once(": ").map_or("", |(_, text)| text);
        let fate = fates.entry(id).or_default();
        fate.has_message_id |= text.starts_with("message-id=");
        fate.held |= text.starts_with("hold: ");
        fate.removed |= text.starts_with("removed");
        if text.starts_with("from=<") {
            let digits = text.split("nrcpt=").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(count) = digits.and_then(|digits| digits.parse().ok()) {
                (fate.recipients, fate.tried) = (count, 0);
            }
        }
        fate.tried += usize::from(text.starts_with("to=<"));
    }
    if connects > disconnects {
        return Rest::No(format!("{} sessions are open", connects - disconnects));
    }
    if screened > judged {
        return Rest::No(format!("{} clients are being screened", screened - judged));
    }
    let mut answer = Rest::Yes;
    for (id, fate) in fates {
        let done = fate.removed || (fate.held && fate.has_message_id);
        if done || (fate.recipients > 0 && fate.tried >= fate.recipients && !fate.announced) {
            // All deferred, or the queue manager is about to remove it: it says so within the quiet time.
            continue;
        }
        if fate.recipients > fate.tried || (fate.announced && fate.recipients == 0) {
            return Rest::No(format!("message {id} is under way"));
        }
        if fate.has_message_id {
            answer = Rest::Perhaps;
        }
    }
    answer
}

fn shell(command: &str) -> String {
    match Command::new("/bin/sh").args(["-c", command]).output() {
        Ok(output) => {
            let mut shown = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            if let Some(code) = output.status.code().filter(|&code| code != 0) {
                shown += &format!("\n=> exit status {code}");
            }
            shown
        }
        Err(error) => error.to_string(),
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The path without what Maildir makes unique.
fn mailbox_name(path: &Path) -> String {
    match path.parent().and_then(Path::file_name).and_then(|name| name.to_str()) {
        Some("new" | "tmp" | "cur") => {
            path.parent().map_or(String::new(), |parent| format!("{}/FILE", parent.display()))
        }
        _ => path.display().to_string(),
    }
}
