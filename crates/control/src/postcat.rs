//! postcat: shows a message of the queue, whether it lies in a file or in the journal.

use config::Config;
use config::parameters::{Global, Queue};
use mail::QueueId;
use queue::file::{self, FileRecord, FileRecords, OnDisk, ReadAt, ReadError};
use queue::listing::asctime;
use queue::paths::Hashing;
use queue::record::kind;
use queue::{Disk, RealDisk, lookup};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const USAGE: &str = "usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] \
    [-e (envelope records)] [-h (header text)] [-q (access queue)] [-v] [file(s)...]";

/// Where `-q` looks, in this order.
const QUEUES: [&str; 6] = ["maildrop", "hold", "incoming", "active", "deferred", "corrupt"];

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Options {
    envelope: bool,
    header: bool,
    body: bool,
    offsets: bool,
    decimal: bool,
    verbose: bool,
    physical: bool,
    queue: bool,
    config: Option<String>,
    names: Vec<String>,
}

/// Runs the command with the arguments behind its name. `config_directory` is the caller's default for `-c`.
pub fn run(arguments: &[String], config_directory: &Path, out: &mut dyn Write) -> i32 {
    match try_run(arguments, config_directory, out) {
        Ok(()) => 0,
        Err(text) => {
            let _ = out.flush();
            eprintln!("postcat: fatal: {text}");
            1
        }
    }
}

fn try_run(arguments: &[String], config_directory: &Path, out: &mut dyn Write) -> Result<(), String> {
    let options = parse(arguments)?;
    if !options.queue {
        if options.names.is_empty() {
            return Err(USAGE.to_string());
        }
        for name in &options.names {
            let file = File::open(name).map_err(|e| format!("open {name}: {}", os_text(&e)))?;
            print(Arc::new(file), name, &options, out)?;
        }
        return Ok(());
    }
    let directory = options.config.as_deref().map_or(config_directory, Path::new);
    let config = Config::load(directory).map_err(|e| e.to_string())?;
    let spool = Spool::open(&config)?;
    for name in &options.names {
        let (file, path) = spool.find(name)?;
        print(file, &path, &options, out)?;
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|l| !l.is_empty() && *l != "-") else {
            if word != "--" {
                options.names.push(word.clone());
            }
            options.names.extend(words.cloned());
            break;
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                'b' => options.body = true,
                'd' => options.decimal = true,
                'e' => options.envelope = true,
                'h' => options.header = true,
                'o' => options.offsets = true,
                'q' => options.queue = true,
                'r' => options.physical = true,
                'v' => options.verbose = true,
                'c' => {
                    let rest = &letters[at + 1..];
                    let value = if rest.is_empty() { words.next().cloned() } else { Some(rest.to_string()) };
                    options.config = Some(value.ok_or(USAGE)?);
                    break;
                }
                _ => {
                    eprintln!("postcat: invalid option -- '{letter}'");
                    return Err(USAGE.to_string());
                }
            }
        }
    }
    if !(options.envelope || options.header || options.body) {
        (options.envelope, options.header, options.body) = (true, true, true);
    }
    Ok(options)
}

/// The queue that `-q` looks into.
struct Spool {
    disk: Arc<dyn Disk>,
    hashing: Hashing,
}

impl Spool {
    fn open(config: &Config) -> Result<Spool, String> {
        let global = Global::read(config, None).map_err(|e| e.to_string())?;
        let queue = Queue::read(config, None).map_err(|e| e.to_string())?;
        let directory = PathBuf::from(global.queue_directory);
        let disk =
            RealDisk::new(&directory).map_err(|e| format!("{}: {}", directory.display(), os_text(&e)))?;
        let depth = usize::try_from(queue.hash_queue_depth).unwrap_or(1);
        Ok(Spool { disk: Arc::new(disk), hashing: Hashing { names: queue.hash_queue_names, depth } })
    }

    /// The records of a message and where they lie. Files first: where there are both, the file wins.
    fn find(&self, name: &str) -> Result<(Arc<dyn ReadAt>, String), String> {
        let missing = || format!("open queue file {name}: No such file or directory");
        let id = QueueId::parse(name).ok_or_else(|| format!("bad mail queue id: {name}"))?;
        // A message that moves from one directory to the next may be missed once.
        for _ in 0..2 {
            for queue in QUEUES {
                let path = self.hashing.path(queue, &id);
                match self.disk.open_read(&path) {
                    Ok(file) => return Ok((Arc::new(OnDisk(file)), path.display().to_string())),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(format!("open queue file {name}: {}", os_text(&e))),
                }
            }
            let found = lookup::find(&*self.disk, &id).map_err(|e| format!("journal: {}", os_text(&e)))?;
            if let Some(mut message) = found {
                let text = |e: io::Error| format!("{}: {}", message.segment.display(), os_text(&e));
                let envelope = &message.envelope;
                if !envelope.client.address.is_empty() && envelope.attribute("log_ident").is_none() {
                    // Postfix's smtpd has its files say so.
                    message
                        .envelope
                        .attributes
                        .insert(0, ("log_ident".to_string(), name.as_bytes().to_vec()));
                }
                let (mut bytes, marks) = file::to_bytes(&message.envelope, &message.content).map_err(text)?;
                for (mark, done) in marks.iter().zip(&message.done) {
                    if *done {
                        bytes[mark.offset as usize] = kind::DONE;
                    }
                }
                return Ok((Arc::new(bytes), format!("journal/{name}")));
            }
        }
        Err(missing())
    }
}

/// Where in the message a record stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Envelope,
    Header,
    Body,
    Extracted,
}

struct Printer<'a> {
    options: &'a Options,
    path: &'a str,
    at: At,
    /// The last record was a piece of a line that goes on.
    continued: bool,
    out: &'a mut dyn Write,
}

fn print(file: Arc<dyn ReadAt>, path: &str, options: &Options, out: &mut dyn Write) -> Result<(), String> {
    let mut printer = Printer { options, path, at: At::Envelope, continued: false, out };
    let mut first = true;
    for record in FileRecords::new(file, options.physical) {
        let record = match record {
            Ok(record) => record,
            Err(ReadError::Damaged(_)) if first => return invalid(path),
            Err(error) => return Err(format!("{path}: {error}")),
        };
        // A queue file begins with C, a submission with T or what its writer said.
        if first && !b"CTAFS".contains(&record.kind) {
            return invalid(path);
        }
        let printed = printer.begin(first).and_then(|()| printer.record(&record));
        first = false;
        match printed {
            Ok(()) => {}
            // `postcat | head`
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(e) => return Err(os_text(&e)),
        }
    }
    if first { invalid(path) } else { printer.out.flush().map_err(|e| os_text(&e)) }
}

fn invalid(path: &str) -> Result<(), String> {
    eprintln!("postcat: warning: {path}: input is not a valid queue file");
    Ok(())
}

impl Printer<'_> {
    fn begin(&mut self, first: bool) -> io::Result<()> {
        if first && self.options.envelope {
            writeln!(self.out, "*** ENVELOPE RECORDS {} ***", self.path)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &FileRecord) -> io::Result<()> {
        match record.kind {
            kind::CONTENT => {
                self.at = At::Header;
                self.banner(record, "MESSAGE CONTENTS")
            }
            kind::EXTRACTED => {
                if std::mem::take(&mut self.continued) {
                    self.out.write_all(b"\n")?;
                }
                self.at = At::Extracted;
                self.banner(record, "HEADER EXTRACTED")
            }
            kind::END => self.banner(record, "MESSAGE FILE END"),
            kind::LINE | kind::LINE_PIECE if matches!(self.at, At::Header | At::Body) => self.line(record),
            kind::PADDING if !self.options.verbose => Ok(()),
            _ if self.options.envelope => self.named(record),
            _ => Ok(()),
        }
    }

    fn prefix(&mut self, record: &FileRecord) -> io::Result<()> {
        if self.options.offsets {
            write!(self.out, "{:9} ", record.offset)?;
        }
        if self.options.decimal {
            write!(self.out, "{:3} ", record.kind)?;
        }
        Ok(())
    }

    fn banner(&mut self, record: &FileRecord, text: &str) -> io::Result<()> {
        if !self.options.envelope {
            return Ok(());
        }
        self.prefix(record)?;
        writeln!(self.out, "*** {text} {} ***", self.path)
    }

    fn line(&mut self, record: &FileRecord) -> io::Result<()> {
        let begins = !self.continued;
        self.continued = record.kind == kind::LINE_PIECE;
        if begins && self.at == At::Header && record.kind == kind::LINE && record.data.is_empty() {
            self.at = At::Body;
        }
        let shown = if self.at == At::Header { self.options.header } else { self.options.body };
        if !shown {
            return Ok(());
        }
        if begins {
            self.prefix(record)?;
            if self.options.verbose {
                write!(self.out, "{}: ", name(record.kind, true))?;
            }
        }
        self.out.write_all(&record.data)?;
        if record.kind == kind::LINE {
            self.out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn named(&mut self, record: &FileRecord) -> io::Result<()> {
        self.prefix(record)?;
        let text = String::from_utf8_lossy(&record.data);
        let time =
            |text: &str| text.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let when = |secs| asctime(mail::Timestamp::from_secs(secs));
        match record.kind {
            kind::TIME | kind::WARN => {
                write!(self.out, "{}: {}", name(record.kind, false), when(time(&text)))?
            }
            kind::ATTRIBUTE if text.starts_with("create_time=") => {
                write!(self.out, "create_time: {}", when(time(&text["create_time=".len()..])))?;
            }
            _ => {
                write!(self.out, "{}: ", name(record.kind, false))?;
                self.out.write_all(&record.data)?;
            }
        }
        self.out.write_all(b"\n")
    }
}

/// Postfix's names of record types.
fn name(number: u8, in_content: bool) -> &'static str {
    match number {
        b'C' => "message_size",
        b'T' => "message_arrival_time",
        b'F' => "sender_fullname",
        b'I' => "content_inspector",
        b'L' if in_content => "unterminated_text",
        b'L' => "content_filter",
        b'S' => "sender",
        b'D' => "done_recipient",
        b'/' => "canceled_recipient",
        b'R' => "recipient",
        b'O' => "original_recipient",
        b'W' => "warning_message_time",
        b'A' => "named_attribute",
        b'K' => "killed_record",
        b'>' => "redirect_recipient",
        b'N' => "regular_text",
        b'w' => "padding",
        b'p' => "pointer_record",
        b'r' => "return_receipt",
        b'e' => "errors_to",
        b'P' => "priority",
        b'V' => "verp_delimiters",
        _ => "unknown_record_type",
    }
}

/// The operating system's words alone.
fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail::{Address, ContentFlags, Envelope, Recipient, Timestamp};
    use queue::{Hooks, Intake, IntakeSettings, Role};

    const NOW: Timestamp = Timestamp::from_secs(1_795_365_207);

    fn envelope() -> Envelope {
        let mut envelope = Envelope::new(Address::from("ann@example.org"), NOW);
        envelope.recipients = vec![Recipient::new(Address::from("bob@example.org"))];
        envelope
    }

    fn shown(options: &str) -> String {
        let long = "x".repeat(3000);
        let text = format!("Subject: s\r\n\r\nbody {long}\r\n.\r\n");
        let content = mail::Content::in_memory(vec![Bytes::from(text)], ContentFlags::default());
        let (bytes, _) = file::to_bytes(&envelope(), &content).unwrap();
        let options = parse(&[format!("-{options}")]).unwrap();
        let mut out = Vec::new();
        print(Arc::new(bytes), "hold/A1", &options, &mut out).unwrap();
        String::from_utf8(out).unwrap().replace(&long, "…").replace(&asctime(NOW), "TIME")
    }

    #[test]
    fn parts_are_shown_as_postfix_shows_them() {
        assert_eq!(shown("h"), "Subject: s\n");
        assert_eq!(shown("b"), "\nbody …\n.\n");
        assert_eq!(shown("bh"), "Subject: s\n\nbody …\n.\n");
        assert_eq!(shown("hv"), "regular_text: Subject: s\n");
        assert_eq!(
            shown("e"),
            "*** ENVELOPE RECORDS hold/A1 ***\n\
             message_size:            3028             250               1               0            3028               0\n\
             message_arrival_time: TIME\ncreate_time: TIME\nnamed_attribute: rewrite_context=remote\n\
             sender: ann@example.org\nnamed_attribute: dsn_orig_rcpt=rfc822;bob@example.org\noriginal_recipient: bob@example.org\nrecipient: bob@example.org\n\
             *** MESSAGE CONTENTS hold/A1 ***\n*** HEADER EXTRACTED hold/A1 ***\n*** MESSAGE FILE END hold/A1 ***\n"
        );
        assert!(shown("o").contains("\n      250 Subject: s\n"), "{}", shown("o"));
        assert!(shown("d").contains("\n 78 Subject: s\n"));
    }

    #[test]
    fn a_message_in_the_journal_is_found_by_its_id() {
        let root = std::env::temp_dir().join(format!("postcat-{}", std::process::id()));
        let spool = root.join("spool");
        std::fs::create_dir_all(spool.join("journal")).unwrap();
        std::fs::write(root.join("main.cf"), format!("queue_directory = {}\n", spool.display())).unwrap();
        std::fs::write(root.join("master.cf"), "").unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&spool).unwrap());
        let settings = IntakeSettings { segment_bytes: 1 << 20, ..IntakeSettings::new(Role::Smtpd) };
        let intake = Intake::open(settings, disk, Hooks::none()).unwrap();
        let id = intake.new_id(NOW);
        let mut draft = intake.draft(id.clone());
        draft.append(Bytes::from_static(b"Subject: in the journal\r\n\r\n")).unwrap();
        intake.commit_blocking(draft, envelope(), ContentFlags::default()).unwrap();
        let mut out = Vec::new();
        assert_eq!(run(&["-q".into(), id.to_string()], &root, &mut out), 0);
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("\nSubject: in the journal\n") && text.contains("\nrecipient: bob@example.org\n"),
            "{text}"
        );
        assert_eq!(run(&["-q".into(), "NOSUCH".into()], &root, &mut Vec::new()), 1);
        assert_eq!(run(&["-q".into(), "../etc".into()], &root, &mut Vec::new()), 1);
        intake.close();
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn what_is_no_queue_file_is_said_to_be_none() {
        let options = Options { envelope: true, ..Options::default() };
        for bytes in [&b"garbage"[..], b"", b"C"] {
            let mut out = Vec::new();
            print(Arc::new(bytes.to_vec()), "x", &options, &mut out).unwrap();
            assert!(out.is_empty());
        }
    }
}
