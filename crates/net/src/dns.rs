//! Names and addresses as mail needs them: mail exchangers, host addresses, host names.
//!
//! One trait, so that tests script it. Errors keep Postfix's distinctions, since retry or bounce follows from them.

mod error;
mod filter;
mod hosts;
pub mod probe;
mod resolv_conf;
mod scripted;
mod stub;
mod system;
#[cfg(test)]
mod testing;

pub use error::{ALL_DROPPED, DnsError, Problem, RecordType};
pub use filter::{Filter, ReplyFilter, Said};
pub use hosts::Hosts;
pub use resolv_conf::ResolvConf;
pub use scripted::ScriptedResolver;
pub use system::{HostFiles, SystemResolver, SystemResolverSettings};

use crate::Families;
use mail::domain::Idna;
use std::borrow::Cow;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// A mail exchanger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// Host name, without final dot.
    pub host: String,
}

/// A server of a service (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// The share among servers of the same priority.
    pub weight: u16,
    /// Where it listens.
    pub port: u16,
    /// Host name, without final dot; empty where the domain says that it has no such service.
    pub host: String,
}

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address (A, AAAA).
    Address(IpAddr),
    /// A mail exchanger; the host of a null MX (RFC 7505) is empty, and it stands alone.
    Mx(Mx),
    /// A host: a name server, or a name of an address.
    Name(String),
}

/// What a list that answers in DNS (RFC 5782) says of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The A records; none where the name is not listed.
    pub addresses: Vec<Ipv4Addr>,
    /// How long that may be believed: the shortest time of the records, or what the zone says of names that it does
    /// not have; nothing where it does not say.
    pub time_to_live: Option<Duration>,
}

/// A lookup on its way. Loop-local: it does not cross threads.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + 'a>>;

/// Asks for names. Contract: every answer is bounded in count and time; no answer is empty (that is `NoData`)
/// but that of `listing`; names come without final dot and only where they are valid host names; no search list is applied.
pub trait Resolver {
    /// A name as it is asked for, and as servers are called: that in ASCII of one in UTF-8. What has none stays as it is,
    /// and no question for it is answered.
    fn ascii<'a>(&self, name: &'a str) -> Cow<'a, str> {
        mail::domain::to_ascii(name, Idna::default()).unwrap_or(Cow::Borrowed(name))
    }

    /// The mail exchangers of a domain, unsorted. A null MX (RFC 7505), alone or not, is the error `NullMx`.
    fn mx<'a>(&'a self, domain: &'a str) -> Lookup<'a, Vec<Mx>>;

    /// The addresses of a host by DNS alone, as `smtp_host_lookup = dns` wants them.
    /// Where both families fail, the error is that of AAAA, as Postfix reports it, unless only A's is temporary.
    fn addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>>;

    /// The addresses of a host from /etc/hosts and then DNS, as the system's own lookup does.
    fn host_addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>>;

    /// The name that a host has behind its aliases (CNAME); the host's own where it is none.
    fn real_name<'a>(&'a self, host: &'a str, _families: Families) -> Lookup<'a, String> {
        Box::pin(async move { Ok(host.to_owned()) })
    }

    /// The servers of a service, `_submission._tcp.example.org`, unsorted.
    fn srv<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<Srv>> {
        let (problem, record_type) = (Problem::NotFound, RecordType::Srv);
        Box::pin(async move { Err(DnsError { problem, name: name.to_owned(), record_type }) })
    }

    /// Where names that are not complete are looked for, by the system's settings.
    fn search_domains(&self) -> Vec<String> {
        Vec::new()
    }

    /// The names of an address from /etc/hosts and then DNS; the first is the one to believe, if it resolves back.
    fn ptr(&self, address: IpAddr) -> Lookup<'_, Vec<String>>;

    /// The records of one type that a name has, by DNS alone.
    fn records<'a>(&'a self, name: &'a str, record_type: RecordType) -> Lookup<'a, Vec<Record>>;

    /// What a DNSBL or the like says of a name, with the time of its answer as the server gives it. Where the name does
    /// not exist or has no address, it is not listed, and that is an answer; an error is a list that cannot be asked.
    fn listing<'a>(&'a self, name: &'a str) -> Lookup<'a, Listing>;

    /// The texts (TXT) of a name, in the order of the answer; the strings of one record are one text. Octets outside of
    /// printable ASCII are blanks, since the texts go to clients and to the log.
    fn texts<'a>(&'a self, name: &'a str) -> Lookup<'a, Vec<String>>;

    /// The same names seen through a filter, which leaves out records of `mx`, `srv`, `addresses`, `records`,
    /// `listing` and `texts`. What is asked as the system's own lookup asks it (`host_addresses`, `ptr`) is as before.
    fn filtered(&self, filter: Filter) -> Rc<dyn Resolver>;
}
