//! `posthaste explain smtp`: what a client would be told, and which list, restriction, table and answer decided.

use super::{Call, explain_address, explain_last};
use crate::roles::names;
use config::{Config, ServiceLine};
use mail::Address;
use observe::Tag;
use serde_json::{Value, json};
use smtpd::explain::{Decided, Supposed, explain};
use smtpd::tls::Tls;
use smtpd::trail::Step;
use smtpd::{Readings, Surroundings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A port that clients use.
const CLIENT_PORT: u16 = 40_000;

/// Runs `explain`.
pub fn run(call: Call) -> ExitCode {
    let told = match call.arguments.first().map(String::as_str) {
        Some("address") => return explain_address::run(call),
        Some("last") => explain_last::told(call).map(|any| !any),
        _ => Wanted::of(call).and_then(|wanted| wanted.told()),
    };
    match told {
        Ok(fails) => ExitCode::from(u8::from(fails)),
        Err(why) => {
            eprintln!("posthaste explain: {why}");
            ExitCode::from(2)
        }
    }
}

struct Wanted {
    directory: PathBuf,
    service: String,
    supposed: Supposed,
    as_json: bool,
}

impl Wanted {
    fn of(call: Call) -> Result<Wanted, String> {
        let mut words = call.arguments.into_iter();
        let expected = "expected `smtp --client ADDRESS [--name NAME] [--helo NAME] [--from SENDER] [--to RECIPIENT]… \
                        [--sasl LOGIN] [--tls VERSION[,CIPHER[,BITS]]] [--tls-…] [--service NAME] [--json]`, \
                        `last …` or `address ADDRESS …`";
        if words.next().as_deref() != Some("smtp") {
            return Err(expected.to_owned());
        }
        let nowhere = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 25);
        let mut directory = call.config_directory;
        let (mut client, mut service, mut as_json) = (None, "smtp".to_owned(), false);
        let mut supposed = Supposed {
            client: nowhere,
            name: None,
            server: nowhere,
            helo: None,
            sender: None,
            recipients: Vec::new(),
            login: None,
            tls: None,
        };
        while let Some(word) = words.next() {
            if word == "--json" {
                as_json = true;
                continue;
            }
            let value =
                words.next().ok_or_else(|| format!("{word}: expected a value behind it, found nothing"))?;
            let address = |text: &str| Address::new(text.trim_matches(['<', '>']));
            match word.as_str() {
                "-c" => directory = Some(value.into()),
                "--client" => {
                    let found = || format!("--client: expected an IP address, found `{value}`");
                    client = Some(value.parse::<IpAddr>().map_err(|_| found())?);
                }
                "--name" => supposed.name = Some(value),
                "--helo" => supposed.helo = Some(value),
                "--from" => supposed.sender = Some(address(&value)),
                "--to" => supposed.recipients.push(address(&value)),
                "--sasl" => supposed.login = Some(value),
                "--service" => service = value,
                "--tls" => read_tls(&value, supposed.tls.get_or_insert_default())?,
                word if word.starts_with("--tls-") => {
                    let tls = supposed.tls.get_or_insert_default();
                    of_tls(word, value, tls).ok_or_else(|| format!("{expected}, found `{word}`"))?;
                }
                _ => return Err(format!("{expected}, found `{word}`")),
            }
        }
        let client = client.ok_or("--client: expected an IP address, found nothing")?;
        supposed.client = SocketAddr::new(client, CLIENT_PORT);
        if !supposed.recipients.is_empty() && supposed.sender.is_none() {
            supposed.sender = Some(Address::null());
        }
        let directory = directory.unwrap_or_else(|| "/etc/postfix".into());
        Ok(Wanted { directory, service, supposed, as_json })
    }

    /// Prints it; whether the client is refused anything.
    fn told(&self) -> Result<bool, String> {
        let config = Config::load(&self.directory).map_err(|e| e.to_string())?;
        let line = service(&config, &self.service)?;
        let tables = tables::Settings::of(&config).map_err(|e| e.to_string())?;
        let resolver = rewrite::Settings::open(&config, &tables).map_err(|e| e.to_string())?;
        let around = Surroundings {
            verifier: super::verifier(&config)?,
            ..Surroundings::of(&rewrite::Resolver::new(resolver), tables)
        };
        let readings = Readings::read(&config, Some(line), &around).map_err(|e| e.to_string())?;
        let sources = names::sources(&config, false)?;
        let tag = Tag { program: "postfix/smtpd".into(), number: std::process::id() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("event loop: {e}"))?;
        let asking = async {
            let dns = names::resolver(&sources, &tag)?;
            Ok::<_, String>(explain(&readings.calm, &*dns, &tag, &self.supposed).await)
        };
        let (peer, decided) = tokio::task::LocalSet::new().block_on(&runtime, asking)?;
        match self.as_json {
            true => print_json(&self.service, &peer.name_and_address, &decided),
            false => print(&self.service, &line.origin.to_string(), &peer.name_and_address, &decided),
        }
        Ok(decided.iter().any(|d| d.refusal.is_some()))
    }
}

/// `TLSv1.3,TLS_AES_256_GCM_SHA384,256`; the last two may be missing.
fn read_tls(text: &str, tls: &mut Tls) -> Result<(), String> {
    let mut words = text.split(',');
    tls.protocol = words.next().unwrap_or_default().to_owned();
    tls.cipher = words.next().unwrap_or_default().to_owned();
    if let Some(bits) = words.next() {
        let found = |_| format!("--tls: expected a number of bits behind the cipher, found `{bits}`");
        tls.keysize = bits.parse().map_err(found)?;
    }
    match (tls.protocol.is_empty(), words.next()) {
        (false, None) => Ok(()),
        _ => Err(format!("--tls: expected VERSION[,CIPHER[,BITS]], found `{text}`")),
    }
}

/// What the client's certificate is, or which name it asked for; nothing where the option is none of these.
fn of_tls(word: &str, value: String, tls: &mut Tls) -> Option<()> {
    if word == "--tls-sni" {
        tls.sni = value;
        return Some(());
    }
    let certificate = tls.certificate.get_or_insert_default();
    match word {
        "--tls-fingerprint" => certificate.fingerprint = value.to_ascii_uppercase(),
        "--tls-key-fingerprint" => certificate.pubkey_fingerprint = value.to_ascii_uppercase(),
        "--tls-subject" => certificate.subject = value,
        "--tls-issuer" => {
            certificate.issuer = value;
            certificate.is_trusted = true;
        }
        _ => return None,
    }
    Some(())
}

/// The smtpd line of that name.
pub(super) fn service<'a>(config: &'a Config, name: &str) -> Result<&'a ServiceLine, String> {
    let of_smtpd = || config.services().iter().filter(|line| line.command == "smtpd");
    of_smtpd().find(|line| line.name == name).ok_or_else(|| {
        let known: Vec<_> = of_smtpd().map(|line| line.name.as_str()).collect();
        let file = Path::new("master.cf").display();
        format!("{file}: expected a line `{name} … smtpd`, found {}", known.join(", "))
    })
}

fn print(service: &str, place: &str, client: &str, decided: &[Decided]) {
    println!("client {client}, service {service} ({place})");
    for Decided { command, steps, actions, refusal } in decided {
        println!("\n{command}");
        for step in steps {
            println!("{}", line(step));
        }
        for (action, text) in actions {
            println!("  {action}: {text}");
        }
        match refusal {
            Some(reply) => println!("  => {reply}"),
            None => println!("  => accepted"),
        }
    }
}

pub(super) fn line(step: &Step) -> String {
    match step {
        Step::List { name, place } => {
            format!("  {name} ({})", place.as_deref().unwrap_or("default"))
        }
        Step::Table { spec, key, answer } => format!("      {spec} \"{key}\": {answer}"),
        Step::Dns { question, answer } => format!("      DNS {question}: {answer}"),
        Step::Policy { service, action } => format!("      {service}: {action}"),
        Step::LeftOut { steps } => format!("    ({steps} further steps)"),
        Step::Restriction { depth, text, verdict, .. } => {
            format!("    {}{text}: {verdict}", "  ".repeat(*depth as usize))
        }
    }
}

fn print_json(service: &str, client: &str, decided: &[Decided]) {
    let commands: Vec<Value> = decided
        .iter()
        .map(|Decided { command, steps, actions, refusal }| {
            json!({
                "command": command,
                "steps": steps.iter().map(json_of).collect::<Vec<_>>(),
                "actions": actions.iter().map(|(a, t)| json!({"action": a, "text": t})).collect::<Vec<_>>(),
                "reply": refusal.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    println!("{:#}", json!({"service": service, "client": client, "commands": commands}));
}

pub(super) fn json_of(step: &Step) -> Value {
    match step {
        Step::List { name, place } => json!({"list": name, "place": place}),
        Step::Table { spec, key, answer } => json!({"table": spec, "key": key, "answer": answer}),
        Step::Dns { question, answer } => json!({"dns": question, "answer": answer}),
        Step::Policy { service, action } => json!({"policy": service, "action": action}),
        Step::LeftOut { steps } => json!({"further_steps": steps}),
        Step::Restriction { depth, text, verdict, .. } => {
            json!({"restriction": text, "depth": depth, "verdict": verdict})
        }
    }
}
