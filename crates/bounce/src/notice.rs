//! What a server tells the postmaster of a session: the dialogue, and how it ended.
//!
//! Postfix: `notify_classes`. Headers and the form of the transcript are Postfix's, since filters sort by them; the
//! sentences around it are our own.

use crate::report::{flags_of, made_here, message_id, one_line_address};
use crate::settings::of_host;
use crate::text::{FROM, fold_said};
use crate::{Addressed, Heading};
use bytes::Bytes;
use config::parameters::Global;
use mail::smtputf8::Asking;
use mail::{Address, ContentFlags, Encoding, Envelope, QueueId, Timestamp};

/// Who writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettings {
    /// `myhostname`.
    pub myhostname: String,
    /// `mail_name`.
    pub mail_name: String,
    /// `double_bounce_sender` on `myhostname`.
    pub double_bounce_sender: Address,
    /// Notices that need SMTPUTF8 ask for it (`smtputf8_autodetect_classes`).
    pub detects_smtputf8: bool,
    /// `error_notice_recipient`: whom every notice names in `To:`, whoever gets it (as Postfix's do).
    pub error_notice_recipient: Address,
}

/// What is told.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// `SMTP server`.
    pub server: &'a str,
    /// `name[address]`.
    pub client: &'a str,
    /// Lines `In:  …` and `Out: …`, each with its line feed.
    pub transcript: &'a str,
    /// The transcript begins with the command that failed.
    pub is_cut: bool,
    /// `lost connection`, where the session did not end in order.
    pub aborted: Option<&'a str>,
}

/// A message for the postmaster, ready to be queued.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its content.
    pub content: Bytes,
    /// What is known of the content's lines.
    pub flags: ContentFlags,
    /// Its Message-ID with `<>`.
    pub message_id: String,
}

impl NoticeSettings {
    /// As these parameters say.
    pub fn new(global: &Global, double_bounce_sender: &str, error_notice_recipient: &str) -> NoticeSettings {
        NoticeSettings {
            myhostname: global.myhostname.clone(),
            mail_name: global.mail_name.clone(),
            double_bounce_sender: of_host(double_bounce_sender, &global.myhostname),
            detects_smtputf8: global.detects_smtputf8("notify"),
            error_notice_recipient: Address::from(error_notice_recipient),
        }
    }

    /// The addresses that a notice is written with.
    pub fn heading(&self, recipient: Address) -> Heading {
        let to = format!("Postmaster <{}>", one_line_address(&self.error_notice_recipient));
        Heading { to, ..Heading::new(self.double_bounce_sender.clone(), recipient, FROM) }
    }

    /// Writes a notice, which gets the given id and time. Its sender is one that nothing is reported to.
    pub fn notice(
        &self,
        session: &Session<'_>,
        addressed: &Addressed,
        (queue_id, now): (&QueueId, Timestamp),
    ) -> Notice {
        let NoticeSettings { myhostname, mail_name, .. } = self;
        let message_id = message_id(queue_id, now, myhostname);
        let Session { server, client, .. } = session;
        let mut out = made_here(myhostname, mail_name, queue_id, now).into_bytes();
        out.extend_from_slice(&addressed.from);
        out.extend_from_slice(&addressed.to);
        put(&format!("Subject: {mail_name} {server}: errors from {client}"), &mut out);
        put(&format!("Message-Id: {message_id}"), &mut out);
        put("", &mut out);
        put(introduction(session.is_cut), &mut out);
        put("", &mut out);
        session.transcript.lines().for_each(|line| fold_said(line, &mut out));
        put("", &mut out);
        if let Some(how) = session.aborted {
            put(&format!("The session did not end in order: {how}"), &mut out);
        }
        put("", &mut out);
        put("The log of this host may say more.", &mut out);
        let flags = flags_of(&out);
        let asking = Asking::new(false, self.detects_smtputf8);
        let mut envelope = addressed.envelope(now, asking, flags);
        let is_plain = !flags.has(ContentFlags::EIGHT_BIT);
        envelope.encoding = if is_plain { Encoding::SevenBit } else { Encoding::EightBit };
        Notice { envelope, content: out.into(), flags, message_id }
    }
}

fn introduction(is_cut: bool) -> &'static str {
    match is_cut {
        true => "A client of this mail server met an error; this is the command that failed.",
        false => "This is what a client and this mail server said to each other.",
    }
}

fn put(line: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(line.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> NoticeSettings {
        NoticeSettings {
            myhostname: "mx.example.org".into(),
            mail_name: "Postfix".into(),
            double_bounce_sender: of_host("double-bounce", "mx.example.org"),
            detects_smtputf8: false,
            error_notice_recipient: Address::from("postmaster@example.org"),
        }
    }

    #[test]
    fn a_notice_has_postfixs_headers_and_the_transcript() {
        let session = Session {
            server: "SMTP server",
            client: "c.example[192.0.2.1]",
            transcript: "In:  FOO\nOut: 500 5.5.2 Error: command not recognized\n",
            is_cut: false,
            aborted: Some("lost connection"),
        };
        let id = QueueId::parse("9F01A1C0051").unwrap();
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let settings = settings();
        let addressed = settings.heading(Address::from("box@example.org")).as_written();
        let notice = settings.notice(&session, &addressed, (&id, now));
        let text = String::from_utf8(notice.content.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        for line in [
            "\r\nFrom: Mail Delivery System <MAILER-DAEMON>\r\n",
            "\r\nTo: Postmaster <postmaster@example.org>\r\n",
            "\r\nSubject: Postfix SMTP server: errors from c.example[192.0.2.1]\r\n",
        ] {
            assert!(head.contains(line), "{head}");
        }
        assert!(head.ends_with(&format!("Message-Id: {}", notice.message_id)), "{head}");
        assert!(
            body.contains("\r\n In:  FOO\r\n Out: 500 5.5.2 Error: command not recognized\r\n"),
            "{body}"
        );
        assert!(body.contains(": lost connection\r\n"), "{body}");
        assert_eq!(notice.envelope.sender, Address::from("double-bounce@mx.example.org"));
        assert_eq!(notice.envelope.recipients[0].address, Address::from("box@example.org"));
        assert_eq!(notice.envelope.encoding, Encoding::SevenBit);
    }
}
