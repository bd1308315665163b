//! The logs `defer/ID`, `bounce/ID` and `trace/ID`: why each recipient waits, failed or succeeded.
//!
//! Postfix's bounce daemon writes them, its listings and reports read them; so do ours. An entry is a paragraph of
//! `name=value` lines, behind one line in the form of old Postfix (`backwards_bounce_logfile_compatibility`).

use crate::{Disk, DiskFile};
use mail::{Address, Diagnostic, Dsn, Notify, Outcome, Recipient, Status};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one log that are read; with a million recipients it is no longer of use to anybody.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// Waits for a lock that another holds: in all 2 s, while each append holds it for one sync.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What the log says of one recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The recipient.
    pub recipient: Address,
    /// The recipient before rewriting; equal to `recipient` where nothing was rewritten.
    pub original: Address,
    /// Offset of the recipient's record in the queue file; 0 where it has none.
    pub offset: u64,
    /// `ORCPT`, decoded; empty where there was none.
    pub dsn_orcpt: String,
    /// `NOTIFY`.
    pub notify: Notify,
    /// Enhanced status code.
    pub status: Dsn,
    /// `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// Type and text of what the remote said.
    pub diagnostic: Option<Diagnostic>,
    /// Name of the remote mail server.
    pub remote_mta: Option<String>,
    /// The reason as logged.
    pub reason: String,
}

impl Entry {
    /// What is known of a recipient whose attempt came out so; `offset` is its record's in the queue file.
    pub fn new(recipient: &Recipient, outcome: &Outcome, offset: u64) -> Entry {
        let action = match outcome.status {
            Status::Bounced => "failed",
            Status::Deferred => "delayed",
            Status::Sent if outcome.relayed => "relayed",
            Status::Sent => "delivered",
        };
        Entry {
            recipient: recipient.address.clone(),
            original: recipient.original.clone(),
            offset,
            dsn_orcpt: recipient.dsn_orcpt.clone(),
            notify: recipient.notify,
            status: outcome.dsn,
            action: action.to_string(),
            diagnostic: outcome.diagnostic.clone(),
            remote_mta: outcome.remote_mta.clone(),
            reason: outcome.reason.clone(),
        }
    }
}

/// Appends the text of one entry.
pub fn format(entry: &Entry, out: &mut Vec<u8>) {
    let recipient = external(&entry.recipient);
    let mut line = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        // A line feed in a value would begin a line of its own.
        out.extend(value.iter().map(|b| if b.is_ascii_control() { b'?' } else { *b }));
        out.push(b'\n');
    };
    line("\n", &[b"<", &recipient[..], b">: ", entry.reason.as_bytes()].concat());
    line("recipient=", if recipient.is_empty() { b"<>" } else { &recipient });
    if !entry.original.as_bytes().eq_ignore_ascii_case(entry.recipient.as_bytes()) {
        line("original_recipient=", &external(&entry.original));
    }
    if entry.offset > 0 {
        line("offset=", entry.offset.to_string().as_bytes());
    }
    if !entry.dsn_orcpt.is_empty() {
        line("dsn_orig_rcpt=", entry.dsn_orcpt.as_bytes());
    }
    if entry.notify != Notify::default() {
        line("notify_flags=", entry.notify.0.to_string().as_bytes());
    }
    line("status=", entry.status.to_string().as_bytes());
    line("action=", entry.action.as_bytes());
    if let Some(diagnostic) = &entry.diagnostic {
        line("diag_type=", diagnostic.kind.as_bytes());
        line("diag_text=", diagnostic.text.as_bytes());
    }
    if let Some(host) = &entry.remote_mta {
        line("mta_type=", b"dns");
        line("mta_mname=", host.as_bytes());
    }
    line("reason=", entry.reason.as_bytes());
    out.push(b'\n');
}

fn external(address: &Address) -> Vec<u8> {
    address.to_external()
}

/// Reads the text of a log; fields that are missing or unreadable get defaults, as Postfix does.
pub fn parse(text: &[u8]) -> Vec<Entry> {
    let paragraphs = text.split(|b| *b == b'\n').collect::<Vec<_>>();
    paragraphs.split(|line| line.is_empty()).filter(|p| !p.is_empty()).filter_map(parse_entry).collect()
}

fn parse_entry(lines: &[&[u8]]) -> Option<Entry> {
    let mut recipient = None;
    let mut original = None;
    let mut entry = Entry {
        recipient: Address::null(),
        original: Address::null(),
        offset: 0,
        dsn_orcpt: String::new(),
        notify: Notify::default(),
        status: Dsn::new(4, 0, 0),
        action: "delayed".to_string(),
        diagnostic: None,
        remote_mta: None,
        reason: "unknown".to_string(),
    };
    let (mut diag_type, mut diag_text) = (None, None);
    for line in lines {
        if let Some((address, reason)) = old_form(line) {
            recipient = Some(internal(address));
            entry.reason = text(reason);
            continue;
        }
        let Some(equals) = memchr::memchr(b'=', line) else { continue };
        let value = &line[equals + 1..];
        match &line[..equals] {
            b"recipient" => recipient = Some(internal(if value == b"<>" { b"" } else { value })),
            b"original_recipient" => original = Some(internal(value)),
            b"offset" => entry.offset = number(value).unwrap_or(0),
            b"dsn_orig_rcpt" => entry.dsn_orcpt = text(value),
            b"notify_flags" => entry.notify = Notify(number(value).unwrap_or(0)),
            b"status" => entry.status = Dsn::parse(&text(value)).unwrap_or(entry.status),
            b"action" => entry.action = text(value),
            b"diag_type" => diag_type = Some(text(value)),
            b"diag_text" => diag_text = Some(text(value)),
            b"mta_mname" => entry.remote_mta = Some(text(value)),
            b"reason" => entry.reason = text(value),
            _ => {}
        }
    }
    entry.recipient = recipient?;
    entry.original = original.unwrap_or_else(|| entry.recipient.clone());
    entry.diagnostic = match (diag_type, diag_text) {
        (Some(kind), Some(text)) => Some(Diagnostic { kind, text }),
        _ => None,
    };
    Some(entry)
}

/// `<address>: reason`.
fn old_form(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"<")?;
    let end = rest.windows(3).position(|w| w == b">: ")?;
    Some((&rest[..end], &rest[end + 3..]))
}

/// The internal form of an address that may have a quoted local part.
fn internal(external: &[u8]) -> Address {
    let Some(rest) = external.strip_prefix(b"\"") else { return Address::new(external) };
    let mut address = Vec::with_capacity(external.len());
    let mut bytes = rest.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => address.extend(bytes.next()),
            b'"' => {
                address.extend(bytes);
                return Address::new(address);
            }
            _ => address.push(byte),
        }
    }
    Address::new(external)
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Appends entries under the log's lock. `path` is relative to the queue directory. Nothing is synced: reasons are shown
/// to people, and no mail depends on them.
pub fn append(disk: &dyn Disk, path: &Path, entries: &[Entry]) -> io::Result<()> {
    let file = open(disk, path)?;
    let _lock = lock(&*file)?;
    let end = file.stat()?.len;
    let mut out = Vec::new();
    if end > 0 {
        // After a crash the end may be half an entry; whatever it is, it must not swallow the next.
        let mut last = [0];
        file.read_exact_at(&mut last, end - 1)?;
        if last != *b"\n" {
            out.push(b'\n');
        }
    }
    for entry in entries {
        format(entry, &mut out);
    }
    file.write_all_at(&out, end)
}

fn open(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    match disk.open(path) {
        Ok(file) => return Ok(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    make_parents(disk, path)?;
    match disk.create(path) {
        // Another was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => disk.open(path),
        other => other,
    }
}

fn make_parents(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    let mut dirs: Vec<_> = parent.ancestors().filter(|d| !d.as_os_str().is_empty()).collect();
    dirs.reverse();
    dirs.into_iter().try_for_each(|dir| disk.make_dir(dir))
}

fn lock(file: &dyn DiskFile) -> io::Result<Box<dyn crate::Lock>> {
    for _ in 0..LOCK_TRIES {
        if let Some(lock) = file.try_lock()? {
            return Ok(lock);
        }
        std::thread::sleep(LOCK_PAUSE);
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "the log is locked by another process"))
}

/// Reads a log; no file means no entries. `path` is relative to the queue directory.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<Entry>> {
    let file = match disk.open_read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let length = file.stat()?.len.min(LOG_BYTES_MAX) as usize;
    Ok(parse(&file.read_up_to(length, 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;
    use proptest::prelude::*;

    fn entry(address: &str) -> Entry {
        Entry {
            recipient: Address::from(address),
            original: Address::from(address),
            offset: 576,
            dsn_orcpt: "rfc822;dave@example.org".into(),
            notify: Notify::default(),
            status: Dsn::new(4, 4, 1),
            action: "delayed".into(),
            diagnostic: None,
            remote_mta: None,
            reason: "connect to 127.0.0.1[127.0.0.1]:2526: Connection refused".into(),
        }
    }

    #[test]
    fn a_log_of_postfix_is_read_and_written_again_to_the_byte() {
        let theirs = include_bytes!("../testdata/local-t.defer");
        let entries = parse(theirs);
        assert_eq!(entries[0], entry("dave@example.org"));
        assert_eq!(entries.len(), 2);
        let mut ours = Vec::new();
        entries.iter().for_each(|e| format(e, &mut ours));
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(theirs));
    }

    #[test]
    fn entries_of_old_postfix_and_half_entries_are_read() {
        let entries = parse(b"<ann@example.org>: mailbox full\n\nrecipient=bob@example.org\nstatus=4.x");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].reason, "mailbox full");
        assert_eq!((entries[1].status, entries[1].reason.as_str()), (Dsn::new(4, 0, 0), "unknown"));
    }

    #[test]
    fn entries_are_appended_also_behind_half_an_entry() {
        let dir = std::env::temp_dir().join(format!("report-log-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let disk = RealDisk::new(&dir).unwrap();
        let path = Path::new("defer/9/98D8998C008");
        append(&disk, path, &[entry("a@example.org")]).unwrap();
        let mut text = std::fs::read(dir.join(path)).unwrap();
        text.extend_from_slice(b"\n<half@example.org>: rea");
        std::fs::write(dir.join(path), text).unwrap();
        append(&disk, path, &[entry("b c@example.org")]).unwrap();
        let entries = read(&disk, path).unwrap();
        let names: Vec<_> = entries.iter().map(|e| e.recipient.to_string()).collect();
        assert_eq!(names, ["a@example.org", "half@example.org", "\"b c\"@example.org"]);
        assert!(read(&disk, Path::new("defer/none")).unwrap().is_empty());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_log(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn an_entry_comes_back_as_it_was(
            local in "[ -~&&[^@]]{1,20}", status in 0u16..999, notify in 0u8..16, offset in 0u64..100_000,
            reason in "[ -~]{1,60}", orcpt in "[!-~]{0,20}", remote in proptest::option::of("[a-z.]{1,20}"),
        ) {
            let address = Address::new(format!("{local}@example.org"));
            let entry = Entry {
                recipient: address.clone(),
                original: address,
                offset,
                dsn_orcpt: orcpt,
                notify: Notify(notify),
                status: Dsn::new(5, status, 1),
                action: "failed".into(),
                diagnostic: remote.clone().map(|text| Diagnostic { kind: "smtp".into(), text }),
                remote_mta: remote,
                reason,
            };
            let mut text = Vec::new();
            format(&entry, &mut text);
            prop_assert_eq!(parse(&text), vec![entry]);
        }
    }
}
