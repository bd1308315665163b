//! The restriction lists of a service: read once, evaluated in Postfix's order.

use crate::about::{About, Stage};
use crate::list::{Effects, List};
use crate::notices::Class;
use crate::reading::{Reading, Vocabulary};
use crate::restrictions::Verdict;
use config::{Error, Scope};
use mail::Reply;
use tables::Settings;

/// Proof that every list for recipients was evaluated and let one pass. Only [`Lists::recipient`] makes it.
#[derive(Debug)]
pub struct Permitted(());

/// The result of the lists of a step, and what restrictions wanted besides.
pub struct Finding<T> {
    /// What was found.
    pub verdict: Result<T, Reply>,
    /// What else they did.
    pub effects: Effects,
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
    etrn: List,
    /// `smtpd_delay_reject`.
    pub delay_reject: bool,
    relay_first: bool,
    reject_unlisted_recipient: bool,
    reject_unlisted_sender: bool,
    /// What results of access tables may name.
    pub(crate) vocabulary: Vocabulary,
}

impl Lists {
    /// Reads the lists as a service sees them; mistakes go to `errors`.
    pub fn read(
        scope: &Scope<'_>,
        p: &config::parameters::Smtpd,
        open: &Settings,
        errors: &mut Vec<Error>,
    ) -> Lists {
        let mut reading = Reading::new(scope, open, &p.smtpd_restriction_classes, errors);
        let mut list = |name: &str, words: &[String]| reading.list(name, words, true);
        let mut lists = Lists {
            client: list("smtpd_client_restrictions", &p.smtpd_client_restrictions),
            helo: list("smtpd_helo_restrictions", &p.smtpd_helo_restrictions),
            sender: list("smtpd_sender_restrictions", &p.smtpd_sender_restrictions),
            relay: list("smtpd_relay_restrictions", &p.smtpd_relay_restrictions),
            recipient: list("smtpd_recipient_restrictions", &p.smtpd_recipient_restrictions),
            etrn: list("smtpd_etrn_restrictions", &p.smtpd_etrn_restrictions),
            delay_reject: p.smtpd_delay_reject,
            relay_first: p.smtpd_relay_before_recipient_restrictions,
            reject_unlisted_recipient: p.smtpd_reject_unlisted_recipient,
            reject_unlisted_sender: p.smtpd_reject_unlisted_sender,
            ..Lists::default()
        };
        let mut list = |name: &str, words: &[String]| reading.list(name, words, false);
        lists.data = list("smtpd_data_restrictions", &p.smtpd_data_restrictions);
        lists.end_of_data = list("smtpd_end_of_data_restrictions", &p.smtpd_end_of_data_restrictions);
        lists.vocabulary = reading.vocabulary();
        if !(lists.relay.guards_relaying() || lists.recipient.guards_relaying()) {
            let names = ["smtpd_relay_restrictions", "smtpd_recipient_restrictions"];
            errors.push(Error::new(
                names.iter().find_map(|name| scope.origin(name)).cloned(),
                "smtpd_relay_restrictions",
                "expected at least one of reject_unauth_destination, defer_unauth_destination, reject or defer here or \
                 in smtpd_recipient_restrictions, found none: anybody could relay mail through this host",
            ));
        }
        lists
    }

    /// A client has connected; only where `smtpd_delay_reject` is off.
    pub async fn connect(&self, about: &About<'_>) -> Finding<()> {
        self.finding(async |effects| self.client.on(about, Stage::Client, effects).await, about).await
    }

    /// HELO or EHLO; only where `smtpd_delay_reject` is off.
    pub async fn helo(&self, about: &About<'_>) -> Finding<()> {
        self.finding(async |effects| self.helo.on(about, Stage::Helo, effects).await, about).await
    }

    /// MAIL; only where `smtpd_delay_reject` is off.
    pub async fn sender(&self, about: &About<'_>) -> Finding<()> {
        self.finding(async |effects| self.sender_lists(about, effects).await, about).await
    }

    /// RCPT: the delayed lists, relay and recipient lists, and whether the recipient exists.
    pub async fn recipient(&self, about: &About<'_>) -> Finding<Permitted> {
        let finding = self.finding(async |effects| self.all_for_recipient(about, effects).await, about).await;
        let Finding { verdict, mut effects } = finding;
        let verdict = effects.in_the_end(verdict).map(|()| Permitted(()));
        Finding { verdict, effects }
    }

    /// ETRN: the delayed lists, then its own.
    pub async fn etrn(&self, about: &About<'_>) -> Finding<()> {
        let all = async |effects: &mut Effects| {
            self.delayed(about, effects).await?;
            self.etrn.on(about, Stage::Etrn, effects).await
        };
        let Finding { verdict, mut effects } = self.finding(all, about).await;
        Finding { verdict: effects.in_the_end(verdict), effects }
    }

    /// DATA or the first BDAT.
    pub async fn data(&self, about: &About<'_>) -> Finding<()> {
        self.content(&self.data, about, Stage::Data).await
    }

    /// The content is complete.
    pub async fn end_of_data(&self, about: &About<'_>) -> Finding<()> {
        self.content(&self.end_of_data, about, Stage::EndOfData).await
    }

    async fn content(&self, list: &List, about: &About<'_>, stage: Stage) -> Finding<()> {
        let about = &About { deferred: None, ..*about };
        let finding = self.finding(async |effects| list.on(about, stage, effects).await, about).await;
        let Finding { verdict, mut effects } = finding;
        Finding { verdict: effects.in_the_end(verdict), effects }
    }

    async fn finding(
        &self,
        lists: impl AsyncFnOnce(&mut Effects) -> Result<(), Reply>,
        about: &About<'_>,
    ) -> Finding<()> {
        let mut effects = Effects {
            discard: about.discarded,
            defer_if_permit: about.deferred.cloned(),
            ..Effects::default()
        };
        let verdict = lists(&mut effects).await;
        Finding { verdict, effects }
    }

    async fn all_for_recipient(&self, about: &About<'_>, effects: &mut Effects) -> Result<(), Reply> {
        // RFC 5321 4.5.1: the bare name is accepted, whatever the restrictions say.
        if about.recipient.is_some_and(|r| r.as_bytes().eq_ignore_ascii_case(b"postmaster")) {
            effects.defer_if_permit = None;
            return Ok(());
        }
        // Whoever gets a probe from us may ask in turn whether its sender exists, by a probe of its own.
        let is_probe_sender = |recipient| about.rules.unverified.is_probe_sender(recipient);
        if about.facts.command != "VRFY" && about.recipient.is_some_and(is_probe_sender) {
            effects.defer_if_permit = None;
            return Ok(());
        }
        self.delayed(about, effects).await?;
        let in_order = match self.relay_first {
            true => [&self.relay, &self.recipient],
            false => [&self.recipient, &self.relay],
        };
        for list in in_order {
            list.on(about, Stage::Recipient, effects).await?;
        }
        // What is put off is put off, whether or not the recipient exists.
        if self.reject_unlisted_recipient && !effects.discard && effects.defer_if_permit.is_none() {
            let verdict = about.unlisted_recipient().await;
            implied("smtpd_reject_unlisted_recipient", about, verdict, effects)?;
        }
        Ok(())
    }

    /// What `smtpd_delay_reject` puts off.
    async fn delayed(&self, about: &About<'_>, effects: &mut Effects) -> Result<(), Reply> {
        if !self.delay_reject {
            return Ok(());
        }
        self.client.on(about, Stage::Client, effects).await?;
        if about.helo.is_some() {
            self.helo.on(about, Stage::Helo, effects).await?;
        }
        if about.sender.is_some() {
            self.sender_lists(about, effects).await?;
        }
        Ok(())
    }

    async fn sender_lists(&self, about: &About<'_>, effects: &mut Effects) -> Result<(), Reply> {
        self.sender.on(about, Stage::Sender, effects).await?;
        if self.reject_unlisted_sender && !effects.discard {
            let verdict = about.unlisted_sender().await;
            implied("smtpd_reject_unlisted_sender", about, verdict, effects)?;
        }
        Ok(())
    }
}

/// What a check finds that a parameter puts behind every list.
fn implied(parameter: &str, about: &About<'_>, verdict: Verdict, effects: &mut Effects) -> Result<(), Reply> {
    if let Some(trail) = about.trail {
        trail.implied(parameter, &verdict);
    }
    match verdict {
        Verdict::Refuse(reply) | Verdict::Unable(reply) => {
            effects.class = Some(Class::Bounce);
            Err(reply)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::restrictions::KINDS;

    #[test]
    fn kinds_are_sorted() {
        let names: Vec<_> = KINDS.iter().map(|k| k.name).collect();
        assert!(names.is_sorted());
    }
}
