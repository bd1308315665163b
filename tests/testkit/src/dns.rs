//! A name server that answers from a zone given as text.
//!
//! One record a line: `NAME TYPE DATA`; `ADDRESS PTR NAME` spells the reverse name out. `NAME NXDOMAIN`,
//! `NAME SERVFAIL`, `NAME REFUSED` and `NAME SILENCE` answer every question about that name so; with a type between
//! (`NAME MX SERVFAIL`) only that type's; `NAME SLOW` beside other records delays their answers. A name that the zone does not know is NXDOMAIN.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

/// What the zone says about one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Wire(Vec<u8>),
    Refuse(u8),
    Silence,
    /// The answer comes late.
    Slow,
}

/// The records of a zone, by lower-case name without the last dot.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: BTreeMap<String, Vec<(u16, Data)>>,
}

/// How late a slow answer comes: longer than a client that does not wait needs to send something.
const SLOW: Duration = Duration::from_millis(300);

const CNAME: u16 = 5;
const ANY: u16 = 255;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;
/// A CNAME chain longer than this is a loop.
const CHAIN_MAX: usize = 8;

impl Zone {
    /// Reads a zone; the error names the line.
    pub fn parse(text: &str) -> Result<Zone, String> {
        let mut zone = Zone::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            zone.add(line).map_err(|why| format!("zone line `{line}`: {why}"))?;
        }
        Ok(zone)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let name = words.next().ok_or("expected a name")?;
        let kind = words.next().ok_or("expected a type after the name")?;
        let rest: Vec<&str> = words.collect();
        let (kind, data) = match (special(kind), rest.as_slice()) {
            (Some(data), []) => (ANY, data),
            (_, [one]) if special(one).is_some() => (kind_number(kind)?, special(one).expect("just seen")),
            _ => (kind_number(kind)?, Data::Wire(wire(kind, &rest)?)),
        };
        let name = match name.parse::<IpAddr>() {
            Ok(address) => reverse_name(address),
            Err(_) => name.trim_end_matches('.').to_ascii_lowercase(),
        };
        self.records.entry(name).or_default().push((kind, data));
        Ok(())
    }

    /// The answer to one question packet, or nothing where the zone is silent (or the packet is no question).
    pub fn answer(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let (name, after) = read_name(packet, 12)?;
        let kind = u16::from_be_bytes([*packet.get(after)?, *packet.get(after + 1)?]);
        let question = packet.get(12..after + 4)?;
        let mut answers: Vec<u8> = Vec::new();
        let (mut count, mut code, mut owner) = (0u16, 0u8, name);
        for _ in 0..CHAIN_MAX {
            let Some(records) = self.records.get(&owner) else {
                code = if self.is_ancestor(&owner) { 0 } else { NXDOMAIN };
                break;
            };
            let mut alias = None;
            for (have, data) in records.iter().filter(|(have, _)| [kind, CNAME, ANY].contains(have)) {
                match data {
                    Data::Silence => return None,
                    Data::Slow => thread::sleep(SLOW),
                    Data::Refuse(refusal) => code = *refusal,
                    Data::Wire(bytes) => {
                        if *have == CNAME && kind != CNAME {
                            alias = read_name(bytes, 0).map(|(target, _)| target);
                        }
                        write_name(&owner, &mut answers);
                        answers.extend(have.to_be_bytes());
                        answers.extend([0, 1, 0, 0, 0, 60]);
                        answers.extend(u16::try_from(bytes.len()).ok()?.to_be_bytes());
                        answers.extend(bytes);
                        count += 1;
                    }
                }
            }
            match alias {
                Some(target) => owner = target,
                None => break,
            }
        }
        let mut reply = packet.get(..2)?.to_vec();
        reply.extend([0x85, 0x80 | code, 0, 1]);
        reply.extend(count.to_be_bytes());
        reply.extend([0, 0, 0, 0]);
        reply.extend(question);
        reply.extend(answers);
        Some(reply)
    }

    /// Whether the zone knows a name below this one, so that the name exists without records.
    fn is_ancestor(&self, name: &str) -> bool {
        let suffix = format!(".{name}");
        self.records.keys().any(|key| key.ends_with(&suffix))
    }

    /// Serves the zone over UDP and TCP at an address until the process ends.
    pub fn serve(self, address: SocketAddr) -> Result<(), String> {
        let udp = UdpSocket::bind(address).map_err(|e| format!("DNS server on UDP {address}: {e}"))?;
        let tcp = TcpListener::bind(address).map_err(|e| format!("DNS server on TCP {address}: {e}"))?;
        let zone = self.clone();
        thread::spawn(move || {
            let mut packet = [0u8; 4096];
            while let Ok((size, peer)) = udp.recv_from(&mut packet) {
                if let Some(mut reply) = zone.answer(&packet[..size]) {
                    if reply.len() > 512 && !has_edns(&packet[..size]) {
                        // Too long for plain UDP: an empty answer with the truncation bit sends the asker to TCP.
                        reply[2] |= 0x02;
                        reply[6..8].copy_from_slice(&[0, 0]);
                        reply.truncate(12 + question_length(&packet[..size]));
                    }
                    let _ = udp.send_to(&reply, peer);
                }
            }
        });
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let mut length = [0u8; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut packet = vec![0u8; usize::from(u16::from_be_bytes(length))];
                    if stream.read_exact(&mut packet).is_err() {
                        break;
                    }
                    let Some(reply) = self.answer(&packet) else { break };
                    let size = u16::try_from(reply.len()).unwrap_or(u16::MAX);
                    let _ = stream.write_all(&[&size.to_be_bytes()[..], &reply].concat());
                }
            }
        });
        Ok(())
    }
}

fn has_edns(packet: &[u8]) -> bool {
    packet.get(10..12).is_some_and(|count| count != [0, 0])
}

fn question_length(packet: &[u8]) -> usize {
    read_name(packet, 12).map_or(0, |(_, after)| after + 4 - 12)
}

fn special(word: &str) -> Option<Data> {
    match word {
        "NXDOMAIN" => Some(Data::Refuse(NXDOMAIN)),
        "SERVFAIL" => Some(Data::Refuse(SERVFAIL)),
        "REFUSED" => Some(Data::Refuse(REFUSED)),
        "SILENCE" => Some(Data::Silence),
        "SLOW" => Some(Data::Slow),
        _ => None,
    }
}

fn kind_number(kind: &str) -> Result<u16, String> {
    Ok(match kind {
        "A" => 1,
        "NS" => 2,
        "CNAME" => CNAME,
        "SOA" => 6,
        "PTR" => 12,
        "MX" => 15,
        "TXT" => 16,
        "AAAA" => 28,
        "SRV" => 33,
        "ANY" => ANY,
        other => {
            return Err(format!(
                "expected A, AAAA, MX, PTR, CNAME, SRV, TXT, NXDOMAIN, SERVFAIL, REFUSED, SILENCE or SLOW, found `{other}`"
            ));
        }
    })
}

fn wire(kind: &str, words: &[&str]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    match (kind, words) {
        ("A" | "AAAA", [address]) => match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) if kind == "A" => out.extend(v4.octets()),
            Ok(IpAddr::V6(v6)) if kind == "AAAA" => out.extend(v6.octets()),
            _ => return Err(format!("expected an address, found `{address}`")),
        },
        ("MX", [preference, host]) => {
            let preference: u16 =
                preference.parse().map_err(|_| format!("expected a preference, found `{preference}`"))?;
            out.extend(preference.to_be_bytes());
            write_name(host, &mut out);
        }
        ("SRV", [priority, weight, port, host]) => {
            for number in [priority, weight, port] {
                let number: u16 =
                    number.parse().map_err(|_| format!("expected a number, found `{number}`"))?;
                out.extend(number.to_be_bytes());
            }
            write_name(host, &mut out);
        }
        ("PTR" | "CNAME" | "NS", [host]) => write_name(host, &mut out),
        ("TXT", words) => {
            for chunk in words.join(" ").trim_matches('"').as_bytes().chunks(255) {
                out.push(u8::try_from(chunk.len()).expect("chunks of 255"));
                out.extend(chunk);
            }
        }
        _ => return Err(format!("this type wants other data than `{}`", words.join(" "))),
    }
    Ok(out)
}

fn reverse_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles =
                v6.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa"
        }
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(63).min(63));
        out.extend(label.bytes().take(63));
    }
    out.push(0);
}

/// The lower-case name at an offset, and the offset behind it; questions carry no compression.
fn read_name(packet: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(zone: &Zone, name: &str, kind: u16) -> Option<Vec<u8>> {
        let mut packet = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        write_name(name, &mut packet);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1]);
        zone.answer(&packet)
    }

    #[test]
    fn a_known_name_is_answered_and_an_unknown_one_does_not_exist() {
        let zone = Zone::parse("example.org MX 10 mx.example.org\nmx.example.org A 192.0.2.25").unwrap();
        let mx = ask(&zone, "Example.ORG", 15).unwrap();
        assert_eq!((mx[3] & 15, mx[7]), (0, 1));
        assert_eq!(ask(&zone, "other.example", 15).unwrap()[3] & 15, NXDOMAIN);
        assert_eq!(ask(&zone, "mx.example.org", 28).unwrap()[7], 0, "the name exists, the type does not");
    }

    #[test]
    fn aliases_are_followed_and_failures_are_scripted() {
        let zone = Zone::parse("www.example.org CNAME a.example.org\na.example.org A 192.0.2.1\nb.example SERVFAIL\nc.example MX SILENCE\n192.0.2.9 PTR p.example").unwrap();
        assert_eq!(ask(&zone, "www.example.org", 1).unwrap()[7], 2);
        assert_eq!(ask(&zone, "b.example", 1).unwrap()[3] & 15, SERVFAIL);
        assert!(ask(&zone, "c.example", 15).is_none());
        assert_eq!(ask(&zone, "9.2.0.192.in-addr.arpa", 12).unwrap()[7], 1);
    }

    #[test]
    fn a_bad_line_is_named() {
        assert!(Zone::parse("example.org A nonsense").unwrap_err().contains("example.org A nonsense"));
    }
}
