//! masquerade_domains: hosts within a domain are hidden behind it.

use super::settings::{Inner, Masquerade};
use super::witness::{Step, Witness};
use crate::canonical::memrchr;
use mail::{Address, fold};

impl Inner {
    /// The address without the hosts that are to be hidden.
    pub(super) async fn masqueraded(
        &self,
        address: Address,
        witness: &dyn Witness,
    ) -> Result<Address, super::Trouble> {
        let Some(domain) = self.masquerade.domain_for(&address) else { return Ok(address) };
        let exceptions = &self.masquerade.exceptions;
        if !exceptions.is_empty() {
            let user = String::from_utf8_lossy(address.local_part()).into_owned();
            if exceptions.matches(&user).await.map_err(|_| super::Trouble::Unanswered)? {
                return Ok(address);
            }
        }
        let new = Address::new([address.local_part(), b"@", domain.as_bytes()].concat());
        witness.became(Step::Masquerade, address.as_bytes(), new.as_bytes());
        Ok(new)
    }
}

impl Masquerade {
    /// The domain that the address's domain is hidden behind; nothing where it stays as it is.
    fn domain_for(&self, address: &Address) -> Option<&str> {
        let bytes = address.as_bytes();
        let domain = String::from_utf8_lossy(&bytes[memrchr(b'@', bytes)? + 1..]);
        let domain = fold(&domain, true);
        for entry in &self.domains {
            let (hides, parent) = entry.strip_prefix('!').map_or((true, &**entry), |parent| (false, parent));
            let Some(hosts) = domain.strip_suffix(&*fold(parent, true)) else { continue };
            if hosts.is_empty() {
                return None;
            }
            if hosts.ends_with('.') {
                return hides.then_some(parent);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(address: &str) -> Option<String> {
        let domains = ["foo.example.org", "!bar.example.org", "example.org", ".dot.example", "grün.example"]
            .map(str::to_owned);
        let masquerade = Masquerade { domains: domains.into(), ..Masquerade::default() };
        masquerade.domain_for(&address.into()).map(str::to_owned)
    }

    #[test]
    fn the_first_domain_that_fits_hides_its_hosts() {
        for (address, domain) in [
            ("a@x.example.org", Some("example.org")),
            ("a@x.y.EXAMPLE.org", Some("example.org")),
            ("a@x.foo.example.org", Some("foo.example.org")),
            ("a@foo.example.org", None),
            ("a@bar.example.org", None),
            ("a@x.bar.example.org", None),
            ("a@example.org", None),
            ("a@xexample.org", None),
            ("a@x.GRÜN.example", Some("grün.example")),
            ("a@h.dot.example", None),
            ("a", None),
        ] {
            assert_eq!(hidden(address).as_deref(), domain, "{address}");
        }
    }
}
