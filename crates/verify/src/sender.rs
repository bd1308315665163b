//! The sender of probes. With `address_verify_sender_ttl` a part of it changes with time, so that nobody can send to it
//! for long.

use crate::Settings;
use mail::Address;

/// Postfix's digits, of which the count of periods uses the first [`BASE`].
const DIGITS: &[u8] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";
const BASE: u64 = DIGITS.len() as u64;

/// Who probes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSender {
    address: Address,
    ttl: u64,
}

impl ProbeSender {
    /// As the settings say.
    pub fn new(settings: &Settings) -> ProbeSender {
        ProbeSender { address: settings.sender.clone(), ttl: settings.sender_ttl }
    }

    /// The sender of a probe that is sent `now`, in seconds.
    pub fn at(&self, now: u64) -> Address {
        match self.ttl {
            0 => self.address.clone(),
            ttl => self.in_period(now / ttl),
        }
    }

    /// Whether an address is the sender of probes, or was until lately, or will soon be where clocks differ: mail to it
    /// is taken, since servers may ask whether it exists.
    pub fn is(&self, address: &Address, now: u64) -> bool {
        if self.address.is_null() {
            return false;
        }
        let fold = |address: &Address| address.as_bytes().to_ascii_lowercase();
        if self.ttl == 0 {
            return fold(&self.address) == fold(address);
        }
        let domain = |address: &Address| address.domain().map(<[u8]>::to_ascii_lowercase);
        let own = self.address.local_part();
        let Some((name, changing)) = address.local_part().split_at_checked(own.len()) else { return false };
        domain(&self.address) == domain(address)
            && name.eq_ignore_ascii_case(own)
            && number(changing).is_some_and(|period| period.abs_diff(now / self.ttl) <= 1)
    }

    fn in_period(&self, period: u64) -> Address {
        if self.address.is_null() {
            return Address::null();
        }
        let domain = self.address.domain().map(|domain| [b"@", domain].concat()).unwrap_or_default();
        Address::new([self.address.local_part(), &digits(period)[..], &domain[..]].concat())
    }
}

fn digits(mut number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        digits.push(DIGITS[(number % BASE) as usize]);
        number /= BASE;
        if number == 0 {
            digits.reverse();
            return digits;
        }
    }
}

/// Reads what [`digits`] wrote; nothing is 0, as for Postfix.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        let value = DIGITS.iter().position(|known| *known == digit.to_ascii_uppercase())?;
        number.checked_mul(BASE)?.checked_add(value as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(address: &str, ttl: u64) -> ProbeSender {
        ProbeSender { address: Address::from(address), ttl }
    }

    #[test]
    fn the_changing_part_is_postfixs() {
        // Seen of Postfix 3.7 with these numbers.
        let at = sender("double-bounce@mail.example.com", 15_550).at(1_795_756_796);
        assert_eq!(at, Address::from("double-bounce3W57@mail.example.com"));
        assert_eq!(sender("a@b.example", 0).at(7), Address::from("a@b.example"));
        assert_eq!(sender("", 60).at(7), Address::null());
    }

    #[test]
    fn an_address_is_the_sender_for_three_periods() {
        let (plain, null) = (sender("a@b.example", 0), sender("", 0));
        let sender = sender("a@b.example", 100);
        let own = sender.at(1_000);
        assert!([900, 1_099, 1_199].iter().all(|now| sender.is(&own, *now)));
        assert!(!sender.is(&own, 1_200) && !sender.is(&own, 899));
        let is = |address: &str| sender.is(&Address::from(address), 1_000);
        assert!(is("A9@B.example") && is("aB@b.example") && is("aC@b.example"));
        assert!(
            !["a@b.example", "aD@b.example", "a-@b.example", "b9@b.example", "aB@x.example", "aB"]
                .into_iter()
                .any(is)
        );
        assert!(sender.is(&Address::from("a@b.example"), 100), "nothing is the first period");
        assert!(plain.is(&Address::from("A@B.example"), 5));
        assert!(!null.is(&Address::null(), 5));
    }
}
