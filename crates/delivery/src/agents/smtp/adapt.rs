//! Changes a message on its way out, part by part, in constant memory.
//!
//! Postfix: `disable_mime_output_conversion` (8-bit parts become quoted-printable for a server without 8BITMIME),
//! `smtp_header_checks` and its kind, `smtp_generic_maps` in headers. In this order: what a part says of its encoding,
//! checks, other addresses.

use super::checks::{Checks, Fate, Witness};
use bytes::Bytes;
use mail::mime::{ContentType, Domain, Event, Header, HeaderEnd, Mime, Reading, Section, first_line};
use mail::{Address, QuotedPrintable};
use rewrite::Generic;
use std::io;

/// What is done to messages.
#[derive(Clone, Copy)]
pub(super) struct Changes<'a> {
    /// Parts that say they are 8-bit are encoded.
    pub narrows: bool,
    /// What is looked at.
    pub checks: &'a Checks,
    /// Which addresses become others.
    pub generic: Option<&'a Generic>,
}

/// Changes one message.
pub(super) struct Adapter<'a> {
    mime: Mime,
    changes: Changes<'a>,
    witness: Witness,
    /// A line of a body that is not whole.
    held: Vec<u8>,
    /// The encoder of the part that we are in.
    encoder: Option<QuotedPrintable>,
    encoded: Vec<u8>,
}

impl<'a> Adapter<'a> {
    /// An adapter at the beginning of a message; nothing where nothing is to be changed.
    pub fn new(changes: Changes<'a>, reading: Reading, witness: Witness) -> Option<Self> {
        let needed = changes.narrows || !changes.checks.is_empty() || changes.generic.is_some();
        needed.then(|| Adapter {
            mime: Mime::new(Reading { narrows: changes.narrows, ..reading }),
            changes,
            witness,
            held: Vec::new(),
            encoder: None,
            encoded: Vec::new(),
        })
    }

    /// Appends what becomes of the next piece of the message to `out`. An error is a table that failed.
    pub async fn piece(&mut self, piece: Bytes, out: &mut Vec<u8>) -> io::Result<()> {
        let mut events = Vec::new();
        self.mime.feed(piece, &mut events);
        self.follow(events, out).await.map_err(io::Error::other)
    }

    /// The same for what is left at the end.
    pub async fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut events = Vec::new();
        self.mime.finish(&mut events);
        self.follow(events, out).await.map_err(io::Error::other)?;
        let held = std::mem::take(&mut self.held);
        match held.is_empty() {
            true => Ok(()),
            false => self.line(&held, false, out).await.map_err(io::Error::other),
        }
    }

    async fn follow(&mut self, events: Vec<Event>, out: &mut Vec<u8>) -> Result<(), String> {
        for event in events {
            match event {
                // What takes its place is written behind the last header, as Postfix does it.
                Event::Header(header) if self.changes.narrows && is_wide(header.encoding()) => {}
                Event::Header(header) => self.header(&header, out).await?,
                Event::HeaderEnd(end) => {
                    if self.changes.narrows && is_wide(Some(end.domain)) {
                        self.narrow(&end, out).await?;
                    }
                    if end.has_blank {
                        out.extend_from_slice(b"\r\n");
                    }
                }
                Event::Boundary(line, _) => {
                    self.encoder = None;
                    self.body(&line, out).await?;
                }
                Event::Body(piece) => self.body(&piece, out).await?,
                Event::Fault(_) => {}
            }
        }
        Ok(())
    }

    async fn header(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), String> {
        let fate = self.changes.checks.header(header, &self.witness).await?;
        if matches!(fate, Fate::Goes | Fate::Becomes(_)) {
            apply(fate, &header.text, true, out);
            return Ok(());
        }
        if let Fate::Follows(first) = fate {
            push_line(first.as_bytes(), true, out);
        }
        if let Some(generic) = self.changes.generic.filter(|_| header.section == Section::Message) {
            let warn = |address: &Address| self.witness.warn_of_several(address);
            let changed = generic.header(&header.text, &warn).await;
            if let Some(changed) = changed.map_err(|_| "smtp_generic_maps map lookup problem".to_owned())? {
                out.extend_from_slice(&changed);
                return Ok(());
            }
        }
        header.text.split(|&b| b == b'\n').for_each(|line| push_line(line, true, out));
        Ok(())
    }

    async fn narrow(&mut self, end: &HeaderEnd, out: &mut Vec<u8>) -> Result<(), String> {
        let (encoding, encodes) = match end.kind {
            ContentType::Other | ContentType::Global => ("quoted-printable", true),
            ContentType::Fragment | ContentType::MessageLike => ("7bit", true),
            ContentType::Multipart { .. } | ContentType::Message => ("7bit", false),
        };
        let header = format!("Content-Transfer-Encoding: {encoding}");
        let fate = self.changes.checks.header_of_ours(end.section, header.as_bytes(), &self.witness).await?;
        apply(fate, header.as_bytes(), true, out);
        self.encoder = encodes.then(QuotedPrintable::default);
        Ok(())
    }

    /// Some of a body: whole lines, and pieces of long ones, go on; the rest waits.
    async fn body(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut held = std::mem::take(&mut self.held);
        let text = match held.is_empty() {
            true => piece,
            false => {
                held.extend_from_slice(piece);
                &held
            }
        };
        let mut at = 0;
        while let Some(line) = first_line(&text[at..]) {
            self.line(&text[at..at + line.text], line.ended, out).await?;
            at += line.whole;
        }
        self.held = text[at..].to_vec();
        Ok(())
    }

    async fn line(&mut self, text: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(encoder) = &mut self.encoder else {
            return self.checked_line(text, ends, out).await;
        };
        let mut encoded = std::mem::take(&mut self.encoded);
        encoder.encode(text, ends, &mut encoded);
        let mut lines = encoded.split(|&b| b == b'\n').peekable();
        while let Some(line) = lines.next() {
            let is_last = lines.peek().is_none();
            let line = if is_last { line } else { line.strip_suffix(b"\r").unwrap_or(line) };
            self.checked_line(line, ends || !is_last, out).await?;
        }
        encoded.clear();
        self.encoded = encoded;
        Ok(())
    }

    async fn checked_line(&self, text: &[u8], ends: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let fate = self.changes.checks.line(text, &self.witness).await?;
        apply(fate, text, ends, out);
        Ok(())
    }
}

impl Witness {
    /// Of an address that a table has several for.
    pub fn warn_of_several(&self, address: &Address) {
        let text = format_args!("multi-valued smtp_generic_maps result for {address}");
        observe::warn(&self.tag, text);
    }
}

fn apply(fate: Fate, text: &[u8], ends: bool, out: &mut Vec<u8>) {
    match fate {
        Fate::Goes => {}
        Fate::Becomes(other) => push_line(other.as_bytes(), ends, out),
        Fate::Follows(first) => {
            push_line(first.as_bytes(), true, out);
            push_line(text, ends, out);
        }
        Fate::Stays => push_line(text, ends, out),
    }
}

fn push_line(text: &[u8], ends: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    if ends {
        out.extend_from_slice(b"\r\n");
    }
}

/// A declaration that bytes beyond ASCII may come.
fn is_wide(declared: Option<Domain>) -> bool {
    declared.is_some_and(|domain| domain != Domain::SevenBit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::QueueId;
    use observe::Tag;
    use tables::Maps;

    fn sent(message: &[u8], cut: usize, narrows: bool, checks: &Checks) -> String {
        let witness =
            Witness { tag: Tag::new("postfix", "smtp", 1), queue_id: QueueId::parse("4XyZ1").unwrap() };
        let changes = Changes { narrows, checks, generic: None };
        let mut adapter = Adapter::new(changes, Reading::default(), witness).unwrap();
        let mut out = Vec::new();
        tables::wait(async {
            adapter.piece(Bytes::copy_from_slice(&message[..cut]), &mut out).await.unwrap();
            adapter.piece(Bytes::copy_from_slice(&message[cut..]), &mut out).await.unwrap();
            adapter.end(&mut out).await.unwrap();
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_becomes_the_same_wherever_it_is_cut() {
        let body =
            Maps::open(&["pcre:{{/=/ PREPEND before}, {/gone/ IGNORE}}".to_owned()], &Default::default());
        let checks = Checks { body: body.unwrap(), prefix: "smtp", ..Checks::default() };
        let message = "Content-Transfer-Encoding: 8bit\r\nX: y\r\n\r\ngr\u{fc}n\r\ngone\r\nlast";
        let expected =
            "X: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nbefore\r\ngr=C3=BCn\r\nlast";
        for cut in 0..=message.len() {
            assert_eq!(sent(message.as_bytes(), cut, true, &checks), expected, "cut at {cut}");
        }
        let whole = "X: y\r\n\r\n=\r\n";
        assert_eq!(sent(whole.as_bytes(), 3, true, &Checks::default()), whole);
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let message = [&b"Content-Transfer-Encoding: 8bit\r\n\r\n"[..], &vec![b'x'; 1_000_000]].concat();
        let checks = Checks::default();
        let witness =
            Witness { tag: Tag::new("postfix", "smtp", 1), queue_id: QueueId::parse("4XyZ1").unwrap() };
        let changes = Changes { narrows: true, checks: &checks, generic: None };
        let mut adapter = Adapter::new(changes, Reading::default(), witness).unwrap();
        let mut sent = 0;
        for piece in message.chunks(10_000) {
            let mut out = Vec::new();
            tables::wait(adapter.piece(Bytes::copy_from_slice(piece), &mut out)).unwrap();
            assert!(out.len() < 30_000 && adapter.encoded.capacity() < 30_000);
            sent += out.len();
        }
        assert!(sent > 1_000_000 - 5_000);
    }
}
