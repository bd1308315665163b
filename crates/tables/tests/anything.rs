//! Tables, lists and search orders take any text without a panic.

use proptest::prelude::*;
use tables::lists::{AddressList, DomainList, NameList};
use tables::search::{self, Parents};
use tables::{Settings, Table};

fn text() -> impl Strategy<Value = String> {
    let piece =
        prop_oneof!["[a-z0-9]{1,4}", "[@.+:!/\\[\\]{}=,\" \\-]", any::<char>().prop_map(String::from)];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_specification_opens_or_is_refused(kind in "(inline|static|fail|hash|cidr|pcre|regexp|unionmap|pipemap|randmap|environ|internal|unix|debug|proxy|x|)", name in text(), key in text()) {
        let spec = format!("{kind}:{name}");
        if let Ok(table) = Table::open(&spec, &Settings::default()) {
            let _ = table.lookup_now(&key);
        }
    }

    #[test]
    fn any_list_parses_or_is_refused(list in text(), name in text(), address in any::<std::net::IpAddr>()) {
        // No files: what lies on this machine is not this test's business.
        let words: Vec<String> = config::words::list(&list).into_iter().filter(|w| !w.contains('/')).collect();
        let settings = Settings::default();
        if let Ok(list) = NameList::parse(&words, &settings) {
            let _ = list.matches_now(&name);
        }
        if let Ok(list) = DomainList::parse(&words, Parents::Dotted, &settings) {
            let _ = list.matches_now(&name);
        }
        if let Ok(list) = AddressList::parse(&words, Parents::Bare, &settings) {
            let _ = list.matches_now(Some(&name), address);
        }
    }

    #[test]
    fn an_address_is_in_each_of_its_networks(address in any::<std::net::IpAddr>(), bits in 0u8..=128) {
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.min(all);
        let network = match address {
            std::net::IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                format!("{}/{bits}", std::net::Ipv4Addr::from(u32::from(a) & mask))
            }
            std::net::IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                format!("[{}]/{bits}", std::net::Ipv6Addr::from(u128::from(a) & mask))
            }
        };
        // An IPv4 address in IPv6 clothes is matched as the IPv4 address that it is.
        if address.to_canonical() != address {
            return Ok(());
        }
        let list = AddressList::parse(&[network], Parents::Bare, &Settings::default());
        prop_assert_eq!(list.map(|list| list.matches_now(None, address)), Ok(Ok(true)));
    }

    #[test]
    fn the_whole_is_searched_first_and_parts_are_shorter(address in text(), delimiters in "[+-]{0,2}") {
        for keys in [
            search::access_address(&address, &delimiters, Parents::Bare),
            search::transport(&address, "example.org", &delimiters, Parents::Dotted),
            search::mapping(&address, &delimiters, true),
            search::domain(&address, Parents::Dotted),
        ] {
            // With quotes, where it wants some, and as it is.
            let wholes = keys.iter().take_while(|key| !key.part).count();
            prop_assert!((1..=2).contains(&wholes));
            prop_assert_eq!(&keys[wholes - 1].text, &address);
            prop_assert!(keys[wholes..].iter().all(|key| key.part));
        }
    }
}
