//! postdrop: puts a message that a local user wrote into `maildrop/`.
//!
//! It is set-gid so that it may write there; so it believes nothing of what comes in. The file is Postfix's: a record
//! `T`, then what the user may say. It is complete when its owner may execute it.

use crate::message::{LINE_LENGTH_LIMIT, Records};
use crate::settings::{Caller, Settings, os_text};
use crate::{Failure, tell};
use mail::{QueueId, QueueIdForm, Timestamp};
use queue::record::{kind, put};
use rustix::fs::{CWD, Mode, RenameFlags, fchmod, renameat_with};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The mode of a complete file: Postfix's, whose pickup may be another user than the writer.
const COMPLETE: u32 = 0o744;

/// Names that are tried; each collides only with a file of the same microsecond.
const NAME_TRIES: u32 = 100;

/// A message that is being written.
pub struct Submission {
    directory: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
    size: u64,
    size_max: u64,
    kept: bool,
}

/// Why a message was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its writer went before its end and so wants nothing any more.
    Abandoned,
    /// The stream is none that a user may send.
    Malformed(String),
    /// Postfix's status of cleanup, and what is said of it to the writer.
    Status(u32, String),
}

/// Postfix's status of what can never be taken.
const BAD: u32 = 1;
/// Its status of what the disk did not take.
const NOT_WRITTEN: u32 = 2;
/// Its status of what is larger than `message_size_limit`.
const TOO_LARGE: u32 = 4;

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Refused::Status(TOO_LARGE, "message file too big".to_string()),
            _ => Refused::Status(NOT_WRITTEN, os_text(&error)),
        }
    }
}

/// Runs postdrop. What it answers on standard output is Postfix's: attributes with NUL behind each, in two lists.
pub fn run(arguments: &[OsString], input: &mut dyn Read, out: &mut dyn Write) -> Result<i32, Failure> {
    let config = config_of(arguments)?;
    let settings = Settings::load(config.as_deref()).map_err(|text| Failure::new(1, text))?;
    let Caller { uid, .. } = settings.submitter().map_err(|Failure { text, .. }| Failure::new(1, text))?;
    let (id, status, reason) = match receive(&settings, uid, input) {
        Ok(id) => (id.to_string(), 0, String::new()),
        Err(Refused::Abandoned) => return Ok(0),
        Err(Refused::Malformed(what)) => return Err(Failure::new(1, format!("uid={uid}: {what}"))),
        Err(Refused::Status(status, reason)) => (String::new(), status, reason),
    };
    if status == 0 {
        wake_pickup(&settings);
    } else if !reason.is_empty() {
        tell::warn("postdrop", &format!("uid={uid}: {reason}"));
    }
    let answer =
        format!("protocol\0postdrop_protocol\0queue_id\0{id}\0\0status\0{status}\0reason\0{reason}\0\0");
    // Who called may have gone; the message is safe all the same.
    let _ = out.write_all(answer.as_bytes()).and_then(|()| out.flush());
    Ok(i32::from(status != 0))
}

/// Reads what [`run`] answers: the id of the message, or why there is none, where it says.
pub fn told(answer: &[u8]) -> Result<QueueId, Option<String>> {
    let mut words = answer.split(|&byte| byte == 0).filter_map(|word| std::str::from_utf8(word).ok());
    let (mut id, mut status, mut reason) = (None, None, None);
    while let Some(name) = words.next() {
        match name {
            "protocol" => drop(words.next()),
            "queue_id" => id = words.next().and_then(QueueId::parse),
            "status" => status = words.next(),
            "reason" => reason = words.next().filter(|reason| !reason.is_empty()),
            _ => {}
        }
    }
    match (id, status) {
        (Some(id), Some("0")) => Ok(id),
        _ => Err(reason.map(str::to_owned)),
    }
}

/// The directory of `-c`; `-r` and `-v` have no effect.
fn config_of(arguments: &[OsString]) -> Result<Option<OsString>, Failure> {
    let usage = |text: &str| {
        tell::tell("postdrop", text);
        Failure::new(1, "usage: postdrop [-c config_dir] [-v]")
    };
    let mut config = None;
    let mut words = arguments.iter().map(|word| word.as_bytes());
    while let Some(word) = words.next().filter(|&word| word != b"--") {
        // Postfix takes no notice of what is no option.
        let Some(mut letters) = word.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else { break };
        while let Some((letter, rest)) = letters.split_first() {
            letters = rest;
            match letter {
                b'r' | b'v' => {}
                b'c' => {
                    let value = if rest.is_empty() { words.next() } else { Some(rest) };
                    let value = value.ok_or_else(|| usage("option requires an argument -- 'c'"))?;
                    config = Some(OsString::from_vec(value.to_vec()));
                    break;
                }
                _ => return Err(usage(&format!("invalid option -- '{}'", tell::printable(&[*letter])))),
            }
        }
    }
    Ok(config)
}

/// Now, by the host's clock.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl Submission {
    /// Begins a file in `maildrop/` with the time of arrival.
    pub fn begin(settings: &Settings) -> io::Result<Submission> {
        let directory = settings.queue_directory.join("maildrop");
        let (temporary, file) = create(&directory)?;
        let mut submission = Submission {
            directory,
            temporary,
            out: BufWriter::with_capacity(64 * 1024, file),
            size: 0,
            size_max: settings.message_size_limit,
            kept: false,
        };
        let at = now();
        submission.record(kind::TIME, format!("{} {}", at.secs(), at.subsec_micros()).as_bytes())?;
        Ok(submission)
    }

    /// Makes the file durable under its id. The caller has written record `E`.
    pub fn commit(mut self, form: QueueIdForm) -> io::Result<QueueId> {
        self.out.flush()?;
        let file = self.out.get_ref();
        let inode = file.metadata()?.ino();
        let id = self.rename(form, inode)?;
        self.kept = true;
        let durable = fchmod(file, Mode::from_raw_mode(COMPLETE))
            .map_err(io::Error::from)
            .and_then(|()| file.sync_all());
        if let Err(error) =
            durable.and_then(|()| File::open(&self.directory).map_or(Ok(()), |d| d.sync_all()))
        {
            // It must not be delivered after its writer was told that it will not.
            std::fs::remove_file(self.directory.join(id.as_str()))?;
            return Err(error);
        }
        Ok(id)
    }

    fn rename(&self, form: QueueIdForm, inode: u64) -> io::Result<QueueId> {
        for _ in 0..NAME_TRIES {
            let id = QueueId::make(form, now(), inode);
            let to = self.directory.join(id.as_str());
            match renameat_with(CWD, &self.temporary, CWD, &to, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(id),
                Err(rustix::io::Errno::EXIST) => std::thread::sleep(Duration::from_micros(10)),
                Err(e) => return Err(e.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a queue file"))
    }
}

impl Records for Submission {
    fn record(&mut self, kind: u8, data: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(data.len() + 4);
        put(&mut record, kind, data);
        self.size += record.len() as u64;
        if self.size_max > 0 && self.size > self.size_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.write_all(&record)
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        if !self.kept {
            // Nobody is waiting for it any more; what stays is removed by age.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

fn create(directory: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..NAME_TRIES {
        let path = directory.join(format!("{}.{}", now().subsec_micros(), std::process::id()));
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                std::thread::sleep(Duration::from_micros(10))
            }
            Err(e) => {
                let text = format!("mail_queue_enter: create file {}: {}", path.display(), os_text(&e));
                return Err(io::Error::new(e.kind(), text));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a queue file"))
}

/// Tells a service of the running mail system that there is work.
pub fn trigger(settings: &Settings, service: &str, bytes: &[u8]) -> io::Result<()> {
    let mut socket = UnixStream::connect(settings.queue_directory.join("public").join(service))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    match socket.write_all(bytes) {
        // It was heard already: for pickup the connection itself says that there is work.
        Err(e) if service == "pickup" && e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Tells pickup, or warns: the mail is safe, and pickup looks by itself once a minute.
pub fn wake_pickup(settings: &Settings) {
    if let Err(e) = trigger(settings, "pickup", b"W") {
        tell::warn("postdrop", &format!("unable to look up public/pickup: {}", os_text(&e)));
    }
}

/// Reads a message from `input` into `maildrop/`, letting through what a user may say.
fn receive(settings: &Settings, uid: u32, input: &mut dyn Read) -> Result<QueueId, Refused> {
    let mut submission = Submission::begin(settings)?;
    let mut stream = Stream { input };
    let mut segment = Segment::Envelope;
    let (mut has_sender, mut has_recipient) = (false, false);
    loop {
        let (kind, data) = stream.next()?;
        if !segment.allows(kind) {
            return Err(Refused::Malformed(format!("unexpected record type: {kind}")));
        }
        if let Some(name) = KINDS_WITHOUT_NUL.iter().find(|(k, _)| *k == kind).map(|(_, name)| name)
            && data.contains(&0)
        {
            return Err(Refused::Status(BAD, format!("NUL in {name} record")));
        }
        if matches!(kind, b'i' | b'n') {
            continue;
        }
        if kind == kind::ATTRIBUTE && !may_set(&data) {
            tell::warn(
                "postdrop",
                &format!("uid={uid}: ignoring attribute record: {}", tell::printable(&data)),
            );
            continue;
        }
        submission.record(kind, &data)?;
        has_sender |= kind == kind::SENDER;
        has_recipient |= kind == kind::RECIPIENT;
        segment = match kind {
            kind::CONTENT => Segment::Content,
            kind::EXTRACTED => Segment::Extracted,
            kind::END => break,
            _ => segment,
        };
    }
    if !has_sender || !has_recipient {
        return Err(Refused::Status(BAD, String::new()));
    }
    Ok(submission.commit(settings.id_form)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Envelope,
    Content,
    Extracted,
}

impl Segment {
    fn allows(self, kind: u8) -> bool {
        match self {
            Segment::Envelope => b"MFSRVAin".contains(&kind),
            Segment::Content => b"XLN".contains(&kind),
            Segment::Extracted => b"EAR".contains(&kind),
        }
    }
}

/// Records whose text becomes part of other texts, with Postfix's names of them.
const KINDS_WITHOUT_NUL: [(u8, &str); 4] = [
    (kind::SENDER, "FROM"),
    (kind::RECIPIENT, "RCPT"),
    (kind::FULL_NAME, "FULL_NAME"),
    (kind::ATTRIBUTE, "ATTR"),
];

/// Attributes that a user may set; others could make mail look as if it came from elsewhere.
const ATTRIBUTES: [&[u8]; 4] = [b"envelope_id", b"ret_flags", b"notify_flags", b"dsn_orig_rcpt"];

fn may_set(attribute: &[u8]) -> bool {
    let at = attribute.iter().position(|&byte| byte == b'=').unwrap_or(attribute.len());
    let (name, value) = (&attribute[..at], attribute.get(at + 1..).unwrap_or_default());
    match name {
        b"rewrite_context" => matches!(value, b"local" | b"remote"),
        b"encoding" => matches!(value, b"7bit" | b"8bit"),
        // What `sendmail -bv` and `-v` ask for; address verification is not for users.
        b"trace_flags" => matches!(value, b"512" | b"1024"),
        name => ATTRIBUTES.contains(&name),
    }
}

/// Reads records from a pipe.
struct Stream<'a> {
    input: &'a mut dyn Read,
}

impl Stream<'_> {
    fn next(&mut self) -> Result<(u8, Vec<u8>), Refused> {
        let mut kind = [0];
        // Between two records it is the writer that went; within one the stream is broken.
        self.exactly(&mut kind).map_err(|refused| match refused {
            Refused::Malformed(_) => Refused::Abandoned,
            other => other,
        })?;
        let [kind] = kind;
        let mut length = 0usize;
        for shift in (0..).step_by(7) {
            let group = self.byte()?;
            length |= usize::from(group & 0x7f) << shift;
            if group & 0x80 == 0 {
                break;
            }
            // Two groups hold LINE_LENGTH_LIMIT.
            if shift >= 14 {
                return Err(too_long(kind));
            }
        }
        if length > LINE_LENGTH_LIMIT {
            return Err(too_long(kind));
        }
        let mut data = vec![0; length];
        self.exactly(&mut data)?;
        Ok((kind, data))
    }

    fn byte(&mut self) -> Result<u8, Refused> {
        let mut byte = [0];
        self.exactly(&mut byte)?;
        Ok(byte[0])
    }

    fn exactly(&mut self, data: &mut [u8]) -> Result<(), Refused> {
        self.input.read_exact(data).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Refused::Malformed("malformed input".to_string()),
            _ => e.into(),
        })
    }
}

fn too_long(kind: u8) -> Refused {
    Refused::Malformed(format!(
        "malformed input: a record of type {kind} with more than {LINE_LENGTH_LIMIT} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let told = |text: &str| told(text.replace('|', "\0").as_bytes());
        let id = QueueId::parse("A1B2C3").unwrap();
        assert_eq!(told("protocol|postdrop_protocol|queue_id|A1B2C3||status|0|reason|||"), Ok(id));
        assert_eq!(told("protocol|postdrop_protocol|queue_id|A1B2C3||"), Err(None));
        assert_eq!(told("queue_id|A1B2C3||status|4|reason|too big||"), Err(Some("too big".into())));
        assert_eq!(told(""), Err(None));
    }
}
