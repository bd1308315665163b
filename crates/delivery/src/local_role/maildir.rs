//! Delivery into a Maildir: a file in `tmp/`, made durable, then moved to `new/`.

use super::failure::{Failure, Note};
use super::settings::Mailbox;
use super::text::Text;
use mail::Dsn;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Makes names in `tmp/` unique within this process.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Asked once, not for each name.
static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);

/// A message that is written in `tmp/` and not synced yet.
pub struct Written {
    file: File,
    temporary: Made,
    target: PathBuf,
    device: u64,
    otherwise: Dsn,
}

/// Writes a message into a Maildir, which is made where it does not exist. `host` ends the file's name.
pub fn write(
    mailbox: &Mailbox,
    host: &str,
    prefix: &[u8],
    text: &Text,
    size_max: u64,
) -> Result<Written, Failure> {
    write_file(mailbox, host, prefix, text, size_max)
        .map_err(|(failure, error)| advise(failure, &error, mailbox).within(FAILED))
}

/// Makes messages durable: one by one, or with one call where many lie on one file system, since each sync of a file
/// costs a commit of the file system's journal. Gives what the operating system said for each.
pub fn sync(written: &[&Written]) -> Vec<Result<(), Failure>> {
    let all_on_one = written.windows(2).all(|pair| pair[0].device == pair[1].device);
    if let [first, _, ..] = written
        && written.len() >= TOGETHER
        && all_on_one
        && rustix::fs::syncfs(&first.file).is_ok()
    {
        return written.iter().map(|_| Ok(())).collect();
    }
    let failed =
        |w: &Written, e: io::Error| Failure::io(w.otherwise, "error writing message", &e).within(FAILED);
    written.iter().map(|w| w.file.sync_all().map_err(|e| failed(w, e))).collect()
}

impl Written {
    /// Moves the synced message to `new/`. Like Postfix it syncs no directory.
    pub fn place(self, mailbox: &Mailbox) -> Result<(), Failure> {
        move_to(&self.temporary.0, &self.target, &mailbox.path).map_err(|e| {
            let failure = Failure::io(self.otherwise, format!("link to {}", self.target.display()), &e);
            advise(failure, &e, mailbox).within(FAILED)
        })?;
        self.temporary.keep();
        Ok(())
    }
}

/// So many messages are made durable by one sync of the file system rather than each by its own.
const TOGETHER: usize = 4;

/// In front of every reason.
const FAILED: &str = "maildir delivery failed: ";

fn write_file(
    mailbox: &Mailbox,
    host: &str,
    prefix: &[u8],
    text: &Text,
    size_max: u64,
) -> Result<Written, (Failure, io::Error)> {
    let Mailbox { path, otherwise, .. } = mailbox;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (secs, micros) = (now.as_secs(), now.subsec_micros());
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.join(format!("tmp/{secs}.P{}Q{number}.{host}", *PROCESS));
    let create = |e| (Failure::io(*otherwise, format!("create maildir file {}", temporary.display()), &e), e);
    let mut file = create_in(path, &temporary).map_err(create)?;
    let temporary = Made(temporary);
    let failed = |e| (Failure::io(*otherwise, "error writing message", &e), e);
    let stat = file.metadata().map_err(failed)?;
    if size_max > 0 && prefix.len() as u64 + text.size_max() > size_max {
        return Err(failed(rustix::io::Errno::FBIG.into()));
    }
    text.write(prefix, &mut file).map_err(failed)?;
    let name = format!("{secs}.V{:x}I{:x}M{micros}.{host}", stat.dev(), stat.ino());
    Ok(Written {
        file,
        temporary,
        target: path.join("new").join(name),
        device: stat.dev(),
        otherwise: *otherwise,
    })
}

/// Takes the file away again unless it was moved.
struct Made(PathBuf);

impl Made {
    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What cannot be removed is what readers of Maildirs clean up after 36 hours.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn create_in(path: &Path, temporary: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary);
    match open() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            make_directories(path)?;
            open()
        }
        other => other,
    }
}

fn make_directories(path: &Path) -> io::Result<()> {
    ["tmp", "cur", "new"]
        .iter()
        .try_for_each(|d| DirBuilder::new().recursive(true).mode(0o700).create(path.join(d)))
}

/// One call, which never replaces a file; where a file system cannot do that, a link and an unlink.
fn move_to(from: &Path, to: &Path, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    let rename = || renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
    match rename() {
        Err(Errno::NOENT) => {
            make_directories(path)?;
            Ok(rename()?)
        }
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(from, to)?;
            std::fs::remove_file(from)
        }
        other => Ok(other?),
    }
}

/// Postfix's advice where directories may not be made.
fn advise(mut failure: Failure, error: &io::Error, mailbox: &Mailbox) -> Failure {
    if error.kind() == io::ErrorKind::PermissionDenied {
        let Mailbox { uid, gid, .. } = mailbox;
        let access = format!("maildir access problem for UID/GID={uid}/{gid}: {}", failure.reason);
        failure.notes.push(Note::Warning(access));
        failure.notes.push(Note::Warning("perhaps you need to create the maildirs in advance".into()));
    }
    failure
}
