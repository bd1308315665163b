//! One message for one server: its MAIL and RCPT commands.

use super::Capabilities;
use mail::{Address, Encoding, Notify, Origin, Recipient, Ret, smtputf8};
use std::sync::Arc;

/// Envelope and properties of a message, as far as the dialogue needs them.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Envelope sender.
    pub sender: Address,
    /// The recipients; events name them by their place here.
    pub recipients: Vec<Recipient>,
    /// Bytes of the content, where it is not changed on its way out.
    pub size: Option<u64>,
    /// What the sender declared of the content.
    pub encoding: Encoding,
    /// Postfix's `sender options` bits.
    pub smtputf8: u32,
    /// `ENVID=`, decoded; empty where there was none.
    pub envid: String,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// Nothing is sent but what tells whether the server takes the recipients.
    pub probe: Option<Probe>,
    /// What a server that asks for it is told of the original client (`smtp_send_xforward_command`).
    pub origin: Option<Arc<Origin>>,
}

/// How far a dialogue goes that only asks about recipients (`smtp_address_verify_target`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Up to RCPT; the transaction is reset or left behind.
    Rcpt,
    /// Up to DATA. A server that then waits for content is of no further use: only an end without content is sure
    /// to deliver nothing.
    Data,
}

impl Transaction {
    /// Appends the MAIL command.
    pub(super) fn mail(&self, can: &Capabilities, quote: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:<");
        address(&self.sender, quote, out);
        out.push(b'>');
        if can.size.is_some()
            && let Some(size) = self.size
        {
            out.extend_from_slice(format!(" SIZE={size}").as_bytes());
        }
        // SMTPUTF8 is no use without it (RFC 6531 3.1).
        if can.eight_bit_mime || can.smtputf8 {
            match self.encoding {
                Encoding::EightBit => out.extend_from_slice(b" BODY=8BITMIME"),
                Encoding::SevenBit => out.extend_from_slice(b" BODY=7BIT"),
                Encoding::Unknown => {}
            }
        }
        if can.dsn {
            if !self.envid.is_empty() {
                out.extend_from_slice(b" ENVID=");
                xtext(self.envid.as_bytes(), out);
            }
            match self.ret {
                Some(Ret::Full) => out.extend_from_slice(b" RET=FULL"),
                Some(Ret::Hdrs) => out.extend_from_slice(b" RET=HDRS"),
                None => {}
            }
        }
        if can.smtputf8 && self.smtputf8 & smtputf8::REQUESTED != 0 {
            out.extend_from_slice(b" SMTPUTF8");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the RCPT command of the recipient at `place`.
    pub(super) fn rcpt(&self, place: usize, can: &Capabilities, quote: bool, out: &mut Vec<u8>) {
        let recipient = &self.recipients[place];
        out.extend_from_slice(b"RCPT TO:<");
        address(&recipient.address, quote, out);
        out.push(b'>');
        if can.dsn {
            orcpt(recipient, out);
            notify(recipient.notify, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn address(address: &Address, quote: bool, out: &mut Vec<u8>) {
    let start = out.len();
    match quote {
        true => out.extend_from_slice(&address.to_external()),
        false => out.extend_from_slice(address.as_bytes()),
    }
    // A line end inside an address would begin another command.
    out[start..].iter_mut().filter(|b| matches!(b, b'\r' | b'\n' | 0)).for_each(|b| *b = b'?');
}

fn notify(notify: Notify, out: &mut Vec<u8>) {
    let words = [
        (Notify::NEVER, "NEVER"),
        (Notify::SUCCESS, "SUCCESS"),
        (Notify::FAILURE, "FAILURE"),
        (Notify::DELAY, "DELAY"),
    ];
    let asked: Vec<&str> = words.iter().filter(|(bit, _)| notify.has(*bit)).map(|(_, word)| *word).collect();
    if !asked.is_empty() {
        out.extend_from_slice(b" NOTIFY=");
        out.extend_from_slice(asked.join(",").as_bytes());
    }
}

/// `ORCPT=` as it came; else the original address, as Postfix tells it to servers with DSN.
fn orcpt(recipient: &Recipient, out: &mut Vec<u8>) {
    let original = recipient.original.to_external();
    let (kind, text) = match recipient.dsn_orcpt.split_once(';') {
        Some((kind, text)) => (kind, text.as_bytes()),
        None if original.is_empty() => return,
        None => ("rfc822", original.as_slice()),
    };
    out.extend_from_slice(b" ORCPT=");
    xtext(kind.as_bytes(), out);
    out.push(b';');
    if kind.eq_ignore_ascii_case("utf-8") {
        utf8_xtext(&String::from_utf8_lossy(text), out);
    } else {
        xtext(text, out);
    }
}

/// RFC 3461 4.
fn xtext(text: &[u8], out: &mut Vec<u8>) {
    for &b in text {
        if matches!(b, b'!'..=b'~') && b != b'+' && b != b'=' {
            out.push(b);
        } else {
            out.extend_from_slice(format!("+{b:02X}").as_bytes());
        }
    }
}

/// RFC 6533 3, the form that every server can read: `\x{…}` for what is special or not ASCII.
fn utf8_xtext(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        if matches!(c, '!'..='~') && !matches!(c, '+' | '=' | '\\') {
            out.push(c as u8);
        } else {
            out.extend_from_slice(format!("\\x{{{:02X}}}", u32::from(c)).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn xtext_hides_what_would_end_or_change_the_parameter() {
        assert_eq!(text(|out| xtext(b"a+b=c d\r\n\xff", out)), "a+2Bb+3Dc+20d+0D+0A+FF");
    }

    #[test]
    fn utf8_in_orcpt_is_readable_for_every_server() {
        assert_eq!(text(|out| utf8_xtext("jö\\x+", out)), "j\\x{F6}\\x{5C}x\\x{2B}");
    }

    #[test]
    fn a_line_end_in_an_address_cannot_begin_a_command() {
        let evil = Address::from("a@b>\r\nDATA");
        assert!(!text(|out| address(&evil, true, out)).contains('\n'));
        assert!(!text(|out| address(&evil, false, out)).contains('\n'));
    }
}
