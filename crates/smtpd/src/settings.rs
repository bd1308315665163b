//! What one smtpd service works by, read from the configuration.

mod reader;

pub(crate) use reader::{Reader, code, count, keywords};

use crate::about::Rules;
use crate::addresses::Addresses;
use crate::anvil::Bits;
use crate::commands::Commands;
use crate::footer::Footer;
use crate::hall::Rank;
use crate::listener::Ends;
use crate::lists::Lists;
use crate::notices::Notices;
use crate::peer::PeerInfo;
use crate::peer_settings::PeerSettings;
use crate::rates::Limits;
use config::parameters::{Global, Mapping, Receiving, Smtpd, Unverified, Virtual};
use config::{Config, Errors, Scope, ServiceLine};
use mail::{Dsn, Reply};
use net::dns::{Filter, Resolver};
use observe::Tag;
use protocol::smtp::server::{self, BareNewline, EhloKeywords};
use reader::{cleanup_of, stress_of};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tables::lists::{AddressList, DomainList};
use tables::{Lookup, Maps, Opener};

/// What smtpd needs from others besides main.cf.
#[derive(Clone)]
pub struct Surroundings {
    /// Resolves addresses.
    pub addresses: Arc<dyn Addresses>,
    /// The addresses of this host (`inet_interfaces`, `proxy_interfaces`).
    pub own_addresses: Vec<IpAddr>,
    /// `allow_min_user`, as addresses are resolved.
    pub allow_min_user: bool,
    /// How tables are opened.
    pub tables: tables::Settings,
    /// Whom to ask whether addresses can get mail.
    pub verifier: verify::Client,
}

impl Surroundings {
    /// Over the resolver of a configuration.
    pub fn of(resolver: &rewrite::Resolver, tables: tables::Settings) -> Self {
        let own = resolver.settings().own_addresses.iter().map(IpAddr::to_canonical).collect();
        Surroundings {
            addresses: Arc::new(resolver.clone()),
            own_addresses: own,
            allow_min_user: resolver.settings().view.allow_min_user,
            tables,
            verifier: verify::Client::new(verify::SOCKET, verify::Asking::Probing),
        }
    }
}

/// What one smtpd service (a line of master.cf) works by; new sessions take the newest.
#[derive(Clone)]
pub struct Settings {
    /// What the dialogue needs.
    pub dialogue: Arc<server::Settings>,
    /// What cleanup needs.
    pub cleanup: Arc<cleanup::Settings>,
    /// Whose name stands in cleanup's lines: the service that mail goes through.
    pub(crate) cleanup_program: Arc<str>,
    /// Whether tables are asked about addresses (`receive_override_options`).
    pub(crate) tables: rewrite::Tables,
    /// Whether tables are asked about headers and bodies (`receive_override_options`).
    pub(crate) checks_content: bool,
    /// What mail goes through before it is delivered (`content_filter`).
    pub(crate) content_filter: Option<String>,
    /// `address_verify_poll_count`.
    pub(crate) polls: u64,
    pub(crate) lists: Arc<Lists>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) commands: Commands,
    pub(crate) footer: Footer,
    /// `smtpd_reject_filter_maps`.
    pub(crate) reject_filter: Maps,
    pub(crate) fast_flush_domains: DomainList,
    pub(crate) timeout: Duration,
    pub(crate) per_request_deadline: bool,
    pub(crate) min_data_rate: u64,
    pub(crate) peername_lookup: bool,
    pub(crate) client_port_logging: bool,
    pub(crate) delay_open: bool,
    pub(crate) limits: Limits,
    pub(crate) network_bits: Bits,
    event_limit_exceptions: AddressList,
    bare_newline: BareNewline,
    bare_newline_exclusions: AddressList,
    pub(crate) note_bare_newline: bool,
    discard_ehlo: EhloKeywords,
    discard_ehlo_maps: Maps,
    local_clients: LocalClients,
    pub(crate) peers: PeerSettings,
    dns_reply_filter: Maps,
    pub(crate) notices: Notices,
    pub(crate) delay_warning_time: Duration,
    /// `smtputf8_autodetect_classes` names smtpd.
    pub(crate) detects_smtputf8: bool,
    pub(crate) families: net::Families,
    /// `mynetworks` are the exceptions from limits on events, too, as by default.
    exceptions_are_mynetworks: bool,
    pub(crate) stress_calm_time: Duration,
    /// The parameter `stress`, as policy services are told it.
    pub(crate) stress: String,
}

/// `local_header_rewrite_clients`.
#[derive(Clone, Default)]
struct LocalClients {
    own: bool,
    mynetworks: bool,
    logged_in: bool,
    tables: Maps,
}

impl Settings {
    /// Reads the settings as `service` sees them; the error holds every mistake.
    pub fn read(
        config: &Config,
        service: Option<&ServiceLine>,
        around: &Surroundings,
    ) -> Result<Settings, Errors> {
        Settings::read_in(config.scope(service), around)
    }

    /// Reads the settings of a scope, which may have settings of its own such as `stress=yes`.
    pub(crate) fn read_in(scope: Scope<'_>, around: &Surroundings) -> Result<Settings, Errors> {
        let global = Global::read_in(&scope)?;
        let p = Smtpd::read_in(&scope)?;
        let cleanup = cleanup_of(&scope)?;
        let virtual_ = Virtual::read_in(&scope)?;
        let mapping = Mapping::read_in(&scope)?;
        let receiving = Receiving::read_in(&scope)?;
        // The sender of probes is as the line of the service `verify` has it.
        let sender = verify::ProbeSender::new(&verify::Settings::read(scope.config())?);
        let unverified = (Unverified::read_in(&scope)?, sender);
        let leaves_out = |what: &str| {
            receiving.receive_override_options.iter().any(|option| option.eq_ignore_ascii_case(what))
        };
        let all_exist = leaves_out("no_unknown_recipient_checks");
        let mut reader = Reader { open: Opener::new(scope, &around.tables), all_exist };
        let (mapper, program) = reader.mapper()?;
        let checks = reader.checks()?;
        let views = (&virtual_, &mapping, unverified);
        let mut settings = reader.settings(&global, &p, (&cleanup, mapper), views, around);
        reader.open.finish()?;
        settings.cleanup_program = program;
        settings.cleanup = Arc::new(cleanup::Settings::clone(&settings.cleanup).with_checks(checks));
        if leaves_out("no_address_mappings") {
            settings.tables = rewrite::Tables::Ignored;
        }
        settings.checks_content = !leaves_out("no_header_body_checks");
        settings.content_filter = Some(receiving.content_filter).filter(|filter| !filter.is_empty());
        Ok(settings)
    }

    /// These settings, which are those of the scope `own`, as `scope` has them: the very same lists, rules and tables
    /// where only the numbers differ whose defaults look at `stress`.
    pub(crate) fn with_numbers_of(
        &self,
        own: &Scope<'_>,
        scope: Scope<'_>,
        around: &Surroundings,
    ) -> Result<Settings, Errors> {
        let (old, p) = (Smtpd::read_in(own)?, Smtpd::read_in(&scope)?);
        let (old_unverified, unverified) = (Unverified::read_in(own)?, Unverified::read_in(&scope)?);
        let polls = unverified.address_verify_poll_count;
        let numbers_alone = Smtpd {
            smtpd_timeout: p.smtpd_timeout,
            smtpd_per_request_deadline: p.smtpd_per_request_deadline,
            smtpd_hard_error_limit: p.smtpd_hard_error_limit,
            smtpd_junk_command_limit: p.smtpd_junk_command_limit,
            ..old
        };
        let unverified_alone = Unverified { address_verify_poll_count: polls, ..old_unverified };
        if numbers_alone != p || unverified_alone != unverified {
            return Settings::read_in(scope, around);
        }
        let (global, cleanup) = (Global::read_in(&scope)?, cleanup_of(&scope)?);
        let stress = stress_of(&scope);
        let mut reader = Reader { open: Opener::new(scope, &around.tables), all_exist: false };
        let dialogue = Arc::new(reader.dialogue(&global, &p, &cleanup, around));
        reader.open.finish()?;
        let (timeout, per_request_deadline) = (p.smtpd_timeout, p.smtpd_per_request_deadline);
        Ok(Settings { dialogue, timeout, per_request_deadline, polls, stress, ..self.clone() })
    }

    /// What lists and tables say of a client; asked once, when it has connected.
    pub(crate) async fn standing(&self, peer: &PeerInfo) -> Standing {
        let xclient = is_in(&self.peers.xclient_hosts, peer).await;
        let exempt = is_in(&self.event_limit_exceptions, peer).await;
        let discard_ehlo = self.discard_ehlo_of(peer).await;
        Standing {
            bare_newline: self.bare_newline_of(peer).await,
            ehlo_is_known: discard_ehlo.is_ok(),
            discard_ehlo: discard_ehlo.unwrap_or_else(|usual| usual),
            local: self.is_local(peer).await,
            event_exempt: xclient || exempt,
            rank: match self.exceptions_are_mynetworks {
                _ if peer.counted_login().is_some() => Rank::Authenticated,
                true if exempt => Rank::Mynetworks,
                true => Rank::Stranger,
                false => self.rank(peer).await,
            },
            xclient,
            xforward: is_in(&self.peers.xforward_hosts, peer).await,
            verp: is_in(&self.peers.verp_clients, peer).await,
        }
    }

    /// What a client hears when the service ends.
    pub(crate) fn going_down(&self) -> Reply {
        let text = format!("{} Service going down - try again later", self.dialogue.myhostname);
        Reply::new(421, Dsn::new(4, 3, 2), text)
    }

    /// How restrictions ask for names where `smtpd_dns_reply_filter` is set.
    pub(crate) fn filtered(&self, resolver: &dyn Resolver, tag: &Tag) -> Option<Rc<dyn Resolver>> {
        let tables = (!self.dns_reply_filter.is_empty()).then(|| Rc::new(self.dns_reply_filter.clone()))?;
        Some(resolver.filtered(Filter { parameter: "smtpd_dns_reply_filter", tables, tag: tag.clone() }))
    }

    /// A client whose name is not known yet.
    pub(crate) fn peer(&self, ends: Ends) -> PeerInfo {
        match ends {
            Ends::Internet { client, server }
            | Ends::Told { client, server }
            | Ends::Passed { client, server, .. } => PeerInfo::unnamed(client, server),
            Ends::Local => PeerInfo::local(self.families),
        }
    }

    /// How much a client's session counts where not all can have one.
    pub(crate) async fn rank(&self, peer: &PeerInfo) -> Rank {
        if is_in(&self.rules.mynetworks, peer).await { Rank::Mynetworks } else { Rank::Stranger }
    }

    async fn bare_newline_of(&self, peer: &PeerInfo) -> BareNewline {
        match is_in(&self.bare_newline_exclusions, peer).await {
            true => BareNewline::Allow,
            false => self.bare_newline,
        }
    }

    /// What EHLO leaves out for a client; an error where a table cannot say.
    async fn discard_ehlo_of(&self, peer: &PeerInfo) -> Result<EhloKeywords, EhloKeywords> {
        match self.discard_ehlo_maps.find([peer.key()]).await {
            Lookup::Found(words) => Ok(keywords(words.split([',', ' ', '\t']))),
            Lookup::NotFound => Ok(self.discard_ehlo),
            Lookup::TempFail(_) => Err(self.discard_ehlo),
        }
    }

    async fn is_local(&self, peer: &PeerInfo) -> bool {
        let local = &self.local_clients;
        (local.own && peer.known_address().is_some_and(|at| self.rules.own_addresses.contains(&at)))
            || (local.mynetworks && is_in(&self.rules.mynetworks, peer).await)
            || (local.logged_in && peer.login.as_ref().is_some_and(|login| login.counts))
            || matches!(local.tables.find([peer.key()]).await, Lookup::Found(_))
    }
}

/// How lists and tables make a service treat one client.
#[derive(Clone, Copy)]
pub(crate) struct Standing {
    /// What is done with bare newlines.
    pub bare_newline: BareNewline,
    /// What EHLO leaves out.
    pub discard_ehlo: EhloKeywords,
    /// Whether that is known for this client.
    pub ehlo_is_known: bool,
    /// Whether missing headers are added to its mail.
    pub local: bool,
    /// Whether limits on events do not count.
    pub event_exempt: bool,
    /// Whether it may use XCLIENT.
    pub xclient: bool,
    /// Whether it may use XFORWARD.
    pub xforward: bool,
    /// Whether it may use XVERP.
    pub verp: bool,
    /// How much its session counts where not all can have one.
    pub rank: Rank,
}

/// Whether a client is in a list; a table that cannot be asked makes no exception for anybody.
async fn is_in(list: &AddressList, peer: &PeerInfo) -> bool {
    matches!(peer.is_in(list).await, Ok(true))
}
