//! What virtual(8) is told by the configuration, and where a recipient's mailbox lies.

use super::failure::Failure;
use super::mbox::Locking;
use super::writing::Writing;
use config::parameters::{Global, Virtual};
use config::{Config, Errors, ServiceLine};
use mail::{Address, Dsn};
use std::path::PathBuf;
use std::sync::Arc;
use tables::{Lookup, Maps, Opener, search};

/// Settings of one virtual(8).
#[derive(Clone, Debug)]
pub struct Settings {
    /// `virtual_mailbox_maps`.
    pub mailbox_maps: Maps,
    /// `virtual_uid_maps`.
    pub uid_maps: Maps,
    /// `virtual_gid_maps`.
    pub gid_maps: Maps,
    /// `virtual_mailbox_base`.
    pub mailbox_base: String,
    /// `virtual_minimum_uid`.
    pub minimum_uid: u32,
    /// How mailboxes are written: `virtual_mailbox_limit`, `virtual_mailbox_lock` and so on.
    pub writing: Arc<Writing>,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// The recipient before aliases is told in X-Original-To (`enable_original_recipient`).
    pub original_recipient: bool,
}

/// A recipient's mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// File or directory.
    pub path: PathBuf,
    /// A Maildir, since the table's value ends with a slash.
    pub is_maildir: bool,
    /// Whose rights the delivery has.
    pub uid: u32,
    /// And whose group's.
    pub gid: u32,
    /// The directory is root's: root makes lock and file.
    pub made_by_root: bool,
    /// The code of failures whose reason says nothing of how long they last.
    pub otherwise: Dsn,
    /// In front of reasons.
    pub failing: String,
    /// Without a lock file it is written all the same.
    pub lock_may_fail: bool,
    /// The administrator chose its place: where that is no file, the configuration is wrong.
    pub is_configured: bool,
    /// It may be no file at all: `/dev/null`.
    pub may_be_a_device: bool,
    /// It may belong to anybody who lets the recipient write.
    pub may_be_anybodys: bool,
}

impl Mailbox {
    /// A mailbox that is as any other of virtual(8)'s.
    pub fn new(path: PathBuf, is_maildir: bool, uid: u32, gid: u32) -> Mailbox {
        let failing = format!("delivery failed to mailbox {}: ", path.display());
        Mailbox {
            path,
            is_maildir,
            uid,
            gid,
            made_by_root: false,
            otherwise: Dsn::new(4, 2, 0),
            failing,
            lock_may_fail: false,
            is_configured: true,
            may_be_a_device: false,
            may_be_anybodys: false,
        }
    }
}

impl Settings {
    /// Reads them as the service sees them and opens the tables.
    pub fn read(
        config: &Config,
        service: &ServiceLine,
        tables: &tables::Settings,
        as_caller: bool,
    ) -> Result<Settings, Errors> {
        let (own, global) = (Virtual::read(config, Some(service))?, Global::read(config, Some(service))?);
        let mut opener = Opener::new(config.scope(Some(service)), tables);
        let mut open = |name: &str, specs: &[String]| opener.maps(name, specs);
        let settings = Settings {
            mailbox_maps: open("virtual_mailbox_maps", &own.virtual_mailbox_maps),
            uid_maps: open("virtual_uid_maps", &own.virtual_uid_maps),
            gid_maps: open("virtual_gid_maps", &own.virtual_gid_maps),
            mailbox_base: own.virtual_mailbox_base,
            minimum_uid: u32::try_from(own.virtual_minimum_uid).unwrap_or(u32::MAX),
            writing: Arc::new(Writing {
                hostname: global.myhostname,
                size_max: own.virtual_mailbox_limit,
                locking: Locking::of(
                    &own.virtual_mailbox_lock,
                    own.deliver_lock_attempts,
                    own.deliver_lock_delay,
                    own.stale_lock_time,
                ),
                strict_ownership: own.strict_mailbox_ownership,
                as_caller,
            }),
            recipient_delimiter: search::delimiters(&own.recipient_delimiter, own.owner_request_special),
            original_recipient: own.enable_original_recipient,
        };
        opener.finish()?;
        Ok(settings)
    }

    /// The mailbox of a recipient, or why there is none.
    pub async fn mailbox(&self, recipient: &Address) -> Result<Mailbox, Failure> {
        let address = String::from_utf8_lossy(recipient.as_bytes()).to_lowercase();
        let path = match self.find(&self.mailbox_maps, "virtual_mailbox_maps", &address).await? {
            Some(path) => path,
            None => return Err(Failure::new(Dsn::new(5, 1, 1), format!("unknown user: \"{address}\""))),
        };
        let uid = self.id(&self.uid_maps, "virtual_uid_maps", "uid", self.minimum_uid, &address).await?;
        let gid = self.id(&self.gid_maps, "virtual_gid_maps", "gid", 1, &address).await?;
        let full = format!("{}/{path}", self.mailbox_base);
        Ok(Mailbox::new(full.trim_end_matches('/').into(), path.ends_with('/'), uid, gid))
    }

    async fn id(
        &self,
        maps: &Maps,
        table: &str,
        what: &str,
        minimum: u32,
        address: &str,
    ) -> Result<u32, Failure> {
        let wrong = |text: String| Failure::configuration(format!("recipient {address}: {text}"));
        let Some(value) = self.find(maps, table, address).await? else {
            return Err(wrong(format!("not found in {table}")));
        };
        match leading_number(&value) {
            Some(id) if id >= minimum => Ok(id),
            _ => Err(wrong(format!("bad {what} {value} in {table}"))),
        }
    }

    /// The key order of virtual(8): the address, without its extension, the domain.
    async fn find(&self, maps: &Maps, table: &str, address: &str) -> Result<Option<String>, Failure> {
        match maps.find(search::mailbox(address, &self.recipient_delimiter)).await {
            Lookup::Found(value) => Ok(Some(value)),
            Lookup::NotFound => Ok(None),
            Lookup::TempFail(why) => {
                Err(Failure::configuration(format!("table {table}: lookup {address}: {why}")))
            }
        }
    }
}

/// The number that a text begins with; as in Postfix, what follows it does not count.
fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}
