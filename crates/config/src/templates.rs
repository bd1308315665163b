//! The texts of reports: a template for each kind, built in or from a file. Postfix: bounce(5), `bounce_template_file`.
//!
//! A file holds `failure_template = <<END`, header lines, an empty line, text and `END`. It may be of any charset, so its
//! characters are octets here ([`octets::text`]).
//!
//! [`octets::text`]: crate::octets::text

use crate::expand::{self, Names};
use crate::kinds::{Duration, Kind};
use crate::parameters;
use std::borrow::Cow;
use std::cell::RefCell;

/// The text of one kind of report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `failure`, `delay`, `success` or `verify`.
    pub class: &'static str,
    /// The charset of the body.
    pub charset: String,
    /// The header field From, which an account of `myorigin` may have without a domain.
    pub from: String,
    /// The header field Subject.
    pub subject: String,
    /// The Subject of what postmaster gets; nothing where he gets no such report.
    pub postmaster_subject: Option<String>,
    /// The words in front of the list of recipients: lines with line feeds, with `$myhostname` and the like.
    pub body: String,
}

/// Takes the templates of a file in place of those that they name, and tells what is wrong with others, which are left
/// out. The error is of a file that cannot be understood from one place on.
pub fn read(text: &str, file: &str, templates: &mut [Template]) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    let mut blocks: Vec<Option<Vec<&str>>> = vec![None; templates.len()];
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let place = format!("{file}, line {}", number + 1);
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let (name, value) =
            line.split_once('=').ok_or(format!("{place}: missing '=' after attribute name: \"{line}\""))?;
        let (name, value) = (name.trim(), value.trim());
        let block = match value.strip_prefix("<<").map(str::trim) {
            None => vec![value],
            Some("") => return Err(format!("{place}: missing end marker after <<")),
            Some(end) => {
                let mut ended = false;
                let of_block = lines.by_ref().map(|(_, line)| line);
                let block = of_block.take_while(|line| {
                    ended = *line == end;
                    !ended
                });
                let block = block.collect();
                if !ended {
                    warnings.push(format!("{place}: missing \"{end}\" end marker"));
                }
                block
            }
        };
        match templates.iter().position(|t| name.strip_suffix("_template") == Some(t.class)) {
            Some(at) => blocks[at] = Some(block),
            None => {
                warnings.push(format!("{place}: unknown template name: {name} -- ignoring this template"))
            }
        }
    }
    for (template, block) in templates.iter_mut().zip(blocks) {
        let Some(block) = block else { continue };
        match template.with(&block) {
            Ok(changed) => *template = changed,
            Err(why) => {
                let class = template.class;
                warnings.push(format!("{file}: {why} in {class} template -- ignoring this template"));
            }
        }
    }
    Ok(warnings)
}

impl Template {
    /// The template with the header lines and the text of a block; the error says what is wrong with the block.
    fn with(&self, block: &[&str]) -> Result<Template, String> {
        let mut new = self.clone();
        let mut body = block;
        while let Some((line, rest)) = body.split_first() {
            // The first line that is no header begins the text.
            let Some((label, value)) = header(line) else { break };
            let value = value.trim();
            let field = match label.to_ascii_lowercase().as_str() {
                "charset" => &mut new.charset,
                "from" => &mut new.from,
                "subject" => &mut new.subject,
                "postmaster-subject" => match &mut new.postmaster_subject {
                    Some(subject) => subject,
                    None => return Err(format!("inapplicable \"{label}\" header label")),
                },
                _ => return Err(format!("unknown \"{label}\" header label")),
            };
            if value.is_empty() {
                return Err(format!("empty \"{label}\" header value"));
            }
            if !value.is_ascii() {
                return Err(format!("non-ASCII \"{label}\" header value"));
            }
            value.clone_into(field);
            body = rest;
        }
        let body = body.strip_prefix(&[""]).unwrap_or(body);
        new.body = body.iter().map(|line| format!("{line}\n")).collect();
        if new.body.is_empty() {
            return Err("missing message text".to_owned());
        }
        if !new.body.is_ascii() && new.charset.eq_ignore_ascii_case("us-ascii") {
            return Err("8-bit text for charset us-ascii".to_owned());
        }
        Ok(new)
    }

    /// The body with the values of the names in it, and what is odd about them. The error names the line whose names
    /// have none. A time has names that end in a unit, too: `$delay_warning_time_hours`. `file` is where the template
    /// comes from.
    pub fn expanded(&self, names: &dyn Names, file: &str) -> Result<(String, Vec<String>), String> {
        let class = self.class;
        let names = WithUnits { names, class, file, warnings: RefCell::default() };
        let mut body = String::new();
        for line in self.body.split_inclusive('\n') {
            let shown = line.trim_end_matches('\n');
            let wrong = |what: &str| format!("{file}: {what} in {class} template: {shown}");
            let mut unknown = false;
            expand::names_in(line, &mut |name| unknown |= names.raw(name).is_none())
                .map_err(|_| wrong("bad $name syntax"))?;
            if unknown {
                return Err(wrong("undefined $name"));
            }
            body += &expand::expand(line, &names).map_err(|why| wrong(&why))?;
        }
        Ok((body, names.warnings.into_inner()))
    }
}

/// Label and value of a header line of a template.
fn header(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.split_once(':')?;
    let is_label = !label.is_empty() && label.bytes().all(|b| b.is_ascii_graphic());
    is_label.then_some((label, value))
}

/// The times that reports tell of, and what a unit's name ends in.
const TIMES: [&str; 2] = ["delay_warning_time", "maximal_queue_lifetime"];
const UNITS: [(&str, u64); 5] =
    [("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400), ("weeks", 604_800)];

/// A time of more units than this is better told in larger ones.
const COUNT_MAX: u64 = 999;

/// Names, and those of times in units.
struct WithUnits<'a> {
    names: &'a dyn Names,
    class: &'a str,
    file: &'a str,
    warnings: RefCell<Vec<String>>,
}

impl Names for WithUnits<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        let in_unit = || {
            let (time, unit) = name.rsplit_once('_').filter(|(time, _)| TIMES.contains(time))?;
            Some((time, UNITS.iter().find(|(name, _)| *name == unit)?))
        };
        let Some((time, (unit, seconds))) = in_unit() else { return self.names.raw(name) };
        let value = expand::expand(&self.names.raw(time)?, self.names).ok()?;
        let whole = Duration::read(value.trim(), &parameters::find(time)?.limits()).ok()?.as_secs();
        let count = whole / seconds;
        if count == 0 && whole > 0 {
            self.advise("zero result", "reduce", unit, name);
        } else if count > COUNT_MAX {
            self.advise(&format!("excessive result \"{count}\""), "increase", unit, name);
        }
        Some(count.to_string().into())
    }
}

impl WithUnits<'_> {
    /// Tells that a unit is not fit for a time, once for each name.
    fn advise(&self, result: &str, change: &str, unit: &str, name: &str) {
        let (file, class) = (self.file, self.class);
        let what = format!("{file}: {result} in {class} template conversion of parameter \"{name}\"");
        let mut warnings = self.warnings.borrow_mut();
        if warnings.contains(&what) {
            return;
        }
        warnings.extend([
            what,
            format!("please {change} time unit \"{unit}\" of \"{name}\" in {class} template"),
            "for instructions see the bounce(5) manual".to_owned(),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Vec<Template> {
        let of = |class, postmaster: Option<&str>| Template {
            class,
            charset: "us-ascii".into(),
            from: "daemon".into(),
            subject: "built in".into(),
            postmaster_subject: postmaster.map(str::to_owned),
            body: "built in\n".into(),
        };
        vec![of("failure", Some("copy")), of("success", None)]
    }

    #[test]
    fn a_template_replaces_what_it_names() {
        let mut found = templates();
        let text = "# comment\n\nfailure_template = <<END\nsubject: new\n\nWe are $myhostname.\n\n.x\nEND\n";
        assert_eq!(read(text, "t", &mut found), Ok(vec![]));
        let expected = Template {
            subject: "new".into(),
            body: "We are $myhostname.\n\n.x\n".into(),
            ..templates()[0].clone()
        };
        assert_eq!(found, [expected, templates()[1].clone()]);
        // A line that is no header belongs to the text already.
        read("failure_template = <<END\nSubject: a\n  b\nFrom: c\nEND\n", "t", &mut found).unwrap();
        assert_eq!((&*found[0].subject, &*found[0].body), ("a", "  b\nFrom: c\n"));
    }

    #[test]
    fn what_is_wrong_leaves_the_built_in_template() {
        for (text, warning) in [
            ("failure_template = <<END\nX-Other: a\n\nx\nEND\n", "t: unknown \"X-Other\" header label in"),
            ("failure_template = <<END\nFrom:\n\nx\nEND\n", "t: empty \"From\" header value in failure"),
            ("failure_template = <<END\nFrom: \u{e4}\n\nx\nEND\n", "t: non-ASCII \"From\" header value in"),
            (
                "failure_template = <<END\nFrom: a\nEND\n",
                "t: missing message text in failure template -- ign",
            ),
            ("failure_template = <<END\n\n\u{e4}\nEND\n", "t: 8-bit text for charset us-ascii in failure"),
            ("\nfailure_template = <<END\nFrom: a\n", "t, line 2: missing \"END\" end marker"),
            ("success_template = <<END\nPostmaster-Subject: a\n\nx\nEND\n", "t: inapplicable \"Postmaster-S"),
            ("nosuch_template = <<END\nFrom: a\n\nx\nEND\n", "t, line 1: unknown template name: nosuch_temp"),
        ] {
            let mut found = templates();
            let warnings = read(text, "t", &mut found).unwrap();
            assert!(warnings[0].starts_with(warning), "{warnings:?}");
            assert_eq!(found, templates(), "{text}");
        }
        for (text, error) in [
            ("failure_template\n", "t, line 1: missing '=' after attribute name: \"failure_template\""),
            ("\nfailure_template = <<\n", "t, line 2: missing end marker after <<"),
        ] {
            assert_eq!(read(text, "t", &mut templates()), Err(error.to_owned()));
        }
    }

    #[test]
    fn names_get_their_values_and_times_a_unit() {
        struct Known;
        impl Names for Known {
            fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
                match name {
                    "myhostname" => Some("mx.example".into()),
                    "delay_warning_time" => Some("4".into()),
                    "maximal_queue_lifetime" => Some("90m".into()),
                    _ => None,
                }
            }
        }
        let expanded =
            |body: &str| Template { body: body.into(), ..templates().remove(0) }.expanded(&Known, "t");
        let (text, warnings) =
            expanded("$myhostname $delay_warning_time_minutes ${maximal_queue_lifetime_hours} $$\n").unwrap();
        assert_eq!((&*text, warnings.len()), ("mx.example 240 1 $\n", 0));
        let (text, warnings) = expanded("$maximal_queue_lifetime_days\n").unwrap();
        assert_eq!((&*text, warnings.len()), ("0\n", 3));
        let (text, warnings) = expanded("$delay_warning_time_seconds\n").unwrap();
        assert_eq!((&*text, warnings.len()), ("14400\n", 3));
        assert_eq!(expanded("a\n$b c\n"), Err("t: undefined $name in failure template: $b c".into()));
        assert!(expanded("${b\n").unwrap_err().starts_with("t: bad $name syntax in failure template: ${b"));
    }
}
