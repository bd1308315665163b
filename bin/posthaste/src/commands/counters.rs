//! `posthaste counters`: what the running processes have counted since they began, and how busy they are.

use super::Call;
use crate::roles::telling;
use config::Config;
use config::parameters::Global;
use control::inquiry;
use serde_json::{Map, Value, json};
use std::process::ExitCode;

/// Runs `counters`.
pub fn run(call: Call) -> ExitCode {
    match told(call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("posthaste counters: {why}");
            ExitCode::from(2)
        }
    }
}

fn told(call: Call) -> Result<(), String> {
    let (mut directory, mut as_json) = (call.config_directory, false);
    let mut words = call.arguments.into_iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => as_json = true,
            "-c" => {
                let found = words.next().ok_or("-c: expected a directory behind it, found nothing")?;
                directory = Some(found.into());
            }
            _ => return Err(format!("expected `[-c DIR] [--json]`, found `{word}`")),
        }
    }
    let config =
        Config::load(&directory.unwrap_or_else(|| "/etc/postfix".into())).map_err(|e| e.to_string())?;
    let global = Global::read(&config, None).map_err(|e| e.to_string())?;
    let answers = inquiry::ask(global.queue_directory.as_ref(), "", telling::COUNTERS)?;
    let read = |told: &inquiry::Told| {
        let counted: Value = serde_json::from_slice(&told.bytes)
            .map_err(|e| format!("{}: expected counters in JSON, found something else: {e}", told.who))?;
        Ok((told.who.clone(), counted))
    };
    let all: Vec<(String, Value)> = answers.iter().map(read).collect::<Result<_, String>>()?;
    match as_json {
        true => println!("{:#}", Value::Object(all.into_iter().collect::<Map<_, _>>())),
        false => all.iter().for_each(|(who, counted)| print(who, counted)),
    }
    Ok(())
}

fn print(who: &str, counted: &Value) {
    println!("{who}");
    for service in list(&counted["services"]) {
        let mood = if service["stress"] == json!(true) { "under stress" } else { "calm" };
        let text = |name: &str| word(&service[name]);
        let [name, open, max, waiting] = ["service", "sessions", "sessions_max", "waiting"].map(text);
        println!("  service {name}: {open} of {max} sessions, {waiting} clients wait, {mood}");
    }
    for screen in list(&counted["postscreen"]) {
        let mood = if screen["stress"] == json!(true) { "under stress" } else { "calm" };
        let text = |name: &str| word(&screen[name]);
        let [name, testing, waiting, known] = ["postscreen", "testing", "waiting", "remembered"].map(text);
        println!("  {name}: {testing} clients in tests, {waiting} wait, {known} remembered, {mood}");
    }
    for service in list(&counted["policy_services"]) {
        let how =
            if service["left_in_peace"] == json!(true) { " (left in peace: it does not answer)" } else { "" };
        println!("  policy service {}{how}", word(&service["service"]));
        for (name, value) in fields(service).filter(|(_, value)| value.is_u64()) {
            println!("    {name} {value}");
        }
    }
    for name in ["anvil", "recent_refusals"] {
        let told: Vec<_> = fields(&counted[name]).map(|(what, n)| format!("{what} {n}")).collect();
        if !told.is_empty() {
            println!("  {}: {}", name.replace('_', " "), told.join(", "));
        }
    }
    for (name, value) in fields(&counted["counters"]) {
        println!("  {name} {value}");
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A text without its quotes, a number as it is.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
