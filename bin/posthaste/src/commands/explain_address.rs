//! `posthaste explain address`: what tables make of a recipient, and where its mail goes, each step with its table, key,
//! answer, and the place of the setting.

use super::Call;
use super::explain::service;
use config::{Config, Scope, ServiceType};
use mail::Address;
use rewrite::explain::{End, Explanation, Told, class_parameter, explain};
use rewrite::{Mapper, Resolved, Resolver, Route, Trouble};
use serde_json::{Value, json};
use smtpd::unverified;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Runs `explain address`.
pub fn run(call: Call) -> ExitCode {
    match Wanted::of(call).and_then(|wanted| wanted.told()) {
        Ok(goes) => ExitCode::from(u8::from(!goes)),
        Err(why) => {
            eprintln!("posthaste explain: {why}");
            ExitCode::from(2)
        }
    }
}

struct Wanted {
    directory: PathBuf,
    service: Option<String>,
    recipient: Address,
    sender: Address,
    as_json: bool,
}

impl Wanted {
    fn of(call: Call) -> Result<Wanted, String> {
        let expected = "expected `address ADDRESS [--sender SENDER] [--service NAME] [--json]`";
        let mut words = call.arguments.into_iter().skip(1);
        let address = |text: &str| Address::new(text.trim_matches(['<', '>']));
        let mut wanted = Wanted {
            directory: call.config_directory.unwrap_or_else(|| "/etc/postfix".into()),
            service: None,
            recipient: Address::null(),
            sender: Address::null(),
            as_json: false,
        };
        let mut recipient = None;
        while let Some(word) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| format!("{word}: expected a value behind it, found nothing"));
            match word.as_str() {
                "--json" => wanted.as_json = true,
                "-c" => wanted.directory = value()?.into(),
                "--sender" => wanted.sender = address(&value()?),
                "--service" => wanted.service = Some(value()?),
                _ if recipient.is_none() && !word.starts_with("--") => recipient = Some(address(&word)),
                _ => return Err(format!("{expected}, found `{word}`")),
            }
        }
        wanted.recipient = recipient.ok_or_else(|| format!("{expected}, found no address"))?;
        Ok(wanted)
    }

    /// Prints it; whether mail goes to somebody.
    fn told(&self) -> Result<bool, String> {
        let text = |e: config::Errors| e.to_string();
        let config = Config::load(&self.directory).map_err(text)?;
        let tables = tables::Settings::of(&config).map_err(text)?;
        let resolver = Resolver::new(rewrite::Settings::open(&config, &tables).map_err(text)?);
        let line = self.service.as_deref().map(|name| service(&config, name)).transpose()?;
        let cleanup = config.scope(line).expanded("cleanup_service_name").map_err(|e| e.to_string())?;
        let cleanup = config.service(&cleanup, ServiceType::Unix);
        let mapper = Mapper::open(&config, cleanup, &tables).map_err(text)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("event loop: {e}"))?;
        let explained = runtime.block_on(explain(&mapper, &resolver, &self.sender, &self.recipient));
        let asked = resolver.settings().rules.canonical(&self.recipient);
        let verifier = super::verifier(&config)?;
        // While the mail system does not run nothing is known.
        let known = runtime.block_on(verifier.ask(&asked, Duration::ZERO)).ok();
        let known = known.filter(|entry| entry.finding != verify::Finding::Unknown);
        let told = Teller {
            wanted: self,
            mapping: config.scope(cleanup),
            routing: config.scope(config.service("rewrite", ServiceType::Unix)),
            explained: &explained,
            verified: known.map(|entry| unverified::in_words(&entry)),
        };
        match self.as_json {
            true => println!("{:#}", told.json()),
            false => told.text(),
        }
        let goes = |end: &End| end.resolved.route().is_some_and(|route| &*route.transport != "error");
        Ok(explained.ends.as_ref().is_ok_and(|ends| ends.iter().any(goes)))
    }
}

struct Teller<'a> {
    wanted: &'a Wanted,
    mapping: Scope<'a>,
    routing: Scope<'a>,
    explained: &'a Explanation,
    /// What a probe of the recipient found.
    verified: Option<String>,
}

/// Where a parameter is set, as seen by a service.
fn place(scope: &Scope<'_>, parameter: &str) -> String {
    match scope.find(parameter).and_then(|found| found.origin.map(ToString::to_string)) {
        Some(place) => place,
        None => "default".to_owned(),
    }
}

fn trouble(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Unanswered => "451 4.3.0 Error: queue file write error",
        Trouble::Expansion => "451 4.6.0 Alias expansion error",
    }
}

/// What stands for a route's class.
fn class(route: &Route) -> &'static str {
    use rewrite::AddressClass::{Default, Local, Relay, VirtualAlias, VirtualMailbox};
    match route.class {
        Local => "local",
        VirtualAlias => "virtual alias",
        VirtualMailbox => "virtual mailbox",
        Relay => "relay",
        Default => "default",
    }
}

impl Teller<'_> {
    fn text(&self) {
        let (explained, wanted) = (self.explained, self.wanted);
        let (sender, steps) = &explained.sender;
        if !wanted.sender.is_null() {
            println!("sender {}", wanted.sender);
            self.steps(steps, &self.mapping);
            println!("  => {sender}\n");
        }
        println!("recipient {}", wanted.recipient);
        if let Some(verified) = &self.verified {
            println!("  verify: {verified}");
        }
        self.steps(&explained.steps, &self.mapping);
        let ends = match &explained.ends {
            Ok(ends) => ends,
            Err(why) => return println!("  => {}", trouble(*why)),
        };
        for end in ends {
            println!("  => {}", end.recipient.address);
        }
        for end in ends {
            println!("\ndelivery to {}", end.recipient.address);
            if let Some(route) = end.resolved.route() {
                let parameter = class_parameter(route.class);
                println!("  class {} ({parameter}, {})", class(route), place(&self.routing, parameter));
            }
            self.steps(&end.steps, &self.routing);
            match &end.resolved {
                Resolved::Route(route) => {
                    println!("  => transport {}, nexthop {}", route.transport, route.nexthop);
                }
                Resolved::Invalid { .. } => println!("  => 5.1.3 bad address syntax"),
                Resolved::TempFail { reason, .. } => println!("  => 4.3.0 {reason}"),
            }
        }
    }

    fn steps(&self, steps: &[Told], scope: &Scope<'_>) {
        let mut shown = "";
        for step in steps {
            match step {
                Told::Asked { parameter, table, key, answer } => {
                    if *parameter != shown {
                        println!("  {parameter} ({})", place(scope, parameter));
                        shown = parameter;
                    }
                    println!("      {table} \"{key}\": {answer}");
                }
                Told::Became { by: "canonical form", from, to } => {
                    println!("  canonical form: {from} becomes {to}");
                }
                Told::Became { by, from, to } => {
                    if *by != shown {
                        println!("  {by} ({})", place(scope, by));
                        shown = by;
                    }
                    println!("    {from} becomes {to}");
                }
                Told::Warning(text) => println!("    warning: {text}"),
            }
        }
    }

    fn json(&self) -> Value {
        let (explained, wanted) = (self.explained, self.wanted);
        let (sender, steps) = &explained.sender;
        let all = |steps: &[Told], scope: &Scope<'_>| {
            Value::from(steps.iter().map(|step| json_of(step, scope)).collect::<Vec<_>>())
        };
        let deliveries = explained.ends.as_ref().ok().map(|ends| {
            let one = |end: &End| {
                let mut value = json!({
                    "recipient": end.recipient.address.to_string(),
                    "steps": all(&end.steps, &self.routing),
                });
                match &end.resolved {
                    Resolved::Route(route) => {
                        value["class"] = class(route).into();
                        value["place"] = place(&self.routing, class_parameter(route.class)).into();
                        value["transport"] = (*route.transport).into();
                        value["nexthop"] = (*route.nexthop).into();
                    }
                    Resolved::Invalid { .. } => value["trouble"] = "5.1.3 bad address syntax".into(),
                    Resolved::TempFail { reason, .. } => value["trouble"] = format!("4.3.0 {reason}").into(),
                }
                value
            };
            ends.iter().map(one).collect::<Vec<_>>()
        });
        json!({
            "sender": {
                "address": wanted.sender.to_string(),
                "steps": all(steps, &self.mapping),
                "becomes": sender.to_string(),
            },
            "recipient": wanted.recipient.to_string(),
            "verify": self.verified,
            "steps": all(&explained.steps, &self.mapping),
            "trouble": explained.ends.as_ref().err().map(|why| trouble(*why)),
            "deliveries": deliveries,
        })
    }
}

fn json_of(step: &Told, scope: &Scope<'_>) -> Value {
    match step {
        Told::Asked { parameter, table, key, answer } => json!({
            "parameter": parameter, "place": place(scope, parameter), "table": table, "key": key, "answer": answer,
        }),
        Told::Became { by, from, to } => json!({"by": by, "from": from, "to": to}),
        Told::Warning(text) => json!({"warning": text}),
    }
}
