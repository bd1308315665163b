//! Changes a message on its way out, part by part, in constant memory.
//!
//! Postfix: `disable_mime_output_conversion` (8-bit parts become quoted-printable for a server without 8BITMIME).

use mail::mime::{Holds, Item, Limits, Parser, QuotedPrintable, Transfer, field_name, value};

/// Changes one message.
pub(super) struct Adapter {
    parser: Parser,
    /// Parts that say they are 8-bit are encoded.
    narrows: bool,
    /// The encoder of the part that we are in.
    encoder: Option<QuotedPrintable>,
}

impl Adapter {
    /// An adapter for a server without 8BITMIME.
    pub fn narrowing(limits: Limits) -> Self {
        Adapter { parser: Parser::new(limits), narrows: true, encoder: None }
    }

    /// Appends what becomes of the next piece of the message to `out`.
    pub fn piece(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while let Some(item) = self.parser.next(&mut input) {
            self.item(item, out);
        }
    }

    /// The same for what is left at the end.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        while let Some(item) = self.parser.end() {
            self.item(item, out);
        }
    }

    fn item(&mut self, item: Item, out: &mut Vec<u8>) {
        match item {
            Item::Header(_) => self.header(out),
            Item::HeadersEnd { transfer, holds, blank, .. } => {
                if self.narrows && transfer == Transfer::Wide {
                    self.narrow(holds, out);
                }
                if blank {
                    out.extend_from_slice(b"\r\n");
                }
            }
            Item::Line { ends, is_boundary, .. } => {
                if is_boundary {
                    self.encoder = None;
                }
                match &mut self.encoder {
                    Some(encoder) => encoder.encode(self.parser.text(), ends, out),
                    None => out.extend_from_slice(self.parser.text()),
                }
                if ends {
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    fn header(&mut self, out: &mut Vec<u8>) {
        let text = self.parser.text();
        // What takes its place is written behind the last header, as Postfix does it.
        if !(self.narrows && says_wide(text)) {
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn narrow(&mut self, holds: Holds, out: &mut Vec<u8>) {
        let encoding = if holds == Holds::Text { "quoted-printable" } else { "7bit" };
        out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
        if matches!(holds, Holds::Text | Holds::MessageLike) {
            self.encoder = Some(QuotedPrintable::default());
        }
    }
}

fn says_wide(header: &[u8]) -> bool {
    field_name(header).is_some_and(|name| name.eq_ignore_ascii_case(b"content-transfer-encoding"))
        && Transfer::read(value(header)) == Transfer::Wide
}
