//! Rewriting and resolution take any bytes without a panic, and end.
#![allow(clippy::unwrap_used)]

use config::{Config, Host};
use mail::Address;
use proptest::prelude::*;
use rewrite::{Resolver, Rules, Settings};
use std::path::Path;

fn address() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"@".to_vec()),
        Just(b"%".to_vec()),
        Just(b"!".to_vec()),
        Just(b"local.example".to_vec()),
        Just(b"other.example".to_vec()),
        Just(b"@a.example:".to_vec()),
        proptest::collection::vec(any::<u8>(), 1..4),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_resolve_to_something(recipient in address(), sender in address(), dequoted in any::<bool>()) {
        let dequoted = if dequoted { "yes" } else { "no" };
        let main = format!(
            "myhostname = mail.local.example\nmydestination = local.example, $myhostname\ninet_interfaces = 127.0.0.1\n\
             append_dot_mydomain = yes\nresolve_null_domain = yes\nresolve_dequoted_address = {dequoted}\n"
        );
        let config = Config::parse(Path::new("/nonexistent"), &main, "", Host::default()).unwrap();
        let resolver = Resolver::new(Settings::open(&config, &tables::Settings::default()).unwrap());
        let resolved = resolver.resolve_now(&Address::new(&recipient), &Address::new(&sender));
        if let Some(route) = resolved.route() {
            prop_assert!(!route.transport.is_empty() && !route.recipient.is_null());
        }
    }

    #[test]
    fn a_canonical_address_stays(address in address()) {
        let rules = Rules {
            origin: Some("local.example".into()),
            parent: Some("example".into()),
            swap_bangpath: true,
            allow_percent_hack: true,
        };
        let once = rules.canonical(&Address::new(&address));
        // Two dots at the end lose one each time only if they are one; such a name is no domain.
        prop_assume!(!address.ends_with(b".") && !once.as_bytes().ends_with(b"."));
        prop_assert_eq!(rules.canonical(&once), once);
    }
}
