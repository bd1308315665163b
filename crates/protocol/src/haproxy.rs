//! The PROXY protocol, versions 1 and 2: the first bytes of a connection say between whom it really is.
//!
//! HAProxy's proxy-protocol.txt, sections 2.1 and 2.2; what is refused, and why, is Postfix's. Postfix takes neither
//! version 1's UNKNOWN nor version 2's UNSPEC: a proxy that cannot name its client is not believed.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a line of version 1, which need not be 107 here, as in Postfix.
pub const LINE_BYTES_MAX: usize = 536;

/// Bytes that version 2 may add behind its addresses; certificates of clients fit.
pub const ADDED_BYTES_MAX: usize = 4096;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, protocol, length.
const HEAD: usize = 16;

/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The connection is between these.
    Proxied {
        /// The client.
        client: SocketAddr,
        /// The server that it reached.
        server: SocketAddr,
    },
    /// The proxy speaks for itself, to see whether we are there.
    Local,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header of so many bytes.
    Header(Header, usize),
    /// The beginning of one; no more than `HEAD` + 65,535 bytes will be.
    Partial,
    /// No header at all.
    Other,
    /// A header that is not understood, in Postfix's words.
    Bad(&'static str),
}

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins = |with: &[u8]| {
        let length = bytes.len().min(with.len());
        bytes[..length] == with[..length]
    };
    if begins(SIGNATURE) {
        version_2(bytes)
    } else if begins(WORD) {
        version_1(bytes)
    } else {
        Parsed::Other
    }
}

/// Why bytes that are no header, or only the beginning of one, are refused where one must come, in Postfix's words.
pub fn missing(bytes: &[u8]) -> &'static str {
    match parse(bytes) {
        Parsed::Bad(why) => why,
        _ if bytes.starts_with(WORD) => "missing protocol header terminator",
        // Postfix calls less than a head of version 2 short, whatever it is.
        _ if bytes.len() < HEAD => "short protocol header",
        _ if bytes.starts_with(SIGNATURE) => "short version 2 protocol header",
        _ => "unrecognized protocol header",
    }
}

fn version_1(bytes: &[u8]) -> Parsed {
    let line = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        return match bytes.len() >= LINE_BYTES_MAX {
            true => Parsed::Bad("missing protocol header terminator"),
            false => Parsed::Partial,
        };
    };
    match ends(&bytes[..end]) {
        Ok(header) => Parsed::Header(header, end + 1),
        Err(why) => Parsed::Bad(why),
    }
}

/// `PROXY TCP4 CLIENT SERVER PORT PORT`.
fn ends(line: &[u8]) -> Result<Header, &'static str> {
    let mut words = line.split(|b| matches!(b, b' ' | b'\r' | b'\t')).filter(|word| !word.is_empty());
    let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default();
    word();
    let read: fn(&str) -> Option<IpAddr> = match word() {
        "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return Err("bad or missing protocol type"),
    };
    let client = read(word()).ok_or("bad or missing client address")?;
    let server = read(word()).ok_or("bad or missing server address")?;
    let client_port = port(word()).ok_or("bad or missing client port")?;
    let server_port = port(word()).ok_or("bad or missing server port")?;
    Ok(proxied((client, client_port), (server, server_port)))
}

/// A number without sign and leading zeros.
fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    plain.then(|| text.parse().ok())?
}

fn version_2(bytes: &[u8]) -> Parsed {
    let Some(&[version, protocol, high, low]) = bytes.get(SIGNATURE.len()..HEAD) else {
        return Parsed::Partial;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 2 {
        return Parsed::Bad("unrecognized protocol version");
    }
    if !matches!(version & 15, 0 | 1) {
        return Parsed::Bad("bad command in proxy header");
    }
    if length > ADDED_BYTES_MAX {
        return Parsed::Bad("too long protocol header");
    }
    let Some(field) = bytes.get(HEAD..HEAD + length) else { return Parsed::Partial };
    let header = match (version & 15, protocol) {
        (0, _) => Some(Header::Local),
        (_, 0x11) => addresses::<4>(field),
        (_, 0x21) => addresses::<16>(field),
        _ => return Parsed::Bad("unsupported network protocol"),
    };
    header.map_or(Parsed::Bad("short address field"), |header| Parsed::Header(header, HEAD + length))
}

/// Both addresses, both ports.
fn addresses<const N: usize>(field: &[u8]) -> Option<Header>
where
    IpAddr: From<[u8; N]>,
{
    let (client, rest) = field.split_first_chunk::<N>()?;
    let (server, rest) = rest.split_first_chunk::<N>()?;
    let (&ports, _) = rest.split_first_chunk::<4>()?;
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some(proxied(((*client).into(), port(0)), ((*server).into(), port(2))))
}

/// An IPv4 address in IPv6's clothes is one of IPv4.
fn proxied(client: (IpAddr, u16), server: (IpAddr, u16)) -> Header {
    let plain = |(address, port): (IpAddr, u16)| SocketAddr::new(address.to_canonical(), port);
    Header::Proxied { client: plain(client), server: plain(server) }
}

/// The header in version 1; there is none for what is not between two of one family.
pub fn line(header: Header) -> Option<String> {
    let Header::Proxied { client, server } = header else { return None };
    let family = match (client.ip(), server.ip()) {
        (IpAddr::V4(_), IpAddr::V4(_)) => 4,
        (IpAddr::V6(_), IpAddr::V6(_)) => 6,
        _ => return None,
    };
    let mut line = format!("PROXY TCP{family} {} {} ", client.ip(), server.ip());
    let _ = write!(line, "{} {}\r\n", client.port(), server.port());
    Some(line)
}

/// The header in version 2, under the same condition.
pub fn binary(header: Header) -> Option<Vec<u8>> {
    let (command, protocol, addresses) = match header {
        Header::Local => (0x20, 0, Vec::new()),
        Header::Proxied { client, server } => {
            let (protocol, addresses) = match (client.ip(), server.ip()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => (0x11, [a.octets(), b.octets()].concat()),
                (IpAddr::V6(a), IpAddr::V6(b)) => (0x21, [a.octets(), b.octets()].concat()),
                _ => return None,
            };
            let ports = [client.port().to_be_bytes(), server.port().to_be_bytes()].concat();
            (0x21, protocol, [addresses, ports].concat())
        }
    };
    // At most 36.
    let length = u8::try_from(addresses.len()).ok()?;
    Some([&SIGNATURE[..], &[command, protocol, 0, length], &addresses].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(client: &str, server: &str) -> Header {
        Header::Proxied { client: client.parse().unwrap(), server: server.parse().unwrap() }
    }

    #[test]
    fn what_is_printed_is_read_again_and_nothing_behind_it() {
        for header in [
            between("192.0.2.9:777", "192.0.2.1:25"),
            between("[2001:db8::9]:0", "[2001:db8::1]:65535"),
            Header::Local,
        ] {
            for bytes in [line(header).map(String::into_bytes), binary(header)].into_iter().flatten() {
                let more = [&bytes[..], b"EHLO x\r\n"].concat();
                assert_eq!(parse(&more), Parsed::Header(header, bytes.len()), "{bytes:?}");
                for length in 0..bytes.len() {
                    assert_eq!(parse(&bytes[..length]), Parsed::Partial, "{bytes:?} {length}");
                }
            }
        }
    }

    #[test]
    fn mistakes_are_told_as_postfix_tells_them() {
        for (bytes, why) in [
            (&b"PROXY UNKNOWN\r\n"[..], "bad or missing protocol type"),
            (b"PROXY \r\n", "bad or missing protocol type"),
            (b"PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n", "bad or missing client address"),
            (b"PROXY TCP6 192.0.2.9 192.0.2.1 1 2\r\n", "bad or missing client address"),
            (b"PROXY TCP4 192.0.2.9 x 1 2\r\n", "bad or missing server address"),
            (b"PROXY TCP4 192.0.2.9 192.0.2.1 01 2\r\n", "bad or missing client port"),
            (b"PROXY TCP4 192.0.2.9 192.0.2.1 +1 2\r\n", "bad or missing client port"),
            (b"PROXY TCP4 192.0.2.9 192.0.2.1 1\r\n", "bad or missing server port"),
            (b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0", "unrecognized protocol version"),
            (b"\r\n\r\n\0\r\nQUIT\n\x22\x11\0\0", "bad command in proxy header"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\0", "unsupported network protocol"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04\xc0\0\x02\x09", "short address field"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "too long protocol header"),
        ] {
            assert_eq!(parse(bytes), Parsed::Bad(why), "{}", bytes.escape_ascii());
            assert_eq!(missing(bytes), why);
        }
        let endless = [b"PROXY ".to_vec(), vec![b'x'; LINE_BYTES_MAX]].concat();
        assert_eq!(parse(&endless), Parsed::Bad("missing protocol header terminator"));
    }

    #[test]
    fn what_is_no_header_is_told_apart_at_the_first_byte_that_differs() {
        for (bytes, why) in [
            (&b"E"[..], "short protocol header"),
            (b"EHLO client.example\r\n", "unrecognized protocol header"),
            (b"proxy TCP4 192.0.2.9 192.0.2.1 1 2\r\n", "unrecognized protocol header"),
            (b"\r\nQ", "short protocol header"),
        ] {
            assert_eq!((parse(bytes), missing(bytes)), (Parsed::Other, why), "{}", bytes.escape_ascii());
        }
        for (bytes, why) in [
            (&b"PROXY TCP4 192.0.2.9"[..], "missing protocol header terminator"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "short version 2 protocol header"),
            (b"", "short protocol header"),
        ] {
            assert_eq!((parse(bytes), missing(bytes)), (Parsed::Partial, why), "{}", bytes.escape_ascii());
        }
    }
}
