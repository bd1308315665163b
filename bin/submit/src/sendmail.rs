//! sendmail: takes a message from a local program and hands it to postdrop.

use crate::addresses::parse_list;
use crate::message::{LINE_LENGTH_LIMIT, Message, Records, Rules};
use crate::options::{Mistake, Mode, Options};
use crate::postdrop::{self, Submission};
use crate::settings::{Settings, os_text};
use crate::{Failure, TEMPFAIL, newaliases, postqueue, tell};
use mail::{Encoding, Notify, Purpose, QueueId, Ret};
use queue::record::{kind, put};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

/// How much of the message is read at once.
const PIECE: usize = 64 * 1024;

/// Runs sendmail, mailq or newaliases.
pub fn run(
    program: &str,
    arguments: &[OsString],
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<i32, Failure> {
    let options = match crate::options::parse(program, arguments) {
        Ok(options) => options,
        Err(Mistake::Usage(text)) => {
            tell::tell(program, &text);
            return Err(Failure::new(TEMPFAIL, "usage: sendmail [options]"));
        }
        Err(Mistake::Fatal(text)) => return Err(Failure::new(TEMPFAIL, text)),
    };
    for warning in &options.warnings {
        tell::warn(program, warning);
    }
    if options.nothing {
        return Ok(0);
    }
    let settings = Settings::load(options.config.as_deref()).map_err(|text| Failure::new(TEMPFAIL, text))?;
    match options.mode {
        Mode::Mail => match (&options.flush_site, &options.flush_id) {
            (Some(site), _) => queue(&settings, &[OsStr::new("-s"), site], out),
            (None, Some(id)) => queue(&settings, &[OsStr::new("-i"), id], out),
            (None, None) => submit(&options, &settings, input, out).map(|()| 0),
        },
        Mode::Verify => submit(&options, &settings, input, out).map(|()| 0),
        Mode::Queue => queue(&settings, &[OsStr::new("-p")], out),
        Mode::Flush => queue(&settings, &[OsStr::new("-f")], out),
        Mode::Aliases => newaliases::run(&settings, options.alias_database.as_deref()),
        Mode::Daemon => start(&settings),
        Mode::Smtp => settings.submitter().and_then(|_| crate::smtp::run(&settings, input, out)),
    }
}

/// Looks at the queue, or flushes it: ourselves where we may, else through the set-gid postqueue.
fn queue(settings: &Settings, order: &[&OsStr], out: &mut dyn Write) -> Result<i32, Failure> {
    if may_use(settings, "public", Access::EXEC_OK) {
        let order: Vec<_> = order.iter().map(OsString::from).collect();
        return postqueue::run_with(settings, &order, out).map_err(|failure| failure.by("postqueue"));
    }
    let program = settings.command_directory.join("postqueue");
    let error = Command::new(&program).arg("-c").arg(&settings.config_directory).args(order).exec();
    Err(not_executed(&program, &error))
}

/// `-bd` starts the mail system.
fn start(settings: &Settings) -> Result<i32, Failure> {
    let program = settings.command_directory.join("postfix");
    let error = Command::new(&program).arg("-c").arg(&settings.config_directory).arg("start").exec();
    Err(not_executed(&program, &error))
}

fn not_executed(program: &std::path::Path, error: &io::Error) -> Failure {
    Failure::new(TEMPFAIL, format!("execute {}: {}", program.display(), os_text(error)))
}

/// Whether the caller may use a directory of the queue.
fn may_use(settings: &Settings, directory: &str, how: Access) -> bool {
    accessat(CWD, settings.queue_directory.join(directory), how, AtFlags::EACCESS).is_ok()
}

fn submit(
    options: &Options,
    settings: &Settings,
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let submitter = settings.submitter()?;
    let sender = match &options.sender {
        Some(text) => sender_of(text),
        None => match &submitter.login {
            Some(login) => login.clone().into_bytes(),
            None => {
                let text = format!("no login name found for user ID {}", submitter.uid);
                return Err(Failure::new(TEMPFAIL, text));
            }
        },
    };
    let who = format!("{}({})", tell::printable(&sender), submitter.uid);
    let failed = |e: io::Error| Failure::new(TEMPFAIL, format!("{who}: {}", reason(&e)));
    let nobody = |text: &str| Failure::new(TEMPFAIL, format!("{who}: {text}"));
    if options.words.is_empty() && !options.extract {
        let text = "Recipient addresses must be specified on the command line or via the -t option";
        return Err(nobody(text));
    }
    let recipients: Vec<_> = options.words.iter().flat_map(|word| recipients_of(word)).collect();
    let full_name = options
        .full_name
        .clone()
        .or_else(|| std::env::var_os("NAME").map(OsString::into_vec))
        .or(submitter.full_name);

    let mut drop = Drop::open(settings).map_err(failed)?;
    put_envelope(options, settings, full_name.as_deref(), &sender, &mut drop).map_err(failed)?;
    put_recipients(options, &recipients, &mut drop).map_err(failed)?;
    drop.record(kind::CONTENT, b"").map_err(failed)?;
    let found = match options.mode {
        Mode::Verify => put_question(&sender, &recipients, &mut drop).map(|()| Vec::new()),
        _ => put_content(options, settings, input, &mut drop),
    };
    let found = found.map_err(failed)?;
    if found.is_empty() && recipients.is_empty() {
        return Err(nobody("No recipient addresses found in message header"));
    }
    drop.record(kind::EXTRACTED, b"").map_err(failed)?;
    put_recipients(options, &found, &mut drop).map_err(failed)?;
    drop.record(kind::END, b"").map_err(failed)?;
    drop.commit(settings).map_err(failed)?;
    if purpose(options) != Purpose::Delivery {
        let sent =
            writeln!(out, "Mail Delivery Status Report will be mailed to <{}>.", tell::printable(&sender));
        sent.map_err(failed)?;
    }
    Ok(())
}

/// What becomes of the message: `-bv` only asks, `-v` has the sender told of the first attempt.
fn purpose(options: &Options) -> Purpose {
    match options.mode {
        Mode::Verify => Purpose::Forecast,
        _ if options.verbose > 0 => Purpose::ToldDelivery,
        _ => Purpose::Delivery,
    }
}

/// The content of a message that nobody gets: its header stands in the report.
fn put_question(sender: &[u8], recipients: &[Vec<u8>], to: &mut Drop) -> io::Result<()> {
    to.record(kind::LINE, &[b"From: ", sender].concat())?;
    to.record(kind::LINE, b"Subject: probe")?;
    let mut start: &[u8] = b"To:\t";
    for (n, recipient) in recipients.iter().enumerate() {
        let comma: &[u8] = if n + 1 < recipients.len() { b"," } else { b"" };
        to.record(kind::LINE, &[start, recipient, comma].concat())?;
        start = b"\t";
    }
    Ok(())
}

/// The address of `-f`: the first where there are several, and then a warning.
fn sender_of(text: &[u8]) -> Vec<u8> {
    let mut found = parse_list(text).into_iter();
    let sender = found.next().unwrap_or_default();
    if found.next().is_some() {
        tell::warn("sendmail", &format!("-f option specified malformed sender: {}", tell::printable(text)));
    }
    sender
}

/// The addresses of a word; one without any is the empty address, which is postmaster's.
fn recipients_of(word: &[u8]) -> Vec<Vec<u8>> {
    let found = parse_list(word);
    if found.is_empty() { vec![Vec::new()] } else { found }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::FileTooLarge => "message file too big".to_string(),
        _ => os_text(error),
    }
}

fn put_envelope(
    options: &Options,
    settings: &Settings,
    full_name: Option<&[u8]>,
    sender: &[u8],
    to: &mut Drop,
) -> io::Result<()> {
    if let Some(envid) = &options.envid {
        to.attribute("envelope_id", envid)?;
    }
    match options.ret {
        Some(Ret::Full) => to.attribute("ret_flags", b"1")?,
        Some(Ret::Hdrs) => to.attribute("ret_flags", b"2")?,
        None => {}
    }
    to.attribute("rewrite_context", if options.relay { b"remote" } else { b"local" })?;
    if let Some(full_name) = full_name {
        to.record(kind::FULL_NAME, full_name)?;
    }
    to.record(kind::SENDER, sender)?;
    match options.encoding {
        Encoding::EightBit => to.attribute("encoding", b"8bit")?,
        Encoding::SevenBit => to.attribute("encoding", b"7bit")?,
        Encoding::Unknown => {}
    }
    match options.verp.as_deref() {
        Some(b"") => to.record(b'V', settings.verp_delimiters.as_bytes())?,
        Some(delimiters) => to.record(b'V', delimiters)?,
        None => {}
    }
    match purpose(options).attribute() {
        Some((name, value)) => to.attribute(&name, &value),
        None => Ok(()),
    }
}

fn put_recipients(options: &Options, recipients: &[Vec<u8>], to: &mut Drop) -> io::Result<()> {
    for recipient in recipients {
        if options.notify != Notify::default() {
            to.attribute("notify_flags", options.notify.0.to_string().as_bytes())?;
        }
        to.record(kind::RECIPIENT, recipient)?;
    }
    Ok(())
}

fn put_content(
    options: &Options,
    settings: &Settings,
    input: &mut dyn Read,
    to: &mut Drop,
) -> io::Result<Vec<Vec<u8>>> {
    let rules =
        Rules { ignore_dots: options.ignore_dots, extract: options.extract, line_ends: settings.line_ends };
    let mut message = Message::new(rules, to);
    let mut buffer = vec![0; PIECE];
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if !message.feed(&buffer[..n])? {
            break;
        }
    }
    message.finish()
}

/// The way into `maildrop/`: ours where we may write there, else through the set-gid postdrop.
pub enum Drop {
    Here(Box<Submission>),
    There(Child, BufWriter<ChildStdin>),
}

impl Drop {
    /// Opens the way.
    pub fn open(settings: &Settings) -> io::Result<Drop> {
        if may_use(settings, "maildrop", Access::WRITE_OK | Access::EXEC_OK) {
            return Ok(Drop::Here(Box::new(Submission::begin(settings)?)));
        }
        let program = settings.command_directory.join("postdrop");
        let mut child = Command::new(&program)
            .args([OsStr::new("-r"), "-c".as_ref(), settings.config_directory.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| {
                io::Error::new(e.kind(), format!("execute {}: {}", program.display(), os_text(&e)))
            })?;
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("postdrop without a pipe"))?;
        Ok(Drop::There(child, BufWriter::with_capacity(PIECE, pipe)))
    }

    /// Takes the record of an attribute.
    pub fn attribute(&mut self, name: &str, value: &[u8]) -> io::Result<()> {
        self.record(kind::ATTRIBUTE, &[name.as_bytes(), b"=", value].concat())
    }

    /// Makes the message durable and tells pickup; gives its id in `maildrop/`.
    pub fn commit(self, settings: &Settings) -> io::Result<QueueId> {
        match self {
            Drop::Here(submission) => {
                let id = submission.commit(settings.id_form)?;
                postdrop::wake_pickup(settings);
                Ok(id)
            }
            Drop::There(child, mut pipe) => {
                let written = pipe.flush();
                drop(pipe);
                let output = child.wait_with_output()?;
                // What it said itself, on standard error, tells more than a pipe that broke.
                postdrop::told(&output.stdout).map_err(|reason| match reason {
                    Some(reason) => io::Error::other(reason),
                    None => written.err().unwrap_or_else(|| io::Error::other("queue file write error")),
                })
            }
        }
    }
}

impl Records for Drop {
    fn record(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        if data.len() > LINE_LENGTH_LIMIT {
            return Err(io::Error::other(format!(
                "queue file write error: an address or a name of {} bytes, expected at most {LINE_LENGTH_LIMIT}",
                data.len()
            )));
        }
        match self {
            Drop::Here(submission) => submission.record(kind, data),
            Drop::There(_, pipe) => {
                let mut record = Vec::with_capacity(data.len() + 4);
                put(&mut record, kind, data);
                pipe.write_all(&record).map_err(|_| io::Error::other("queue file write error"))
            }
        }
    }
}
