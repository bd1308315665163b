//! What a running process tells the administrator's commands: each process that has something to tell listens on a
//! socket of its own, `private/inquiry.ROLE.PID`, and a command asks all of them.
//!
//! Who may come is decided by `private/`, which is open to root and mail_owner alone: what is told here says who writes
//! to whom. A request is a line, with more behind it where it brings something; the answer ends with the connection.

use crate::showq::accept_lists;
use net::Shutdown;
use observe::Tag;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// Where the sockets lie, below queue_directory.
const DIRECTORY: &str = "private";

/// How their names begin.
const PREFIX: &str = "inquiry.";

/// Inquiries at once; each is an administrator's command.
const INQUIRIES_MAX: usize = 4;

/// A request is there at once, and so is who takes the answer; this is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a request or an answer: far above what a process is configured to keep, so only a mistake reaches it.
const BYTES_MAX: u64 = 256 << 20;

/// What a process answers to a request: its line, and what came behind it.
pub type Answer = Rc<dyn Fn(&str, &[u8]) -> Option<Vec<u8>>>;

/// The socket's name for this process in a role, relative to queue_directory.
pub fn name(role: &str) -> String {
    format!("{DIRECTORY}/{PREFIX}{role}.{}", std::process::id())
}

/// Answers until it is dropped. It wants a `LocalSet` around it.
pub async fn serve_inquiries(listener: UnixListener, answer: Answer, tag: Tag) {
    let (_never, never) = Shutdown::new();
    let serve = move |socket| one(socket, Rc::clone(&answer));
    accept_lists("private/inquiry", listener, INQUIRIES_MAX, &tag, never, serve).await;
}

fn one(mut socket: UnixStream, answer: Answer) -> Pin<Box<dyn Future<Output = io::Result<()>>>> {
    Box::pin(async move {
        let mut request = Vec::new();
        let mut limited = (&mut socket).take(BYTES_MAX);
        within("the request of private/inquiry", limited.read_to_end(&mut request)).await?;
        let end = request.iter().position(|b| *b == b'\n').unwrap_or(request.len());
        let line = String::from_utf8_lossy(&request[..end]);
        // Nothing for what a newer program may ask.
        let answer = answer(&line, request.get(end + 1..).unwrap_or_default()).unwrap_or_default();
        within("the reader of private/inquiry", socket.write_all(&answer)).await
    })
}

async fn within<T>(what: &str, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let silent = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{what} takes too long"));
    tokio::time::timeout(PATIENCE, work).await.map_err(silent)?
}

/// What one process answered.
pub struct Told {
    /// `smtpd.4711`: its role and its process id.
    pub who: String,
    /// The answer.
    pub bytes: Vec<u8>,
}

/// Asks every running process whose role begins with `role`; the error says why none can be asked.
pub fn ask(queue_directory: &Path, role: &str, request: &str) -> Result<Vec<Told>, String> {
    let mut all = Vec::new();
    for (who, path) in sockets(queue_directory, role)? {
        match exchange(&path, request.as_bytes(), b"") {
            Ok(bytes) => all.push(Told { who, bytes }),
            // It has ended, or ends just now.
            Err(e) if is_gone(&e) => {}
            Err(e) => return Err(format!("{}: {e}", path.display())),
        }
    }
    match all.is_empty() {
        true => Err(format!(
            "{}: expected the socket of a running process {role}, found none: is the mail system running?",
            queue_directory.join(DIRECTORY).display()
        )),
        false => Ok(all),
    }
}

/// Gives something to another running process of such a role; whether one took it. Paths are relative to the working
/// directory, which is queue_directory.
pub fn give_on(role: &str, request: &str, bytes: &[u8]) -> bool {
    let own = format!(".{}", std::process::id());
    let others = sockets(Path::new(""), role).unwrap_or_default();
    let mut others = others.into_iter().filter(|(who, _)| !who.ends_with(&own));
    others.any(|(_, path)| exchange(&path, request.as_bytes(), bytes).is_ok())
}

/// Takes away the sockets of processes that ended without doing so. Paths as for [`give_on`].
pub fn sweep(role: &str) {
    for (_, path) in sockets(Path::new(""), role).unwrap_or_default() {
        if StdStream::connect(&path).is_err_and(|e| is_gone(&e)) {
            // Another process may have been faster.
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn sockets(queue_directory: &Path, role: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let directory = queue_directory.join(DIRECTORY);
    let wrong = |e: io::Error| match e.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{}: {e}; only root and mail_owner may ask", directory.display())
        }
        _ => format!("{}: {e}", directory.display()),
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let who = entry.file_name().to_str().and_then(|name| name.strip_prefix(PREFIX)).map(str::to_owned);
        if let Some(who) = who.filter(|who| who.starts_with(role)) {
            found.push((who, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn exchange(path: &Path, request: &[u8], more: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket = StdStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(request)?;
    socket.write_all(b"\n")?;
    socket.write_all(more)?;
    socket.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    socket.take(BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(error.kind(), K::NotFound | K::ConnectionRefused | K::ConnectionReset | K::BrokenPipe)
}
