//! `posthaste explain last`: the recent refusals of the running smtpd processes, and what decided each.

use super::Call;
use super::explain::{json_of, line};
use crate::roles::telling;
use config::Config;
use config::parameters::Global;
use control::inquiry;
use serde_json::{Value, json};
use smtpd::recent::{self, Refused};
use std::net::IpAddr;
use std::path::PathBuf;

const EXPECTED: &str =
    "expected `last [--client ADDRESS|NAME] [--from ADDRESS|DOMAIN] [--to ADDRESS|DOMAIN] [--json]`";

/// Prints those that are wanted, oldest first; whether there are any.
pub fn told(call: Call) -> Result<bool, String> {
    let (directory, wanted, as_json) = Wanted::of(call)?;
    let config = Config::load(&directory).map_err(|e| e.to_string())?;
    let global = Global::read(&config, None).map_err(|e| e.to_string())?;
    let answers = inquiry::ask(global.queue_directory.as_ref(), telling::SMTPD, telling::REFUSALS)?;
    let mut found: Vec<Refused> = answers
        .iter()
        .flat_map(|told| recent::split(&told.bytes))
        .filter_map(Refused::read)
        .filter(|refused| wanted.includes(refused))
        .collect();
    found.sort_by_key(|refused| refused.time);
    match as_json {
        true => println!("{:#}", Value::Array(found.iter().map(json_of_one).collect())),
        false => found.iter().for_each(print),
    }
    if found.is_empty() && !as_json {
        eprintln!("posthaste explain: no such refusal is kept (posthaste_explain_memory_limit)");
    }
    Ok(!found.is_empty())
}

/// Which refusals.
#[derive(Default)]
struct Wanted {
    client: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

impl Wanted {
    fn of(call: Call) -> Result<(PathBuf, Wanted, bool), String> {
        let (mut wanted, mut as_json, mut directory) = (Wanted::default(), false, call.config_directory);
        let mut words = call.arguments.into_iter().skip(1);
        while let Some(word) = words.next() {
            let to = match word.as_str() {
                "--json" => {
                    as_json = true;
                    continue;
                }
                "-c" => {
                    let found = words.next().ok_or("-c: expected a directory behind it, found nothing")?;
                    directory = Some(found.into());
                    continue;
                }
                "--client" => &mut wanted.client,
                "--from" => &mut wanted.from,
                "--to" => &mut wanted.to,
                _ => return Err(format!("{EXPECTED}, found `{word}`")),
            };
            let value = words.next();
            *to = Some(value.ok_or_else(|| format!("{word}: expected a value behind it, found nothing"))?);
        }
        Ok((directory.unwrap_or_else(|| "/etc/postfix".into()), wanted, as_json))
    }

    fn includes(&self, refused: &Refused) -> bool {
        self.client.as_deref().is_none_or(|wanted| is_client(wanted, refused))
            && self.from.as_deref().is_none_or(|wanted| is_address(wanted, refused.sender.as_deref()))
            && self.to.as_deref().is_none_or(|wanted| is_address(wanted, refused.recipient.as_deref()))
    }
}

/// By its address, or by its name or a domain that holds it.
fn is_client(wanted: &str, refused: &Refused) -> bool {
    if let Ok(address) = wanted.parse::<IpAddr>() {
        return address == refused.address;
    }
    let name = refused.client.split('[').next().unwrap_or_default();
    is_below(wanted.trim_start_matches('.'), name)
}

/// By all of it, or by its domain or one that holds it.
fn is_address(wanted: &str, address: Option<&str>) -> bool {
    let Some(address) = address else { return false };
    let wanted = wanted.trim_matches(['<', '>']);
    if wanted.eq_ignore_ascii_case(address) {
        return true;
    }
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let wanted = wanted.strip_prefix('@').unwrap_or(wanted);
    !wanted.contains('@') && is_below(wanted, domain)
}

fn is_below(wanted: &str, name: &str) -> bool {
    let Some(start) = name.len().checked_sub(wanted.len()) else { return false };
    let is_end = name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(wanted));
    !wanted.is_empty() && is_end && (start == 0 || name.as_bytes()[start - 1] == b'.')
}

fn print(refused: &Refused) {
    let time = sys::local_time(refused.time.secs()).map(|time| time.log_time()).unwrap_or_default();
    let Refused { client, service, command, .. } = refused;
    print!("{time} {command} from {client}, service {service}");
    let empty = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    for (name, value) in [
        ("from", refused.sender.clone()),
        ("to", refused.recipient.clone()),
        ("helo", empty(&refused.helo)),
        ("login", empty(&refused.login)),
        ("id", empty(&refused.queue_id)),
    ] {
        if let Some(value) = value {
            print!(" {name}=<{value}>");
        }
    }
    println!();
    if refused.steps.is_empty() {
        println!("  the server itself: no restriction was asked");
    }
    for step in &refused.steps {
        println!("{}", line(step));
    }
    println!("  => {}\n", refused.reply.replace('\n', "\n     "));
}

fn json_of_one(refused: &Refused) -> Value {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    json!({
        "time": refused.time.secs(),
        "client": refused.client,
        "client_address": refused.address.to_string(),
        "service": refused.service,
        "command": refused.command,
        "helo": known(&refused.helo),
        "sender": refused.sender,
        "recipient": refused.recipient,
        "queue_id": known(&refused.queue_id),
        "login": known(&refused.login),
        "steps": refused.steps.iter().map(json_of).collect::<Vec<_>>(),
        "reply": refused.reply,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_by_all_of_them_or_by_their_domain() {
        let is = |wanted: &str| is_address(wanted, Some("Ann@mail.Example.com"));
        for wanted in ["ann@mail.example.com", "<ann@mail.example.com>", "@mail.example.com", "example.com"] {
            assert!(is(wanted), "{wanted}");
        }
        for wanted in ["nn@mail.example.com", "ample.com", "bob@mail.example.com", "com.", ""] {
            assert!(!is(wanted), "{wanted}");
        }
        assert!(is_address("<>", Some("")) && !is_address("<>", None));
    }
}
