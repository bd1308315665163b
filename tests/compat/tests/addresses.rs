//! Every step of the way of an address, and every key form of every table on it, has a case.
//!
//! The steps are those of cleanup(8) and trivial-rewrite(8), in their order; the key forms those of canonical(5),
//! virtual(5), transport(5) and relocated(5).

use compat::cases;
use std::collections::BTreeSet;
use testkit::case::CaseFile;

/// Each step, and the cases that show it.
const STEPS: &[(&str, &[&str])] = &[
    (
        "sender: canonical form",
        &["rewriting-off/senders-are-completed", "header-remote-domain/envelopes-have-our-own-domain"],
    ),
    ("sender: the mail system itself is the null sender", &["mailer-daemon/by-smtp"]),
    ("sender: sender_canonical_maps", &["canonical-keys/senders", "canonical-classes-senders/every-class"]),
    (
        "sender: canonical_maps",
        &["canonical/keys-with-and-without-extension", "canonical-classes-canonical/every-class"],
    ),
    ("sender: masquerading", &["masquerade/domains-and-exceptions", "masquerade/a-user-who-is-excepted"]),
    ("sender: sender_bcc_maps", &["copies/by-sender"]),
    ("sender: a table that cannot be asked", &["mapping-fails/a-sender"]),
    ("recipient: canonical form", &["header-addresses/local-mail", "bare-addresses/a-bare-recipient"]),
    (
        "recipient: recipient_canonical_maps",
        &["canonical-keys/recipients", "canonical-classes-recipients/every-class"],
    ),
    (
        "recipient: canonical_maps",
        &["canonical/one-after-the-other", "canonical/a-result-that-leads-on-forever"],
    ),
    ("recipient: masquerading", &["masquerade-classes/domains-and-exceptions"]),
    ("recipient: virtual aliases", &["aliases/one-for-several", "aliases/aliases-of-aliases"]),
    ("recipient: the own list", &["aliases/who-stands-in-the-own-list"]),
    (
        "recipient: limits of aliases",
        &[
            "alias-limits/more-members-than-allowed",
            "alias-limits/as-many-members-as-allowed",
            "alias-limits/more-steps-than-allowed",
            "alias-limits/as-many-steps-as-allowed",
            "alias-limits/an-address-that-is-too-long",
            "aliases/a-circle",
        ],
    ),
    (
        "recipient: duplicates",
        &["aliases/recipients-that-become-the-same", "alias-duplicates/the-original-recipient-is-forgotten"],
    ),
    ("recipient: the original one", &["original-recipient/a-mailbox"]),
    ("recipient: reports through aliases", &["alias-notify/an-alias-of-several", "alias-notify/nobody-asks"]),
    ("recipient: recipient_bcc_maps", &["copies/by-recipient", "copies/behind-canonical-and-before-aliases"]),
    ("recipient: always_bcc", &["copies/the-null-sender"]),
    (
        "recipient: tables that cannot be asked",
        &["mapping-fails/a-recipient", "mapping-fails-aliases/an-alias", "mapping-fails-copies/a-copy"],
    ),
    ("copies are mapped, too", &["copies/a-copy-to-an-alias", "copies/nobody-hears-of-copies"]),
    (
        "headers: canonical form",
        &["header-addresses/addresses-without-a-domain", "header-addresses/routing-in-addresses"],
    ),
    (
        "headers: groups and what is no address",
        &["header-addresses/groups", "header-addresses/what-is-no-address"],
    ),
    ("headers: folding", &["header-addresses/folded-headers"]),
    ("headers: which", &["header-addresses/every-header-with-addresses", "canonical-senders/resent"]),
    ("headers: canonical tables", &["canonical/headers", "canonical-keys/headers"]),
    (
        "headers: masquerading",
        &["masquerade/domains-and-exceptions", "masquerade-classes/domains-and-exceptions"],
    ),
    ("headers: no aliases", &["aliases/senders-and-headers-stay"]),
    (
        "headers: those of strangers",
        &["header-addresses/headers-of-strangers-stay", "header-remote-domain/a-stranger"],
    ),
    ("headers: limits", &["header-address-limit/a-long-header"]),
    ("headers: a table that cannot be asked", &["mapping-fails/a-header"]),
    (
        "no_address_mappings",
        &[
            "receive-override/by-smtp",
            "receive-override-lines/by-smtp",
            "receive-override-lines/another-port",
        ],
    ),
    (
        "rewriting: source routes, bangs, percents",
        &["header-addresses/routing-in-addresses", "routing-forms/routing-within-addresses"],
    ),
    ("rewriting: append_dot_mydomain", &["rewriting-off/senders-are-completed"]),
    ("rewriting: final dots", &["routing-forms/dots-and-empty-parts"]),
    (
        "resolving: domains of ours are peeled off",
        &["routing-forms/routing-within-addresses", "rewriting-off/an-at-sign-in-quotes-is-no-routing"],
    ),
    ("resolving: routing by strangers", &["one-setting/routing-by-strangers"]),
    ("resolving: classes", &["routing-forms/classes", "alias-domains/recipients-that-exist-and-others"]),
    ("resolving: by sender", &["routing-keys/relayhost-by-sender", "routing-keys/transport-by-sender"]),
    ("resolving: relayhost", &["relayhost/everything-goes-to-the-relayhost"]),
    ("resolving: transport_maps", &["routing-forms/keys-of-transport-maps"]),
    ("resolving: relocated_maps", &["routing-keys/relocated"]),
];

/// What an address with an extension is looked up by.
const FORMS: &[&str] = &["user+ext@domain", "user@domain", "user+ext", "user", "@domain"];

/// Tables of addresses that are looked up by all of these.
const TABLES: &[&str] = &[
    "canonical_maps",
    "recipient_bcc_maps",
    "recipient_canonical_maps",
    "relocated_maps",
    "sender_bcc_maps",
    "sender_canonical_maps",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "virtual_alias_maps",
];

/// transport_maps has forms of its own.
const TRANSPORT_FORMS: &[&str] = &["user+ext@domain", "user@domain", "domain", ".domain", "*"];

/// The keys that a case file gives a parameter, inline or in a file of text.
fn keys(file: &CaseFile, parameter: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for (_, value) in file.main.iter().filter(|(name, _)| name == parameter) {
        for word in value.split([',', '{', '}']) {
            keys.extend(word.split_once('=').map(|(key, _)| key.trim().to_owned()));
        }
        for path in value.split_whitespace().filter_map(|spec| spec.strip_prefix("texthash:")) {
            let text = file.files.iter().find(|(name, _)| name == path).map_or("", |(_, text)| text);
            let lines = text.lines().filter(|line| !line.starts_with([' ', '#']));
            keys.extend(lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned));
        }
    }
    keys
}

fn form(key: &str) -> &'static str {
    let (local, domain) = key.rsplit_once('@').map_or((key, None), |(l, d)| (l, Some(d)));
    match (local.is_empty(), local.contains('+'), domain) {
        (true, _, _) => "@domain",
        (_, true, Some(_)) => "user+ext@domain",
        (_, false, Some(_)) => "user@domain",
        (_, true, None) => "user+ext",
        (_, false, None) => "user",
    }
}

fn transport_form(key: &str) -> &'static str {
    match key {
        "*" => "*",
        _ if key.contains('@') => form(key),
        _ if key.starts_with('.') => ".domain",
        _ => "domain",
    }
}

#[test]
fn every_step_has_a_case() {
    cases::assert_each_step_has_cases(STEPS);
}

#[test]
fn every_key_form_of_every_table_has_a_case() {
    let files = cases::parsed().expect("the cases can be read");
    for parameter in TABLES {
        let found: BTreeSet<_> =
            files.values().flat_map(|file| keys(file, parameter)).map(|key| form(&key)).collect();
        let missing: Vec<_> = FORMS.iter().filter(|form| !found.contains(**form)).collect();
        assert!(missing.is_empty(), "{parameter}: no case with a key {missing:?}");
    }
    let found: BTreeSet<_> = files
        .values()
        .flat_map(|file| keys(file, "transport_maps"))
        .map(|key| transport_form(&key))
        .collect();
    let missing: Vec<_> = TRANSPORT_FORMS.iter().filter(|form| !found.contains(**form)).collect();
    assert!(missing.is_empty(), "transport_maps: no case with a key {missing:?}");
}
