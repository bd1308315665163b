//! Sends a content: as it lies in memory where it may go as it is, encoded or from a file otherwise.

use super::adapt::Adapter;
use super::patience::Patience;
use super::stream::Stream;
use bytes::Bytes;
use mail::{Content, ContentFlags, ContentReader};
use protocol::smtp::client::{DataEncoder, end_of_data};
use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Pieces in one vectored write; the kernel's limit is 1024.
const SLICES_MAX: usize = 16;

/// Encoded bytes that are gathered before they are written.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// The line length that [`ContentFlags::LONG_LINE`] is about.
const FLAGGED_LINE_BYTES: usize = 998;

/// Files that wait to be read; further deliveries wait their turn.
const READS_WAITING_MAX: usize = 64;

/// Why a content was not sent.
#[derive(Debug)]
pub(super) enum Unsendable {
    /// The connection broke.
    Lost,
    /// It took too long.
    TimedOut,
    /// It could not be read, or is not what it was.
    Local(io::Error),
}

impl From<io::Error> for Unsendable {
    fn from(_: io::Error) -> Self {
        Unsendable::Lost
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Lines longer than the limit became several.
    pub broke_a_line: bool,
}

/// How a content goes out.
pub(super) struct Way<'a> {
    /// `smtp_line_length_limit`; 0 is no limit.
    pub line_bytes_max: usize,
    /// How fast.
    pub pace: Pace,
    /// What is changed.
    pub adapter: Option<Adapter<'a>>,
    /// Who reads files.
    pub files: &'a FileReader,
}

/// Writes the content and the end of data, each write within the limit that is left.
pub(super) async fn send(stream: &mut Stream, content: &Content, way: Way<'_>) -> Result<Sent, Unsendable> {
    let mut writer = Writer { stream, pace: way.pace };
    let end = end_of_data(!content.flags.has(ContentFlags::NO_FINAL_NEWLINE));
    let encode = needs_encoding(content.flags, way.line_bytes_max) || way.adapter.is_some();
    match content.pieces() {
        Some(pieces) if !encode && way.pace.end_delay.is_none() => {
            writer.write(pieces, end).await.map(|()| Sent::default())
        }
        // Boxed: the state of this rarer way would make every delivery's task larger.
        _ => Box::pin(writer.write_encoded(content, way, (!encode).then_some(end))).await,
    }
}

fn needs_encoding(flags: ContentFlags, line_bytes_max: usize) -> bool {
    let long = line_bytes_max > 0 && flags.has(ContentFlags::LONG_LINE);
    let short_limit = (1..FLAGGED_LINE_BYTES).contains(&line_bytes_max);
    flags.has(ContentFlags::LEADING_DOT) || long || short_limit
}

/// How fast a content goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The limit of one write.
    pub limit: Duration,
    /// Or of the whole request.
    pub patience: Patience,
    /// A pause before the end of the data (`smtp_pix_workaround_delay_time`).
    pub end_delay: Option<Duration>,
}

struct Writer<'a> {
    stream: &'a mut Stream,
    pace: Pace,
}

impl Writer<'_> {
    /// Writes pieces as they lie, and `end` behind them.
    async fn write(&mut self, pieces: &[Bytes], end: &[u8]) -> Result<(), Unsendable> {
        let total = pieces.len() + 1;
        let piece = |n: usize| pieces.get(n).map_or(end, |p| p.as_ref());
        let (mut first, mut offset) = (0, 0);
        while first < total {
            let count = (total - first).min(SLICES_MAX);
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            slices[0] = IoSlice::new(&piece(first)[offset..]);
            for (slice, n) in slices[1..count].iter_mut().zip(first + 1..) {
                *slice = IoSlice::new(piece(n));
            }
            let left: usize = slices[..count].iter().map(|s| s.len()).sum();
            let mut written = if left == 0 { 0 } else { self.write_some(&slices[..count]).await? };
            while first < total && written >= piece(first).len() - offset {
                written -= piece(first).len() - offset;
                (first, offset) = (first + 1, 0);
            }
            offset += written;
        }
        Ok(())
    }

    async fn write_some(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, Unsendable> {
        let limit = self.pace.patience.left(self.pace.limit);
        match net::deadline(limit, "room for content", self.stream.write_some(slices)).await {
            Ok(written) => {
                let written = written?;
                self.pace.patience.moved(written);
                Ok(written)
            }
            Err(_) => Err(Unsendable::TimedOut),
        }
    }

    /// Writes a content that has to be read or changed on the way; `end` is its end where it goes as it is.
    async fn write_encoded(
        &mut self,
        content: &Content,
        mut way: Way<'_>,
        end: Option<&[u8]>,
    ) -> Result<Sent, Unsendable> {
        let mut encoder = DataEncoder::new(way.line_bytes_max);
        let mut source = Source::open(content, way.files);
        let (mut adapted, mut gathered, mut read) = (Vec::new(), Vec::new(), 0);
        while let Some(piece) = source.next().await.map_err(Unsendable::Local)? {
            read += piece.len() as u64;
            match (&mut way.adapter, end) {
                (Some(adapter), _) => {
                    adapted.clear();
                    adapter.piece(piece, &mut adapted).await.map_err(Unsendable::Local)?;
                    encoder.encode(&adapted, &mut gathered);
                }
                (None, None) => encoder.encode(&piece, &mut gathered),
                (None, Some(_)) => gathered.extend_from_slice(&piece),
            }
            if gathered.len() >= GATHERED_BYTES_MAX {
                self.write(&[], &gathered).await?;
                gathered.clear();
            }
        }
        // Less than there should be must not pass for the whole message.
        if read != content.size {
            let text = format!("expected {} bytes of content, found {read}", content.size);
            return Err(Unsendable::Local(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        if let Some(adapter) = &mut way.adapter {
            adapted.clear();
            adapter.end(&mut adapted).await.map_err(Unsendable::Local)?;
            encoder.encode(&adapted, &mut gathered);
        }
        let sent = Sent { broke_a_line: encoder.broke_a_line() };
        if let Some(pause) = self.pace.end_delay {
            // The end must not come in one packet with what stands before it.
            self.write(&[], &gathered).await?;
            gathered.clear();
            tokio::time::sleep(pause).await;
        }
        match end {
            None => encoder.end(&mut gathered),
            Some(end) => gathered.extend_from_slice(end),
        }
        self.write(&[], &gathered).await?;
        Ok(sent)
    }
}

/// Pieces of a content, from memory or from the reading thread, one piece ahead.
enum Source<'a> {
    Memory(std::slice::Iter<'a, Bytes>),
    File { files: &'a FileReader, reader: Option<ContentReader> },
}

impl<'a> Source<'a> {
    fn open(content: &'a Content, files: &'a FileReader) -> Self {
        match content.pieces() {
            Some(pieces) => Source::Memory(pieces.iter()),
            None => Source::File { files, reader: Some(content.reader()) },
        }
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Source::Memory(pieces) => Ok(pieces.next().cloned()),
            Source::File { files, reader } => {
                let Some(taken) = reader.take() else { return Ok(None) };
                let (piece, back) = files.read(taken).await?;
                *reader = Some(back);
                Ok(piece)
            }
        }
    }
}

/// A named thread that reads files, so that the event loop never waits for a disk. Started at the first file.
#[derive(Default)]
pub(super) struct FileReader(OnceCell<mpsc::Sender<Request>>);

struct Request {
    reader: ContentReader,
    answer: oneshot::Sender<(io::Result<Option<Bytes>>, ContentReader)>,
}

impl FileReader {
    async fn read(&self, reader: ContentReader) -> io::Result<(Option<Bytes>, ContentReader)> {
        let sender = match self.0.get() {
            Some(sender) => sender.clone(),
            None => self.0.get_or_init(|| start().unwrap_or_else(|_| mpsc::channel(1).0)).clone(),
        };
        let gone = |_| io::Error::other("the thread that reads files is gone");
        let (answer, answered) = oneshot::channel();
        sender.send(Request { reader, answer }).await.map_err(|_| gone(()))?;
        let (piece, reader) = answered.await.map_err(|_| gone(()))?;
        Ok((piece?, reader))
    }
}

fn start() -> io::Result<mpsc::Sender<Request>> {
    let (sender, mut requests) = mpsc::channel::<Request>(READS_WAITING_MAX);
    std::thread::Builder::new().name("read-content".into()).spawn(move || {
        while let Some(Request { mut reader, answer }) = requests.blocking_recv() {
            let piece = reader.next_piece();
            // A delivery that has gone does not want it any more.
            let _ = answer.send((piece, reader));
        }
    })?;
    Ok(sender)
}
