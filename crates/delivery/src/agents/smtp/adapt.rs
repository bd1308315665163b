//! Changes a message on its way out, part by part, in constant memory.
//!
//! Postfix: `disable_mime_output_conversion` (8-bit parts become quoted-printable for a server without 8BITMIME),
//! `smtp_header_checks` and its kind, `smtp_generic_maps` in headers. In this order: what a part says of its encoding,
//! checks, other addresses.

use super::checks::{Checks, Fate, Witness};
use mail::Address;
use mail::parts::{Holds, Item, Limits, Parser, Place, QuotedPrintable, Transfer, field_name, value};
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
    parser: Parser,
    changes: Changes<'a>,
    witness: Witness,
    /// The encoder of the part that we are in.
    encoder: Option<QuotedPrintable>,
    encoded: Vec<u8>,
}

impl<'a> Adapter<'a> {
    /// An adapter at the beginning of a message; nothing where nothing is to be changed.
    pub fn new(changes: Changes<'a>, limits: Limits, witness: Witness) -> Option<Self> {
        let needed = changes.narrows || !changes.checks.is_empty() || changes.generic.is_some();
        let parser = Parser::new(limits);
        needed.then(|| Adapter { parser, changes, witness, encoder: None, encoded: Vec::new() })
    }

    /// Appends what becomes of the next piece of the message to `out`. An error is a table that failed.
    pub async fn piece(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while let Some(item) = self.parser.next(&mut input) {
            self.item(item, out).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// The same for what is left at the end.
    pub async fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        while let Some(item) = self.parser.end() {
            self.item(item, out).await.map_err(io::Error::other)?;
        }
        Ok(())
    }

    async fn item(&mut self, item: Item, out: &mut Vec<u8>) -> Result<(), String> {
        match item {
            Item::Header(place) => {
                let text = self.parser.text();
                // What takes its place is written behind the last header, as Postfix does it.
                if self.changes.narrows && says_wide(text) {
                    return Ok(());
                }
                self.header(place, text, out).await
            }
            Item::HeadersEnd { place, transfer, holds, blank } => {
                if self.changes.narrows && transfer == Transfer::Wide {
                    self.narrow(place, holds, out).await?;
                }
                if blank {
                    out.extend_from_slice(b"\r\n");
                }
                Ok(())
            }
            Item::Line { ends, is_boundary, .. } => {
                if is_boundary {
                    self.encoder = None;
                }
                self.line(ends, out).await
            }
        }
    }

    async fn header(&self, place: Place, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let fate = self.changes.checks.header(place, text, &self.witness).await?;
        if matches!(fate, Fate::Goes | Fate::Becomes(_)) {
            apply(fate, text, true, out);
            return Ok(());
        }
        if let Fate::Follows(first) = fate {
            push_line(first.as_bytes(), true, out);
        }
        if let Some(generic) = self.changes.generic.filter(|_| place == Place::Primary) {
            let warn = |address: &Address| self.witness.warn_of_several(address);
            let changed = generic.header(text, &warn).await;
            if let Some(changed) = changed.map_err(|_| "smtp_generic_maps map lookup problem".to_owned())? {
                out.extend_from_slice(&changed);
                return Ok(());
            }
        }
        push_line(text, true, out);
        Ok(())
    }

    async fn narrow(&mut self, place: Place, holds: Holds, out: &mut Vec<u8>) -> Result<(), String> {
        let encoding = if holds == Holds::Text { "quoted-printable" } else { "7bit" };
        let header = format!("Content-Transfer-Encoding: {encoding}");
        let fate = self.changes.checks.header_of_ours(place, header.as_bytes(), &self.witness).await?;
        apply(fate, header.as_bytes(), true, out);
        if matches!(holds, Holds::Text | Holds::MessageLike) {
            self.encoder = Some(QuotedPrintable::default());
        }
        Ok(())
    }

    async fn line(&mut self, ends: bool, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(encoder) = &mut self.encoder else {
            return self.checked_line(self.parser.text(), ends, out).await;
        };
        let mut encoded = std::mem::take(&mut self.encoded);
        encoder.encode(self.parser.text(), ends, &mut encoded);
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

fn says_wide(header: &[u8]) -> bool {
    field_name(header).is_some_and(|name| name.eq_ignore_ascii_case(b"content-transfer-encoding"))
        && Transfer::read(value(header)) == Transfer::Wide
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
        let mut adapter = Adapter::new(changes, Limits::default(), witness).unwrap();
        let mut out = Vec::new();
        tables::wait(async {
            adapter.piece(&message[..cut], &mut out).await.unwrap();
            adapter.piece(&message[cut..], &mut out).await.unwrap();
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
        let mut adapter = Adapter::new(changes, Limits::default(), witness).unwrap();
        let mut sent = 0;
        for piece in message.chunks(10_000) {
            let mut out = Vec::new();
            tables::wait(adapter.piece(piece, &mut out)).unwrap();
            assert!(out.len() < 30_000 && adapter.encoded.capacity() < 30_000);
            sent += out.len();
        }
        assert!(sent > 1_000_000 - 5_000);
    }
}
