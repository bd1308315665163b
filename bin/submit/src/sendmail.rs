//! sendmail: takes a message from a local program and hands it to postdrop.

use crate::addresses::parse_list;
use crate::message::{Message, Records, Rules};
use crate::options::{Mode, Options};
use crate::postdrop::{Submission, trigger};
use crate::settings::{Settings, os_text};
use crate::{Failure, TEMPFAIL, newaliases, postqueue};
use mail::{Encoding, Notify, QueueId, Ret};
use queue::record::{kind, put};
use rustix::fs::{Access, AtFlags, CWD, accessat};
use std::io::{self, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// How much of the message is read at once.
const PIECE: usize = 64 * 1024;

/// Runs sendmail, mailq or newaliases.
pub fn run(
    program: &str,
    arguments: &[String],
    input: &mut dyn Read,
    out: &mut dyn Write,
) -> Result<i32, Failure> {
    let options = match crate::options::parse(program, arguments) {
        Ok(options) => options,
        Err(text) if text.starts_with("invalid option") || text.starts_with("option requires") => {
            eprintln!("{program}: {text}");
            return Err(Failure::new(TEMPFAIL, "usage: sendmail [options]"));
        }
        Err(text) => return Err(Failure::new(TEMPFAIL, text)),
    };
    for warning in &options.warnings {
        eprintln!("{program}: warning: {warning}");
    }
    let settings = Settings::load(options.config.as_deref()).map_err(|text| Failure::new(TEMPFAIL, text))?;
    let none = |what: &str| match options.words.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(TEMPFAIL, format!("{what} requires no recipient"))),
    };
    match options.mode {
        Mode::Mail => submit(&options, &settings, input).map(|()| 0),
        Mode::Queue => none("display queue mode").and_then(|()| postqueue::list(&settings, out, false)),
        Mode::Aliases => newaliases::run(&settings, &options.words),
        Mode::Flush => none("flush queue mode").and_then(|()| flush(&options, &settings)),
        Mode::Daemon => Err(Failure::new(TEMPFAIL, "daemon mode: use `posthaste start`")),
        Mode::Smtp => none("stand-alone SMTP mode").and_then(|()| crate::smtp::run(&settings, input, out)),
    }
}

fn flush(options: &Options, settings: &Settings) -> Result<i32, Failure> {
    match (&options.flush_id, &options.flush_site) {
        (Some(id), _) => postqueue::flush_one(settings, id),
        (None, Some(site)) => postqueue::flush_site(settings, site),
        (None, None) => postqueue::flush_all(settings),
    }
}

fn submit(options: &Options, settings: &Settings, input: &mut dyn Read) -> Result<(), Failure> {
    let uid = rustix::process::getuid().as_raw();
    let user = sys::user_by_id(uid).ok().flatten();
    let login = user.as_ref().map_or_else(|| uid.to_string(), |u| u.name.clone());
    let sender = match &options.sender {
        Some(text) => parse_list(text).into_iter().next().unwrap_or_default(),
        None => login.clone().into_bytes(),
    };
    let who = format!("{}({uid})", String::from_utf8_lossy(&sender));
    let recipients: Vec<_> = options.words.iter().flat_map(|word| parse_list(word)).collect();
    if recipients.is_empty() && !options.extract {
        let text = "Recipient addresses must be specified on the command line or via the -t option";
        return Err(Failure::new(TEMPFAIL, format!("{who}: {text}")));
    }
    let full_name = options
        .full_name
        .clone()
        .or_else(|| std::env::var("NAME").ok())
        .unwrap_or_else(|| user.map_or_else(String::new, |u| full_name_of(&u.gecos, &u.name)));
    let failed = |e: io::Error| Failure::new(TEMPFAIL, format!("{who}: {}", reason(&e)));

    let mut drop = Drop::open(settings).map_err(failed)?;
    put_envelope(options, settings, &full_name, &sender, &recipients, &mut drop).map_err(failed)?;
    let found = put_content(options, settings, input, &mut drop).map_err(failed)?;
    if options.extract && found.is_empty() && recipients.is_empty() {
        return Err(Failure::new(TEMPFAIL, format!("{who}: No recipient addresses found in message header")));
    }
    drop.record(kind::EXTRACTED, b"").map_err(failed)?;
    put_recipients(options, &found, &mut drop).map_err(failed)?;
    drop.record(kind::END, b"").map_err(failed)?;
    drop.commit(settings).map(|_| ()).map_err(failed)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::FileTooLarge => "message file too big".to_string(),
        _ => os_text(error),
    }
}

/// Gecos up to the first comma; `&` stands for the login name.
fn full_name_of(gecos: &str, login: &str) -> String {
    let name = gecos.split(',').next().unwrap_or_default();
    let mut capital = login.to_string();
    if let Some(first) = capital.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name.replace('&', &capital)
}

fn put_envelope(
    options: &Options,
    settings: &Settings,
    full_name: &str,
    sender: &[u8],
    recipients: &[Vec<u8>],
    to: &mut Drop,
) -> io::Result<()> {
    if let Some(envid) = &options.envid {
        to.attribute("envelope_id", envid)?;
    }
    match options.ret {
        Some(Ret::Full) => to.attribute("ret_flags", "1")?,
        Some(Ret::Hdrs) => to.attribute("ret_flags", "2")?,
        None => {}
    }
    if !options.relay {
        to.attribute("rewrite_context", "local")?;
    }
    if !full_name.is_empty() {
        to.record(kind::FULL_NAME, full_name.as_bytes())?;
    }
    to.record(kind::SENDER, sender)?;
    match options.encoding {
        Encoding::EightBit => to.attribute("encoding", "8bit")?,
        Encoding::SevenBit => to.attribute("encoding", "7bit")?,
        Encoding::Unknown => {}
    }
    if let Some(verp) = &options.verp {
        to.record(b'V', if verp.is_empty() { &settings.verp_delimiters } else { verp }.as_bytes())?;
    }
    put_recipients(options, recipients, to)?;
    to.record(kind::CONTENT, b"")
}

fn put_recipients(options: &Options, recipients: &[Vec<u8>], to: &mut Drop) -> io::Result<()> {
    for recipient in recipients {
        if options.notify != Notify::default() {
            to.attribute("notify_flags", &options.notify.0.to_string())?;
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
        let maildrop = settings.queue_directory.join("maildrop");
        let may_write =
            accessat(CWD, &maildrop, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok();
        if may_write {
            return Ok(Drop::Here(Box::new(Submission::begin(settings)?)));
        }
        let program = settings.command_directory.join("postdrop");
        let mut child = Command::new(&program)
            .args([std::ffi::OsStr::new("-r"), "-c".as_ref(), settings.config_directory.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| {
                io::Error::new(e.kind(), format!("execute {}: {}", program.display(), os_text(&e)))
            })?;
        let pipe = child.stdin.take().ok_or_else(|| io::Error::other("postdrop without a pipe"))?;
        Ok(Drop::There(child, BufWriter::with_capacity(PIECE, pipe)))
    }

    /// Takes one record.
    pub fn put(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        self.record(kind, data)
    }

    /// Takes the record of an attribute.
    pub fn attribute(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.record(kind::ATTRIBUTE, format!("{name}={value}").as_bytes())
    }

    /// Makes the message durable and tells pickup; gives its id in `maildrop/` where postdrop told it.
    pub fn commit(self, settings: &Settings) -> io::Result<Option<QueueId>> {
        match self {
            Drop::Here(submission) => {
                let id = submission.commit(settings.id_form)?;
                if let Err(e) = trigger(settings, "pickup", b"W") {
                    eprintln!("sendmail: warning: unable to look up public/pickup: {}", os_text(&e));
                }
                Ok(Some(id))
            }
            Drop::There(child, mut pipe) => {
                pipe.flush()?;
                drop(pipe);
                let output = child.wait_with_output()?;
                match output.status {
                    status if status.success() => {
                        Ok(std::str::from_utf8(&output.stdout).ok().and_then(|id| QueueId::parse(id.trim())))
                    }
                    status => Err(io::Error::other(format!("postdrop: {status}"))),
                }
            }
        }
    }
}

impl Records for Drop {
    fn record(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        match self {
            Drop::Here(submission) => submission.record(kind, data),
            Drop::There(_, pipe) => {
                let mut record = Vec::with_capacity(data.len() + 4);
                put(&mut record, kind, data);
                pipe.write_all(&record)
            }
        }
    }
}
