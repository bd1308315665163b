//! What every test ring shares: private worlds, scripted DNS, dialogues, sinks, masks.
//!
//! A *world* (`world/enter`) is a set of fresh namespaces in which Debian's Postfix or Posthaste runs at its
//! usual paths and ports. A *case* is text: settings, a DNS zone, sinks and SMTP dialogues. Playing it in a
//! world gives a *transcript*: replies, log lines, what the sinks took and what lies in mailboxes, with
//! everything masked that differs from run to run.

pub mod asked;
pub mod case;
pub mod dialogue;
pub mod dns;
pub mod mask;
pub mod mta;
pub mod play;
pub mod policy;
pub mod sink;
pub mod world;

/// A port of loopback that nobody listens on at the moment.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
