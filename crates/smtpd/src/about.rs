//! What restrictions decide about, and by which rules.

use crate::addresses::{Addresses, Class, Resolved, Undeliverable};
use crate::peer::PeerInfo;
use crate::restrictions::Verdict;
use mail::{Address, Dsn, Reply};
use std::net::IpAddr;
use std::sync::Arc;
use tables::lists::AddressList;
use tables::search::{self, Parents};
use tables::{Lookup, Maps};

/// At which step of a session something is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The client.
    Client,
    /// HELO or EHLO.
    Helo,
    /// MAIL.
    Sender,
    /// RCPT.
    Recipient,
    /// DATA or the first BDAT.
    Data,
    /// The end of the content.
    EndOfData,
}

/// Reply codes of the parameters.
#[derive(Clone, Debug)]
pub struct Codes {
    /// `reject_code`.
    pub reject: u16,
    /// `defer_code`.
    pub defer: u16,
    /// `access_map_reject_code`.
    pub access_map_reject: u16,
    /// `access_map_defer_code`.
    pub access_map_defer: u16,
    /// `relay_domains_reject_code`.
    pub relay_domains: u16,
    /// `unknown_local_recipient_reject_code`.
    pub unknown_local_recipient: u16,
    /// `unknown_relay_recipient_reject_code`.
    pub unknown_relay_recipient: u16,
    /// `unknown_virtual_alias_reject_code`.
    pub unknown_virtual_alias: u16,
    /// `unknown_virtual_mailbox_reject_code`.
    pub unknown_virtual_mailbox: u16,
}

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
    /// `show_user_unknown_table_name`.
    pub show_table_name: bool,
}

/// What restrictions decide by: the same for all sessions of a service.
pub struct Rules {
    /// `mynetworks`.
    pub mynetworks: AddressList,
    /// The addresses of this host (`inet_interfaces`, `proxy_interfaces`).
    pub own_addresses: Vec<IpAddr>,
    /// Resolves addresses.
    pub addresses: Arc<dyn Addresses>,
    /// Which recipients exist.
    pub listed: Listed,
    /// Reply codes.
    pub codes: Codes,
    /// How domains stand for subdomains in access tables.
    pub parents: Parents,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// `smtpd_null_access_lookup_key`.
    pub null_access_lookup_key: String,
    /// `allow_untrusted_routing`.
    pub allow_untrusted_routing: bool,
}

/// What is known when restrictions are evaluated.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The rules.
    pub rules: &'a Rules,
    /// The client.
    pub client: &'a PeerInfo,
    /// Argument of HELO or EHLO.
    pub helo: Option<&'a str>,
    /// Envelope sender.
    pub sender: Option<&'a Address>,
    /// The recipient that is being decided.
    pub recipient: Option<&'a Address>,
    /// Whose list is being evaluated.
    pub stage: Stage,
    /// The message is to be thrown away: nothing more is decided about it.
    pub discarded: bool,
}

impl About<'_> {
    /// The client or its HELO is being decided about at once, not at RCPT.
    pub fn is_before_mail(&self) -> bool {
        self.sender.is_none() && matches!(self.stage, Stage::Client | Stage::Helo)
    }

    /// What a refusal at this stage names: `<VALUE>`.
    pub fn value(&self) -> String {
        let text =
            |a: Option<&Address>| String::from_utf8_lossy(a.map_or(b"", Address::as_bytes)).into_owned();
        match self.stage {
            Stage::Client => self.client.name_and_address.to_string(),
            Stage::Helo => self.helo.unwrap_or_default().to_owned(),
            Stage::Sender => text(self.sender),
            Stage::Recipient => text(self.recipient),
            Stage::Data => "DATA".to_owned(),
            Stage::EndOfData => "END-OF-MESSAGE".to_owned(),
        }
    }

    /// What the value is: `Client host`.
    pub fn class(&self) -> &'static str {
        match self.stage {
            Stage::Client => "Client host",
            Stage::Helo => "Helo command",
            Stage::Sender => "Sender address",
            Stage::Recipient => "Recipient address",
            Stage::Data => "Data command",
            Stage::EndOfData => "End-of-data",
        }
    }

    /// `CODE DSN <VALUE>: CLASS rejected: TEXT`. The first digit of the enhanced code follows the code.
    pub fn refusal(&self, code: u16, dsn: (u8, u16, u16), text: &str) -> Reply {
        let class = if code / 100 == 4 { 4 } else { 5 };
        let dsn = Dsn::new(class, dsn.1, dsn.2);
        Reply::new(code, dsn, format!("<{}>: {} rejected: {text}", self.value(), self.class()))
    }

    /// A table or list could not be asked.
    pub fn lookup_failed(&self) -> Reply {
        self.refusal(451, (4, 3, 0), "Temporary lookup failure")
    }

    /// Permit where the client is in `list`.
    pub async fn in_list(&self, list: &AddressList) -> Verdict {
        match list.matches(Some(&self.client.name), self.client.address).await {
            Ok(true) => Verdict::Permit,
            Ok(false) => Verdict::Dunno,
            Err(_) => Verdict::Refuse(self.lookup_failed()),
        }
    }

    async fn resolved(&self) -> Result<Option<Resolved>, Reply> {
        let Some(recipient) = self.recipient else { return Ok(None) };
        let null = Address::null();
        let resolved = self.rules.addresses.resolve(recipient, self.sender.unwrap_or(&null)).await;
        resolved.map(Some).map_err(|_| self.lookup_failed())
    }

    /// Whether the recipient is ours to take or to relay.
    pub async fn is_our_destination(&self) -> Result<bool, Reply> {
        let Some(resolved) = self.resolved().await? else { return Ok(false) };
        let trusted = !resolved.routed || self.rules.allow_untrusted_routing;
        Ok(trusted && resolved.class != Class::Default)
    }

    /// Refuses a recipient that is not ours to take or to relay.
    pub async fn relaying(&self, code: u16, class: u8) -> Verdict {
        if self.recipient.is_none() {
            return Verdict::Dunno;
        }
        match self.is_our_destination().await {
            Ok(true) => Verdict::Dunno,
            Ok(false) => {
                let value = String::from_utf8_lossy(self.recipient.map_or(b"", Address::as_bytes));
                Verdict::Refuse(Reply::new(
                    code,
                    Dsn::new(class, 7, 1),
                    format!("<{value}>: Relay access denied"),
                ))
            }
            Err(reply) => Verdict::Refuse(reply),
        }
    }

    /// Refuses a recipient that the tables of its class do not know.
    pub async fn unlisted_recipient(&self) -> Verdict {
        let resolved = match self.resolved().await {
            Ok(Some(resolved)) => resolved,
            Ok(None) => return Verdict::Dunno,
            Err(reply) => return Verdict::Refuse(reply),
        };
        let (listed, codes) = (&self.rules.listed, &self.rules.codes);
        match self.known_by(&listed.aliases, &resolved).await {
            Ok(true) => return Verdict::Dunno,
            Ok(false) => {}
            Err(reply) => return Verdict::Refuse(reply),
        }
        if let Some(undeliverable) = &resolved.undeliverable
            && resolved.class != Class::VirtualAlias
        {
            return Verdict::Refuse(self.undeliverable(undeliverable));
        }
        let (maps, code, table) = match resolved.class {
            Class::Local => (listed.local.as_ref(), codes.unknown_local_recipient, "local recipient"),
            Class::Relay => (listed.relay.as_ref(), codes.unknown_relay_recipient, "relay recipient"),
            Class::VirtualMailbox => {
                (listed.virtual_mailbox.as_ref(), codes.unknown_virtual_mailbox, "virtual mailbox")
            }
            // Only an alias can make such a recipient exist.
            Class::VirtualAlias => (Some(&listed.aliases), codes.unknown_virtual_alias, "virtual alias"),
            Class::Default => return Verdict::Dunno,
        };
        let Some(maps) = maps else { return Verdict::Dunno };
        match self.known_by(maps, &resolved).await {
            Ok(true) => return Verdict::Dunno,
            Ok(false) => {}
            Err(reply) => return Verdict::Refuse(reply),
        }
        let text = match listed.show_table_name {
            true => format!("User unknown in {table} table"),
            false => "User unknown".to_owned(),
        };
        let about = About { stage: Stage::Recipient, ..*self };
        Verdict::Refuse(about.refusal(code, (5, 1, 1), &text))
    }

    async fn known_by(&self, maps: &Maps, resolved: &Resolved) -> Result<bool, Reply> {
        // In small letters, for tables that do not fold by themselves.
        let address = tables::fold(&String::from_utf8_lossy(resolved.address.as_bytes()), true).into_owned();
        let ours = resolved.class == Class::Local;
        match maps.find(search::mapping(&address, &self.rules.recipient_delimiter, ours)).await {
            Lookup::Found(_) => Ok(true),
            Lookup::NotFound => Ok(false),
            Lookup::TempFail(_) => Err(self.lookup_failed()),
        }
    }

    /// The refusal of what delivery would only fail: the code of the reason, with a class that agrees.
    fn undeliverable(&self, undeliverable: &Undeliverable) -> Reply {
        let (code, class) = if undeliverable.for_now { (450, 4) } else { (550, 5) };
        let (dsn, text) = Dsn::parse_prefix(&undeliverable.reason)
            .unwrap_or((Dsn::new(class, 1, 1), &undeliverable.reason));
        let about = About { stage: Stage::Recipient, ..*self };
        about.refusal(code, (class, dsn.subject, dsn.detail), text)
    }
}
