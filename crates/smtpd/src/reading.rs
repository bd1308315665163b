//! Words become a restriction list: those of main.cf once, those of an access table's result when it is found.

use crate::complaint::Complaint;
use crate::list::{Entry, List, What};
use crate::policy::Defaults;
use crate::restrictions::{self, FINAL, Make, REMOVED};
use config::{Error, Scope};
use std::collections::HashMap;
use std::iter::Peekable;
use std::sync::Arc;
use tables::{Settings, Table};

/// Restrictions of one list at most: each costs time at every recipient.
const RESTRICTIONS_MAX: usize = 10_000;

/// The restriction classes of a service, and what holds for policy services: results of access tables may name both.
#[derive(Default)]
pub struct Vocabulary {
    classes: HashMap<String, Arc<List>>,
    policies: Defaults,
}

/// Where tables and classes come from, and where mistakes go.
trait Source {
    /// The table; where there is none it has been told.
    fn table(&mut self, spec: &str) -> Option<Table>;
    /// The class of that name; the inner nothing is one that has been told to be wrong.
    fn class(&mut self, name: &str) -> Option<Option<Arc<List>>>;
    /// What holds for policy services.
    fn policies(&self) -> &Defaults;
    /// Something is wrong with a word.
    fn wrong(&mut self, text: String);
}

/// The words one after the other. `bare_tables`: a table by itself has a meaning at the stage of the list.
fn entries(words: &[String], bare_tables: bool, source: &mut impl Source) -> Vec<Entry> {
    let mut list: Vec<Entry> = Vec::new();
    let mut words = words.iter().map(String::as_str).peekable();
    let mut warns = false;
    while let Some(word) = words.next() {
        if list.len() == RESTRICTIONS_MAX {
            source.wrong(format!("expected at most {RESTRICTIONS_MAX} restrictions, found more at `{word}`"));
            break;
        }
        if word.eq_ignore_ascii_case("warn_if_reject") {
            warns = true;
            continue;
        }
        let mut entry = entry(word, &mut words, bare_tables, source);
        entry.warns = std::mem::take(&mut warns);
        list.push(entry);
    }
    list
}

fn entry<'w>(
    word: &'w str,
    words: &mut Peekable<impl Iterator<Item = &'w str>>,
    bare_tables: bool,
    source: &mut impl Source,
) -> Entry {
    let of = |text: String, what: What| Entry { text, what, warns: false, ignored: None };
    let broken = |text: &str| of(text.to_owned(), What::Broken(Complaint::Unknown(text.to_owned())));
    let Some(kind) = restrictions::find(word) else {
        if word.contains(':') {
            if !bare_tables {
                source.wrong(format!("expected a restriction in front of the table, found `{word}`"));
                return broken(word);
            }
            return source.table(word).map_or_else(|| broken(word), |t| of(word.to_owned(), What::Bare(t)));
        }
        return match source.class(word) {
            Some(Some(list)) => of(word.to_owned(), What::Class(list)),
            Some(None) => broken(word),
            None => {
                source.wrong(unknown(word));
                if words.peek().is_some_and(|next| next.contains(':')) {
                    words.next();
                }
                broken(word)
            }
        };
    };
    let guards_relaying = kind.guards_relaying;
    let one = |restriction| What::One { restriction, guards_relaying };
    match kind.make {
        Make::Alone(make) => {
            let next = words.peek().filter(|_| FINAL.contains(&kind.name));
            let ignored = next.map(|next| Complaint::Ignored { first: kind.name, next: (*next).to_owned() });
            Entry { ignored, ..of(kind.name.to_owned(), one(make())) }
        }
        Make::WithTable(make) => match words.next() {
            Some(spec) => {
                let text = format!("{} {spec}", kind.name);
                source.table(spec).map_or_else(|| broken(spec), |table| of(text, one(make(table))))
            }
            None => {
                source.wrong(format!("expected a type:table behind {}, found nothing", kind.name));
                of(kind.name.to_owned(), What::Broken(Complaint::NoTable(kind.name)))
            }
        },
        Make::WithTableIn(make) => match words.next() {
            Some(word) => match make(word, &mut |spec| source.table(spec)) {
                Ok(Some(made)) => of(format!("{} {word}", kind.name), one(made)),
                Ok(None) => broken(word),
                Err(why) => {
                    source.wrong(format!("{}: {why}", kind.name));
                    broken(word)
                }
            },
            None => {
                source.wrong(format!("expected a type:table behind {}, found nothing", kind.name));
                of(kind.name.to_owned(), What::Broken(Complaint::NoTable(kind.name)))
            }
        },
        Make::WithService(make) => {
            let word = words.next();
            let made = word.ok_or_else(|| "expected a service, found nothing".to_owned());
            match made.and_then(|word| make(word, source.policies())) {
                Ok(made) => of(format!("{} {}", kind.name, word.unwrap_or_default()), one(made)),
                Err(why) => {
                    source.wrong(format!("{}: {why}", kind.name));
                    broken(kind.name)
                }
            }
        }
        Make::WithWord(what, make) => {
            let made = words.next().ok_or_else(|| "nothing".to_owned()).and_then(|word| {
                let made = make(word).map_err(|why| format!("`{word}`: {why}"))?;
                Ok(of(format!("{} {word}", kind.name), one(made)))
            });
            made.unwrap_or_else(|found| {
                source.wrong(format!("expected {what} behind {}, found {found}", kind.name));
                broken(kind.name)
            })
        }
    }
}

fn unknown(word: &str) -> String {
    match REMOVED.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
        Some((_, instead)) => format!("`{word}` was removed from Postfix: use {instead}"),
        None => format!("expected a restriction or type:table, found `{word}`"),
    }
}

impl Vocabulary {
    /// The list that `text` says, with what is known already; what makes no sense is refused when it is asked.
    pub fn list(&self, text: &str) -> List {
        let words = config::words::list(text);
        List::of(entries(&words, true, &mut Known(self)))
    }
}

struct Known<'a>(&'a Vocabulary);

impl Source for Known<'_> {
    // Results may not name tables.
    fn table(&mut self, _: &str) -> Option<Table> {
        None
    }

    fn class(&mut self, name: &str) -> Option<Option<Arc<List>>> {
        self.0.classes.get(name).cloned().map(Some)
    }

    fn policies(&self) -> &Defaults {
        &self.0.policies
    }

    // The log tells when it is asked.
    fn wrong(&mut self, _: String) {}
}

/// Reads the lists of main.cf as a service sees them.
pub struct Reading<'a> {
    scope: &'a Scope<'a>,
    open: &'a Settings,
    errors: &'a mut Vec<Error>,
    /// Names in `smtpd_restriction_classes`.
    declared: Vec<String>,
    /// The classes that are being read, for one that holds itself.
    under_way: Vec<String>,
    vocabulary: Vocabulary,
    /// The parameter whose words are read.
    parameter: String,
}

impl<'a> Reading<'a> {
    /// With the names in `smtpd_restriction_classes`; mistakes go to `errors`.
    pub fn new(
        scope: &'a Scope<'a>,
        open: &'a Settings,
        declared: &[String],
        errors: &'a mut Vec<Error>,
    ) -> Reading<'a> {
        let declared = declared.to_vec();
        let policies = Defaults::read(scope, open).unwrap_or_else(|wrong| {
            errors.extend(wrong.into_vec());
            Defaults::default()
        });
        let mut reading = Reading {
            scope,
            open,
            errors,
            declared,
            under_way: Vec::new(),
            vocabulary: Vocabulary { policies, ..Vocabulary::default() },
            parameter: "smtpd_restriction_classes".to_owned(),
        };
        // Also those that only tables name.
        for name in reading.declared.clone() {
            let _ = reading.class(&name);
        }
        reading
    }

    /// The list of a parameter. `bare_tables`: a table by itself has a meaning at its stage.
    pub fn list(&mut self, parameter: &str, words: &[String], bare_tables: bool) -> List {
        let before = std::mem::replace(&mut self.parameter, parameter.to_owned());
        let place = self.scope.origin(parameter).map(ToString::to_string);
        let list = List::of(entries(words, bare_tables, self)).named(parameter, place);
        self.parameter = before;
        list
    }

    /// What was named.
    pub fn vocabulary(self) -> Vocabulary {
        self.vocabulary
    }

    fn read_class(&mut self, name: &str) -> Option<Arc<List>> {
        if self.under_way.iter().any(|above| above == name) {
            let chain = [self.under_way.join(" -> "), name.to_owned()].join(" -> ");
            self.wrong(format!("expected restriction classes that do not hold themselves, found {chain}"));
            return None;
        }
        let words = match self.scope.find(name).map(|_| self.scope.expanded(name)) {
            Some(Ok(text)) if !config::words::list(&text).is_empty() => config::words::list(&text),
            Some(Err(error)) => {
                self.errors.push(error);
                return None;
            }
            _ => {
                self.wrong(format!(
                    "expected a list of restrictions for the class `{name}`, found none: add `{name} = …`, or take \
                     the name away"
                ));
                return None;
            }
        };
        self.under_way.push(name.to_owned());
        let list = Arc::new(self.list(name, &words, true));
        self.under_way.pop();
        self.vocabulary.classes.insert(name.to_owned(), Arc::clone(&list));
        Some(list)
    }
}

impl Source for Reading<'_> {
    fn table(&mut self, spec: &str) -> Option<Table> {
        let opened = Table::open(spec, self.open);
        opened.map_err(|error| self.wrong(error.to_string())).ok()
    }

    fn class(&mut self, name: &str) -> Option<Option<Arc<List>>> {
        if let Some(list) = self.vocabulary.classes.get(name) {
            return Some(Some(Arc::clone(list)));
        }
        self.declared.iter().any(|declared| declared == name).then(|| self.read_class(name))
    }

    fn policies(&self) -> &Defaults {
        &self.vocabulary.policies
    }

    fn wrong(&mut self, text: String) {
        self.errors.push(self.scope.error(&self.parameter, text));
    }
}
