//! postdrop: puts a message that a local user wrote into `maildrop/`.
//!
//! It is set-gid so that it may write there; so it believes nothing of what comes in. The file is Postfix's: a record
//! `T`, then what the user may say. It is complete when its owner may execute it.

use crate::message::Records;
use crate::settings::{Settings, os_text};
use mail::{QueueId, QueueIdForm, Timestamp};
use queue::record::{Damaged, RECORD_BYTES_MAX, Record, kind, put};
use rustix::fs::{CWD, Mode, RenameFlags, fchmod, renameat_with};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
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
#[derive(Debug)]
pub enum Refused {
    /// It is larger than `message_size_limit`.
    TooLarge,
    /// The stream is none that a user may send.
    Damaged(Damaged),
    /// The disk failed.
    Io(String),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::TooLarge => write!(f, "File too large"),
            Refused::Damaged(damaged) => write!(f, "malformed input: {damaged}"),
            Refused::Io(text) => f.write_str(text),
        }
    }
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

/// Tells pickup that there is work; it looks by itself once a minute, so failure costs only time.
pub fn trigger(settings: &Settings, service: &str, bytes: &[u8]) -> io::Result<()> {
    let mut socket = UnixStream::connect(settings.queue_directory.join("public").join(service))?;
    socket.set_write_timeout(Some(Duration::from_secs(5)))?;
    match socket.write_all(bytes) {
        // It was heard already: for pickup the connection itself says that there is work.
        Err(e) if service == "pickup" && e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Reads a message from `input` into `maildrop/`, letting through what a user may say.
pub fn receive(settings: &Settings, input: &mut dyn Read) -> Result<QueueId, Refused> {
    let io = |e: io::Error| match e.kind() {
        io::ErrorKind::FileTooLarge => Refused::TooLarge,
        _ => Refused::Io(os_text(&e)),
    };
    let mut submission = Submission::begin(settings).map_err(io)?;
    let mut stream = Stream { input, offset: 0 };
    let mut segment = Segment::Envelope;
    loop {
        let record = stream.next()?;
        let record = Record { offset: record.0, kind: record.1, data: &record.2 };
        if !segment.allows(record.kind) {
            return Err(Refused::Damaged(Damaged {
                offset: record.offset,
                what: format!("unexpected record type `{}`", record.kind.escape_ascii()).into(),
            }));
        }
        if is_dropped(&record) {
            continue;
        }
        submission.record(record.kind, record.data).map_err(io)?;
        segment = match record.kind {
            kind::CONTENT => Segment::Content,
            kind::EXTRACTED => Segment::Extracted,
            kind::END => break,
            _ => segment,
        };
    }
    submission.commit(settings.id_form).map_err(io)
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
            Segment::Envelope => b"MCFSRVAin".contains(&kind),
            Segment::Content => b"XLN".contains(&kind),
            Segment::Extracted => b"EAR".contains(&kind),
        }
    }
}

/// Attributes that a user may set; others could make mail look as if it came from elsewhere.
const ATTRIBUTES: [&[u8]; 6] =
    [b"rewrite_context", b"encoding", b"envelope_id", b"ret_flags", b"notify_flags", b"dsn_orig_rcpt"];

fn is_dropped(record: &Record<'_>) -> bool {
    match record.kind {
        kind::ATTRIBUTE => {
            let name = record.data.split(|b| *b == b'=').next().unwrap_or_default();
            !ATTRIBUTES.contains(&name)
                || (name == b"rewrite_context" && record.data != b"rewrite_context=local")
        }
        b'C' | b'i' | b'n' => true,
        _ => false,
    }
}

/// Reads records from a pipe.
struct Stream<'a> {
    input: &'a mut dyn Read,
    offset: u64,
}

impl Stream<'_> {
    fn next(&mut self) -> Result<(u64, u8, Vec<u8>), Refused> {
        let offset = self.offset;
        let kind = self.byte(offset)?;
        let mut length = 0u64;
        for shift in (0..).step_by(7) {
            let group = self.byte(offset)?;
            length |= u64::from(group & 0x7f) << shift;
            if group & 0x80 == 0 {
                break;
            }
            // Three groups hold RECORD_BYTES_MAX.
            if shift >= 14 {
                return Err(damaged(offset, "record too long"));
            }
        }
        if length > RECORD_BYTES_MAX {
            return Err(damaged(offset, "record too long"));
        }
        let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
        self.exactly(&mut data, offset)?;
        Ok((offset, kind, data))
    }

    fn byte(&mut self, offset: u64) -> Result<u8, Refused> {
        let mut byte = [0];
        self.exactly(&mut byte, offset)?;
        Ok(byte[0])
    }

    fn exactly(&mut self, data: &mut [u8], offset: u64) -> Result<(), Refused> {
        self.offset += data.len() as u64;
        self.input.read_exact(data).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => damaged(offset, "the input ends before record `E`"),
            _ => Refused::Io(os_text(&e)),
        })
    }
}

fn damaged(offset: u64, what: &'static str) -> Refused {
    Refused::Damaged(Damaged { offset, what: what.into() })
}
