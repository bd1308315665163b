//! Sender and recipients on their way into the queue, with what the log says of them.

use crate::refusal::Refusal;
use crate::settings::Settings;
use mail::{Address, Dsn, QueueId, Recipient, Reply};
use observe::events::cleanup::AddressWarning;
use observe::{Tag, emit};
use rewrite::{Mapped, Tables, Trouble, Witness};

/// The envelope's addresses as they are queued.
pub struct Addresses {
    /// Who sent the message.
    pub sender: Address,
    /// Who gets it, and which aliases were followed.
    pub mapped: Mapped,
}

/// Tells the log what is wrong with an address.
pub struct Log<'a> {
    /// Who logs: cleanup's.
    pub tag: &'a Tag,
    /// The message.
    pub queue_id: &'a QueueId,
}

impl Witness for Log<'_> {
    fn warning(&self, text: &str) {
        emit(self.tag, &AddressWarning { queue_id: self.queue_id, text });
    }
}

/// Maps sender and recipients; the refusal is for the end of the message. `tag` is cleanup's.
pub async fn map_addresses(
    settings: &Settings,
    (tag, queue_id): (&Tag, &QueueId),
    sender: &Address,
    recipients: Vec<Recipient>,
    tables: Tables,
) -> Result<Addresses, Refusal> {
    let log = Log { tag, queue_id };
    let mapper = &settings.mapper;
    let sender = mapper.sender(sender, tables, &log).await.map_err(refusal)?;
    let mapped = mapper.recipients(&sender, recipients, tables, &log).await.map_err(refusal)?;
    Ok(Addresses { sender, mapped })
}

/// Recipients of copies that an access table or a policy service wants.
pub async fn map_copies(
    settings: &Settings,
    (tag, queue_id): (&Tag, &QueueId),
    copies: &[Address],
    tables: Tables,
) -> Result<Vec<Recipient>, Refusal> {
    settings.mapper.copies(copies, tables, &Log { tag, queue_id }).await.map_err(refusal)
}

/// What the client is told.
pub(crate) fn refusal(trouble: Trouble) -> Refusal {
    match trouble {
        Trouble::Unanswered => Refusal::cannot_write(),
        Trouble::Expansion => Refusal::content(Reply::new(451, Dsn::new(4, 6, 0), "Alias expansion error")),
    }
}
