//! `public/showq`: the list of the queue, for `postqueue -p` and `-j`.
//!
//! Messages in files are read from the queue directories on a thread of its own; what only the journal holds, and
//! what is being delivered, the queue manager tells.

use mail::{QueueId, Timestamp};
use net::Shutdown;
use observe::Tag;
use qmgr::Order;
use queue::listing::{self, Item, ItemRecipient, put_item};
use queue::paths::Hashing;
use queue::{Disk, Listed, NewMessage, Place};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Lists that are made at once: each reads the whole queue. Others wait for their turn.
const LISTS_MAX: usize = 4;

/// Pieces of a list on their way from the disk to the socket.
const PIECES: usize = 8;

/// A piece is sent when it has this size.
const PIECE_BYTES: usize = 64 * 1024;

/// How long a reader may pause before it is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// After an error of accept: descriptors are used up, and come back.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// What a list is made from.
#[derive(Clone)]
pub struct Showq {
    /// The queue directory.
    pub disk: Arc<dyn Disk>,
    /// `hash_queue_names`, `hash_queue_depth`.
    pub hashing: Hashing,
    /// The way to the queue manager.
    pub orders: mpsc::Sender<Order>,
    /// Who logs.
    pub tag: Tag,
}

/// Serves lists until the shutdown. It wants a `LocalSet` around it.
pub async fn serve_showq(listener: UnixListener, showq: Showq, shutdown: Shutdown) {
    let turns = Arc::new(Semaphore::new(LISTS_MAX));
    let mut lists = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // Readers see the connection end without the end of the list, and say so.
            () = shutdown.requested() => return,
            Some(_) = lists.join_next() => continue,
            accepted = listener.accept(), if lists.len() < 16 * LISTS_MAX => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (showq, turns) = (showq.clone(), turns.clone());
                lists.spawn_local(async move {
                    let Ok(_turn) = turns.acquire_owned().await else { return };
                    if let Err(error) = showq.send(socket).await
                        && error.kind() != io::ErrorKind::BrokenPipe
                    {
                        observe::warn(&showq.tag, format_args!("public/showq: {error}"));
                    }
                });
            }
            Err(error) => {
                observe::warn(&showq.tag, format_args!("public/showq: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Showq {
    async fn send(&self, mut socket: UnixStream) -> io::Result<()> {
        let (list, answer) = oneshot::channel();
        let gone = || io::Error::other("the queue manager is gone");
        self.orders.send(Order::List(list)).await.map_err(|_| gone())?;
        let listed = answer.await.map_err(|_| gone())?;
        let active: HashSet<_> = listed.iter().filter(|l| l.in_flight).map(|l| l.queue_id.clone()).collect();

        let mut sent = HashSet::new();
        let mut piece = Vec::new();
        for entry in listed.iter().filter(|l| needs_asking(l)) {
            if let Some(item) = self.ask(entry).await? {
                sent.insert(item.queue_id.clone());
                put_item(Some(&item), &mut piece);
            }
            if piece.len() >= PIECE_BYTES {
                write(&mut socket, &std::mem::take(&mut piece)).await?;
            }
        }
        write(&mut socket, &piece).await?;

        let mut pieces = self.read_disk(sent, active)?;
        while let Some(piece) = pieces.recv().await {
            write(&mut socket, &piece?).await?;
        }
        let mut end = Vec::new();
        put_item(None, &mut end);
        write(&mut socket, &end).await
    }

    /// Asks for one message; nothing where it is gone by now.
    async fn ask(&self, entry: &Listed) -> io::Result<Option<Item>> {
        let (show, answer) = oneshot::channel();
        let gone = |_| io::Error::other("the queue manager is gone");
        self.orders.send(Order::Show(entry.queue_id.clone(), show)).await.map_err(|_| gone(()))?;
        Ok(answer.await.ok().flatten().map(|message| item(entry, message)))
    }

    /// Reads the files on a thread, without those that were sent already.
    fn read_disk(
        &self,
        sent: HashSet<QueueId>,
        active: HashSet<QueueId>,
    ) -> io::Result<mpsc::Receiver<io::Result<Vec<u8>>>> {
        let (sender, receiver) = mpsc::channel(PIECES);
        let (disk, hashing) = (self.disk.clone(), self.hashing.clone());
        let read = move || {
            let mut piece = Vec::new();
            let mut wanted = true;
            let listed = listing::from_disk(&*disk, &hashing, &mut |mut item| {
                if !wanted || sent.contains(&item.queue_id) {
                    return;
                }
                if active.contains(&item.queue_id) && item.queue == "deferred" {
                    item.queue = "active".to_string();
                }
                put_item(Some(&item), &mut piece);
                if piece.len() >= PIECE_BYTES {
                    wanted = sender.blocking_send(Ok(std::mem::take(&mut piece))).is_ok();
                }
            });
            // Without a receiver there is nobody to tell.
            let _ = sender.blocking_send(listed.map(|()| piece));
        };
        std::thread::Builder::new().name("showq".into()).spawn(read)?;
        Ok(receiver)
    }
}

/// Whether the files may not tell: what is on hold may still be on its way into one.
fn needs_asking(entry: &Listed) -> bool {
    entry.in_flight
        || match entry.place {
            Place::Journal => true,
            Place::Hold => !entry.key.is_file(),
            Place::Deferred => false,
        }
}

fn item(entry: &Listed, message: NewMessage) -> Item {
    let queue = match entry.place {
        Place::Hold => "hold",
        _ if entry.in_flight || message.retry_at.is_none() => "active",
        _ => "deferred",
    };
    let NewMessage { queue_id, envelope, done, content, deferrals, .. } = message;
    let reason = |index: usize| {
        let of_it = |o: &&mail::Outcome| o.index as usize == index;
        deferrals.iter().rev().find(of_it).map(|o| o.reason.clone())
    };
    let recipients = envelope.recipients.into_iter().enumerate();
    let left = recipients.filter(|(index, _)| !done.get(*index).copied().unwrap_or(false));
    Item {
        queue: queue.to_string(),
        queue_id,
        arrival: earliest(envelope.arrival, entry.arrival),
        size: content.queue_size(),
        forced_expire: envelope.force_expire,
        sender: envelope.sender,
        recipients: left
            .map(|(index, r)| ItemRecipient { address: r.address, reason: reason(index) })
            .collect(),
    }
}

/// The envelope tells; zero is no time.
fn earliest(envelope: Timestamp, listed: Option<Timestamp>) -> Timestamp {
    if envelope == Timestamp::default() { listed.unwrap_or(envelope) } else { envelope }
}

async fn write(socket: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    let silent = || io::Error::new(io::ErrorKind::TimedOut, "a reader of the list takes no more of it");
    tokio::time::timeout(WRITE_TIMEOUT, socket.write_all(bytes)).await.map_err(|_| silent())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mail::{Address, Content, ContentFlags, Dsn, Envelope, JobId, Outcome, Recipient, Status};
    use queue::{MessageKey, RealDisk};
    use std::path::PathBuf;

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
            relayed: false,
            next_hop_reports: false,
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
            let showq = Showq {
                disk: Arc::new(RealDisk::new(&root).unwrap()),
                hashing: Hashing::default(),
                orders,
                tag: Tag::new("postfix", "showq", 1),
            };
            let path = root.join("showq");
            let listener = UnixListener::bind(&path).unwrap();
            let (trigger, shutdown) = Shutdown::new();
            let server = tokio::task::spawn_local(serve_showq(listener, showq, shutdown));
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
