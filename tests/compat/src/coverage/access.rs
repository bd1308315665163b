//! Each result of access(5) stands in some case, and each form of the keys under which it is looked up.

use super::witnessed;
use std::collections::BTreeSet;
use std::net::IpAddr;
use testkit::play::Transcript;

/// The results, as [`result`] names them.
const RESULTS: &[&str] = &[
    "OK",
    "RELAY",
    "a number alone",
    "REJECT",
    "REJECT with a text",
    "REJECT with an enhanced code",
    "DEFER",
    "DEFER with a text",
    "4NN with a text",
    "5NN with a text",
    "421 with a text",
    "521 with a text",
    "DEFER_IF_PERMIT",
    "DEFER_IF_PERMIT with a text",
    "DEFER_IF_REJECT",
    "DEFER_IF_REJECT with a text",
    "DISCARD",
    "DISCARD with a text",
    "HOLD",
    "HOLD with a text",
    "FILTER with a text",
    "REDIRECT with a text",
    "BCC with a text",
    "PREPEND with a text",
    "INFO",
    "INFO with a text",
    "WARN",
    "WARN with a text",
    "DUNNO",
    "HANGUP",
    "HANGUP with a text",
    "a restriction",
    "restrictions",
];

const NAME: &[&str] = &["name", "parent", ".parent"];
const ADDRESS: &[&str] =
    &["address", "address without extension", "name", "parent", ".parent", "user+extension@", "user@"];

/// What is looked up, and the forms of keys under which it is found, as [`form`] names them.
const FORMS: &[(&str, &[&str])] = &[
    ("Client host", NAME),
    ("Client host", &["unknown", "IPv4 address", "IPv4 network", "IPv6 address", "IPv6 network"]),
    ("Unverified Client host", NAME),
    ("Helo command", NAME),
    ("Helo command", &["literal"]),
    ("Sender address", ADDRESS),
    ("Sender address", &["null sender", "null sender of smtpd_null_access_lookup_key"]),
    ("Recipient address", ADDRESS),
    ("SASL login name", &["login"]),
    ("Etrn command", NAME),
];

/// What no case shows.
pub(super) fn gaps(shown: &[Transcript]) -> Vec<String> {
    let (mut results, mut forms) = (BTreeSet::new(), BTreeSet::new());
    for (_, fields) in witnessed(shown, "access") {
        let [class, value, key, ref action @ ..] = fields[..] else { continue };
        results.insert(result(&action.join("\t")));
        forms.extend(form(class, &value.to_lowercase(), &key.to_lowercase()).map(|form| (class, form)));
    }
    let results = RESULTS.iter().filter(|result| !results.contains(**result));
    let results = results.map(|result| format!("no case shows an access table that says {result}"));
    let all = FORMS.iter().flat_map(|(class, forms)| forms.iter().map(|form| (*class, *form)));
    let forms = all.filter(|form| !forms.contains(form));
    let forms =
        forms.map(|(class, form)| format!("no case shows {class} found in an access table by {form}"));
    results.chain(forms).collect()
}

/// Which result an entry has.
fn result(action: &str) -> String {
    const ALONE: [&str; 3] = ["OK", "RELAY", "DUNNO"];
    let (word, text) = action.trim().split_once([' ', '\t']).unwrap_or((action.trim(), ""));
    let upper = word.to_uppercase();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match upper.as_str() {
        "421" | "521" if !text.is_empty() => format!("{upper} with a text"),
        _ if is_number(action.trim()) => "a number alone".to_owned(),
        _ if is_number(word) => format!("{}NN with a text", &word[..1]),
        _ if ALONE.contains(&upper.as_str()) => upper,
        "REJECT" if text.starts_with(|c: char| c.is_ascii_digit()) => {
            "REJECT with an enhanced code".to_owned()
        }
        _ if RESULTS.iter().any(|known| known.split(' ').next() == Some(&upper)) => match text {
            "" => upper,
            _ => format!("{upper} with a text"),
        },
        _ if text.is_empty() => "a restriction".to_owned(),
        _ => "restrictions".to_owned(),
    }
}

/// Which form of key found a value; nothing where the key is that of another host (`check_…_mx_access` and the like).
fn form(class: &str, value: &str, key: &str) -> Option<&'static str> {
    match class {
        "Client host" => {
            let (name, address) = value.strip_suffix(']')?.rsplit_once('[')?;
            if key == "unknown" && name == key { Some("unknown") } else { of_name(name, key) }
                .or_else(|| of_address(address, key))
        }
        "Helo command" if value.starts_with('[') => (value == key).then_some("literal"),
        "SASL login name" => (value == key).then_some("login"),
        "Sender address" if value.is_empty() => Some(match key {
            "<>" => "null sender",
            _ => "null sender of smtpd_null_access_lookup_key",
        }),
        "Sender address" | "Recipient address" => of_mail_address(value, key),
        _ => of_name(value, key),
    }
}

fn of_name(name: &str, key: &str) -> Option<&'static str> {
    match name.strip_suffix(key)? {
        "" => Some("name"),
        _ if key.starts_with('.') => Some(".parent"),
        before => before.ends_with('.').then_some("parent"),
    }
}

fn of_address(address: &str, key: &str) -> Option<&'static str> {
    let is_v4 = address.parse::<IpAddr>().ok()?.is_ipv4();
    match address.strip_prefix(key)? {
        "" => Some(if is_v4 { "IPv4 address" } else { "IPv6 address" }),
        rest if rest.starts_with(['.', ':']) => Some(if is_v4 { "IPv4 network" } else { "IPv6 network" }),
        _ => None,
    }
}

fn of_mail_address(address: &str, key: &str) -> Option<&'static str> {
    if address == key {
        return Some("address");
    }
    let (local, domain) = address.rsplit_once('@')?;
    let user = local.split_once(['+', '-']).map(|(user, _)| user);
    match key.strip_suffix('@') {
        Some(part) if user == Some(part) => Some("user@"),
        Some(part) if local == part && user.is_some() => Some("user+extension@"),
        Some(part) => (local == part).then_some("user@"),
        None if key.contains('@') => Some("address without extension"),
        None => of_name(domain, key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_names() {
        let named = [
            ("OK text", "OK"),
            ("relay", "RELAY"),
            ("550", "a number alone"),
            ("550 no", "5NN with a text"),
            ("521 no", "521 with a text"),
            ("reject", "REJECT"),
            ("REJECT 5.1.1", "REJECT with an enhanced code"),
            ("HOLD for a look", "HOLD with a text"),
            ("permit", "a restriction"),
            ("permit_mynetworks, reject", "restrictions"),
        ];
        for (action, name) in named {
            assert_eq!(result(action), name, "{action}");
        }
    }

    #[test]
    fn keys_have_forms() {
        let formed = [
            ("Client host", "a.example.net[192.0.2.7]", "a.example.net", Some("name")),
            ("Client host", "a.example.net[192.0.2.7]", ".net", Some(".parent")),
            ("Client host", "a.example.net[192.0.2.7]", "192.0", Some("IPv4 network")),
            ("Client host", "unknown[2001:db8::7]", "2001:db8", Some("IPv6 network")),
            ("Client host", "unknown[2001:db8::7]", "unknown", Some("unknown")),
            ("Client host", "a.example.net[192.0.2.7]", "mx.example.org", None),
            ("Sender address", "", "<>", Some("null sender")),
            ("Sender address", "u+x@a.example", "u@a.example", Some("address without extension")),
            ("Sender address", "u+x@a.example", "u@", Some("user@")),
            ("Sender address", "u+x@a.example", "u+x@", Some("user+extension@")),
            ("Sender address", "u+x@a.example", "example", Some("parent")),
            ("Helo command", "xexample", "example", None),
        ];
        for (class, value, key, expected) in formed {
            assert_eq!(form(class, value, key), expected, "{value} {key}");
        }
    }
}
