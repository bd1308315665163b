//! Names and addresses as mail needs them: mail exchangers, host addresses, host names.
//!
//! One trait, so that tests script it. Errors keep Postfix's distinctions, since retry or bounce follows from them.

mod error;
mod hosts;
mod scripted;
mod system;

pub use error::{DnsError, Problem, RecordType};
pub use hosts::Hosts;
pub use scripted::ScriptedResolver;
pub use system::{HostFiles, SystemResolver, SystemResolverSettings};

use crate::Families;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

/// A mail exchanger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// Host name, without final dot.
    pub host: String,
}

/// What one record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An address (A, AAAA).
    Address(IpAddr),
    /// A mail exchanger; the host of a null MX (RFC 7505) is empty.
    Mx(Mx),
    /// A host: a name server, or a name of an address.
    Name(String),
    /// A text, its strings joined.
    Text(String),
}

/// The records of one type that a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// What they say; not empty.
    pub data: Vec<Record>,
    /// How long the answer may be believed: the shortest time to live.
    pub ttl: Duration,
}

impl Records {
    /// The addresses among them.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.data.iter().filter_map(|record| match record {
            Record::Address(address) => Some(*address),
            _ => None,
        })
    }
}

/// A lookup on its way. Loop-local: it does not cross threads.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, DnsError>> + 'a>>;

/// Asks for names. Contract: every answer is bounded in count and time; no answer is empty (that is `NoData`);
/// names come without final dot and only where they are valid host names; no search list is applied.
pub trait Resolver {
    /// The mail exchangers of a domain, unsorted. A null MX (RFC 7505) is the error `NullMx`.
    fn mx<'a>(&'a self, domain: &'a str) -> Lookup<'a, Vec<Mx>>;

    /// The addresses of a host by DNS alone, as `smtp_host_lookup = dns` wants them.
    /// Where both families fail, the error is that of AAAA, as Postfix reports it, unless only A's is temporary.
    fn addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>>;

    /// The addresses of a host from /etc/hosts and then DNS, as the system's own lookup does.
    fn host_addresses<'a>(&'a self, host: &'a str, families: Families) -> Lookup<'a, Vec<IpAddr>>;

    /// The names of an address from /etc/hosts and then DNS; the first is the one to believe, if it resolves back.
    fn ptr(&self, address: IpAddr) -> Lookup<'_, Vec<String>>;

    /// The records of one type that a name has, by DNS alone.
    fn records<'a>(&'a self, name: &'a str, record_type: RecordType) -> Lookup<'a, Records>;
}
