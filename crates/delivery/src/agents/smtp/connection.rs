//! One connection to a server: the dialogue's machine with a socket under it.

use super::adapt::Adapter;
use super::body::{self, FileReader, Pace, Sent, Unsendable, Way};
use super::patience::Patience;
use super::reply_filter::{FilteredReplies, Note};
use super::route::{Place, Target};
use super::settings::Settings;
use super::stream::Stream;
use mail::{Content, Timestamp};
use protocol::smtp::client::{Client, Event, Outputs, Settings as Dialogue, Stage, Transaction};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// A server's names as they are logged.
#[derive(Debug)]
pub(super) struct Peer {
    /// `host`.
    pub host: String,
    /// `host[address]`.
    pub label: String,
    /// `host[address]:port`.
    pub relay: String,
    /// Where it is.
    pub place: Place,
    /// No server of the destination is preferred to it.
    pub is_best: bool,
}

impl Peer {
    /// The names of a target.
    pub fn new(target: &Target) -> Self {
        let host = target.host.clone();
        let (label, relay) = match &target.place {
            Place::Inet(at) => {
                let label = format!("{host}[{}]", at.ip());
                let relay = format!("{label}:{}", at.port());
                (label, relay)
            }
            Place::Unix(_, shown) => {
                let label = format!("{host}[{shown}]");
                (label.clone(), label)
            }
        };
        Peer { host, label, relay, place: target.place.clone(), is_best: target.is_best }
    }
}

/// How a dialogue broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    /// While doing what.
    pub stage: Stage,
    /// In which way.
    pub how: How,
}

/// In which way a dialogue broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The connection was lost.
    Lost,
    /// The limit passed.
    TimedOut,
    /// A table of ours could not be asked.
    Local,
}

/// Why a content was not sent.
#[derive(Debug)]
pub(super) enum Unsent {
    /// The connection broke.
    Lost(Loss),
    /// The content could not be read here.
    Local(io::Error),
}

/// One connection to a server.
pub(super) struct Connection {
    stream: Stream,
    client: Client,
    out: Outputs,
    /// How the dialogue is held.
    pub dialogue: Rc<Dialogue>,
    /// Who is at the other end.
    pub peer: Rc<Peer>,
    /// Its destination has no other server, so that its word is final.
    pub is_only: bool,
    /// Messages begun.
    pub uses: u32,
    /// When it was opened.
    pub opened: Instant,
    /// When greeting and HELO were over.
    pub connected: Timestamp,
    settings: Rc<Settings>,
    patience: Patience,
    filter: Option<FilteredReplies>,
    /// How long to wait before the end of the data, for servers behind an old firewall.
    pub end_delay: Option<Duration>,
    /// Its place among those that may be open at once.
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// A connection that was opened; the greeting is still to come.
    pub fn new(
        target: &Target,
        stream: Stream,
        settings: Rc<Settings>,
        dialogue: Rc<Dialogue>,
        permit: OwnedSemaphorePermit,
    ) -> Connection {
        Connection {
            stream,
            client: Client::new(Rc::clone(&dialogue)),
            dialogue,
            out: Outputs::default(),
            peer: Rc::new(Peer::new(target)),
            is_only: false,
            uses: 0,
            opened: Instant::now(),
            connected: net::clock::now(),
            patience: Patience::new(settings.request_rate),
            filter: FilteredReplies::new(&settings.reply_filter),
            end_delay: None,
            settings,
            _permit: permit,
        }
    }

    /// What the server offered.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Begins a message; nothing is written yet.
    pub fn begin(&mut self, transaction: Transaction) {
        self.uses = self.uses.saturating_add(1);
        self.client.begin(transaction, &mut self.out);
    }

    /// The next event, after as much writing and reading as it takes.
    pub async fn event(&mut self) -> Result<Event, Loss> {
        loop {
            if !self.out.bytes.is_empty() {
                self.flush().await?;
            }
            if let Some(event) = self.out.events.pop_front() {
                self.patience.renew();
                return Ok(event);
            }
            self.receive().await?;
        }
    }

    async fn flush(&mut self) -> Result<(), Loss> {
        let stage = self.stage();
        let bytes = std::mem::take(&mut self.out.bytes);
        let mut written = 0;
        while written < bytes.len() {
            let rest = [IoSlice::new(&bytes[written..])];
            let some = self.stream.write_some(&rest);
            let limit = self.patience.left(self.settings.timeouts.of(stage));
            match net::deadline(limit, stage.doing(), some).await {
                Ok(Ok(n)) => {
                    written += n;
                    self.patience.moved(n);
                }
                // A server that closes may have said why, which is better than that it closed.
                Ok(Err(_)) if self.client.stage().is_some() => return self.receive().await,
                Ok(Err(_)) => return Err(Loss { stage, how: How::Lost }),
                Err(_) => return Err(Loss { stage, how: How::TimedOut }),
            }
        }
        self.out.bytes = bytes;
        self.out.bytes.clear();
        Ok(())
    }

    /// What replies were changed to since it was asked last, or why none could be; for the log.
    pub fn notes(&mut self) -> Vec<Note> {
        self.filter.as_mut().map(FilteredReplies::take_notes).unwrap_or_default()
    }

    /// Reads until a line is complete; the time limit is that of one line.
    async fn receive(&mut self) -> Result<(), Loss> {
        if self.filter.is_some() {
            return self.receive_filtered().await;
        }
        let stage = self.stage();
        let before = self.client.lines();
        let limit = self.patience.left(self.settings.timeouts.of(stage));
        let mut read = 0;
        let (stream, client, out) = (&mut self.stream, &mut self.client, &mut self.out);
        let line = async {
            while client.lines() == before {
                let open = stream.read(|bytes| {
                    read += bytes.len();
                    client.receive(bytes, out);
                    !bytes.is_empty()
                });
                if !open.await.unwrap_or(false) {
                    return false;
                }
            }
            true
        };
        let received = net::deadline(limit, stage.doing(), line).await;
        self.patience.moved(read);
        match received {
            Ok(true) => Ok(()),
            Ok(false) => Err(Loss { stage: self.stage(), how: How::Lost }),
            Err(_) => Err(Loss { stage, how: How::TimedOut }),
        }
    }

    /// The same with a filter between the server and us.
    async fn receive_filtered(&mut self) -> Result<(), Loss> {
        let stage = self.stage();
        let before = self.client.lines();
        let limit = self.patience.left(self.settings.timeouts.of(stage));
        let mut read = 0;
        let Connection { stream, client, out, filter: Some(filter), peer, .. } = self else { return Ok(()) };
        let line = async {
            while client.lines() == before {
                match filter.line(&peer.relay).await {
                    Err(()) => return Err(How::Local),
                    Ok(Some(line)) => client.receive(&line, out),
                    Ok(None) => {
                        let open = stream.read(|bytes| {
                            read += bytes.len();
                            filter.push(bytes);
                            !bytes.is_empty()
                        });
                        if !open.await.unwrap_or(false) {
                            return Err(How::Lost);
                        }
                    }
                }
            }
            Ok(())
        };
        let received = net::deadline(limit, stage.doing(), line).await;
        self.patience.moved(read);
        match received {
            Ok(Ok(())) => Ok(()),
            Ok(Err(how)) => Err(Loss { stage: self.stage(), how }),
            Err(_) => Err(Loss { stage, how: How::TimedOut }),
        }
    }

    /// What is under way.
    pub fn stage(&self) -> Stage {
        self.client.stage().unwrap_or(Stage::Mail)
    }

    /// Sends the content that [`Event::SendContent`] asked for.
    pub async fn send(
        &mut self,
        content: &Content,
        adapter: Option<Adapter<'_>>,
        files: &FileReader,
    ) -> Result<Sent, Unsent> {
        let pace = Pace {
            limit: self.settings.timeouts.data_xfer,
            patience: Patience::new(self.settings.request_rate),
            end_delay: self.end_delay,
        };
        let way = Way { line_bytes_max: self.settings.line_bytes_max, pace, adapter, files };
        let sent = body::send(&mut self.stream, content, way).await;
        match sent {
            Ok(sent) => {
                self.client.content_sent();
                Ok(sent)
            }
            Err(Unsendable::Lost) => Err(Unsent::Lost(Loss { stage: Stage::Content, how: How::Lost })),
            Err(Unsendable::TimedOut) => {
                Err(Unsent::Lost(Loss { stage: Stage::Content, how: How::TimedOut }))
            }
            Err(Unsendable::Local(error)) => Err(Unsent::Local(error)),
        }
    }

    /// Whether another message may go over it now.
    pub fn is_reusable(&self) -> bool {
        self.client.is_ready()
            && self.out.events.is_empty()
            && self.filter.as_ref().is_none_or(FilteredReplies::is_empty)
    }

    /// Whether it has served as often, or as long, as the settings allow: then it is kept no more.
    pub fn is_used_up(&self) -> bool {
        // How often it may be used again, beyond its first message.
        let limit = self.settings.reuse_count_limit;
        (limit > 0 && self.uses > limit) || self.opened.elapsed() >= self.settings.reuse_time_limit
    }

    /// Whether the server is still there, as far as can be seen without asking.
    pub fn is_alive(&mut self) -> bool {
        self.stream.is_quiet()
    }

    /// Gives buffers back before a wait of unknown length.
    pub fn rest(&mut self) {
        self.out = Outputs::default();
    }

    /// Takes leave without waiting.
    pub fn close_now(mut self: Box<Self>) {
        self.client.quit(&mut self.out);
        self.stream.write_now(&self.out.bytes);
    }

    /// Takes leave without waiting, unless the settings say that the reply is waited for.
    pub async fn close(mut self: Box<Self>) {
        if self.settings.skip_quit_response || !self.client.may_quit() {
            return self.close_now();
        }
        self.client.quit(&mut self.out);
        self.out.events.clear();
        if self.flush().await.is_ok() {
            // The message's fate is settled: how the farewell goes is of no matter.
            let _ = self.receive().await;
        }
    }
}
