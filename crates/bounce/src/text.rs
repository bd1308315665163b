//! The words for people, and how lines are folded.

use crate::{ReportKind, ReportReader};
use config::expand::Names;
use config::octets;
use config::templates::{self, Template};

/// Postfix folds at this width and indents what follows.
const WIDTH: usize = 79;
const INDENT: &str = "    ";

/// Who writes.
pub(crate) const FROM: &str = "Mail Delivery System <MAILER-DAEMON>";

/// The built-in texts. Subjects are Postfix's, since filters and people look for them; the words are our own.
pub fn built_in() -> Vec<Template> {
    let of = |class, subject: &str, postmaster_subject: Option<&str>, words: &str| Template {
        class,
        charset: "us-ascii".to_owned(),
        from: FROM.to_owned(),
        subject: subject.to_owned(),
        postmaster_subject: postmaster_subject.map(str::to_owned),
        body: format!(
            "This is the mail server $myhostname.\n\n{words}\n                   The mail system\n"
        ),
    };
    vec![
        of(
            "failure",
            "Undelivered Mail Returned to Sender",
            Some("Postmaster Copy: Undelivered Mail"),
            "Your message did not reach the recipients listed below, and no further\n\
             attempt will be made. The reason stands behind each address. Your message,\n\
             or its header, is attached.\n\n\
             If you need help, forward this report to <postmaster>; the attached text of\n\
             your own message may be left out.\n",
        ),
        of(
            "delay",
            "Delayed Mail (still being retried)",
            Some("Postmaster Warning: Delayed Mail"),
            "This is only a warning. There is no need to send your message again.\n\n\
             For $delay_warning_time_hours hour(s) your message could not be delivered to the recipients listed\n\
             below. Delivery will be tried again until the message is $maximal_queue_lifetime_days day(s) old. Its\n\
             header is attached.\n",
        ),
        of(
            "success",
            "Successful Mail Delivery Report",
            None,
            "Your message was delivered to the recipients listed below, as you asked to be\n\
             told. A recipient that was delivered to a mailbox gives no further report; one\n\
             that was passed on to another server may give reports from there.\n",
        ),
        of("verify", "Mail Delivery Status Report", None, "Here is the report that you asked for.\n"),
    ]
}

/// The texts of all reports, with the values of this configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    texts: Vec<Text>,
    /// What was odd about the templates.
    pub warnings: Vec<String>,
}

/// The text of one kind of report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    template: Template,
    /// Lines with CR LF, in the template's charset.
    pub body: Vec<u8>,
}

impl Texts {
    /// Those of the file, where one is named, and the built-in ones, with `names` for what stands in them. A template
    /// that cannot be used is warned of, and the built-in one holds: reports are sent in any case.
    pub fn read(file: &str, names: &dyn Names) -> Texts {
        let built_in = built_in();
        let mut found = built_in.clone();
        let mut warnings = Vec::new();
        if !file.is_empty() {
            let text = std::fs::read(file).map(|octets| octets::text(&octets));
            let read = text.map_err(|error| format!("open {file}: {error} -- ignoring this file"));
            match read.and_then(|text| templates::read(&text, file, &mut found)) {
                Ok(told) => warnings.extend(told),
                Err(why) => {
                    warnings.push(why);
                    found.clone_from(&built_in);
                }
            }
        }
        let names = Octets(names);
        let texts = found.into_iter().zip(built_in).map(|(template, built_in)| {
            let expanded = |template: &Template| {
                let source = if *template == built_in { "[built-in]" } else { file };
                match template.expanded(&names, source) {
                    Ok((body, odd)) => (Some(body), odd),
                    Err(why) => (None, vec![format!("{why} -- ignoring this template")]),
                }
            };
            let (body, told) = expanded(&template);
            warnings.extend(told);
            match body {
                Some(body) => Text::new(template, &body),
                None => {
                    let (body, told) = expanded(&built_in);
                    warnings.extend(told);
                    Text::new(built_in, &body.unwrap_or_default())
                }
            }
        });
        let texts = texts.collect();
        Texts { texts, warnings }
    }

    /// The text of a kind.
    pub(crate) fn of(&self, kind: ReportKind) -> &Text {
        let class = match kind {
            ReportKind::Failure => "failure",
            ReportKind::Delay => "delay",
            ReportKind::Success => "success",
            ReportKind::Probe | ReportKind::Attempt => "verify",
        };
        self.texts.iter().find(|text| text.template.class == class).expect("all classes are built in")
    }
}

impl Text {
    fn new(template: Template, body: &str) -> Text {
        let body = octets::bytes(&body.replace('\n', "\r\n")).collect();
        Text { template, body }
    }

    /// The value of From.
    pub fn from(&self) -> &str {
        &self.template.from
    }

    /// The value of Subject.
    pub fn subject(&self, reader: ReportReader) -> &str {
        match (reader, &self.template.postmaster_subject) {
            (ReportReader::Postmaster, Some(subject)) => subject,
            _ => &self.template.subject,
        }
    }

    /// The charset of the part for people: reasons may hold more than ASCII.
    pub fn charset(&self) -> &str {
        let charset = self.template.charset.as_str();
        if charset.eq_ignore_ascii_case("us-ascii") { "utf-8" } else { charset }
    }
}

/// Names whose values are octets.
struct Octets<'a>(&'a dyn Names);

impl Names for Octets<'_> {
    fn raw(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.0.raw(name).map(|value| octets::text(value.as_bytes()).into())
    }
}

/// Appends `text` as lines of at most 79 columns, broken at blanks; a longer word stays whole up to `HARD`.
pub(crate) fn fold(text: &str, out: &mut Vec<u8>) {
    fold_to(text, WIDTH, INDENT, out);
}

/// The same for lines of a transcript, which all begin with a blank of their own.
pub(crate) fn fold_said(line: &str, out: &mut Vec<u8>) {
    let mut folded = Vec::new();
    fold_to(line, WIDTH - 1, INDENT, &mut folded);
    for line in folded.split_inclusive(|b| *b == b'\n') {
        out.push(b' ');
        out.extend_from_slice(line);
    }
}

fn fold_to(text: &str, most: usize, indent: &str, out: &mut Vec<u8>) {
    /// Bytes of one line (RFC 5322 2.1.1), less the indent.
    const HARD: usize = 900;
    let mut line = String::new();
    let mut columns = 0;
    for word in text.split(' ').flat_map(|w| chunks(w, HARD)) {
        // Bytes, as Postfix counts them: a line of UTF-8 may look shorter.
        let width = word.len();
        if columns > 0 && columns + 1 + width > most {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
            line.clear();
            line.push_str(indent);
            columns = indent.len();
        } else if columns > 0 {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += width;
    }
    out.extend_from_slice(line.trim_end().as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn chunks(word: &str, most: usize) -> Vec<&str> {
    let (mut rest, mut found) = (word, Vec::new());
    while rest.len() > most {
        let at = (0..=most).rev().find(|&n| rest.is_char_boundary(n)).unwrap_or(rest.len());
        let (now, later) = rest.split_at(at);
        found.push(now);
        rest = later;
    }
    found.push(rest);
    found
}

/// One line of text: what peers said must not begin a header or a MIME part of its own.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
