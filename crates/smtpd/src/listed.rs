//! Whether an address of ours exists: the tables of its class know it (`reject_unlisted_recipient`, `…_sender`).

use crate::about::{About, Stage, unanswered};
use crate::addresses::{Class, Resolved, Undeliverable};
use crate::restrictions::Verdict;
use mail::{Address, Dsn, Reply};
use tables::search;
use tables::{Lookup, Maps};

/// Which recipients exist, for each class; `None` takes all.
#[derive(Default)]
pub struct Listed {
    /// `local_recipient_maps`.
    pub local: Option<Maps>,
    /// `relay_recipient_maps`.
    pub relay: Option<Maps>,
    /// `virtual_mailbox_maps`.
    pub virtual_mailbox: Option<Maps>,
    /// `virtual_alias_maps` and the canonical maps: what they know exists in every class.
    pub aliases: Maps,
    /// `sender_canonical_maps`: the same for senders.
    pub sender_canonical: Maps,
    /// `show_user_unknown_table_name`.
    pub show_table_name: bool,
    /// `receive_override_options` has no_unknown_recipient_checks: whatever asks takes all for existing.
    pub all_exist: bool,
}

impl About<'_> {
    /// Refuses a recipient that the tables of its class do not know.
    pub async fn unlisted_recipient(&self) -> Verdict {
        match self.recipient {
            Some(recipient) => self.unlisted(recipient, Stage::Recipient, Dsn::new(5, 1, 1)).await,
            None => Verdict::Dunno,
        }
    }

    /// Refuses a sender of ours that the tables of its class do not know.
    pub async fn unlisted_sender(&self) -> Verdict {
        match self.sender.filter(|sender| !sender.is_null()) {
            Some(sender) => self.unlisted(sender, Stage::Sender, Dsn::new(5, 1, 0)).await,
            None => Verdict::Dunno,
        }
    }

    async fn unlisted(&self, address: &Address, stage: Stage, dsn: Dsn) -> Verdict {
        if self.rules.listed.all_exist {
            return Verdict::Dunno;
        }
        let about = self.at(stage);
        about.debug_validation();
        let verdict = about.known(address, dsn).await;
        verdict.unwrap_or_else(Verdict::Unable)
    }

    async fn known(&self, address: &Address, dsn: Dsn) -> Result<Verdict, Reply> {
        let resolved = self.resolve(address).await?;
        let (listed, codes) = (&self.rules.listed, &self.rules.codes);
        if self.known_by(&listed.aliases, &resolved, address).await?
            || (self.stage == Stage::Sender
                && self.known_by(&listed.sender_canonical, &resolved, address).await?)
        {
            return Ok(Verdict::Dunno);
        }
        if let Some(undeliverable) = &resolved.undeliverable
            && resolved.class != Class::VirtualAlias
        {
            return Ok(Verdict::Refuse(self.undeliverable(undeliverable)));
        }
        let (maps, code, table) = match resolved.class {
            Class::Local => (listed.local.as_ref(), codes.unknown_local_recipient, "local recipient"),
            Class::Relay => (listed.relay.as_ref(), codes.unknown_relay_recipient, "relay recipient"),
            Class::VirtualMailbox => {
                (listed.virtual_mailbox.as_ref(), codes.unknown_virtual_mailbox, "virtual mailbox")
            }
            // Only an alias can make such a recipient exist.
            Class::VirtualAlias => (Some(&listed.aliases), codes.unknown_virtual_alias, "virtual alias"),
            Class::Default => return Ok(Verdict::Dunno),
        };
        let Some(maps) = maps else { return Ok(Verdict::Dunno) };
        if self.known_by(maps, &resolved, address).await? {
            return Ok(Verdict::Dunno);
        }
        let text = match listed.show_table_name {
            true => format!("User unknown in {table} table"),
            false => "User unknown".to_owned(),
        };
        Ok(Verdict::Refuse(self.refusal(code, (5, dsn.subject, dsn.detail), &text)))
    }

    async fn known_by(&self, maps: &Maps, resolved: &Resolved, as_given: &Address) -> Result<bool, Reply> {
        // In small letters, for tables that do not fold by themselves.
        let address =
            mail::fold(&String::from_utf8_lossy(resolved.address.as_bytes()), self.rules.utf8).into_owned();
        let ours = resolved.class == Class::Local;
        let keys = search::mapping(&address, &self.rules.recipient_delimiter, ours);
        match self.found_in(maps, keys).await {
            Lookup::Found(_) => Ok(true),
            Lookup::NotFound => Ok(false),
            Lookup::TempFail(_) => Err(unanswered(as_given)),
        }
    }

    /// The refusal of what delivery would only fail: the code of the reason, with a class that agrees.
    fn undeliverable(&self, undeliverable: &Undeliverable) -> Reply {
        let (code, class) = if undeliverable.for_now { (450, 4) } else { (550, 5) };
        let (dsn, text) = Dsn::parse_prefix(&undeliverable.reason)
            .unwrap_or((Dsn::new(class, 1, 1), &undeliverable.reason));
        self.refusal(code, (class, dsn.subject, dsn.detail), text)
    }
}
