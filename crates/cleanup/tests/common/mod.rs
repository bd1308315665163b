//! A message under inspection, queued into memory.

use bytes::Bytes;
use cleanup::checks::{Checks, Inspection, Source};
use cleanup::{Context, Message, Origin, Settings, Sink};
use mail::{Client, QueueId, RewriteContext, Timestamp};
use observe::Tag;
use queue::DraftError;
use std::sync::Arc;
use tables::Maps;

/// Keeps what is queued, or only counts it.
pub struct Kept {
    pub bytes: Vec<u8>,
    pub count: usize,
    counts_only: bool,
}

impl Sink for Kept {
    fn append(&mut self, piece: Bytes) -> Result<(), DraftError> {
        self.count += piece.len();
        if !self.counts_only {
            self.bytes.extend_from_slice(&piece);
        }
        Ok(())
    }
}

/// A table of patterns.
pub fn maps(rules: &str) -> Maps {
    Maps::open(&[format!("pcre:{{{rules}}}")], &tables::Settings::default()).expect("the rules are patterns")
}

/// A message that `checks` look at; without a client it is that of a local program.
pub fn message(checks: Checks, client: Option<&Client>, counts_only: bool) -> Message<Kept> {
    let settings = Settings {
        myhostname: "mx.example.org".into(),
        mail_name: "Postfix".into(),
        hopcount_limit: 50,
        always_add_missing_headers: false,
        undisclosed_recipients_header: String::new(),
        message_drop_headers: vec!["bcc".into()],
        obsolete_from_format: false,
        mapper: rewrite::Mapper::default(),
        replace_stray_cr: true,
        checks: Arc::new(checks),
    };
    let queue_id = QueueId::parse("ID1").expect("a short name is an id");
    let (sender, tag) = ("a@example.net".into(), Tag::new("postfix", "cleanup", 1));
    let source = Source {
        origin: "unknown[192.0.2.1]",
        protocol: if client.is_some() { "ESMTP" } else { "" },
        helo: "",
        sender: &sender,
        recipient: None,
    };
    let inspection = Inspection::new(Arc::clone(&settings.checks), tag.clone(), queue_id.clone(), &source);
    let context = Context {
        queue_id,
        arrival: Timestamp::from_secs(1_700_000_000),
        sender,
        full_name: String::new(),
        rewrite_context: RewriteContext::Remote,
        tables: rewrite::Tables::Ignored,
        prepended: Vec::new(),
        inspection: Some(Box::new(inspection)),
    };
    let origin = client.map_or(Origin::Local { uid: 1000 }, |client| Origin::Smtp(client.into()));
    let sink = Kept { bytes: Vec::new(), count: 0, counts_only };
    Message::new(Arc::new(settings), tag, sink, context, origin, None)
}

/// Some client.
pub fn client() -> Client {
    Client { name: "unknown".into(), address: "192.0.2.1".into(), ..Client::default() }
}
