//! What the parameters say about probes and what is remembered of them.

use config::parameters::{Global, Verify};
use config::{Config, Errors, ServiceType};
use mail::Address;
use std::time::Duration;

/// How long a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The age from which on it does not count any more, in seconds.
    pub expire: u64,
    /// The age from which on the address is asked about again, in seconds.
    pub refresh: u64,
}

/// How addresses are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `address_verify_map`; empty keeps findings in memory alone.
    pub map: String,
    /// `address_verify_negative_cache`.
    pub remembers_failures: bool,
    /// `address_verify_positive_…_time`.
    pub positive: Times,
    /// `address_verify_negative_…_time`.
    pub negative: Times,
    /// `address_verify_cache_cleanup_interval`, in seconds; 0 is never.
    pub cleanup_interval: u64,
    /// `address_verify_sender`, complete.
    pub sender: Address,
    /// `address_verify_sender_ttl`, in seconds; 0 is a sender that stays the same.
    pub sender_ttl: u64,
}

impl Default for Settings {
    /// Postfix's defaults in memory, with probes from the null sender.
    fn default() -> Settings {
        const HOUR: u64 = 3_600;
        const DAY: u64 = 24 * HOUR;
        Settings {
            map: String::new(),
            remembers_failures: true,
            positive: Times { expire: 31 * DAY, refresh: 7 * DAY },
            negative: Times { expire: 3 * DAY, refresh: 3 * HOUR },
            cleanup_interval: 12 * HOUR,
            sender: Address::null(),
            sender_ttl: 0,
        }
    }
}

impl Settings {
    /// Reads them as the service `verify` has them.
    pub fn read(config: &Config) -> Result<Settings, Errors> {
        let service = config.service("verify", ServiceType::Unix);
        let (global, p) = (Global::read(config, service)?, Verify::read(config, service)?);
        let times = |expire: Duration, refresh: Duration| Times {
            expire: expire.as_secs(),
            refresh: refresh.as_secs(),
        };
        let positive = (p.address_verify_positive_expire_time, p.address_verify_positive_refresh_time);
        let negative = (p.address_verify_negative_expire_time, p.address_verify_negative_refresh_time);
        Ok(Settings {
            map: p.address_verify_map,
            remembers_failures: p.address_verify_negative_cache,
            positive: times(positive.0, positive.1),
            negative: times(negative.0, negative.1),
            cleanup_interval: p.address_verify_cache_cleanup_interval.as_secs(),
            sender: complete(&p.address_verify_sender, &global.myorigin),
            sender_ttl: p.address_verify_sender_ttl.as_secs(),
        })
    }
}

/// A name without a domain is an account of `myorigin`.
fn complete(address: &str, myorigin: &str) -> Address {
    match address {
        "" | "<>" => Address::null(),
        _ if address.contains('@') => Address::from(address),
        _ => Address::new(format!("{address}@{myorigin}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    fn read(main_cf: &str) -> Settings {
        let main_cf = format!("myhostname = mail.example.com\nmyorigin = example.org\n{main_cf}");
        let config = Config::parse(Path::new("/etc/postfix"), &main_cf, "", Host::default());
        Settings::read(&config.expect("it parses")).expect("all values are right")
    }

    #[test]
    fn times_and_the_table_are_as_set() {
        let settings = read(
            "address_verify_map = lmdb:/x/y\naddress_verify_negative_cache = no\n\
             address_verify_positive_expire_time = 2d\naddress_verify_positive_refresh_time = 1d\n\
             address_verify_negative_expire_time = 2h\naddress_verify_negative_refresh_time = 1h\n\
             address_verify_cache_cleanup_interval = 7s\n",
        );
        assert_eq!((settings.map.as_str(), settings.remembers_failures), ("lmdb:/x/y", false));
        assert_eq!(settings.positive, Times { expire: 172_800, refresh: 86_400 });
        assert_eq!(settings.negative, Times { expire: 7200, refresh: 3600 });
        assert_eq!(settings.cleanup_interval, 7);
        let usual = Settings { map: read("").map, sender: read("").sender, ..Settings::default() };
        assert_eq!(read(""), usual);
    }

    #[test]
    fn the_sender_is_complete() {
        let sender = |main_cf| {
            let settings = read(main_cf);
            (settings.sender.to_string(), settings.sender_ttl)
        };
        assert_eq!(sender(""), ("double-bounce@example.org".into(), 0));
        assert_eq!(sender("address_verify_sender =\naddress_verify_sender_ttl = 1h"), (String::new(), 3600));
        assert_eq!(sender("address_verify_sender = <>").0, "");
        assert_eq!(sender("address_verify_sender = a@b.example").0, "a@b.example");
    }
}
