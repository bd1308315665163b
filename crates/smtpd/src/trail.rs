//! What was asked on the way to a decision, step by step, for who wants to know why.
//!
//! Every decision of a session is written down, since nobody knows before whether it will be a refusal. So a step is a
//! few copied bytes in a buffer that the next decision uses again: once the buffers have their size, a step costs no
//! allocation, but for one that shows the answer of DNS.

use crate::complaint::Complaint;
use crate::list::Entry;
use crate::packed::{self, Packed};
use crate::restrictions::{Verdict, misconfigured};
use mail::Address;
use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use tables::Lookup;

/// Bytes of steps of one decision at most for who asks what would be; later ones are only counted.
const BYTES_MAX: usize = 16 << 20;

/// The same for a session's own: some hundred steps, which few configurations come near. A table whose values are long,
/// or lists that name each other, must not fill memory.
pub const SESSION_BYTES_MAX: usize = 16 << 10;

/// Buffers that an event loop keeps for the next decisions. Only decisions that wait for an answer are open at once.
const KEPT_MAX: usize = 64;

/// Writes steps down.
pub struct Trail {
    packed: RefCell<Packed>,
    bytes_max: usize,
    left_out: Cell<u32>,
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
        /// How deep in lists within lists.
        depth: u32,
        /// As it is written.
        text: String,
        /// What it found.
        verdict: String,
    },
    /// Further steps, for which there was no room.
    LeftOut {
        /// How many.
        steps: u32,
    },
}

/// Which step it is, as the first text of a packed one.
mod kind {
    pub(super) const LIST: &[u8] = b"l";
    pub(super) const TABLE: &[u8] = b"t";
    pub(super) const DNS: &[u8] = b"d";
    pub(super) const POLICY: &[u8] = b"p";
    pub(super) const RESTRICTION: &[u8] = b"r";
    pub(super) const LEFT_OUT: &[u8] = b"o";
}

impl Default for Trail {
    fn default() -> Self {
        Trail::bounded(BYTES_MAX)
    }
}

impl Trail {
    fn bounded(bytes_max: usize) -> Self {
        Trail { packed: RefCell::default(), bytes_max, left_out: Cell::new(0) }
    }

    /// The steps so far.
    pub fn steps(&self) -> Vec<Step> {
        let mut packed = Packed::default();
        self.pack(&mut packed);
        let bytes = packed.into_bytes();
        let all = packed::take(&mut &bytes[..]).map(read);
        all.unwrap_or_default()
    }

    /// How large it is.
    pub(crate) fn bytes(&self) -> usize {
        self.packed.borrow().bytes().len()
    }

    /// Adds all of it to `to`, as one text.
    pub(crate) fn pack(&self, to: &mut Packed) {
        let mut packed = self.packed.borrow_mut();
        if self.left_out.get() > 0 {
            packed.put_bytes(kind::LEFT_OUT);
            packed.put(self.left_out.take());
        }
        to.put_bytes(packed.bytes());
    }

    fn clear(&self) {
        self.packed.borrow_mut().clear();
        self.left_out.set(0);
    }

    fn add(&self, kind: &[u8], fields: &[&dyn Display]) {
        let mut packed = self.packed.borrow_mut();
        let before = packed.bytes().len();
        if self.left_out.get() == 0 {
            packed.put_bytes(kind);
            for field in fields {
                packed.put(field);
            }
            if packed.bytes().len() <= self.bytes_max {
                return;
            }
            packed.truncate(before);
        }
        self.left_out.set(self.left_out.get().saturating_add(1));
    }

    pub(crate) fn entered(&self, name: &str, place: Option<&str>) {
        self.add(kind::LIST, &[&name, &place.unwrap_or_default()]);
    }

    pub(crate) fn asked(&self, entry: &Entry, depth: u32, verdict: &Verdict) {
        let warns = if entry.warns { "warn_if_reject " } else { "" };
        let text = format_args!("{warns}{}", entry.text);
        self.add(kind::RESTRICTION, &[&depth, &text, &Told(verdict)]);
    }

    /// A check that stands in no list, such as that of a recipient that does not exist.
    pub(crate) fn implied(&self, parameter: &str, verdict: &Verdict) {
        self.add(kind::RESTRICTION, &[&0, &format_args!("{parameter} = yes"), &Told(verdict)]);
    }

    /// What something else than a restriction found.
    pub(crate) fn noted(&self, who: &str, found: &str) {
        self.add(kind::RESTRICTION, &[&0, &who, &found]);
    }

    pub(crate) fn looked_up(&self, spec: &str, key: &str, found: &Lookup) {
        let answer = Answer(found);
        self.add(kind::TABLE, &[&spec, &key, &answer]);
    }

    /// What is known of an address by probes.
    pub(crate) fn verified(&self, address: &Address, found: &str) {
        self.add(kind::TABLE, &[&"verify", &String::from_utf8_lossy(address.as_bytes()), &found]);
    }

    pub(crate) fn policy(&self, service: &str, action: Result<&str, &str>) {
        let (action, more) = match action {
            Ok(action) => (action, ""),
            Err(default) => (default, " (it does not answer, so the default action counts)"),
        };
        self.add(kind::POLICY, &[&service, &format_args!("{action}{more}")]);
    }

    pub(crate) fn resolved(&self, question: fmt::Arguments<'_>, answer: &str) {
        self.add(kind::DNS, &[&question, &answer]);
    }
}

/// The steps of packed bytes, as far as they are understood: another version of the program may have written them.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<Step> {
    let bytes = &mut bytes;
    std::iter::from_fn(|| step(bytes)).collect()
}

fn step(bytes: &mut &[u8]) -> Option<Step> {
    let kind = packed::take(bytes)?;
    let mut text = || packed::take_text(bytes);
    Some(match kind {
        kind::LIST => Step::List { name: text()?, place: text().filter(|place| !place.is_empty()) },
        kind::TABLE => Step::Table { spec: text()?, key: text()?, answer: text()? },
        kind::DNS => Step::Dns { question: text()?, answer: text()? },
        kind::POLICY => Step::Policy { service: text()?, action: text()? },
        kind::RESTRICTION => {
            Step::Restriction { depth: text()?.parse().ok()?, text: text()?, verdict: text()? }
        }
        kind::LEFT_OUT => Step::LeftOut { steps: text()?.parse().ok()? },
        _ => return None,
    })
}

struct Answer<'a>(&'a Lookup);

impl Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Lookup::Found(value) => write!(f, "{value}"),
            Lookup::NotFound => f.write_str("not found"),
            Lookup::TempFail(why) => write!(f, "cannot be asked: {why}"),
        }
    }
}

/// A finding in words.
pub(crate) struct Told<'a>(pub(crate) &'a Verdict);

impl Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Verdict::Dunno => f.write_str("goes on"),
            Verdict::Permit | Verdict::Granted(_) => f.write_str("permits"),
            Verdict::Ungranted(..) => write!(f, "must not permit, as it does: {}", misconfigured()),
            Verdict::Refuse(reply) => write!(f, "refuses: {reply}"),
            Verdict::NotNow(reply)
            | Verdict::Unable(reply)
            | Verdict::Broken(Complaint::Lookup(_), reply) => {
                write!(f, "cannot decide: {reply}")
            }
            Verdict::Broken(_, reply) => write!(f, "makes no sense: {reply}"),
            Verdict::DeferIfPermit(reply) => write!(f, "puts off what is permitted: {reply}"),
            Verdict::DeferIfReject(reply) => write!(f, "puts off what is refused: {reply}"),
            Verdict::HangUp(text) => write!(f, "hangs up: {text}"),
            Verdict::Act(act) => write!(f, "{}: {}", act.name, act.text),
            Verdict::Complain(Complaint::Lookup(_) | Complaint::Blocklist { .. }) => {
                f.write_str("cannot be known, goes on")
            }
            Verdict::Complain(_) => f.write_str("makes no sense, goes on"),
            Verdict::Told(_, verdict) => Told(verdict).fmt(f),
            Verdict::List(_) => f.write_str("asks a list"),
        }
    }
}

/// Trails of an event loop that the next decisions use again.
#[derive(Default)]
pub(crate) struct Trails(RefCell<Vec<Trail>>);

/// A trail for one decision.
pub(crate) struct Lent<'a> {
    of: &'a Trails,
    trail: Option<Trail>,
}

impl Trails {
    /// A trail, if it `is_wanted`.
    pub(crate) fn lend(&self, is_wanted: bool) -> Lent<'_> {
        let mut kept = self.0.borrow_mut();
        let trail = is_wanted.then(|| kept.pop().unwrap_or_else(|| Trail::bounded(SESSION_BYTES_MAX)));
        Lent { of: self, trail }
    }
}

impl Lent<'_> {
    pub(crate) fn get(&self) -> Option<&Trail> {
        self.trail.as_ref()
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(trail) = self.trail.take() else { return };
        let mut kept = self.of.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            trail.clear();
            kept.push(trail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(trail: &Trail, key: &str) {
        trail.entered("smtpd_client_restrictions", Some("/etc/postfix/main.cf:7"));
        trail.looked_up("hash:/x", key, &Lookup::NotFound);
        trail.resolved(format_args!("{key} A"), "192.0.2.1");
        trail.policy("inet:[::1]:1", Err("451 later"));
    }

    #[test]
    fn steps_come_back_as_they_were() {
        let trail = Trail::default();
        note(&trail, "a.example");
        trail.entered("smtpd_helo_restrictions", None);
        let place = Some("/etc/postfix/main.cf:7".to_owned());
        let (key, answer) = ("a.example".to_owned(), "not found".to_owned());
        let later = "451 later (it does not answer, so the default action counts)".to_owned();
        assert_eq!(
            trail.steps(),
            [
                Step::List { name: "smtpd_client_restrictions".into(), place },
                Step::Table { spec: "hash:/x".into(), key, answer },
                Step::Dns { question: "a.example A".into(), answer: "192.0.2.1".into() },
                Step::Policy { service: "inet:[::1]:1".into(), action: later },
                Step::List { name: "smtpd_helo_restrictions".into(), place: None },
            ]
        );
    }

    #[test]
    fn a_trail_is_bounded_and_says_how_much_is_missing() {
        let trails = Trails::default();
        let lent = trails.lend(true);
        let trail = lent.get().unwrap();
        for _ in 0..1000 {
            note(trail, "a.example");
        }
        let steps = trail.steps();
        let told = steps.len() - 1;
        assert!(trail.packed.borrow().bytes().len() <= SESSION_BYTES_MAX + 100);
        assert_eq!(steps.last(), Some(&Step::LeftOut { steps: 4000 - u32::try_from(told).unwrap() }));
    }

    #[test]
    fn a_trail_that_is_used_again_begins_anew_in_the_same_memory() {
        let trails = Trails::default();
        let memory = |key| {
            let lent = trails.lend(true);
            let trail = lent.get().unwrap();
            note(trail, key);
            assert_eq!(trail.steps().len(), 4);
            trail.packed.borrow().bytes().as_ptr()
        };
        assert_eq!(memory("a.example"), memory("b.example"), "no allocation");
        assert!(trails.lend(false).get().is_none());
    }
}
