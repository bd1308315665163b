//! The process that writes mailboxes with their owners' rights.
//!
//! Jobs come over `private/local`, each message in a sealed memory file; this process sees no other mail and no
//! network. A recipient's mailbox is looked up here, since what may be written must not be the queue manager's
//! choice. Workers deliver; each recipient's result goes back as soon as it is there.

pub mod command;
mod commands;
mod delivered;
mod dotlock;
mod environment;
mod exit_status;
pub(crate) mod failure;
mod halt;
mod identity;
mod line;
pub mod local;
mod maildir;
mod mbox;
pub mod pipe;
mod pool;
mod replies;
mod rights;
mod services;
mod settings;
pub mod spawn;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod wire;
mod writing;

pub use exit_status::{End, Ran};
pub use failure::{Failure, Note};
pub use halt::Halt;
pub use mbox::Locking;
pub use services::{Service, Services};
pub use settings::{Mailbox, Settings};
pub use writing::Writing;

use commands::Commands;
use local::{LocalSettings, Shared};
use mail::{Dsn, Status};
use net::Shutdown;
use pool::{Back, Job, Pool, Task, failed};
use replies::Replies;
use spawn::Spawner;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use text::{Text, prefix};
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use wire::Answer;

/// How long an orderly end waits for deliveries.
const DRAIN: Duration = Duration::from_secs(5);

/// So much of a job is read with the first call: most are smaller.
const READ_AT_ONCE: u64 = 32 * 1024;

/// What the role works with.
pub struct Inputs {
    /// `private/local`.
    pub listener: UnixListener,
    /// Configuration.
    pub settings: watch::Receiver<Arc<Services>>,
    /// Serves the sockets of spawn lines.
    pub spawner: Spawner,
    /// Threads that write mailboxes. Those with mailbox files sync each its own; what waits for Maildirs goes to few.
    pub workers: usize,
    /// The order to end.
    pub shutdown: Shutdown,
}

/// Serves until the order to end. Must be called in a `LocalSet`.
pub async fn run(inputs: Inputs) -> io::Result<()> {
    let pool = Pool::start(inputs.workers)?;
    let (shared, commands) = (Shared::new(pool.clone()), Commands::default());
    loop {
        tokio::select! {
            biased;
            () = inputs.shutdown.requested() => break,
            accepted = inputs.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (settings, shared) = (inputs.settings.clone(), shared.clone());
                    let commands = commands.clone();
                    tokio::task::spawn_local(async move { serve(stream, settings, shared, commands).await });
                }
                // Out of descriptors: some come back soon.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    inputs.spawner.stop();
    let drained = async {
        while pool.open() + shared.open() + commands.open() + inputs.spawner.open() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // What is not done by then is delivered again after the start.
    let _ = tokio::time::timeout(DRAIN, drained).await;
    inputs.spawner.kill();
    Ok(())
}

/// Takes jobs from one connection until its end. An error ends it: the other side then knows what it has to repeat.
///
/// The end is also the word that commands are to end: the queue manager writes no more where it stops, or where it crashed.
async fn serve(
    stream: UnixStream,
    services: watch::Receiver<Arc<Services>>,
    shared: Shared,
    commands: Commands,
) -> Option<()> {
    let halt = Arc::new(Halt::new().ok()?);
    let end = take_jobs(stream, services, shared, commands, &halt).await;
    halt.raise();
    end
}

async fn take_jobs(
    stream: UnixStream,
    services: watch::Receiver<Arc<Services>>,
    shared: Shared,
    commands: Commands,
    halt: &Arc<Halt>,
) -> Option<()> {
    let back = stream.as_fd().try_clone_to_owned().ok()?;
    let replies = Arc::new(Replies::new(back.into()));
    let stream = Rc::new(stream);
    let (mut fds, mut waiting) = (Vec::new(), 0);
    loop {
        let mut bytes = [0; wire::REQUEST_LEN];
        let received = stream
            .async_io(Interest::READABLE, || sys::receive_with_fds(&*stream, &mut bytes, &mut fds))
            .await
            .ok()?;
        if received == 0 {
            return Some(());
        }
        waiting += received;
        while waiting >= wire::REQUEST_LEN {
            waiting -= wire::REQUEST_LEN;
            if fds.is_empty() {
                return None;
            }
            let job = read_job(fds.remove(0), halt).ok()?;
            let service = services.borrow().get(&job.head.transport).cloned();
            match service {
                Some(Service::Virtual(settings)) => {
                    start(Arc::new(job), settings, &replies, &shared.pool).await
                }
                Some(Service::Local(settings)) => start_local(job, settings, &replies, &shared),
                Some(Service::Pipe(settings)) => commands.start(job, settings, &replies),
                None => refuse(&job, &replies),
            }
        }
    }
}

/// Reads a job from its memory file.
fn read_job(fd: OwnedFd, halt: &Arc<Halt>) -> io::Result<Job> {
    let file = File::from(fd);
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let end = file.metadata()?.len();
    let mut bytes = vec![0; end.min(READ_AT_ONCE) as usize];
    file.read_exact_at(&mut bytes, 0)?;
    let length = bytes.first_chunk().and_then(|length| wire::head_length(*length)).ok_or_else(invalid)?;
    let start = 4 + length;
    // Not more than the file has: the length alone must not make us reserve memory.
    if end < start as u64 {
        return Err(invalid());
    }
    if let Some(missing) = start.checked_sub(bytes.len()) {
        let begun = bytes.len();
        bytes.resize(begun + missing, 0);
        file.read_exact_at(&mut bytes[begun..], begun as u64)?;
    }
    let (head, begun) = bytes.split_at(start);
    let head = wire::decode_head(&head[4..]).ok_or_else(invalid)?;
    let start = start as u64;
    let text = Text::read(&file, start..end, begun)?;
    let halt = halt.clone();
    Ok(Job { head, text, content: (file, start), halt, delivered: std::sync::OnceLock::new() })
}

/// Answers for a service that a reload took away.
fn refuse(job: &Job, replies: &Replies) {
    for recipient in &job.head.recipients {
        let failure = Failure::configuration(format!("{}: no such service", job.head.transport));
        replies.send([&failed(job.head.job, recipient.index, failure)]);
    }
}

/// Looks each recipient's mailbox up and gives the deliveries to the workers.
async fn start(job: Arc<Job>, settings: Arc<Settings>, replies: &Arc<Replies>, pool: &Pool) {
    let mut tasks = Vec::with_capacity(job.head.recipients.len());
    for (place, recipient) in job.head.recipients.iter().enumerate() {
        match settings.mailbox(&recipient.address).await {
            Ok(mailbox) if !job.head.purpose.delivers() => {
                let kind = if mailbox.is_maildir { "maildir" } else { "mailbox" };
                let (reason, dsn) = (format!("delivers to {kind}"), Dsn::new(2, 0, 0));
                replies.send([&Answer::plain(job.head.job, recipient.index, Status::Sent, dsn, reason)]);
            }
            Ok(mailbox) => {
                let from = mbox::from_line(&job.head.sender, net::clock::now());
                let from = if mailbox.is_maildir { Vec::new() } else { from };
                tasks.push(Task {
                    entry: [from, prefix(&job.head, recipient, settings.original_recipient)].concat(),
                    job: job.clone(),
                    place,
                    mailbox,
                    writing: settings.writing.clone(),
                    back: Back::Replies(replies.clone()),
                    attempts: 0,
                });
            }
            Err(failure) => replies.send([&failed(job.head.job, recipient.index, failure)]),
        }
    }
    pool.add(tasks);
}

/// Delivers to each recipient by itself: an alias of one may wait for a command while others go on.
fn start_local(job: Job, settings: Arc<LocalSettings>, replies: &Arc<Replies>, shared: &Shared) {
    let job = Arc::new(job);
    for place in 0..job.head.recipients.len() {
        let (job, settings, shared) = (job.clone(), settings.clone(), shared.clone());
        let replies = replies.clone();
        tokio::task::spawn_local(async move {
            let _open = shared.opened();
            let answer = local::deliver(&settings, &shared, &job, place).await;
            replies.add(&answer);
            // What others answer before our turn comes again goes with the same write.
            tokio::task::yield_now().await;
            replies.send([]);
        });
    }
}
