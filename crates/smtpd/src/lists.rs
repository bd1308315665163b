//! The restriction lists of a service: read once, evaluated in Postfix's order.

use crate::about::{About, Stage};
use crate::complaint::Complaint;
use crate::restrictions::{self, Make, NOT_YET, Restriction, Verdict};
use config::{Error, Scope};
use mail::Reply;
use tables::{Settings, Table};

/// Proof that every list for recipients was evaluated and let one pass. Only [`Lists::recipient`] makes it.
#[derive(Debug)]
pub struct Permitted(());

/// The result of a list, and what restrictions wanted besides.
pub struct Finding<T> {
    /// What was found.
    pub verdict: Result<T, Reply>,
    /// What else they did.
    pub effects: Effects,
}

/// What restrictions do besides deciding.
#[derive(Default)]
pub struct Effects {
    /// For the log: actions and their texts.
    pub actions: Vec<(&'static str, String)>,
    /// What makes no sense.
    pub complaints: Vec<Complaint>,
    /// What makes no sense and comes behind the refusal.
    pub afterthought: Option<Complaint>,
    /// The message is taken and thrown away; no further restriction is asked about it.
    pub discard: bool,
}

impl Effects {
    /// At the beginning of a list.
    fn of(about: &About<'_>) -> Self {
        Effects { discard: about.discarded, ..Effects::default() }
    }
}

impl<T> Finding<T> {
    /// Why the message is to be held, if it is. That stands in the log once a message: not again if it `is_held`.
    pub fn hold(&mut self, is_held: bool) -> Option<String> {
        let mut to_be_told = !is_held;
        let actions = &mut self.effects.actions;
        actions.retain(|(action, _)| *action != "hold" || std::mem::take(&mut to_be_told));
        actions.iter().find(|(action, _)| *action == "hold").map(|(_, text)| text.clone())
    }
}

/// One list.
#[derive(Default)]
pub struct List(Vec<Entry>);

/// A restriction in a list.
struct Entry {
    restriction: Box<dyn Restriction>,
    /// It always decides, and something stands behind it.
    ignores: Option<Complaint>,
}

/// All lists of a service.
#[derive(Default)]
pub struct Lists {
    client: List,
    helo: List,
    sender: List,
    relay: List,
    recipient: List,
    data: List,
    end_of_data: List,
    /// `smtpd_delay_reject`.
    pub delay_reject: bool,
    relay_first: bool,
    reject_unlisted_recipient: bool,
}

/// Restrictions of one list at most: each costs time at every recipient.
const RESTRICTIONS_MAX: usize = 10_000;

impl Lists {
    /// Reads the lists as a service sees them; mistakes go to `errors`.
    pub fn read(
        scope: &Scope<'_>,
        p: &config::parameters::Smtpd,
        open: &Settings,
        errors: &mut Vec<Error>,
    ) -> Lists {
        let mut guarded = false;
        let mut list = |name: &str, words: &[String], stage: Stage| {
            let mut parser = Parser { scope, name, open, errors: &mut *errors, guarded: false };
            let list = parser.list(words, stage);
            guarded |= parser.guarded && matches!(stage, Stage::Recipient);
            list
        };
        let lists = Lists {
            client: list("smtpd_client_restrictions", &p.smtpd_client_restrictions, Stage::Client),
            helo: list("smtpd_helo_restrictions", &p.smtpd_helo_restrictions, Stage::Helo),
            sender: list("smtpd_sender_restrictions", &p.smtpd_sender_restrictions, Stage::Sender),
            relay: list("smtpd_relay_restrictions", &p.smtpd_relay_restrictions, Stage::Recipient),
            recipient: list(
                "smtpd_recipient_restrictions",
                &p.smtpd_recipient_restrictions,
                Stage::Recipient,
            ),
            data: list("smtpd_data_restrictions", &p.smtpd_data_restrictions, Stage::Data),
            end_of_data: list(
                "smtpd_end_of_data_restrictions",
                &p.smtpd_end_of_data_restrictions,
                Stage::EndOfData,
            ),
            delay_reject: p.smtpd_delay_reject,
            relay_first: p.smtpd_relay_before_recipient_restrictions,
            reject_unlisted_recipient: p.smtpd_reject_unlisted_recipient,
        };
        if !guarded {
            let origin = ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"]
                .iter()
                .find_map(|name| scope.find(name)?.origin.cloned());
            errors.push(Error::new(
                origin,
                "smtpd_relay_restrictions",
                "expected at least one of reject_unauth_destination, defer_unauth_destination, reject or defer here or \
                 in smtpd_recipient_restrictions, found none: anybody could relay mail through this host",
            ));
        }
        lists
    }

    /// A client has connected; only where `smtpd_delay_reject` is off.
    pub async fn connect(&self, about: &About<'_>) -> Finding<()> {
        let mut effects = Effects::of(about);
        let verdict = self.client.evaluate(about, Stage::Client, &mut effects).await;
        Finding { verdict, effects }
    }

    /// HELO or EHLO; only where `smtpd_delay_reject` is off.
    pub async fn helo(&self, about: &About<'_>) -> Finding<()> {
        let mut effects = Effects::of(about);
        let verdict = self.helo.evaluate(about, Stage::Helo, &mut effects).await;
        Finding { verdict, effects }
    }

    /// MAIL; only where `smtpd_delay_reject` is off.
    pub async fn sender(&self, about: &About<'_>) -> Finding<()> {
        let mut effects = Effects::of(about);
        let verdict = self.sender.evaluate(about, Stage::Sender, &mut effects).await;
        Finding { verdict, effects }
    }

    /// RCPT: the delayed lists, relay and recipient lists, and whether the recipient exists.
    pub async fn recipient(&self, about: &About<'_>) -> Finding<Permitted> {
        let mut effects = Effects::of(about);
        let verdict = self.all_for_recipient(about, &mut effects).await.map(|()| Permitted(()));
        Finding { verdict, effects }
    }

    async fn all_for_recipient(&self, about: &About<'_>, effects: &mut Effects) -> Result<(), Reply> {
        // RFC 5321 4.5.1: the bare name is accepted, whatever the restrictions say.
        if about.recipient.is_some_and(|r| r.as_bytes().eq_ignore_ascii_case(b"postmaster")) {
            return Ok(());
        }
        if self.delay_reject {
            self.client.evaluate(about, Stage::Client, effects).await?;
            if about.helo.is_some() {
                self.helo.evaluate(about, Stage::Helo, effects).await?;
            }
            if about.sender.is_some() {
                self.sender.evaluate(about, Stage::Sender, effects).await?;
            }
        }
        let in_order = match self.relay_first {
            true => [&self.relay, &self.recipient],
            false => [&self.recipient, &self.relay],
        };
        for list in in_order {
            list.evaluate(about, Stage::Recipient, effects).await?;
        }
        if self.reject_unlisted_recipient
            && !effects.discard
            && let Verdict::Refuse(reply) = about.unlisted_recipient().await
        {
            return Err(reply);
        }
        Ok(())
    }

    /// DATA or the first BDAT.
    pub async fn data(&self, about: &About<'_>) -> Finding<()> {
        let mut effects = Effects::of(about);
        let verdict = self.data.evaluate(about, Stage::Data, &mut effects).await;
        Finding { verdict, effects }
    }

    /// The content is complete.
    pub async fn end_of_data(&self, about: &About<'_>) -> Finding<()> {
        let mut effects = Effects::of(about);
        let verdict = self.end_of_data.evaluate(about, Stage::EndOfData, &mut effects).await;
        Finding { verdict, effects }
    }
}

impl Entry {
    fn of(restriction: Box<dyn Restriction>) -> Self {
        Entry { restriction, ignores: None }
    }
}

impl List {
    /// From left to right, until one decides.
    async fn evaluate(&self, about: &About<'_>, stage: Stage, effects: &mut Effects) -> Result<(), Reply> {
        let about = About { stage, ..*about };
        for entry in &self.0 {
            if effects.discard {
                break;
            }
            let verdict = entry.restriction.check(&about).verdict().await;
            let (verdict, ignored) = match verdict {
                Verdict::Final(verdict, ignored) => (*verdict, Some(ignored)),
                verdict => (verdict, entry.ignores.clone()),
            };
            match verdict {
                Verdict::Dunno | Verdict::Final(..) => {}
                Verdict::Permit => {
                    effects.complaints.extend(ignored);
                    return Ok(());
                }
                Verdict::Refuse(reply) => {
                    effects.afterthought = ignored;
                    return Err(reply);
                }
                Verdict::Note(action, text) => effects.actions.push((action, text)),
                Verdict::Discard(text) => {
                    effects.actions.push(("discard", text));
                    effects.discard = true;
                }
                Verdict::Complain(complaint) => effects.complaints.push(complaint),
                Verdict::Broken(complaint, reply) => {
                    effects.complaints.push(complaint);
                    return Err(reply);
                }
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    scope: &'a Scope<'a>,
    name: &'a str,
    open: &'a Settings,
    errors: &'a mut Vec<Error>,
    guarded: bool,
}

impl Parser<'_> {
    fn list(&mut self, words: &[String], stage: Stage) -> List {
        let mut list = Vec::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if list.len() == RESTRICTIONS_MAX {
                self.wrong(format!(
                    "expected at most {RESTRICTIONS_MAX} restrictions, found more at `{word}`"
                ));
                break;
            }
            if word.contains(':') && restrictions::find(word).is_none() {
                list.extend(self.bare_table(word, stage).map(Entry::of));
                continue;
            }
            let Some(kind) = restrictions::find(word) else {
                self.unknown(word);
                if words.peek().is_some_and(|w| w.contains(':')) {
                    words.next();
                }
                continue;
            };
            self.guarded |= kind.guards_relaying;
            match kind.make {
                Make::Alone(make) => {
                    let is_final = restrictions::FINAL.contains(&kind.name);
                    let next = words.peek().filter(|_| is_final).map(|next| next.to_string());
                    let ignores = next.map(|next| Complaint::Ignored { first: kind.name, next });
                    list.push(Entry { restriction: make(), ignores });
                }
                Make::WithTable(make) => match words.next() {
                    Some(spec) => list.extend(self.table(spec).map(|table| Entry::of(make(table)))),
                    None => self.wrong(format!("expected a type:table behind {}, found nothing", kind.name)),
                },
            }
        }
        List(list)
    }

    /// A table by itself: the access check of the list's own stage.
    fn bare_table(&mut self, spec: &str, stage: Stage) -> Option<Box<dyn Restriction>> {
        let name = match stage {
            Stage::Client => "check_client_access",
            Stage::Helo => "check_helo_access",
            Stage::Sender => "check_sender_access",
            Stage::Recipient => "check_recipient_access",
            Stage::Data | Stage::EndOfData => {
                self.wrong(format!("expected a restriction in front of the table, found `{spec}`"));
                return None;
            }
        };
        let Some(Make::WithTable(make)) = restrictions::find(name).map(|k| &k.make) else { return None };
        self.table(spec).map(make)
    }

    fn table(&mut self, spec: &str) -> Option<Table> {
        match Table::open(spec, self.open) {
            Ok(table) => Some(table),
            Err(error) => {
                self.errors.push(error.of_parameter(self.origin(), self.name));
                None
            }
        }
    }

    fn unknown(&mut self, word: &str) {
        let known = NOT_YET.binary_search(&word.to_ascii_lowercase().as_str()).is_ok();
        self.wrong(match known {
            true => format!("`{word}` is a restriction that is not built yet: take it out of the list"),
            false => format!("expected a restriction or type:table, found `{word}`"),
        });
    }

    fn wrong(&mut self, text: String) {
        self.errors.push(Error::new(self.origin(), self.name, text));
    }

    fn origin(&self) -> Option<config::Origin> {
        self.scope.find(self.name)?.origin.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_the_missing_ones_are_sorted() {
        let names: Vec<_> = restrictions::KINDS.iter().map(|k| k.name).collect();
        assert!(names.is_sorted() && NOT_YET.is_sorted());
        assert!(names.iter().all(|name| NOT_YET.binary_search(name).is_err()));
    }
}
