//! postconf -b and -t: the texts of delivery reports, from the built-in ones or from a template file.
//!
//! Postfix: bounce(5). A file holds `failure_template = <<END`, header lines, an empty line, text and `END`.

use super::model::Model;
use super::options::Options;
use super::{Output, file};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One built-in text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `failure`, `delay`, `success` or `verify`.
    pub class: &'static str,
    /// Header lines (`Charset`, `From`, `Subject`, `Postmaster-Subject`), in order.
    pub header: Vec<(&'static str, &'static str)>,
    /// The text, with `$myhostname` and the like.
    pub body: String,
}

/// A template that may have come from a file.
struct Found {
    class: String,
    header: Vec<(String, String)>,
    body: String,
}

/// Shows the templates; with `expanded`, their bodies with the values of the names in them.
pub(super) fn run(
    model: &Model,
    options: &Options,
    expanded: bool,
    built_in: &[Template],
    output: &mut Output,
) -> Result<(), String> {
    let mut found: Vec<Found> = built_in.iter().map(Found::from).collect();
    let name = match options.words.first() {
        Some(name) => name.clone(),
        None => model.expand("$bounce_template_file", None, output)?,
    };
    if !name.is_empty() {
        let bytes: Vec<u8> = super::bytes(&name).collect();
        let path = PathBuf::from(OsString::from_vec(bytes));
        let text = file::read(&path)?.ok_or_else(|| file::missing(&path))?;
        read(&text, &file::shown(&path), &mut found)?;
    }
    let mut texts = Vec::new();
    for template in &found {
        let class = &template.class;
        texts.push(match expanded {
            true => {
                let body = expand(model, template, &name, output)?;
                format!("expanded_{class}_text = <<EOF\n{body}EOF\n")
            }
            false => {
                let header: String = template.header.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
                format!("{class}_template = <<EOF\n{header}\n{}EOF\n", template.body)
            }
        });
    }
    output.print(&texts.join("\n"));
    Ok(())
}

impl From<&Template> for Found {
    fn from(template: &Template) -> Found {
        let text = |text: &str| super::text(text.as_bytes());
        Found {
            class: template.class.to_owned(),
            header: template.header.iter().map(|(n, v)| (text(n), text(v))).collect(),
            body: text(&template.body),
        }
    }
}

/// Takes the templates of a file in place of those they name.
fn read(text: &str, file: &str, found: &mut [Found]) -> Result<(), String> {
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let place = || format!("{file}, line {}", number + 1);
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, end) = line
            .split_once('=')
            .and_then(|(name, end)| Some((name.trim(), end.trim().strip_prefix("<<")?.trim())))
            .filter(|(_, end)| !end.is_empty())
            .ok_or_else(|| format!("{}: expected `NAME_template = <<EOF`, found `{line}`", place()))?;
        let template = found
            .iter_mut()
            .find(|t| name.strip_suffix("_template") == Some(&t.class))
            .ok_or_else(|| format!("{}: no template is called `{name}`", place()))?;
        let mut block = Vec::new();
        loop {
            match lines.next() {
                Some((_, line)) if line == end => break,
                Some((_, line)) => block.push(line),
                None => return Err(format!("{}: expected a line `{end}` that ends the template", place())),
            }
        }
        fill(template, &block);
    }
    Ok(())
}

/// A header line replaces the built-in one of its name; the text begins behind the first empty line.
fn fill(template: &mut Found, block: &[&str]) {
    let header_end = block.iter().position(|line| line.is_empty()).unwrap_or(block.len());
    for line in &block[..header_end] {
        let Some((name, value)) = line.split_once(':') else { continue };
        if let Some(header) = template.header.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name.trim())) {
            header.1 = value.trim().to_owned();
        }
    }
    let body = block.get(header_end + 1..).unwrap_or_default();
    template.body = body.iter().map(|line| format!("{line}\n")).collect();
}

/// Names that end in a unit stand for the time in that unit.
const UNITS: [(&str, u64); 5] =
    [("_seconds", 1), ("_minutes", 60), ("_hours", 3600), ("_days", 86_400), ("_weeks", 604_800)];

fn expand(model: &Model, template: &Found, file: &str, output: &mut Output) -> Result<String, String> {
    let mut body = String::new();
    for line in template.body.split_inclusive('\n') {
        let mut text = line.to_owned();
        for name in ["delay_warning_time", "maximal_queue_lifetime", "bounce_queue_lifetime"] {
            for (unit, seconds) in UNITS {
                let reference = format!("${name}{unit}");
                if text.contains(&reference) {
                    let value = model.expand(&format!("${name}"), None, output)?;
                    let units = time(&value).map(|time| time / seconds);
                    text = text.replace(&reference, &units.map_or(value, |n| n.to_string()));
                }
            }
        }
        let mut unknown = false;
        let known = |name: &str| model.is_parameter(name) || model.main.contains_key(name);
        let read = crate::expand::names_in(&text, &mut |name| unknown |= !known(name));
        if unknown || read.is_err() {
            let class = &template.class;
            return Err(format!("{file}: undefined $name in {class} template: {}", line.trim_end()));
        }
        body.push_str(&model.expand(&text, None, output)?);
    }
    Ok(body)
}

/// A time as parameters have it, in seconds; without unit it is in hours for a warning and in days for a lifetime,
/// as their defaults are.
fn time(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let scale = match text[digits..].chars().next()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(scale)
}
