//! A message on its way into the queue: its header is completed and cleaned, its body passes through.

use crate::checks::{Found, Inspection, Kept as Looked};
use crate::date::{mail_date, stamp};
use crate::header::{Header, Kept, seen};
use crate::mapping::{Log, refusal};
use crate::received::{Origin, received};
use crate::refusal::Refusal;
use crate::settings::Settings;
use bytes::Bytes;
use mail::{Address, ContentFlags, QueueId, RewriteContext, Timestamp};
use observe::events::cleanup as events;
use observe::{Tag, emit};
use queue::{Draft, DraftError};
use rewrite::Tables;
use std::sync::Arc;

/// Where content goes: the queue's draft, or memory in tests.
pub trait Sink {
    /// Appends a piece.
    fn append(&mut self, piece: Bytes) -> Result<(), DraftError>;
}

impl Sink for Draft {
    fn append(&mut self, piece: Bytes) -> Result<(), DraftError> {
        Draft::append(self, piece)
    }
}

/// What cleanup must know of a message besides its content.
#[derive(Clone, Debug)]
pub struct Context {
    /// Its id.
    pub queue_id: QueueId,
    /// When it came.
    pub arrival: Timestamp,
    /// The envelope sender, for a From header that we add.
    pub sender: Address,
    /// The sender's full name, for the same.
    pub full_name: String,
    /// Headers are completed and missing ones added as this context says.
    pub rewrite_context: RewriteContext,
    /// Whether tables are asked about addresses in headers.
    pub tables: Tables,
    /// Headers that stand above all others, also above our Received (`PREPEND` in access tables).
    pub prepended: Vec<String>,
    /// What looks at the content before it is cleaned.
    pub inspection: Option<Box<Inspection>>,
}

/// A message whose content comes in.
pub struct Message<S: Sink = Draft> {
    settings: Arc<Settings>,
    tag: Tag,
    context: Context,
    sink: S,
    /// `None` behind the header.
    header: Option<Header>,
    /// What stands above the first piece.
    top: Bytes,
    /// Content is looked at: headers come whole, and nobody has looked at their lines.
    is_inspected: bool,
    /// The message's own id is in the log.
    logged_id: bool,
    flags: ContentFlags,
    failed: Option<Refusal>,
}

/// A message whose content is complete.
pub struct Finished<S: Sink = Draft> {
    /// Its content.
    pub sink: S,
    /// What our own headers add to what the receiver knows about the lines.
    pub flags: ContentFlags,
    /// What is to become of it. With a refusal here it goes back to its sender.
    pub found: Found,
}

/// Lines longer than this need care when they are sent on (RFC 5321 4.5.3.1.6).
pub(crate) const LONG_LINE: usize = 998;

impl<S: Sink> Message<S> {
    /// Begins a message with its Received header. `tag` is cleanup's.
    pub fn new(
        settings: Arc<Settings>,
        tag: Tag,
        sink: S,
        context: Context,
        origin: Origin<'_>,
        sole_recipient: Option<&Address>,
    ) -> Self {
        let top = received(&settings, origin, &context.queue_id, sole_recipient, context.arrival);
        let mut message = Message {
            settings,
            tag,
            context,
            sink,
            header: None,
            top: Bytes::new(),
            is_inspected: false,
            logged_id: false,
            flags: ContentFlags::default(),
            failed: None,
        };
        let gathers = message.settings.mapper.rewrites(message.context.rewrite_context);
        let hopcount_limit = message.settings.hopcount_limit;
        let prepended = std::mem::take(&mut message.context.prepended);
        message.is_inspected = message.context.inspection.is_some();
        if prepended.is_empty() && !message.is_inspected {
            message.header = Some(Header::behind_received(hopcount_limit).gathering(gathers));
            message.pass_header(Bytes::from(top), true);
        } else {
            // They count like those of the client: a Date among them is the message's.
            message.header = Some(Header::new(hopcount_limit).gathering(gathers));
            let lines = prepended.iter().map(|header| format!("{header}\r\n"));
            message.top = Bytes::from(lines.chain([top]).collect::<String>());
        }
        message
    }

    /// The header is through: what comes is passed on as it is, with [`Message::append_body`].
    pub fn is_in_body(&self) -> bool {
        self.header.is_none() && self.context.inspection.as_ref().is_none_or(|looks| looks.is_idle())
    }

    /// Takes a piece of the body.
    pub fn append_body(&mut self, piece: Bytes) {
        self.pass(piece);
    }

    /// Takes a piece of content in canonical form. What goes wrong is told by [`Message::finish`].
    pub async fn append(&mut self, piece: Bytes) {
        let top = std::mem::take(&mut self.top);
        if !top.is_empty() {
            self.look(top).await;
            if let Some(inspection) = &mut self.context.inspection {
                inspection.begin_content();
            }
        }
        self.look(piece).await;
    }

    /// Takes what is kept of a piece that is looked at.
    async fn look(&mut self, piece: Bytes) {
        let Some(mut inspection) = self.context.inspection.take() else {
            return self.take(piece).await;
        };
        if self.failed.is_none() {
            inspection.feed(Some(piece));
        }
        self.take_looked(&mut inspection).await;
        self.context.inspection = Some(inspection);
    }

    /// Header by header, so that the log has things in their order.
    async fn take_looked(&mut self, inspection: &mut Inspection) {
        let mut kept = Vec::new();
        // What has failed is not looked at any more, and nothing is told of it.
        while self.failed.is_none() && inspection.next(&mut kept).await {
            self.take_kept(kept.drain(..)).await;
        }
    }

    async fn take_kept(&mut self, kept: impl Iterator<Item = Looked>) {
        for looked in kept {
            match looked {
                Looked::Content(piece) => self.take(piece).await,
                Looked::PutIn(piece) => self.pass_header(piece, true),
            }
            // A header came whole.
            if let Some(mut header) = self.header.take_if(|_| self.failed.is_none()) {
                let mut kept = Vec::new();
                header.end_gathered(&mut kept);
                self.keep(kept).await;
                if self.failed.is_none() {
                    self.log_ids(&mut header);
                }
                self.header = Some(header);
            }
        }
    }

    /// What was found in the content. Where nothing more is to be done with it, the header is let go.
    async fn end_look(&mut self) -> (Found, Option<Refusal>) {
        let Some(mut inspection) = self.context.inspection.take() else { return (Found::default(), None) };
        inspection.feed(None);
        self.take_looked(&mut inspection).await;
        if inspection.is_over() {
            self.header = None;
        }
        inspection.into_found()
    }

    async fn take(&mut self, piece: Bytes) {
        let Some(mut header) = self.header.take() else {
            return self.pass(piece);
        };
        let mut kept = Vec::new();
        let body = header.feed(piece, &self.settings.message_drop_headers, &mut kept);
        self.keep(kept).await;
        match body {
            None => self.header = Some(header),
            Some(body) => {
                self.end_header(header);
                if body.needs_blank {
                    self.pass(Bytes::from_static(b"\r\n"));
                }
                self.pass(body.rest);
            }
        }
    }

    /// Ends the message; a refusal where it may not be queued.
    pub async fn finish(mut self) -> Result<Finished<S>, Refusal> {
        self.append(Bytes::new()).await;
        let (found, refusal) = self.end_look().await;
        if let Some(mut header) = self.header.take() {
            let mut kept = Vec::new();
            let body = header.finish(&self.settings.message_drop_headers, &mut kept);
            self.keep(kept).await;
            self.end_header(header);
            if let Some(body) = body {
                self.pass(Bytes::from_static(b"\r\n"));
                self.pass(body.rest);
            }
        }
        match self.failed.or(refusal) {
            None => Ok(Finished { sink: self.sink, flags: self.flags.with(found.flags), found }),
            Some(refusal) => Err(refusal),
        }
    }

    /// The message is not to be queued; what comes of its content does not matter.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.failed.get_or_insert(refusal);
    }

    /// Passes on what is kept of the header, with addresses as they are to be.
    async fn keep(&mut self, kept: Vec<Kept>) {
        for kept in kept {
            if self.failed.is_some() {
                return;
            }
            let (class, text) = match kept {
                Kept::Piece(piece) => {
                    self.pass_header(piece, self.is_inspected);
                    continue;
                }
                Kept::Addresses(class, text) => (class, text),
            };
            let colon = memchr::memchr(b':', &text).unwrap_or(text.len());
            let value = text.get(colon + 1..).unwrap_or_default();
            let value = value.strip_suffix(b"\r\n").unwrap_or(value);
            let log = Log { tag: &self.tag, queue_id: &self.context.queue_id };
            let (mapper, context) = (&self.settings.mapper, self.context.rewrite_context);
            match mapper.header(class, (&text[..colon], value), context, self.context.tables, &log).await {
                Ok(Some(new)) => self.pass_header(Bytes::from(new), true),
                Ok(None) => self.pass_header(Bytes::from(text), self.is_inspected),
                Err(trouble) => self.refuse(refusal(trouble)),
            }
        }
    }

    /// Something already speaks against the message, so that its content need not be kept.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// All headers are read: adds those that are missing, and logs the message's id.
    fn end_header(&mut self, mut header: Header) {
        if self.failed.is_some() {
            return;
        }
        if header.lengthened {
            self.flags = self.flags.with(ContentFlags::WIDE_LINE);
        }
        self.log_ids(&mut header);
        if header.is_loop() {
            emit(&self.tag, &events::TooManyHops { queue_id: &self.context.queue_id });
            return self.refuse(Refusal::too_many_hops());
        }
        let added = self.missing(&header);
        if !added.is_empty() {
            self.pass_header(Bytes::from(added), true);
        }
    }

    fn log_ids(&mut self, header: &mut Header) {
        for (resent, id) in header.message_ids.drain(..) {
            emit(&self.tag, &events::MessageId { queue_id: &self.context.queue_id, resent, id: &id });
            self.logged_id |= !resent;
        }
    }

    fn missing(&self, header: &Header) -> String {
        let (settings, context) = (&self.settings, &self.context);
        let has = |bit: u16| header.seen & bit != 0;
        let (prefix, id_bit, date_bit, from_bit) = match header.resent {
            false => ("", seen::MESSAGE_ID, seen::DATE, seen::FROM),
            true => ("Resent-", seen::RESENT_MESSAGE_ID, seen::RESENT_DATE, seen::RESENT_FROM),
        };
        let mut out = String::new();
        let ours = settings.mapper.rewrites(context.rewrite_context) || settings.always_add_missing_headers;
        let mut logged = self.logged_id;
        if ours {
            if !has(id_bit) {
                let id = format!("<{}.{}@{}>", stamp(context.arrival), context.queue_id, settings.myhostname);
                out.push_str(&format!("{prefix}Message-Id: {id}\r\n"));
                let event = events::MessageId {
                    queue_id: &context.queue_id,
                    resent: header.resent,
                    id: id.as_bytes(),
                };
                emit(&self.tag, &event);
                logged |= !header.resent;
            }
            if !has(date_bit) {
                out.push_str(&format!("{prefix}Date: {}\r\n", mail_date(context.arrival)));
            }
            if !has(from_bit) {
                out.push_str(&format!("{prefix}From: {}\r\n", self.from()));
            }
        }
        if !logged {
            emit(&self.tag, &events::MessageId { queue_id: &context.queue_id, resent: false, id: b"<>" });
        }
        if !has(seen::RECIPIENTS) && !settings.undisclosed_recipients_header.is_empty() {
            out.push_str(&format!("{}\r\n", settings.undisclosed_recipients_header));
        }
        out
    }

    /// The value of a From header that was missing.
    fn from(&self) -> String {
        let sender = match self.context.sender.is_null() {
            true => "MAILER-DAEMON".to_owned(),
            false => self.context.sender.to_string(),
        };
        let blank = |c: char| if c.is_ascii_whitespace() { ' ' } else { c };
        let name: String = self.context.full_name.chars().map(blank).filter(|c| !c.is_control()).collect();
        let plain = name.chars().all(|c| c.is_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c));
        match (name.is_empty(), self.settings.obsolete_from_format, plain) {
            (true, _, _) => sender,
            (false, true, _) => format!("{sender} ({})", name.replace(['(', ')', '\\'], "")),
            (false, false, true) => format!("{name} <{sender}>"),
            (false, false, false) => {
                format!("\"{}\" <{sender}>", name.replace('\\', "\\\\").replace('"', "\\\""))
            }
        }
    }

    /// Passes on a piece of the header; what is `ours` the receiver has not looked at.
    fn pass_header(&mut self, piece: Bytes, ours: bool) {
        if !piece.is_ascii() {
            self.flags = self.flags.with(ContentFlags::UTF8_HEADER).with(ContentFlags::EIGHT_BIT);
        }
        if ours {
            let longest = piece.split(|&b| b == b'\n').map(<[u8]>::len).max().unwrap_or(0);
            // A CR belongs to each line here.
            if longest > mail::WIDE_LINE {
                self.flags = self.flags.with(ContentFlags::WIDE_LINE);
            }
            if longest > LONG_LINE + 1 {
                self.flags = self.flags.with(ContentFlags::LONG_LINE);
            }
        }
        self.pass(piece);
    }

    fn pass(&mut self, piece: Bytes) {
        if self.failed.is_some() || piece.is_empty() {
            return;
        }
        if let Err(error) = self.sink.append(piece) {
            let refusal = match error {
                DraftError::NoRoom => Refusal::no_room(),
                DraftError::Io(error) => {
                    let reason = error.to_string();
                    let queue_id = &self.context.queue_id;
                    emit(&self.tag, &events::QueueWriteFailed { queue_id, reason: &reason });
                    Refusal::cannot_write()
                }
            };
            self.refuse(refusal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Client;

    /// Keeps content in memory, up to a bound.
    struct Memory(Vec<u8>, usize);

    impl Sink for Memory {
        fn append(&mut self, piece: Bytes) -> Result<(), DraftError> {
            self.0.extend_from_slice(&piece);
            if self.0.len() > self.1 { Err(DraftError::NoRoom) } else { Ok(()) }
        }
    }

    fn cleaned(
        mail: &str,
        step: usize,
        local: bool,
        change: impl FnOnce(&mut Settings),
    ) -> Result<String, Refusal> {
        let mut settings = Settings {
            myhostname: "mx.example.org".into(),
            mail_name: "Postfix".into(),
            hopcount_limit: 50,
            always_add_missing_headers: false,
            undisclosed_recipients_header: String::new(),
            message_drop_headers: ["bcc", "content-length", "resent-bcc", "return-path"]
                .map(String::from)
                .into(),
            obsolete_from_format: false,
            mapper: rewrite::Mapper::default(),
            replace_stray_cr: true,
            checks: Arc::default(),
        };
        change(&mut settings);
        let context = Context {
            queue_id: QueueId::parse("ID1").unwrap(),
            arrival: Timestamp::from_secs(1_700_000_000),
            sender: "a@example.net".into(),
            full_name: String::new(),
            rewrite_context: if local { RewriteContext::Local } else { RewriteContext::Remote },
            tables: Tables::Ignored,
            prepended: Vec::new(),
            inspection: None,
        };
        let client = Client { name: "unknown".into(), address: "192.0.2.1".into(), ..Client::default() };
        let tag = Tag::new("postfix", "cleanup", 1);
        let sink = Memory(Vec::new(), 1_000_000);
        let mut message =
            Message::new(settings.into(), tag, sink, context, Origin::Smtp((&client).into()), None);
        for part in mail.as_bytes().chunks(step) {
            tables::wait(message.append(Bytes::copy_from_slice(part)));
        }
        let whole = String::from_utf8(tables::wait(message.finish())?.sink.0).unwrap();
        let (received, rest) = whole.split_once("\t").unwrap().1.split_once("\r\n\t").unwrap();
        assert!(received.starts_with("by mx.example.org (Postfix)"));
        Ok(rest.split_once("\r\n").unwrap().1.to_owned())
    }

    #[test]
    fn mail_of_our_clients_gets_missing_headers_and_that_of_strangers_does_not() {
        let date = mail_date(Timestamp::from_secs(1_700_000_000));
        let added = format!(
            "Message-Id: <20231114221320.ID1@mx.example.org>\r\nDate: {date}\r\nFrom: a@example.net\r\n"
        );
        for step in [1, 7, 1000] {
            let mail = "Subject: x\r\nBcc: y\r\n\r\nbody\r\n";
            assert_eq!(cleaned(mail, step, false, |_| ()), Ok("Subject: x\r\n\r\nbody\r\n".into()));
            assert_eq!(cleaned(mail, step, true, |_| ()), Ok(format!("Subject: x\r\n{added}\r\nbody\r\n")));
            assert_eq!(cleaned("hello\r\n", step, true, |_| ()), Ok(format!("{added}\r\nhello\r\n")));
            let always = cleaned("", step, false, |s| s.always_add_missing_headers = true);
            assert_eq!(always, Ok(added.clone()));
        }
    }

    #[test]
    fn resent_mail_gets_resent_headers() {
        let whole = cleaned("Resent-From: q\r\nMessage-Id: <1>\r\n\r\n", 1000, true, |_| ()).unwrap();
        assert!(
            whole.contains("\r\nResent-Message-Id: <20231114221320.ID1@mx.example.org>\r\nResent-Date: ")
        );
        assert!(!whole.contains("\r\nDate:") && !whole.contains("From: a@"));
    }

    #[test]
    fn mail_that_went_in_circles_is_refused() {
        let mail = "Received: a\r\n".repeat(2);
        assert!(cleaned(&mail, 9, false, |s| s.hopcount_limit = 4).is_ok());
        let refused = cleaned(&mail, 9, false, |s| s.hopcount_limit = 3).unwrap_err();
        assert_eq!(refused.to_string(), "554 5.4.0 Error: too many hops");
    }

    #[test]
    fn a_full_queue_refuses_the_message_for_now() {
        let mail = "x: y\r\n\r\n".to_owned() + &"z\r\n".repeat(500_000);
        let refused = cleaned(&mail, 65_536, false, |_| ()).unwrap_err();
        assert_eq!(refused.to_string(), "452 4.3.1 Insufficient system storage");
    }

    #[test]
    fn the_header_for_undisclosed_recipients_is_added_where_none_is_visible() {
        let header =
            |s: &mut Settings| s.undisclosed_recipients_header = "To: undisclosed-recipients:;".into();
        assert_eq!(
            cleaned("A: b\r\n\r\n", 100, false, header),
            Ok("A: b\r\nTo: undisclosed-recipients:;\r\n\r\n".into())
        );
        assert_eq!(cleaned("Cc: b\r\n\r\n", 100, false, header), Ok("Cc: b\r\n\r\n".into()));
    }
}
