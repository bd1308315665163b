//! Rewriting and resolution against what Postfix answered: `config:` with its settings, then questions and answers.
#![allow(clippy::unwrap_used)]

use config::{Config, Host};
use mail::Address;
use rewrite::{AddressClass, Resolved, Resolver, Rules, Settings};
use std::path::Path;

/// Replays the golden file with `answer`, which gets configuration and question.
fn replay(name: &str, mut answer: impl FnMut(&Config, &str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let golden = std::fs::read_to_string(&path).unwrap();
    let (mut out, mut main) = (String::new(), String::new());
    let mut config = None;
    let mut questions = 0;
    for line in golden.lines() {
        if line == "config:" {
            (main, config) = (String::new(), None);
        } else if let Some(setting) = line.strip_prefix("  ") {
            main.push_str(&format!("{setting}\n"));
        } else if let Some((question, _)) = line.split_once(" => ") {
            let config = config.get_or_insert_with(|| {
                Config::parse(Path::new("/etc/postfix"), &main, "", Host::default()).unwrap()
            });
            out.push_str(&format!("{question} => {}\n", answer(config, question)));
            questions += 1;
            continue;
        }
        out.push_str(&format!("{line}\n"));
    }
    assert!(questions > 5, "{name} asks something");
    for (number, (found, expected)) in out.lines().zip(golden.lines()).enumerate() {
        assert_eq!(found, expected, "{name}:{}", number + 1);
    }
}

fn resolved(config: &Config, question: &str) -> String {
    let (recipient, sender) = question.split_once(" from ").unwrap_or((question, "<>"));
    let address = |text: &str| Address::from(text.strip_prefix('<').unwrap().strip_suffix('>').unwrap());
    let resolver = Resolver::new(Settings::open(config, &tables::Settings::default()).unwrap());
    let internal = |a: &Address| String::from_utf8_lossy(a.as_bytes()).into_owned();
    match resolver.resolve_now(&address(recipient), &address(sender)) {
        Resolved::Route(route) => {
            let class = match route.class {
                AddressClass::Local => "local",
                AddressClass::VirtualAlias => "virtual alias",
                AddressClass::VirtualMailbox => "virtual mailbox",
                AddressClass::Relay => "relay",
                AddressClass::Default => "default",
            };
            let routed = if route.routed { " | routed" } else { "" };
            let recipient = internal(&route.recipient);
            format!("{} | {} | <{recipient}> | {class}{routed}", route.transport, route.nexthop)
        }
        Resolved::Invalid { recipient } => format!("invalid <{}>", internal(&recipient)),
        Resolved::TempFail { .. } => "try later".to_owned(),
    }
}

#[test]
fn addresses_resolve_to_the_class_of_their_domain_as_in_postfix() {
    replay("resolve-classes.txt", resolved);
}

#[test]
fn transports_come_from_class_sender_and_table_as_in_postfix() {
    replay("resolve-transports.txt", resolved);
}

#[test]
fn a_table_that_fails_defers_what_postfix_defers() {
    replay("resolve-failures.txt", resolved);
}

#[test]
fn addresses_are_completed_as_in_postfix() {
    replay("canonical.txt", |config, question| {
        let canonical = Rules::read(config).unwrap().canonical(&Address::from(question));
        String::from_utf8_lossy(canonical.as_bytes()).into_owned()
    });
}

#[test]
fn an_empty_address_is_that_of_the_user_who_is_set() {
    let main =
        "myhostname = mail.example.com\nmydestination = mail.example.com\nempty_address_recipient = nobody\n";
    let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
    assert!(resolved(&config, "<>").contains("<nobody@mail.example.com>"), "{}", resolved(&config, "<>"));
}

#[test]
fn probes_have_ways_of_their_own() {
    let main = "myhostname = mail.example.com\nrelayhost = usual.example\n\
                transport_maps = inline:{shared.example=lmtp:x}\n\
                address_verify_relayhost = probes.example\n\
                address_verify_sender_dependent_relayhost_maps = inline:{p@mail.example.com=by-sender.example}\n\
                address_verify_sender_dependent_default_transport_maps = inline:{p@mail.example.com=slow:}\n";
    let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
    let tables = tables::Settings::default();
    let usual = Settings::open(&config, &tables).unwrap();
    let probes = Resolver::new(usual.of_probes(&config, &tables).unwrap());
    let usual = Resolver::new(usual);
    let way = |resolver: &Resolver, to: &str, from: &str| {
        let resolved = resolver.resolve_now(&Address::from(to), &Address::from(from));
        let route = resolved.route().unwrap().clone();
        format!("{}:{}", route.transport, route.nexthop)
    };
    assert_eq!(way(&usual, "a@x.example", "p@mail.example.com"), "smtp:usual.example");
    assert_eq!(way(&probes, "a@x.example", "p@mail.example.com"), "slow:by-sender.example");
    assert_eq!(way(&probes, "a@x.example", "q@mail.example.com"), "smtp:probes.example");
    assert_eq!(way(&probes, "a@shared.example", "q@mail.example.com"), "lmtp:x");
}
