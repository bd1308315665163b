//! What the configuration takes from the host: its name and the addresses of its interfaces.

use std::net::IpAddr;

/// The host as the configuration's defaults see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The name the system gives itself, perhaps without a domain.
    pub name: String,
    /// The addresses of the interfaces that are up, each with its prefix length.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Host {
    /// This machine.
    pub fn this() -> Host {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Host { name, addresses: Vec::new() }
    }

    /// Default of myhostname: a name without a dot gets `mydomain`, or `localdomain`.
    pub(crate) fn myhostname(&self, mydomain: Option<&str>) -> String {
        if self.name.contains('.') {
            return self.name.clone();
        }
        format!("{}.{}", self.name, mydomain.unwrap_or("localdomain"))
    }
}
