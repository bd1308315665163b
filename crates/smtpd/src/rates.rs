//! What a client may ask for within `anvil_rate_time_unit`, and what it hears when that was too much.
//!
//! Postfix: `smtpd_client_*_limit`. As there, the event that is too many counts as well, and a limit of 0 is none.

use crate::anvil::{Anvil, Bits, Connection, Event, Network, ServiceNumber};
use config::parameters::Smtpd;
use mail::{Dsn, Reply};
use observe::Tag;
use std::net::IpAddr;

/// The limits of a service; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `smtpd_client_connection_count_limit`.
    pub connection_count: u64,
    /// `smtpd_client_connection_rate_limit`.
    pub connection_rate: u64,
    /// `smtpd_client_message_rate_limit`.
    pub message_rate: u64,
    /// `smtpd_client_recipient_rate_limit`.
    pub recipient_rate: u64,
    /// `smtpd_client_new_tls_session_rate_limit`.
    pub new_tls_session_rate: u64,
    /// `smtpd_client_auth_rate_limit`.
    pub auth_rate: u64,
}

impl Limits {
    /// Those of a service.
    pub fn of(p: &Smtpd) -> Self {
        Limits {
            connection_count: p.smtpd_client_connection_count_limit,
            connection_rate: p.smtpd_client_connection_rate_limit,
            message_rate: p.smtpd_client_message_rate_limit,
            recipient_rate: p.smtpd_client_recipient_rate_limit,
            new_tls_session_rate: p.smtpd_client_new_tls_session_rate_limit,
            auth_rate: p.smtpd_client_auth_rate_limit,
        }
    }

    /// Whether there is any: without one nobody is counted.
    pub fn any(&self) -> bool {
        *self != Limits::default()
    }

    fn of_event(&self, event: Event) -> u64 {
        match event {
            Event::Connection => self.connection_rate,
            Event::Message => self.message_rate,
            Event::Recipient => self.recipient_rate,
            Event::NewTlsSession => self.new_tls_session_rate,
            Event::Auth => self.auth_rate,
        }
    }
}

/// Who is counted, as log lines and replies name it.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The session's tag in the log.
    pub tag: &'a Tag,
    /// `name[address]`.
    pub name_and_address: &'a str,
    /// The client's address.
    pub address: IpAddr,
    /// The service's name in master.cf.
    pub service: &'a str,
    /// `myhostname`.
    pub myhostname: &'a str,
}

/// A client's rates, where it is counted.
#[derive(Debug, Default)]
pub struct Rates {
    limits: Limits,
    connection: Option<Connection>,
}

impl Rates {
    /// Counts a session. Who is exempt (`smtpd_client_event_limit_exceptions`, XCLIENT hosts) gets [`Rates::default`].
    pub fn begin(anvil: &Anvil, service: ServiceNumber, limits: Limits, address: IpAddr, bits: Bits) -> Self {
        let connection = limits.any().then(|| anvil.connect(service, Network::of(address, bits)));
        Rates { limits, connection }
    }

    /// Whether such an event is counted at all.
    pub fn counts(&self, event: Event) -> bool {
        self.connection.is_some() && self.limits.of_event(event) > 0
    }

    /// Whether the client has too many sessions, or too many within the time unit: then this is its last reply.
    pub fn session_refused(&self, who: Who<'_>) -> Option<Reply> {
        let Connection { sessions, rate, .. } = self.connection.as_ref()?;
        let (what, count) = if is_over(*sessions, self.limits.connection_count) {
            ("Connection concurrency", *sessions)
        } else if is_over(*rate, self.limits.connection_rate) {
            ("Connection rate", *rate)
        } else {
            return None;
        };
        who.warn(what, count);
        let text = format!("{} Error: too many connections from {}", who.myhostname, who.address);
        Some(Reply::new(421, Dsn::new(4, 7, 0), text))
    }

    /// Counts a MAIL; the reply where it is one too many.
    pub fn message_refused(&self, who: Who<'_>) -> Option<Reply> {
        self.counted(Event::Message, "Message delivery request rate", "too much mail", who)
    }

    /// Counts a RCPT or VRFY; the reply where it is one too many.
    pub fn recipient_refused(&self, who: Who<'_>) -> Option<Reply> {
        self.counted(Event::Recipient, "Recipient address rate", "too many recipients", who)
    }

    /// Counts an AUTH; the reply where it is one too many.
    pub fn auth_refused(&self, who: Who<'_>) -> Option<Reply> {
        self.counted(Event::Auth, "AUTH command rate", "too many AUTH commands", who)
    }

    /// Whether the client made too many new TLS sessions to be let begin another: the reply to STARTTLS. With
    /// `smtpd_tls_wrappermode` the connection is closed without one.
    pub fn tls_refused(&self, wrapped: bool, who: Who<'_>) -> Option<Reply> {
        let limit = self.limits.new_tls_session_rate;
        let rate = self.connection.as_ref().filter(|_| limit > 0)?.rate_of(Event::NewTlsSession);
        if !is_over(rate, limit) {
            return None;
        }
        let what = if wrapped { "TLS service" } else { "STARTTLS" };
        let Who { tag, name_and_address, service, .. } = who;
        let text = format_args!("Refusing {what} request from {name_and_address} for service {service}");
        observe::warn(tag, text);
        let text = format!("Error: too many new TLS sessions from {name_and_address}");
        Some(Reply::new(454, Dsn::new(4, 7, 0), text))
    }

    /// Counts a TLS session that was made anew; the reply that ends the session where it is one too many.
    pub fn new_tls_session_refused(&self, who: Who<'_>) -> Option<Reply> {
        self.over(Event::NewTlsSession, "New TLS session rate", who)?;
        let Who { myhostname, name_and_address, .. } = who;
        let text = format!("{myhostname} Error: too many new TLS sessions from {name_and_address}");
        Some(Reply::new(421, Dsn::new(4, 7, 0), text))
    }

    fn counted(&self, event: Event, what: &str, too_much: &str, who: Who<'_>) -> Option<Reply> {
        self.over(event, what, who)?;
        Some(Reply::new(450, Dsn::new(4, 7, 1), format!("Error: {too_much} from {}", who.address)))
    }

    /// Counts an event; the count where it is beyond the limit, which the log then says.
    fn over(&self, event: Event, what: &str, who: Who<'_>) -> Option<u32> {
        let limit = self.limits.of_event(event);
        let count = self.connection.as_ref().filter(|_| limit > 0)?.count(event);
        if !is_over(count, limit) {
            return None;
        }
        who.warn(what, count);
        Some(count)
    }
}

impl Who<'_> {
    fn warn(&self, what: &str, count: u32) {
        let Who { tag, name_and_address, service, .. } = self;
        observe::warn(
            tag,
            format_args!("{what} limit exceeded: {count} from {name_and_address} for service {service}"),
        );
    }
}

fn is_over(count: u32, limit: u64) -> bool {
    limit > 0 && u64::from(count) > limit
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BITS: Bits = Bits { v4: 32, v6: 84 };

    fn rates(limits: Limits) -> Rates {
        let anvil = Anvil::new(Duration::from_secs(60));
        let service = anvil.service(&"smtp".into());
        Rates::begin(&anvil, service, limits, "192.0.2.1".parse().unwrap(), BITS)
    }

    fn asked(ask: impl Fn(Who<'_>) -> Option<Reply>) -> Option<String> {
        let tag = Tag::new("postfix", "smtpd", 1);
        let reply = ask(Who {
            tag: &tag,
            name_and_address: "client.example[192.0.2.1]",
            address: "192.0.2.1".parse().unwrap(),
            service: "smtp",
            myhostname: "mx.example.org",
        });
        reply.map(|reply| reply.to_string())
    }

    #[test]
    fn sessions_and_then_their_rate_are_limited() {
        let anvil = Anvil::new(Duration::from_secs(60));
        let service = anvil.service(&"smtp".into());
        let limits = Limits { connection_count: 1, connection_rate: 2, ..Limits::default() };
        let begin = || Rates::begin(&anvil, service, limits, "192.0.2.1".parse().unwrap(), BITS);
        let refused = |rates: &Rates| asked(|who| rates.session_refused(who));
        let text = "421 4.7.0 mx.example.org Error: too many connections from 192.0.2.1";
        let first = begin();
        assert_eq!(refused(&first), None);
        assert_eq!(refused(&begin()).as_deref(), Some(text));
        drop(first);
        // Alone, but the third within the time unit.
        assert_eq!(refused(&begin()).as_deref(), Some(text));
    }

    #[test]
    fn mail_recipients_and_logins_beyond_the_limit_are_refused_for_now() {
        let rates = rates(Limits { message_rate: 1, recipient_rate: 2, auth_rate: 1, ..Limits::default() });
        let mail = || asked(|who| rates.message_refused(who));
        let recipient = || asked(|who| rates.recipient_refused(who));
        let auth = || asked(|who| rates.auth_refused(who));
        assert_eq!((mail(), recipient(), recipient(), auth()), (None, None, None, None));
        assert_eq!(mail().as_deref(), Some("450 4.7.1 Error: too much mail from 192.0.2.1"));
        assert_eq!(recipient().as_deref(), Some("450 4.7.1 Error: too many recipients from 192.0.2.1"));
        assert_eq!(auth().as_deref(), Some("450 4.7.1 Error: too many AUTH commands from 192.0.2.1"));
    }

    #[test]
    fn the_new_tls_session_beyond_the_limit_is_the_last_and_the_next_one_is_not_begun() {
        let rates = rates(Limits { new_tls_session_rate: 2, ..Limits::default() });
        let may_begin = |wrapped| asked(|who| rates.tls_refused(wrapped, who));
        let made = || asked(|who| rates.new_tls_session_refused(who));
        assert_eq!((may_begin(false), made(), may_begin(false), made()), (None, None, None, None));
        assert_eq!(may_begin(true), None);
        let told = "Error: too many new TLS sessions from client.example[192.0.2.1]";
        assert_eq!(made(), Some(format!("421 4.7.0 mx.example.org {told}")));
        assert_eq!(may_begin(false), Some(format!("454 4.7.0 {told}")));
    }

    #[test]
    fn without_limits_and_for_exempt_clients_nothing_is_counted() {
        let unlimited = rates(Limits { connection_count: 50, ..Limits::default() });
        for _ in 0..3 {
            assert_eq!(asked(|who| unlimited.message_refused(who)), None);
        }
        assert!(!unlimited.counts(Event::Message));
        let anvil = Anvil::new(Duration::from_secs(60));
        let service = anvil.service(&"smtp".into());
        let none = Rates::begin(&anvil, service, Limits::default(), "192.0.2.1".parse().unwrap(), BITS);
        assert_eq!((asked(|who| none.session_refused(who)), anvil.networks()), (None, 0));
        assert_eq!(asked(|who| Rates::default().recipient_refused(who)), None);
    }
}
