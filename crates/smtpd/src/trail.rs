//! What was asked on the way to a decision, step by step, for who wants to know why.

use crate::about::Stage;
use crate::list::Entry;
use crate::restrictions::Verdict;
use std::cell::RefCell;
use tables::Lookup;

/// Steps of one decision at most; later ones are only counted.
const STEPS_MAX: usize = 10_000;

/// Writes steps down.
#[derive(Default)]
pub struct Trail {
    steps: RefCell<Vec<Step>>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A list began.
    List {
        /// Its parameter.
        name: String,
        /// Where that is set: file and line; nothing for a default.
        place: Option<String>,
    },
    /// A table was asked.
    Table {
        /// The table.
        spec: String,
        /// The key.
        key: String,
        /// The answer, or why there is none.
        answer: String,
    },
    /// DNS was asked.
    Dns {
        /// Name and type.
        question: String,
        /// The answer, or why there is none.
        answer: String,
    },
    /// A policy service was asked.
    Policy {
        /// The service as it is written.
        service: String,
        /// Its action, or the one that counts in its place.
        action: String,
    },
    /// A restriction was asked. What it looked up stands before it.
    Restriction {
        /// Whose list.
        stage: Stage,
        /// How deep in lists within lists.
        depth: u32,
        /// As it is written.
        text: String,
        /// What it found.
        verdict: String,
    },
}

impl Trail {
    /// The steps so far.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.borrow().clone()
    }

    fn add(&self, step: Step) {
        let mut steps = self.steps.borrow_mut();
        if steps.len() < STEPS_MAX {
            steps.push(step);
        }
    }

    pub(crate) fn entered(&self, name: &str, place: Option<&str>) {
        self.add(Step::List { name: name.to_owned(), place: place.map(str::to_owned) });
    }

    pub(crate) fn asked(&self, entry: &Entry, stage: Stage, depth: u32, verdict: &Verdict) {
        let warns = if entry.warns { "warn_if_reject " } else { "" };
        let text = format!("{warns}{}", entry.text);
        self.add(Step::Restriction { stage, depth, text, verdict: told(verdict) });
    }

    pub(crate) fn looked_up(&self, spec: &str, key: &str, found: &Lookup) {
        let answer = match found {
            Lookup::Found(value) => value.to_string(),
            Lookup::NotFound => "not found".to_owned(),
            Lookup::TempFail(why) => format!("cannot be asked: {why}"),
        };
        self.add(Step::Table { spec: spec.to_owned(), key: key.to_owned(), answer });
    }

    pub(crate) fn policy(&self, service: &str, action: Result<&str, &str>) {
        let action = match action {
            Ok(action) => action.to_owned(),
            Err(default) => format!("{default} (it does not answer, so the default action counts)"),
        };
        self.add(Step::Policy { service: service.to_owned(), action });
    }

    pub(crate) fn resolved(&self, question: String, answer: String) {
        self.add(Step::Dns { question, answer });
    }
}

fn told(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Dunno => "goes on".to_owned(),
        Verdict::Permit => "permits".to_owned(),
        Verdict::Refuse(reply) => format!("refuses: {reply}"),
        Verdict::Unable(reply) | Verdict::Broken(_, reply) => format!("cannot decide: {reply}"),
        Verdict::DeferIfPermit(reply) => format!("puts off what is permitted: {reply}"),
        Verdict::DeferIfReject(reply) => format!("puts off what is refused: {reply}"),
        Verdict::Act(act) => format!("{}: {}", act.name, act.text),
        Verdict::Complain(_) => "makes no sense, goes on".to_owned(),
        Verdict::Told(_, verdict) => told(verdict),
        Verdict::List(_) => "asks a list".to_owned(),
    }
}
