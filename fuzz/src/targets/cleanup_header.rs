//! The header of a message in any pieces: no panic, and the pieces change nothing.

use crate::Target;
use crate::input::Random;
use bytes::Bytes;
use cleanup::checks::{Checks, Inspection, Source};
use cleanup::{Context, Message, Origin, Settings, Sink};
use mail::{Client, QueueId, RewriteContext, Timestamp};
use observe::Tag;
use queue::DraftError;
use std::sync::Arc;

pub(super) const TARGET: Target = Target {
    name: "cleanup_header",
    dictionary: &[
        b"\r\n",
        b"\r\n ",
        b"\r\n\t",
        b":",
        b": ",
        b"Subject: x\r\n",
        b"Bcc: y\r\n",
        b"Return-Path: <z>\r\n",
        b"Received: a\r\n",
        b"Message-ID: <1@2>\r\n",
        b"Resent-From: a\r\n",
        b"From ",
        b">From x\r\n",
        b"Date: \r\n",
        b"To: a\r\n",
        b"text",
        b"\xff",
        b"\0",
        b" ",
        b"Resent-Message-Id:\r\n <3>\r\n",
    ],
    run,
};

struct Memory(Vec<u8>);

impl Sink for Memory {
    fn append(&mut self, piece: Bytes) -> Result<(), DraftError> {
        self.0.extend_from_slice(&piece);
        Ok(())
    }
}

fn cleaned(text: &[u8], local: bool, inspected: bool, mut step: impl FnMut() -> usize) -> Option<Vec<u8>> {
    let settings = Settings {
        myhostname: "mx.example.org".into(),
        mail_name: "Postfix".into(),
        hopcount_limit: 10,
        always_add_missing_headers: false,
        undisclosed_recipients_header: String::new(),
        message_drop_headers: ["bcc", "return-path"].map(String::from).into(),
        obsolete_from_format: false,
        mapper: rewrite::Mapper::default(),
        replace_stray_cr: true,
        checks: Arc::default(),
    };
    // Without tables and parts nothing changes what it looks at.
    let queue_id = QueueId::parse("ID").expect("a short name is an id");
    let checks = Arc::new(Checks {
        reading: mail::mime::Reading { flat: true, nesting_max: usize::MAX, ..Checks::default().reading },
        ..Checks::default()
    });
    let sender = "a@example.net".into();
    let source =
        Source { origin: "a[192.0.2.1]", protocol: "ESMTP", helo: "", sender: &sender, recipient: None };
    let inspection = Inspection::new(checks, Tag::new("fuzz", "cleanup", 1), queue_id.clone(), &source);
    let context = Context {
        prepended: Vec::new(),
        inspection: inspected.then(|| Box::new(inspection)),
        tables: rewrite::Tables::Ignored,
        queue_id,
        arrival: Timestamp::from_secs(1_700_000_000),
        sender,
        full_name: String::new(),
        rewrite_context: if local { RewriteContext::Local } else { RewriteContext::Remote },
    };
    let tag = Tag::new("fuzz", "cleanup", 1);
    let client = Client::default();
    let origin = Origin::Smtp((&client).into());
    let mut message = Message::new(Arc::new(settings), tag, Memory(Vec::new()), context, origin, None);
    let mut rest = text;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(step().clamp(1, rest.len()));
        tables::wait(message.append(Bytes::copy_from_slice(head)));
        rest = tail;
    }
    tables::wait(message.finish()).ok().map(|finished| finished.sink.0)
}

fn run(input: &[u8]) {
    // Content comes as CRLF lines: the session sees to it.
    let lines: Vec<_> = input
        .split(|&b| b == b'\n')
        .map(|line| line.iter().copied().filter(|&b| b != b'\r').collect::<Vec<_>>())
        .collect();
    let text = lines.join(&b"\r\n"[..]);
    for local in [false, true] {
        let whole = cleaned(&text, local, false, || usize::MAX);
        let mut random = Random::new(input.len() as u64);
        assert_eq!(whole, cleaned(&text, local, false, || 1), "byte by byte");
        assert_eq!(whole, cleaned(&text, local, false, || 1 + random.below(30)), "in pieces");
        // A header that ends without a line end gets one where it is looked at, and a long line is what it begins as.
        if text.ends_with(b"\r\n") && lines.iter().all(|line| line.len() < mail::LINE_RECORD_MAX) {
            assert_eq!(whole, cleaned(&text, local, true, || usize::MAX), "looked at");
            assert_eq!(whole, cleaned(&text, local, true, || 1 + random.below(30)), "looked at in pieces");
        }
        if let Some(whole) = whole {
            let end = whole.windows(4).position(|w| w == b"\r\n\r\n").map_or(whole.len(), |n| n + 2);
            let header = String::from_utf8_lossy(&whole[..end]).to_lowercase();
            assert!(header.starts_with("received: "));
            assert!(!header.contains("\nbcc:") && !header.contains("\nreturn-path:"), "{header}");
        }
    }
}
