//! What a session knows beside what restrictions look at themselves: policy services are told it.

use crate::transaction::Smtpd;
use mail::{Address, QueueId, Timestamp};
use protocol::policy::Instance;
use protocol::smtp::server::Transaction;
use std::sync::atomic::{AtomicU64, Ordering};

/// The facts of a session at one command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The command: `RCPT`, `END-OF-MESSAGE`, …
    pub command: &'a str,
    /// `SMTP` or `ESMTP`.
    pub protocol: &'a str,
    /// The id of the message, once it has one.
    pub queue_id: Option<&'a QueueId>,
    /// What requests about this transaction have in common.
    pub instance: Option<Instance>,
    /// What MAIL said with `SIZE=`, or what came.
    pub size: u64,
    /// What MAIL said with `AUTH=`.
    pub sasl_sender: Option<&'a str>,
    /// How many recipients were accepted; 0 before DATA.
    pub recipients: usize,
    /// The only recipient, from DATA on.
    pub sole_recipient: Option<&'a Address>,
    /// The parameter `stress`.
    pub stress: &'a str,
}

impl<'a> Facts<'a> {
    /// At a command, outside of a transaction.
    pub fn of(command: &'a str, protocol: &'a str, stress: &'a str) -> Facts<'a> {
        Facts { command, protocol, stress, ..Facts::default() }
    }

    /// With what is known of a transaction.
    pub(crate) fn with(self, transaction: Option<&'a Transaction<Smtpd>>) -> Facts<'a> {
        let Some(transaction) = transaction else { return self };
        let mail = &transaction.mail;
        let facts = Facts {
            queue_id: mail.queue_id.as_ref(),
            instance: mail.instance,
            size: transaction.request.size,
            sasl_sender: transaction.request.sasl_sender.as_deref(),
            ..self
        };
        // Restrictions on content are about all recipients; before, Postfix counts none.
        let (recipients, size) = match self.command {
            "DATA" => (transaction.recipients(), facts.size),
            "END-OF-MESSAGE" => (transaction.recipients(), transaction.size),
            _ => return facts,
        };
        let sole_recipient = match recipients {
            [(recipient, _)] => Some(&recipient.address),
            _ => None,
        };
        Facts { size, recipients: recipients.len(), sole_recipient, ..facts }
    }
}

/// A name for a transaction that begins now in the session of this number.
pub(crate) fn new_instance(session: u32, time: Timestamp) -> Instance {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    Instance { session, time, serial: SERIAL.fetch_add(1, Ordering::Relaxed) }
}
