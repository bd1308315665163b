//! The canonical form of an address: with a domain, and that with a dot.

use config::parameters::{Global, Rewrite};
use config::{Errors, ServiceType};
use mail::{Address, Written};

/// The service of master.cf whose line may have settings of its own.
pub(crate) const SERVICE: &str = "rewrite";

/// How addresses are completed; for mail of our own hosts by myorigin and mydomain, for others' headers by
/// remote_header_rewrite_domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Domain of addresses without one (`append_at_myorigin`); nothing leaves them.
    pub origin: Option<String>,
    /// What is put behind a domain without a dot (`append_dot_mydomain`); nothing leaves it.
    pub parent: Option<String>,
    /// Whether `site!user` means user@site.
    pub swap_bangpath: bool,
    /// Whether `user%domain` means user@domain.
    pub allow_percent_hack: bool,
}

impl Rules {
    /// The rules for our own addresses.
    pub fn read(config: &config::Config) -> Result<Rules, Errors> {
        let service = config.service(SERVICE, ServiceType::Unix);
        Ok(Rules::local(&Global::read(config, service)?, &Rewrite::read(config, service)?))
    }

    pub(crate) fn local(global: &Global, view: &Rewrite) -> Rules {
        let some = |on: bool, text: &str| (on && !text.is_empty()).then(|| text.to_owned());
        Rules {
            origin: some(view.append_at_myorigin, &global.myorigin),
            parent: some(view.append_dot_mydomain, &global.mydomain),
            swap_bangpath: view.swap_bangpath,
            allow_percent_hack: view.allow_percent_hack,
        }
    }

    /// The canonical form of an address in internal form; the null sender stays.
    pub fn canonical(&self, address: &Address) -> Address {
        // Within quotes `!` and `%` are letters like others.
        let quoted = address.to_external().starts_with(b"\"");
        Address::new(self.apply(address.as_bytes().to_vec(), !quoted))
    }

    /// Whether an address in canonical form is that of the mail system itself.
    pub(crate) fn is_mailer_daemon(&self, address: &Address) -> bool {
        let domain = String::from_utf8_lossy(address.domain().unwrap_or_default()).into_owned();
        address.local_part().eq_ignore_ascii_case(b"MAILER-DAEMON")
            && domain.eq_ignore_ascii_case(self.origin.as_deref().unwrap_or_default())
    }

    /// The canonical form of an address in a header, where quoted characters are known from operators; nothing where
    /// there is none.
    pub fn canonical_written(&self, address: &Written) -> Option<Written> {
        let mut address = Some(without_route(address)).filter(|rest| !rest.is_empty())?;
        if address.text() == b"@" && address.first(b'@').is_some() {
            return Some(Written::default());
        }
        if address.last(b'@').is_none() {
            if let Some(at) = address.first(b'!').filter(|_| self.swap_bangpath) {
                let (site, user) = address.split(at);
                address = user.join(b'@', &site);
            } else if let Some(at) = address.last(b'%').filter(|_| self.allow_percent_hack) {
                let (user, domain) = address.split(at);
                address = user.join(b'@', &domain);
            } else if let Some(origin) = &self.origin {
                address.push(b'@');
                address.push_domain(origin.as_bytes());
            }
        }
        let Some(at) = address.last(b'@') else { return Some(address) };
        let domain = &address.text()[at + 1..];
        if let Some(parent) = &self.parent
            && !domain.is_empty()
            && !domain.contains(&b'[')
            && address.last(b'.').is_none_or(|dot| dot < at)
        {
            address.push_domain(format!(".{parent}").as_bytes());
        }
        if let [.., before, b'.'] = address.text()
            && !matches!(before, b'.' | b'@')
            && address.last(b'.') == Some(address.text().len() - 1)
        {
            address.pop();
        }
        Some(address)
    }

    /// The same on bytes; `routing` says whether `!` and `%` are looked at.
    pub(crate) fn apply(&self, mut address: Vec<u8>, routing: bool) -> Vec<u8> {
        if address.is_empty() {
            return address;
        }
        if !address.contains(&b'@') {
            let bang = memchr(b'!', &address).filter(|_| routing && self.swap_bangpath);
            let percent = memrchr(b'%', &address).filter(|_| routing && self.allow_percent_hack);
            if let Some(at) = bang {
                let (site, user) = (address[..at].to_vec(), address[at + 1..].to_vec());
                address = [user, site].join(&b'@');
            } else if let Some(at) = percent {
                address[at] = b'@';
            } else if let Some(origin) = &self.origin {
                address.push(b'@');
                address.extend_from_slice(origin.as_bytes());
            }
        }
        self.complete_domain(address)
    }

    fn complete_domain(&self, mut address: Vec<u8>) -> Vec<u8> {
        let Some(at) = memrchr(b'@', &address) else { return address };
        let domain = &address[at + 1..];
        if let Some(parent) = &self.parent
            && !domain.is_empty()
            && !domain.starts_with(b"[")
            && !domain.contains(&b'.')
        {
            address.push(b'.');
            address.extend_from_slice(parent.as_bytes());
        }
        strip_dot(&mut address);
        address
    }
}

/// `@site,@site:user@domain` becomes user@domain.
fn without_route(address: &Written) -> Written {
    match address.first(b':') {
        Some(colon) if address.first(b'@') == Some(0) => address.split(colon).1.trimmed(),
        _ => address.clone(),
    }
}

/// Takes off one dot at the end, but not of `..` or `@.`.
pub(crate) fn strip_dot(address: &mut Vec<u8>) {
    if let [.., before, b'.'] = address[..]
        && before != b'.'
        && before != b'@'
    {
        address.pop();
    }
}

pub(crate) fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&b| b == byte)
}

pub(crate) fn memrchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|&b| b == byte)
}
