//! The last refusals of a process, with what was asked on the way to each: a bounded list in memory.
//!
//! It is no log. A refusal that finds no room takes the place of the oldest; so that one busy client cannot push out
//! what an administrator looks for, a network has a bounded number of places.

use crate::packed::{self, Packed};
use crate::trail::{self, Step};
use mail::Timestamp;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Refusals that are kept of one network (one IPv4 address, one IPv6 /64): enough for a mail with a long list of
/// recipients, and a dictionary attack of one client leaves the rest alone. Beyond it, the network's oldest goes.
const OF_ONE_NETWORK_MAX: usize = 50;

/// What a refusal costs beside its text: its places in the list and among its network's, generously.
const OVERHEAD_BYTES: usize = 256;

/// Which form the texts of a refusal have; another version of the program may hand over its list at a reload.
const FORM: &str = "1";

/// A recorded refusal, packed; clones are the same.
pub type Packet = Arc<[u8]>;

/// The last refusals; clones are the same list.
#[derive(Clone)]
pub struct Recent(Arc<Inner>);

struct Inner {
    bytes_max: usize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    next: u64,
    bytes: usize,
    all: BTreeMap<u64, (IpAddr, Packet)>,
    of_network: HashMap<IpAddr, VecDeque<u64>>,
}

/// A refusal as it is recorded, and as it comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// When.
    pub time: Timestamp,
    /// The client's address.
    pub address: IpAddr,
    /// `name[address]`.
    pub client: String,
    /// The service of master.cf.
    pub service: String,
    /// At which command.
    pub command: String,
    /// Argument of HELO or EHLO; empty where there was none.
    pub helo: String,
    /// Envelope sender, where one is known.
    pub sender: Option<String>,
    /// Recipient, where it is about one.
    pub recipient: Option<String>,
    /// The message's id, where it had one.
    pub queue_id: String,
    /// As whom the client has logged in; empty for nobody.
    pub login: String,
    /// What the client was told, its lines as they were sent.
    pub reply: String,
    /// What was asked, in order.
    pub steps: Vec<Step>,
}

impl Recent {
    /// An empty list of at most so many bytes; none is kept with 0.
    pub fn new(bytes_max: usize) -> Recent {
        Recent(Arc::new(Inner { bytes_max, list: Mutex::default() }))
    }

    /// Whether anything is kept.
    pub fn is_kept(&self) -> bool {
        self.0.bytes_max > 0
    }

    /// Adds a refusal of a client; its number, unless it is larger than the list.
    pub(crate) fn add(&self, address: IpAddr, packet: Packet) -> Option<u64> {
        let cost = packet.len() + OVERHEAD_BYTES;
        if cost > self.0.bytes_max {
            return None;
        }
        let network = network(address);
        let mut list = self.list();
        let number = list.next;
        list.next += 1;
        list.bytes += cost;
        list.all.insert(number, (network, packet));
        let of_it = list.of_network.entry(network).or_default();
        of_it.push_back(number);
        let one_too_many = (of_it.len() > OF_ONE_NETWORK_MAX).then(|| of_it[0]);
        if let Some(oldest) = one_too_many {
            list.forget(oldest);
        }
        list.shrink_to(self.0.bytes_max);
        Some(number)
    }

    /// Another reply in a refusal, if it is still kept.
    pub(crate) fn amend(&self, number: u64, reply: &str) {
        let mut list = self.list();
        let Some((_, packet)) = list.all.get_mut(&number) else { return };
        let mut packed = Packed::with_capacity(packet.len() + reply.len());
        let (mut rest, mut last) = (&packet[..], None);
        while let Some(text) = packed::take(&mut rest) {
            if let Some(text) = last.replace(text) {
                packed.put_bytes(text);
            }
        }
        packed.put(reply);
        let before = packet.len();
        *packet = packed.bytes().into();
        let after = packet.len();
        list.bytes = list.bytes + after - before;
        list.shrink_to(self.0.bytes_max);
    }

    /// Adds what another process recorded.
    pub fn take_over(&self, packet: &[u8]) {
        if let Some(refused) = Refused::read(packet) {
            self.add(refused.address, packet.into());
        }
    }

    /// All refusals, oldest first.
    pub fn all(&self) -> Vec<Packet> {
        self.list().all.values().map(|(_, packet)| Arc::clone(packet)).collect()
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.list().bytes
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(oldest) = self.all.keys().next().copied()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, number: u64) {
        let Some((network, packet)) = self.all.remove(&number) else { return };
        self.bytes -= packet.len() + OVERHEAD_BYTES;
        let Some(of_it) = self.of_network.get_mut(&network) else { return };
        // The oldest of all is the oldest of its network as well.
        of_it.pop_front();
        if of_it.is_empty() {
            self.of_network.remove(&network);
        }
    }
}

/// Refusals one behind the other, for another process.
pub fn joined(all: &[Packet]) -> Vec<u8> {
    let mut packed = Packed::with_capacity(all.iter().map(|packet| packet.len() + OVERHEAD_BYTES).sum());
    all.iter().for_each(|packet| packed.put_bytes(packet));
    packed.into_bytes().into()
}

/// They again, as far as they came.
pub fn split(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || packed::take(&mut bytes))
}

/// Who counts as one client.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What a refusal is packed from, without a copy.
pub(crate) struct Packing<'a> {
    pub(crate) time: Timestamp,
    pub(crate) address: IpAddr,
    pub(crate) client: &'a str,
    pub(crate) service: &'a str,
    pub(crate) command: &'a str,
    pub(crate) helo: &'a str,
    pub(crate) sender: Option<&'a [u8]>,
    pub(crate) recipient: Option<&'a [u8]>,
    pub(crate) queue_id: &'a str,
    pub(crate) login: &'a str,
}

impl Packing<'_> {
    /// All but the steps and the reply, which follow as a text each.
    pub(crate) fn pack(&self, packed: &mut Packed) {
        packed.put(FORM);
        packed.put(self.time.micros());
        packed.put(self.address);
        for text in [self.client, self.service, self.command, self.helo, self.queue_id, self.login] {
            packed.put(text);
        }
        for address in [self.sender, self.recipient] {
            // No address holds a line's end, so this one is none.
            packed.put_bytes(address.unwrap_or(b"\n"));
        }
    }
}

impl Refused {
    /// Reads a packed refusal; nothing where another form wrote it.
    pub fn read(mut bytes: &[u8]) -> Option<Refused> {
        let mut text = || packed::take_text(&mut bytes);
        if text()? != FORM {
            return None;
        }
        let time = Timestamp::from_micros(text()?.parse().ok()?);
        let address = text()?.parse().ok()?;
        let [client, service, command, helo, queue_id, login] =
            [text()?, text()?, text()?, text()?, text()?, text()?];
        let mut known = || text().map(|address| Some(address).filter(|address| address != "\n"));
        let (sender, recipient) = (known()?, known()?);
        let steps = trail::read(packed::take(&mut bytes)?);
        let reply = packed::take_text(&mut bytes)?;
        Some(Refused {
            time,
            address,
            client,
            service,
            command,
            helo,
            sender,
            recipient,
            queue_id,
            login,
            reply,
            steps,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trail::Trail;

    fn packet(address: &str, reply: &str) -> Packet {
        let mut packed = Packed::default();
        let packing = Packing {
            time: Timestamp::from_micros(1_700_000_000_000_001),
            address: address.parse().unwrap(),
            client: "c.example[192.0.2.1]",
            service: "smtp",
            command: "RCPT",
            helo: "h",
            sender: Some(b""),
            recipient: None,
            queue_id: "",
            login: "",
        };
        packing.pack(&mut packed);
        let trail = Trail::default();
        trail.entered("smtpd_client_restrictions", None);
        trail.pack(&mut packed);
        packed.put(reply);
        packed.into_bytes().into()
    }

    fn replies(recent: &Recent) -> Vec<String> {
        recent.all().iter().map(|packet| Refused::read(packet).unwrap().reply).collect()
    }

    fn add(recent: &Recent, address: &str, reply: &str) {
        recent.add(address.parse().unwrap(), packet(address, reply));
    }

    #[test]
    fn a_refusal_comes_back_as_it_was() {
        let refused = Refused::read(&packet("192.0.2.1", "554 5.7.1 no")).unwrap();
        assert_eq!(refused.time.micros(), 1_700_000_000_000_001);
        assert_eq!((refused.sender.as_deref(), refused.recipient), (Some(""), None));
        assert_eq!((&*refused.reply, &*refused.helo), ("554 5.7.1 no", "h"));
        assert_eq!(refused.steps.len(), 1);
        assert_eq!(Refused::read(b"\x01\0\0\x002"), None, "another form");
    }

    #[test]
    fn a_reply_with_a_footer_takes_the_place_of_the_plain_one() {
        let recent = Recent::new(1 << 20);
        let number = recent.add("192.0.2.1".parse().unwrap(), packet("192.0.2.1", "550 no")).unwrap();
        let before = recent.bytes();
        recent.amend(number, "550 no, ask x@example");
        assert_eq!(replies(&recent), ["550 no, ask x@example"]);
        assert_eq!(recent.bytes(), before + ", ask x@example".len());
        assert_eq!(Refused::read(&recent.all()[0]).unwrap().steps.len(), 1);
        recent.amend(number + 1, "550 gone");
    }

    #[test]
    fn the_oldest_makes_room_for_the_newest() {
        let one = packet("192.0.2.1", "550 0").len() + OVERHEAD_BYTES;
        let recent = Recent::new(3 * one);
        for n in 0..5 {
            add(&recent, &format!("192.0.2.{n}"), &format!("550 {n}"));
        }
        assert_eq!(replies(&recent), ["550 2", "550 3", "550 4"]);
        assert!(recent.bytes() <= 3 * one);
        add(&recent, "192.0.2.9", &"x".repeat(3 * one));
        assert_eq!(replies(&recent).len(), 3, "what is larger than the list is not kept");
    }

    #[test]
    fn a_flood_from_one_network_leaves_the_others_alone() {
        let recent = Recent::new(1 << 20);
        add(&recent, "192.0.2.1", "550 first");
        for n in 0..10 * OF_ONE_NETWORK_MAX {
            add(&recent, &format!("2001:db8::{n:x}"), &format!("550 {n}"));
        }
        let replies = replies(&recent);
        assert_eq!((replies.len(), &*replies[0]), (1 + OF_ONE_NETWORK_MAX, "550 first"));
        assert_eq!(replies.last().map(|r| &**r), Some("550 499"));
        assert_eq!(recent.list().of_network.len(), 2);
    }

    #[test]
    fn a_list_of_no_bytes_keeps_nothing_and_another_process_gives_on_its_own() {
        let (none, recent) = (Recent::new(0), Recent::new(1 << 20));
        add(&none, "192.0.2.1", "550 no");
        assert!(!none.is_kept() && none.all().is_empty());
        let given = joined(&[packet("192.0.2.1", "550 old"), Packet::from(*b"nonsense")]);
        split(&given).for_each(|packet| recent.take_over(packet));
        assert_eq!(replies(&recent), ["550 old"]);
    }
}
