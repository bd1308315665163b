//! Which addresses are tried, with a scripted resolver.

use super::*;
use net::dns::{Problem, RecordType, ScriptedResolver};
use std::future::Future;

fn site(name: &str) -> Site {
    Site::Inet { name: name.into(), port: 25, service: "smtp".into(), mail_exchangers: true }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn found(resolver: &ScriptedResolver, settings: &Settings, name: &str) -> Result<Vec<String>, (Dsn, String)> {
    let targets = run(find(&site(name), resolver, settings, &Dice::new(7)));
    let shown = |t: Target| match t.place {
        Place::Inet(address) => {
            format!("{} {}{}", t.host, address.ip(), if t.is_best { " best" } else { "" })
        }
        Place::Unix(..) => "unix".into(),
    };
    targets.map(|t| t.into_iter().map(shown).collect()).map_err(|e| (e.dsn, e.reason))
}

#[test]
fn exchangers_come_by_preference_and_equal_ones_in_any_order() {
    let resolver = ScriptedResolver::new()
        .with_mx("example.org", 20, "b.example")
        .with_mx("example.org", 10, "a1.example")
        .with_mx("example.org", 10, "a2.example")
        .with_address("b.example", "192.0.2.3")
        .with_address("a1.example", "192.0.2.1")
        .with_address("a2.example", "192.0.2.2");
    let settings = Settings::default();
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let targets = run(find(&site("example.org"), &resolver, &settings, &Dice::new(seed * 977))).unwrap();
        let hosts: Vec<&str> = targets.iter().map(|t| t.host.as_str()).collect();
        assert_eq!((hosts.len(), hosts[2], targets[2].is_best), (3, "b.example", false));
        firsts.insert(hosts[0].to_string());
    }
    assert_eq!(firsts.len(), 2);
}

#[test]
fn a_domain_without_exchangers_is_a_host() {
    let resolver = ScriptedResolver::new().with_address("example.org", "192.0.2.1");
    let expected = vec!["example.org 192.0.2.1 best".to_string()];
    assert_eq!(found(&resolver, &Settings::default(), "example.org"), Ok(expected));
}

#[test]
fn names_without_answers_fail_in_postfixs_words() {
    let resolver = ScriptedResolver::new()
        .with_problem("again.example", RecordType::Mx, Problem::TryAgain)
        .with_problem("null.example", RecordType::Mx, Problem::NullMx)
        .with_mx("gone.example", 10, "nosuch.example")
        .with_mx("soft.example", 10, "soft-a.example")
        .with_mx("soft.example", 20, "nosuch.example")
        .with_problem("soft-a.example", RecordType::A, Problem::TryAgain)
        .with_problem("soft-a.example", RecordType::Aaaa, Problem::TryAgain);
    let not_found = "Host or domain name not found. Name service error for name=";
    for (name, dsn, reason) in [
        ("nosuch.example", Dsn::new(5, 4, 4), format!("{not_found}nosuch.example type=AAAA: Host not found")),
        ("gone.example", Dsn::new(5, 4, 4), format!("{not_found}nosuch.example type=AAAA: Host not found")),
        (
            "again.example",
            Dsn::new(4, 4, 3),
            format!("{not_found}again.example type=MX: Host not found, try again"),
        ),
        (
            "soft.example",
            Dsn::new(4, 4, 3),
            format!("{not_found}soft-a.example type=AAAA: Host not found, try again"),
        ),
        ("null.example", Dsn::new(5, 1, 0), "Domain null.example does not accept mail (nullMX)".to_string()),
    ] {
        assert_eq!(found(&resolver, &Settings::default(), name), Err((dsn, reason)), "{name}");
    }
    let settings = Settings { defer_if_no_mx_address: true, ..Settings::default() };
    assert_eq!(found(&resolver, &settings, "gone.example").unwrap_err().0, Dsn::new(4, 4, 4));
}

#[test]
fn exchangers_as_good_as_ourselves_are_left_out() {
    let resolver = ScriptedResolver::new()
        .with_mx("backup.example", 10, "a.example")
        .with_mx("backup.example", 20, "me.example")
        .with_mx("backup.example", 20, "c.example")
        .with_mx("loop.example", 10, "me.example")
        .with_mx("loop.example", 20, "a.example")
        .with_mx("lost.example", 5, "nosuch.example")
        .with_mx("lost.example", 10, "me.example")
        .with_address("me.example", "192.0.2.1")
        .with_address("a.example", "192.0.2.2")
        .with_address("c.example", "192.0.2.3");
    let settings = Settings { own_addresses: vec!["192.0.2.1".parse().unwrap()], ..Settings::default() };
    assert_eq!(found(&resolver, &settings, "backup.example"), Ok(vec!["a.example 192.0.2.2 best".into()]));
    let loops = "mail for loop.example loops back to myself".to_string();
    assert_eq!(found(&resolver, &settings, "loop.example"), Err((Dsn::new(5, 4, 6), loops)));
    let lost = "unable to find primary relay for lost.example".to_string();
    assert_eq!(found(&resolver, &settings, "lost.example"), Err((Dsn::new(4, 4, 4), lost)));
    let host =
        Site::Inet { name: "192.0.2.1".into(), port: 2525, service: "2525".into(), mail_exchangers: false };
    assert!(run(find(&host, &resolver, &settings, &Dice::new(1))).is_ok(), "on another port nothing loops");
}

#[test]
fn neither_family_fills_the_limit_alone() {
    let candidate = |address: &str| Candidate {
        host: "h".into(),
        address: address.parse().unwrap(),
        port: 25,
        preference: 0,
    };
    let count = |v4: usize, v6: usize, limit: usize| {
        let mut all: Vec<Candidate> = (0..v4).map(|n| candidate(&format!("192.0.2.{n}"))).collect();
        all.extend((0..v6).map(|n| candidate(&format!("2001:db8::{n}"))));
        let kept = balanced(all, limit);
        let six = kept.iter().filter(|c| c.address.is_ipv6()).count();
        (kept.len() - six, six)
    };
    assert_eq!(count(10, 10, 5), (2, 3));
    assert_eq!(count(10, 1, 5), (4, 1));
    assert_eq!(count(1, 10, 5), (1, 4));
    assert_eq!(count(10, 0, 5), (10, 0));
    assert_eq!(count(2, 2, 5), (2, 2));
}

fn srv_settings() -> Settings {
    Settings { srv_services: vec!["submission".into()], ..Settings::default() }
}

fn submission(resolver: &ScriptedResolver, settings: &Settings) -> Result<Vec<String>, (Dsn, String)> {
    let site = Site::Inet {
        name: "example.org".into(),
        port: 587,
        service: "submission".into(),
        mail_exchangers: true,
    };
    let shown = |t: Target| match t.place {
        Place::Inet(address) => format!("{} {address}", t.host),
        Place::Unix(..) => "unix".into(),
    };
    let targets = run(find(&site, resolver, settings, &Dice::new(7)));
    targets.map(|t| t.into_iter().map(shown).collect()).map_err(|e| (e.dsn, e.reason))
}

#[test]
fn servers_of_a_service_come_by_priority_with_ports_of_their_own() {
    let resolver = ScriptedResolver::new()
        .with_mx("example.org", 10, "mx.example")
        .with_address("mx.example", "192.0.2.9")
        .with_srv("_submission._tcp.example.org", (20, 0, 2587), "b.example")
        .with_srv("_submission._tcp.example.org", (10, 5, 1587), "a.example")
        .with_address("a.example", "192.0.2.1")
        .with_address("b.example", "192.0.2.2");
    let expected = vec!["a.example 192.0.2.1:1587".to_owned(), "b.example 192.0.2.2:2587".to_owned()];
    assert_eq!(submission(&resolver, &srv_settings()), Ok(expected));
    let mx = vec!["mx.example 192.0.2.9:587".to_owned()];
    assert_eq!(submission(&resolver, &Settings::default()), Ok(mx), "the service is not listed");
}

#[test]
fn mail_exchangers_stand_in_for_servers_of_a_service_only_where_that_is_allowed() {
    let resolver = ScriptedResolver::new()
        .with_mx("example.org", 10, "mx.example")
        .with_address("mx.example", "192.0.2.9");
    let failing = ScriptedResolver::new().with_address("example.org", "192.0.2.9").with_problem(
        "_submission._tcp.example.org",
        RecordType::Srv,
        Problem::TryAgain,
    );
    let text = |words| {
        format!(
            "Host or domain name not found. Name service error for name=_submission._tcp.example.org type=SRV: {words}"
        )
    };
    let strict = srv_settings();
    let absent = (Dsn::new(5, 4, 4), text("Host not found"));
    assert_eq!(submission(&resolver, &strict), Err(absent));
    let again = (Dsn::new(4, 4, 3), text("Host not found, try again"));
    assert_eq!(submission(&failing, &strict), Err(again.clone()));
    let fallback = Settings { allow_srv_fallback: true, ..srv_settings() };
    assert_eq!(submission(&resolver, &fallback), Ok(vec!["mx.example 192.0.2.9:587".to_owned()]));
    assert_eq!(submission(&failing, &fallback), Err(again));
    let ignoring = Settings { ignore_srv_lookup_error: true, ..srv_settings() };
    assert_eq!(submission(&failing, &ignoring), Ok(vec!["example.org 192.0.2.9:587".to_owned()]));
    let none = ScriptedResolver::new().with_srv("_submission._tcp.example.org", (0, 0, 0), "");
    assert_eq!(submission(&none, &fallback).unwrap_err().0, Dsn::new(5, 1, 0));
}

#[test]
fn the_weight_loads_the_dice_among_servers_of_one_priority() {
    let resolver = ScriptedResolver::new()
        .with_srv("_submission._tcp.example.org", (10, 90, 587), "often.example")
        .with_srv("_submission._tcp.example.org", (10, 10, 587), "seldom.example")
        .with_address("often.example", "192.0.2.1")
        .with_address("seldom.example", "192.0.2.2");
    let settings = srv_settings();
    let find = find::Find { resolver: &resolver, settings: &settings, dice: &Dice::new(99), port: 587 };
    let firsts = (0..200).map(|_| run(find.domain("example.org", "submission")).unwrap()[0].host.clone());
    let often = firsts.filter(|host| host == "often.example").count();
    assert!((150..200).contains(&often), "{often} of 200");
}
