//! Whom a client is counted with: its network under a service.

use super::ServiceNumber;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many bits of an address make one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// `smtpd_client_ipv4_prefix_length`, at most 32.
    pub v4: u8,
    /// `smtpd_client_ipv6_prefix_length`, at most 128.
    pub v6: u8,
}

/// The network of a client; as text an address, with the number of bits where that is not all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    // Octets rather than IpAddr: 18 bytes without gaps, of which the table holds a million.
    octets: [u8; 16],
    bits: u8,
    is_v4: bool,
}

/// What the table finds a client by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) network: Network,
    pub(super) service: ServiceNumber,
}

impl Network {
    /// The network of an address: its first bits, the rest zero.
    pub fn of(address: IpAddr, bits: Bits) -> Self {
        match address {
            IpAddr::V4(a) => {
                let bits = bits.v4.min(32);
                let kept = a.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Network { octets: u128::from(kept).to_be_bytes(), bits, is_v4: true }
            }
            IpAddr::V6(a) => {
                let bits = bits.v6.min(128);
                let kept = a.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Network { octets: kept.to_be_bytes(), bits, is_v4: false }
            }
        }
    }

    fn address(&self) -> IpAddr {
        match self.octets {
            [.., a, b, c, d] if self.is_v4 => Ipv4Addr::new(a, b, c, d).into(),
            octets => Ipv6Addr::from(octets).into(),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address())?;
        if self.bits < if self.is_v4 { 32 } else { 128 } {
            write!(f, "/{}", self.bits)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_says_how_many_bits_it_has() {
        for (address, v4, v6, text) in [
            ("192.0.2.77", 32, 84, "192.0.2.77"),
            ("192.0.2.77", 24, 84, "192.0.2.0/24"),
            ("192.0.2.77", 0, 84, "0.0.0.0/0"),
            ("2001:db8::1", 32, 128, "2001:db8::1"),
            ("2001:db8:1:2:3:4:5:6", 32, 84, "2001:db8:1:2:3::/84"),
            ("2001:db8::1", 32, 0, "::/0"),
        ] {
            let network = Network::of(address.parse().unwrap(), Bits { v4, v6 });
            assert_eq!(network.to_string(), text, "{address}");
        }
    }

    #[test]
    fn networks_of_two_families_or_lengths_are_never_the_same() {
        let of = |address: &str, v4, v6| Network::of(address.parse().unwrap(), Bits { v4, v6 });
        assert_ne!(of("0.0.0.0", 32, 84), of("::", 32, 32));
        assert_ne!(of("192.0.2.0", 24, 84), of("192.0.2.0", 32, 84));
        assert_eq!(of("192.0.2.1", 24, 84), of("192.0.2.2", 24, 84));
    }
}
