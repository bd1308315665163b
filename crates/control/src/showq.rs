//! `public/showq`: the list of the queue, for `postqueue -p` and `-j`.
//!
//! Messages in files are read from the queue directories, each list on a thread of its own. What only the journal holds,
//! and what is being delivered, the queue manager tells (`private/showq`); where it does not answer, the journal is read.

use mail::QueueId;
use net::Shutdown;
use observe::Tag;
use queue::Disk;
use queue::listing::{self, Item, put_item};
use queue::paths::Hashing;
use std::collections::HashSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

/// Lists that are made at once: each reads the whole queue. Others wait for their turn.
pub(crate) const LISTS_MAX: usize = 4;

/// A piece is sent when it has this size.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;

/// How long the queue manager may pause; then the journal is read instead.
const ANSWER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a reader may pause before it is given up.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// After an error of accept: descriptors are used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Ids of one answer of the queue manager: a bound for memory, far above what can be active.
const ACTIVE_BYTES_MAX: u64 = 64 << 20;

/// What a list is made from.
#[derive(Clone)]
pub struct Showq {
    /// The queue directory; it is only read.
    pub disk: Arc<dyn Disk>,
    /// `hash_queue_names`, `hash_queue_depth`.
    pub hashing: Hashing,
    /// Where the queue manager tells what only it knows: `private/showq`.
    pub live: PathBuf,
}

/// Serves lists until the shutdown. It wants a `LocalSet` around it. `showq` gives what is in force when a list begins.
pub async fn serve_showq(
    listener: UnixListener,
    showq: impl Fn() -> Showq + Clone + 'static,
    tag: Tag,
    shutdown: Shutdown,
) {
    let serve = move |socket: UnixStream| {
        let showq = showq();
        async move { on_a_thread(showq, socket.into_std()?).await }
    };
    accept_lists("public/showq", listener, LISTS_MAX, &tag, shutdown, serve).await;
}

/// Accepts readers of lists and serves so many at a time; the others wait.
pub(crate) async fn accept_lists<F>(
    name: &'static str,
    listener: UnixListener,
    at_once: usize,
    tag: &Tag,
    shutdown: Shutdown,
    serve: impl Fn(UnixStream) -> F,
) where
    F: Future<Output = io::Result<()>> + 'static,
{
    let turns = Arc::new(Semaphore::new(at_once));
    let mut lists = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // Readers see the connection end without the end of the list, and say so.
            () = shutdown.requested() => return,
            Some(_) = lists.join_next() => continue,
            accepted = listener.accept(), if lists.len() < 16 * at_once => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (sending, turns, tag) = (serve(socket), turns.clone(), tag.clone());
                lists.spawn_local(async move {
                    let Ok(_turn) = turns.acquire_owned().await else { return };
                    if let Err(error) = sending.await
                        && error.kind() != io::ErrorKind::BrokenPipe
                    {
                        observe::warn(&tag, format_args!("{name}: {error}"));
                    }
                });
            }
            Err(error) => {
                observe::warn(tag, format_args!("{name}: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Makes a list on a thread, since files are read.
async fn on_a_thread(showq: Showq, socket: BlockingStream) -> io::Result<()> {
    let (done, made) = oneshot::channel();
    let make = move || drop(done.send(showq.send(socket)));
    std::thread::Builder::new().name("showq".into()).spawn(make)?;
    made.await.unwrap_or_else(|_| Err(io::Error::other("making the list ended by a panic")))
}

impl Showq {
    fn send(&self, socket: BlockingStream) -> io::Result<()> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(PAUSE_MAX))?;
        let mut list = List { socket, piece: Vec::new(), sent: HashSet::new(), failed: None };
        let mut active = HashSet::new();
        let relayed = BlockingStream::connect(&self.live)
            .and_then(|queue_manager| relay(queue_manager, &mut list, &mut active));
        if relayed.is_err() {
            // It does not run, or does nothing else than something long: the journal tells what it is about to do.
            listing::from_journal(&*self.disk, &mut |item| list.give(&item))?;
        }
        listing::from_disk(&*self.disk, &self.hashing, &mut |mut item| {
            if active.contains(&item.queue_id) && item.queue == "deferred" {
                item.queue = "active".to_string();
            }
            list.give(&item);
        })?;
        list.end()
    }
}

/// Passes on what the queue manager tells; the ids behind it are of files that are being delivered.
fn relay(queue_manager: BlockingStream, list: &mut List, active: &mut HashSet<QueueId>) -> io::Result<()> {
    queue_manager.set_read_timeout(Some(ANSWER_PAUSE_MAX))?;
    let mut told = BufReader::new(queue_manager);
    while let Some(item) = listing::read_item(&mut told)? {
        list.give(&item);
    }
    for id in told.take(ACTIVE_BYTES_MAX).lines() {
        active.extend(QueueId::parse(&id?));
    }
    Ok(())
}

/// A list on its way to its reader.
struct List {
    socket: BlockingStream,
    piece: Vec<u8>,
    /// What is in it already: a message may become a file while the list is made.
    sent: HashSet<QueueId>,
    /// Why nothing more can be sent.
    failed: Option<io::Error>,
}

impl List {
    fn give(&mut self, item: &Item) {
        if self.failed.is_some() || !self.sent.insert(item.queue_id.clone()) {
            return;
        }
        put_item(Some(item), &mut self.piece);
        if self.piece.len() >= PIECE_BYTES {
            self.failed = self.socket.write_all(&std::mem::take(&mut self.piece)).err();
        }
    }

    fn end(mut self) -> io::Result<()> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        put_item(None, &mut self.piece);
        self.socket.write_all(&self.piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail::{Address, Content, ContentFlags, Dsn, Envelope, JobId, Outcome, Recipient, Status, Timestamp};
    use qmgr::Order;
    use queue::{Listed, MessageKey, NewMessage, Place, RealDisk};
    use tokio::sync::mpsc;

    fn message(id: &QueueId) -> NewMessage {
        let mut envelope =
            Envelope::new(Address::from("ann@example.org"), Timestamp::from_secs(1_795_365_207));
        envelope.recipients =
            ["done@x.example", "waits@x.example"].map(|a| Recipient::new(Address::from(a))).into();
        let waits = Outcome {
            job: JobId(0),
            index: 1,
            status: Status::Deferred,
            dsn: Dsn::new(4, 4, 1),
            reason: "later".into(),
            diagnostic: None,
            remote_mta: None,
            relay: None,
            relayed: false,
            next_hop_reports: false,
            parts: Vec::new(),
        };
        NewMessage {
            key: MessageKey::file(1),
            queue_id: id.clone(),
            envelope,
            done: vec![true, false],
            content: Content::in_memory(vec![Bytes::from_static(b"x\r\n")], ContentFlags::default()),
            place: Place::Journal,
            retry_at: Some(Timestamp::from_secs(1_795_365_300)),
            crashes: 0,
            deferrals: vec![waits],
        }
    }

    fn listed(id: &QueueId) -> Listed {
        Listed {
            key: MessageKey::file(1),
            queue_id: id.clone(),
            place: Place::Journal,
            in_flight: false,
            retry_at: None,
            arrival: None,
            size: None,
        }
    }

    fn spool(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("showq-{name}-{}", std::process::id()));
        std::fs::create_dir_all(root.join("hold")).unwrap();
        root
    }

    /// A queue manager that knows one message in its journal.
    async fn answer(mut orders: mpsc::Receiver<Order>, id: QueueId) {
        while let Some(order) = orders.recv().await {
            match order {
                Order::List(to) => drop(to.send(vec![listed(&id)])),
                Order::Show(asked, to) => drop(to.send((asked == id).then(|| message(&id)))),
                _ => {}
            }
        }
    }

    #[test]
    fn the_list_holds_the_journal_and_the_files() {
        let root = spool("list");
        let envelope = message(&QueueId::parse("A1").unwrap()).envelope;
        let content = Content::in_memory(vec![Bytes::from_static(b"x\r\n")], ContentFlags::default());
        let (bytes, _) = queue::file::to_bytes(&envelope, &content).unwrap();
        let held = root.join("hold/B2");
        std::fs::write(&held, bytes).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&held, std::fs::Permissions::from_mode(0o700)).unwrap();

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let items = tokio::task::LocalSet::new().block_on(&runtime, async {
            let (orders, received) = mpsc::channel(4);
            let id = QueueId::parse("A1").unwrap();
            tokio::task::spawn_local(answer(received, id));
            let (path, live) = (root.join("showq"), root.join("live"));
            let showq = Showq {
                disk: Arc::new(RealDisk::new(&root).unwrap()),
                hashing: Hashing::default(),
                live: live.clone(),
            };
            let tag = Tag::new("postfix", "showq", 1);
            let (trigger, shutdown) = Shutdown::new();
            let told =
                crate::serve_live(UnixListener::bind(&live).unwrap(), orders, tag.clone(), shutdown.clone());
            tokio::task::spawn_local(told);
            let listener = UnixListener::bind(&path).unwrap();
            let server =
                tokio::task::spawn_local(serve_showq(listener, move || showq.clone(), tag, shutdown));
            let reading = std::thread::spawn(move || {
                let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
                let mut items = Vec::new();
                while let Some(item) = listing::read_item(&mut socket).unwrap() {
                    items.push(item);
                }
                items
            });
            while !reading.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            trigger.request();
            server.await.unwrap();
            reading.join().unwrap()
        });
        std::fs::remove_dir_all(&root).unwrap();

        let names: Vec<_> = items.iter().map(|i| (i.queue.as_str(), i.queue_id.as_str())).collect();
        assert_eq!(names, [("deferred", "A1"), ("hold", "B2")]);
        let [waits] = &items[0].recipients[..] else { panic!("one recipient is left") };
        assert_eq!(
            (waits.address.to_string().as_str(), waits.reason.as_deref()),
            ("waits@x.example", Some("later"))
        );
        assert_eq!(items[1].recipients.len(), 2);
    }
}
