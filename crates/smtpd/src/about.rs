//! What restrictions decide about, and by which rules.

use crate::access::Subject;
use crate::addresses::{Addresses, Class, Resolved};
use crate::dns::dsn_of;
use crate::facts::Facts;
use crate::listed::Listed;
use crate::macros::Macros;
use crate::names;
use crate::peer::{NameStatus, PeerInfo};
use crate::reading::Vocabulary;
use crate::restrictions::Verdict;
use crate::trail::Trail;
use crate::unverified::Unverified;
use mail::{Address, Dsn, Reply};
use net::Resolver;
use observe::Tag;
use std::net::IpAddr;
use std::sync::Arc;
use tables::lists::{AddressList, NameList};
use tables::search::{Key, Parents};
use tables::{Lookup, Maps, Table};

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
    /// ETRN.
    Etrn,
}

impl Stage {
    /// The command at which it comes, where nothing is put off.
    pub fn command(self) -> &'static str {
        match self {
            Stage::Client => "CONNECT",
            Stage::Helo => "HELO",
            Stage::Sender => "MAIL",
            Stage::Recipient => "RCPT",
            Stage::Data => "DATA",
            Stage::EndOfData => "END-OF-MESSAGE",
            Stage::Etrn => "ETRN",
        }
    }
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
    /// `invalid_hostname_reject_code`.
    pub invalid_hostname: u16,
    /// `non_fqdn_reject_code`.
    pub non_fqdn: u16,
    /// `multi_recipient_bounce_reject_code`.
    pub multi_recipient_bounce: u16,
    /// `plaintext_reject_code`.
    pub plaintext_reject: u16,
    /// `unknown_client_reject_code`.
    pub unknown_client: u16,
    /// `unknown_hostname_reject_code`.
    pub unknown_hostname: u16,
    /// `unknown_address_reject_code`.
    pub unknown_address: u16,
    /// `maps_rbl_reject_code`.
    pub maps_rbl: u16,
    /// `unknown_local_recipient_reject_code`.
    pub unknown_local_recipient: u16,
    /// `unknown_relay_recipient_reject_code`.
    pub unknown_relay_recipient: u16,
    /// `unknown_virtual_alias_reject_code`.
    pub unknown_virtual_alias: u16,
    /// `unknown_virtual_mailbox_reject_code`.
    pub unknown_virtual_mailbox: u16,
}

/// `default_rbl_reply` and `rbl_reply_maps`.
#[derive(Default)]
pub struct BlocklistReplies {
    /// For lists without their own.
    pub default: String,
    /// By the list's domain.
    pub by_domain: Maps,
}

/// What restrictions decide by: the same for all sessions of a service.
pub struct Rules {
    /// Keys are folded as UTF-8 (`smtputf8_enable`).
    pub utf8: bool,
    /// `mynetworks`.
    pub mynetworks: AddressList,
    /// `permit_mx_backup_networks`, where it is set.
    pub mx_backup_networks: Option<AddressList>,
    /// The addresses of this host (`inet_interfaces`, `proxy_interfaces`).
    pub own_addresses: Vec<IpAddr>,
    /// Resolves addresses.
    pub addresses: Arc<dyn Addresses>,
    /// Which recipients exist.
    pub listed: Listed,
    /// Whether addresses can get mail, as probes found.
    pub unverified: Unverified,
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
    /// `smtpd_sasl_auth_enable`.
    pub sasl_enabled: bool,
    /// `myhostname`.
    pub myhostname: String,
    /// `inet_protocols`.
    pub families: net::Families,
    /// `unknown_helo_hostname_tempfail_action = defer`.
    pub unknown_helo_defers: bool,
    /// `unknown_address_tempfail_action = defer`.
    pub unknown_address_defers: bool,
    /// What clients that a list in DNS names are told.
    pub blocklist_replies: BlocklistReplies,
    /// `smtpd_expansion_filter`, as bytes.
    pub expansion_filter: Vec<u8>,
    /// `smtpd_sender_login_maps`.
    pub sender_login_maps: Maps,
    /// `smtpd_log_access_permit_actions`.
    pub permits_logged: NameList,
    /// `smtpd_tls_ask_ccert`; nobody is asked before TLS is built.
    pub asks_for_certificates: bool,
    /// `relay_clientcerts`.
    pub relay_clientcerts: Maps,
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
    /// What the access table was asked about whose list of restrictions this is: refusals name it.
    pub(crate) subject: Option<Subject<'a>>,
    /// The domain that ETRN asks for.
    pub etrn: Option<&'a str>,
    /// The client once sent more where it had to wait for a reply.
    pub improper_pipelining: bool,
    /// How many recipients were accepted so far.
    pub recipients: usize,
    /// The message is to be thrown away: nothing more is decided about it.
    pub discarded: bool,
    /// What an earlier step would put off if nothing refuses.
    pub deferred: Option<&'a Reply>,
    /// What results of access tables may name.
    pub vocabulary: &'a Vocabulary,
    /// For the log.
    pub tag: &'a Tag,
    /// Asks DNS.
    pub dns: &'a dyn Resolver,
    /// What policy services are told besides.
    pub facts: Facts<'a>,
    /// `address_verify_poll_count`: how often it is asked whether an address can get mail.
    pub polls: u64,
    /// The steps are logged.
    pub is_watched: bool,
    /// Where it is written down what was asked, for who wants to know why.
    pub trail: Option<&'a Trail>,
}

impl About<'_> {
    /// The client or its HELO is being decided about at once, not at RCPT.
    pub fn is_before_mail(&self) -> bool {
        self.sender.is_none() && matches!(self.stage, Stage::Client | Stage::Helo)
    }

    /// The same for a restriction that names what is decided at a stage, whatever list it stands in.
    pub(crate) fn at(&self, stage: Stage) -> About<'_> {
        About { stage, subject: None, ..*self }
    }

    /// What a refusal names: `<VALUE>`.
    pub fn value(&self) -> String {
        if let Some(subject) = self.subject {
            return subject.value.to_owned();
        }
        let text =
            |a: Option<&Address>| String::from_utf8_lossy(a.map_or(b"", Address::as_bytes)).into_owned();
        match self.stage {
            Stage::Client => self.client.name_and_address.to_string(),
            Stage::Helo => self.helo.unwrap_or_default().to_owned(),
            Stage::Sender => text(self.sender),
            Stage::Recipient => text(self.recipient),
            Stage::Data => "DATA".to_owned(),
            Stage::EndOfData => "END-OF-MESSAGE".to_owned(),
            Stage::Etrn => self.etrn.unwrap_or_default().to_owned(),
        }
    }

    /// What the value is: `Client host`.
    pub fn class(&self) -> &'static str {
        if let Some(subject) = self.subject {
            return subject.class;
        }
        match self.stage {
            Stage::Client => "Client host",
            Stage::Helo => "Helo command",
            Stage::Sender => "Sender address",
            Stage::Recipient => "Recipient address",
            Stage::Data => "Data command",
            Stage::EndOfData => "End-of-data",
            Stage::Etrn => "Etrn command",
        }
    }

    /// `CODE DSN <VALUE>: CLASS rejected: TEXT`. The first digit of the enhanced code follows the code.
    pub fn refusal(&self, code: u16, dsn: (u8, u16, u16), text: &str) -> Reply {
        let dsn = dsn_of(code, dsn.1, dsn.2);
        Reply::new(code, dsn, format!("<{}>: {} rejected: {text}", self.value(), self.class()))
    }

    /// The same about the HELO name, whatever the stage.
    pub fn helo_refusal(&self, code: u16, dsn: (u8, u16, u16), text: &str) -> Reply {
        self.at(Stage::Helo).refusal(code, dsn, text)
    }

    /// Refuses a HELO with an address in brackets that is none.
    fn bad_literal(&self, helo: &str) -> Verdict {
        match names::literal(helo) {
            Some(_) => Verdict::Dunno,
            None => {
                let code = self.rules.codes.invalid_hostname;
                Verdict::Refuse(self.helo_refusal(code, (5, 5, 2), "invalid ip address"))
            }
        }
    }

    /// Refuses a client whose name is not known, as `text` says.
    pub fn nameless(&self, status: NameStatus, detail: u16, text: &str) -> Verdict {
        let text = format!("Client host rejected: {text}, [{}]", self.client.address_text());
        let reply = |code| Reply::new(code, dsn_of(code, 7, detail), text);
        match status {
            NameStatus::Known => Verdict::Dunno,
            // Perhaps it is known later.
            NameStatus::NotNow => Verdict::NotNow(reply(450)),
            NameStatus::Unknown | NameStatus::Forged => {
                Verdict::Refuse(reply(self.rules.codes.unknown_client))
            }
        }
    }

    /// The HELO name; where it is none, or an address in brackets, what a restriction on names finds.
    pub fn helo_name(&self) -> Result<&str, Verdict> {
        match self.helo {
            None => Err(Verdict::Dunno),
            Some(helo) if helo.starts_with('[') => Err(self.bad_literal(helo)),
            Some(helo) => Ok(helo),
        }
    }

    /// Refuses an address whose domain is not whole.
    pub fn non_fqdn(&self, address: Option<&Address>, stage: Stage) -> Verdict {
        let Some(address) = address.filter(|address| !address.is_null()) else { return Verdict::Dunno };
        let text = String::from_utf8_lossy(address.as_bytes());
        let domain = names::without_dot(names::domain_of(&text));
        let whole = mail::domain::is_host_name(domain.as_bytes(), true) && domain.contains('.');
        if whole || domain.starts_with('[') {
            return Verdict::Dunno;
        }
        Verdict::Refuse(self.at(stage).refusal(
            self.rules.codes.non_fqdn,
            (5, 5, 2),
            "need fully-qualified address",
        ))
    }

    /// What a text for the client may name.
    pub(crate) fn macros<'m>(&'m self, own: &'m [(&'m str, &'m str)]) -> Macros<'m> {
        Macros {
            peer: self.client,
            server_name: &self.rules.myhostname,
            helo: self.helo,
            sender: self.sender,
            recipient: self.recipient,
            own,
            tag: self.tag,
        }
    }

    /// What tables answer to the first of these keys that one of them knows.
    pub(crate) async fn found_in(&self, maps: &Maps, keys: Vec<Key>) -> Lookup {
        let mut note = |table: &Table, key: &str, answer: &Lookup| {
            if let Some(trail) = self.trail {
                trail.looked_up(table.spec(), key, answer);
            }
        };
        maps.find_noting(keys, &mut note).await
    }

    /// A table or list could not be asked.
    pub fn lookup_failed(&self) -> Reply {
        Reply::new(451, Dsn::new(4, 3, 0), format!("<{}>: Temporary lookup failure", self.value()))
    }

    /// Permit where the client is in `list`.
    pub async fn in_list(&self, list: &AddressList) -> Verdict {
        match self.client.is_in(list).await {
            Ok(true) => Verdict::Permit,
            Ok(false) => Verdict::Dunno,
            Err(_) => Verdict::Unable(self.lookup_failed()),
        }
    }

    /// What becomes of an address; an error where a table could not be asked.
    pub(crate) async fn resolve(&self, address: &Address) -> Result<Resolved, Reply> {
        let null = Address::null();
        let resolved = self.rules.addresses.resolve(address, self.sender.unwrap_or(&null)).await;
        resolved.map_err(|_| unanswered(address))
    }

    async fn resolved(&self) -> Result<Option<Resolved>, Reply> {
        match self.recipient {
            Some(recipient) => self.resolve(recipient).await.map(Some),
            None => Ok(None),
        }
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
            Err(reply) => Verdict::Unable(reply),
        }
    }
}

/// The refusal of an address about which a table cannot be asked.
pub(crate) fn unanswered(address: &Address) -> Reply {
    let text = format!("<{}>: Temporary lookup failure", String::from_utf8_lossy(address.as_bytes()));
    Reply::new(451, Dsn::new(4, 3, 0), text)
}
