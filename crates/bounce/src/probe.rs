//! The message of a probe: nobody gets it, so its content is what a message must have and no more.

use crate::report::{made_here, message_id};
use crate::{Addressed, Settings};
use bytes::Bytes;
use mail::smtputf8::Asking;
use mail::{ContentFlags, Envelope, Purpose, QueueId, Timestamp};

/// A message that finds out whether an address can get mail, ready to be queued.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its content.
    pub content: Bytes,
    /// What is known of the content's lines.
    pub flags: ContentFlags,
    /// Its Message-ID with `<>`.
    pub message_id: String,
}

impl Settings {
    /// Writes a probe of the recipients, which gets the given id and time.
    pub fn probe(&self, addressed: &Addressed, (queue_id, now): (&QueueId, Timestamp)) -> Probe {
        let (host, name) = (&self.myhostname, &self.mail_name);
        let message_id = message_id(queue_id, now, host);
        let mut content = made_here(host, name, queue_id, now).into_bytes();
        content.extend_from_slice(format!("Message-Id: {message_id}\r\n").as_bytes());
        content.extend_from_slice(&addressed.from);
        let asking = Asking::new(false, self.probes_detect_smtputf8);
        let flags = ContentFlags::default();
        let mut envelope = addressed.envelope(now, asking, flags);
        envelope.attributes.extend(Purpose::Verification.attribute());
        Probe { envelope, content: content.into(), flags, message_id }
    }
}
