//! What the world outside knows of its mail, and the promises that it holds the queue to.
//!
//! The first broken promise stays in [`Ledger::broken`]; the run ends with it.

use mail::{Address, Outcome, Status, Timestamp};
use queue::{MessageKey, NewMessage, Report};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

/// How long after it was written an outcome may be lost in a power cut.
const SYNC_WITHIN: Duration = Duration::from_millis(50);

/// What a client was told about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// `250`.
    Accepted,
    /// `4xx`: the client keeps it.
    Refused,
    /// The connection broke, or it is a report: it may be queued or not.
    Nothing,
}

/// How well the queue keeps something that it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// It was told in this life.
    Recorded,
    /// A kill keeps it.
    Written,
    /// A power cut keeps it.
    Synced,
}

/// What became of a recipient.
#[derive(Clone, Debug, Default)]
struct Fate {
    delivered: u32,
    /// Given up without a report: mail from the null sender.
    dropped: u32,
    /// Reports that tell of it; also those that could not be queued, which may be there nevertheless.
    reports: Vec<String>,
    /// The queue said that one of them is queued.
    reported: bool,
    /// The agent said last that it failed for good.
    failed: bool,
    /// The final outcome as the queue keeps it, and since when.
    kept: Option<(Level, Timestamp)>,
}

/// A message.
#[derive(Clone, Debug)]
struct Mail {
    content: Vec<u8>,
    addresses: Vec<Address>,
    from_null: bool,
    created: Timestamp,
    told: Told,
    fates: Vec<Fate>,
    /// The next attempt is not to come before this time.
    retry: Option<(Level, Timestamp)>,
    /// Its sender was warned of the delay.
    warned: Option<Level>,
}

/// When mail is given up and tried again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) lifetime: Duration,
    pub(crate) backoff: (Duration, Duration),
}

/// Everything that is known outside.
pub(crate) struct Ledger {
    mail: BTreeMap<String, Mail>,
    /// Messages that had to get another id, and their first one.
    names: HashMap<String, String>,
    keys: HashMap<MessageKey, String>,
    /// Given out as new in this life of the queue manager.
    given: HashSet<String>,
    times: Times,
    /// The disk failed in this life of the queue manager: what it keeps is kept best-effort.
    unsure: bool,
    failed: u64,
    pub(crate) now: Timestamp,
    /// The queue manager has looked at all directories.
    pub(crate) scanned: bool,
    pub(crate) broken: Option<String>,
    verbose: bool,
}

impl Ledger {
    pub(crate) fn new(times: Times, now: Timestamp, verbose: bool) -> Self {
        Ledger {
            mail: BTreeMap::new(),
            names: HashMap::new(),
            keys: HashMap::new(),
            given: HashSet::new(),
            times,
            unsure: false,
            failed: 0,
            now,
            scanned: false,
            broken: None,
            verbose,
        }
    }

    /// Tells what happens, for whoever replays the seed.
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>12} {}", self.now.micros() - 1_700_000_000_000_000, what());
        }
    }

    pub(crate) fn fail(&mut self, what: String) {
        self.say(|| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// Hears how many calls the disk has let fail.
    pub(crate) fn failures(&mut self, failed: u64) {
        self.unsure |= failed > self.failed;
        self.failed = failed;
    }

    /// Whether the disk failed in this life of the queue manager.
    pub(crate) fn unsure(&self) -> bool {
        self.unsure
    }

    /// What the queue reported.
    pub(crate) fn heard(&mut self, report: &Report) {
        self.say(|| format!("report: {report}"));
        match report {
            Report::Renamed { old, new } => {
                let first = self.first_name(old.as_str());
                self.names.insert(new.to_string(), first);
            }
            // Power cuts lose what was not synced; they damage nothing.
            Report::Damaged { .. } if self.failed == 0 => {
                self.fail(format!("damage without a cause: {report}"))
            }
            _ => {}
        }
    }

    fn first_name(&self, id: &str) -> String {
        self.names.get(id).map_or(id, String::as_str).to_owned()
    }

    /// A message is on its way into the queue.
    pub(crate) fn sent(&mut self, id: &str, content: Vec<u8>, addresses: Vec<Address>, from_null: bool) {
        let mail = Mail {
            content,
            fates: vec![Fate::default(); addresses.len()],
            addresses,
            from_null,
            created: self.now,
            told: Told::Nothing,
            retry: None,
            warned: None,
        };
        if self.mail.insert(id.to_owned(), mail).is_some() {
            self.fail(format!("queue id {id} was given out twice"));
        }
    }

    /// The client got its answer.
    pub(crate) fn answered(&mut self, id: &str, told: Told) {
        self.say(|| format!("{id}: {told:?}"));
        if let Some(mail) = self.mail.get_mut(id) {
            mail.told = told;
        }
    }

    /// A message came out of the queue as a new one.
    pub(crate) fn given(&mut self, message: &NewMessage) {
        let id = self.first_name(message.queue_id.as_str());
        self.say(|| format!("{id}: taken, done {:?}, crashes {}", message.done, message.crashes));
        self.keys.insert(message.key, id.clone());
        if !self.given.insert(id.clone()) {
            self.fail(format!("{id} was given out twice in one life"));
        }
        self.read(message);
    }

    /// A message was read: it must be what went in.
    pub(crate) fn read(&mut self, message: &NewMessage) {
        let id = self.first_name(message.queue_id.as_str());
        self.keys.insert(message.key, id.clone());
        let Some(mail) = self.mail.get(&id) else { return self.fail(format!("{id}: nobody sent this")) };
        let addresses = message.envelope.recipients.iter().map(|recipient| &recipient.address);
        let undone = |(n, fate): (usize, &Fate)| {
            message.done.get(n) == Some(&true)
                && fate.delivered + fate.dropped == 0
                && fate.reports.is_empty()
        };
        let wrong = if mail.told == Told::Refused {
            Some("was refused and is queued".to_owned())
        } else if !addresses.eq(&mail.addresses) {
            Some("has not the recipients that were sent".to_owned())
        } else if message.content.to_vec().is_ok_and(|content| content != mail.content) {
            Some("has not the content that was sent".to_owned())
        } else {
            let undone = mail.fates.iter().enumerate().find(|fate| undone(*fate));
            undone.map(|(n, _)| format!("recipient {n} counts as done and never was"))
        };
        if let Some(wrong) = wrong {
            self.fail(format!("{id}: {wrong}"));
        }
    }

    fn of_key(&mut self, key: MessageKey) -> Option<(String, &mut Mail)> {
        let id = self.keys.get(&key)?.clone();
        let mail = self.mail.get_mut(&id)?;
        Some((id, mail))
    }

    /// An agent has answered for a recipient.
    pub(crate) fn attempted(&mut self, id: &str, n: usize, status: Status) {
        let id = self.first_name(id);
        self.say(|| format!("{id}: recipient {n} {status:?}"));
        let Some(fate) = self.mail.get_mut(&id).and_then(|mail| mail.fates.get_mut(n)) else {
            return self.fail(format!("{id}: a delivery of what nobody sent"));
        };
        fate.failed = status == Status::Bounced;
        if status == Status::Sent {
            fate.delivered += 1;
            let again = match fate {
                Fate { kept: Some((level, _)), .. } => Some(format!("its outcome was {level:?}")),
                Fate { reported: true, .. } => Some("a report says that it failed".to_owned()),
                _ => None,
            };
            if let Some(why) = again {
                self.fail(format!("{id}: recipient {n} is delivered again although {why}"));
            }
        }
    }

    /// The queue manager notes the beginning of an attempt.
    pub(crate) fn begins(&mut self, key: MessageKey) {
        let now = self.now;
        let Some((id, mail)) = self.of_key(key) else { return };
        if let Some((_, at)) = mail.retry.take().filter(|(_, at)| *at > now) {
            self.fail(format!("{id} is tried {:?} before its time", at.since(now)));
        }
    }

    /// The queue manager notes a final outcome without a report.
    pub(crate) fn final_outcome(&mut self, key: MessageKey, outcome: &Outcome) {
        let (now, lifetime) = (self.now, self.times.lifetime);
        let Some((id, mail)) = self.of_key(key) else { return };
        let expired = now >= mail.created.after(lifetime);
        let Some(fate) = mail.fates.get_mut(outcome.index as usize) else { return };
        fate.kept.get_or_insert((Level::Recorded, now));
        if outcome.status == Status::Bounced {
            fate.dropped += 1;
            let early = !fate.failed && !expired;
            if !mail.from_null {
                self.fail(format!("{id}: recipient {} is given up and nobody is told", outcome.index));
            } else if early {
                self.fail(format!("{id}: recipient {} is given up before its time", outcome.index));
            }
        }
    }

    /// The queue manager says when the next attempt is.
    pub(crate) fn retries(&mut self, key: MessageKey, at: Timestamp) {
        let (now, (least, most)) = (self.now, self.times.backoff);
        let Some((id, mail)) = self.of_key(key) else { return };
        mail.retry = Some((Level::Recorded, at));
        let wait = at.since(now);
        // At once: an administrator let it go.
        if at != now && (wait < least || wait > most) {
            self.fail(format!("{id} is to wait {wait:?}, out of {least:?} to {most:?}"));
        }
    }

    /// The queue manager notes that the sender was warned.
    pub(crate) fn warned(&mut self, key: MessageKey) {
        let Some((id, mail)) = self.of_key(key) else { return };
        if mail.warned.replace(Level::Recorded).is_some() {
            self.fail(format!("{id}: its sender is warned again"));
        }
    }

    /// The queue manager is about to queue a report on these outcomes.
    pub(crate) fn reports(&mut self, key: MessageKey, outcomes: &[Outcome], report: &str) {
        let (now, lifetime) = (self.now, self.times.lifetime);
        let Some((id, mail)) = self.of_key(key) else { return };
        let expired = now >= mail.created.after(lifetime);
        let mut wrong = None;
        for outcome in outcomes {
            let Some(fate) = mail.fates.get_mut(outcome.index as usize) else { continue };
            fate.reports.push(report.to_owned());
            if fate.reported {
                wrong = Some("is reported twice");
            } else if !fate.failed && !expired {
                wrong = Some("is given up before its time");
            }
        }
        if let Some(wrong) = wrong {
            self.fail(format!("{id}: a recipient {wrong} ({report})"));
        }
    }

    /// The report is queued.
    pub(crate) fn reported(&mut self, key: MessageKey, outcomes: &[Outcome], report: &NewMessage) {
        let now = self.now;
        let id = report.queue_id.to_string();
        self.keys.insert(report.key, id.clone());
        self.given.insert(id.clone());
        let Some((cause, mail)) = self.of_key(key) else { return };
        for outcome in outcomes {
            if let Some(fate) = mail.fates.get_mut(outcome.index as usize) {
                fate.reported = true;
                fate.kept.get_or_insert((Level::Recorded, now));
            }
        }
        self.say(|| format!("{cause}: {} recipients reported by {id}", outcomes.len()));
    }

    /// Everything recorded so far is written.
    pub(crate) fn written(&mut self) {
        let now = self.now;
        for mail in self.mail.values_mut() {
            for (level, at) in mail.fates.iter_mut().filter_map(|fate| fate.kept.as_mut()) {
                if *level == Level::Recorded {
                    (*level, *at) = (Level::Written, now);
                }
            }
            for level in mail.retry.iter_mut().map(|retry| &mut retry.0).chain(&mut mail.warned) {
                *level = (*level).max(Level::Written);
            }
        }
    }

    /// The queue manager had its turns at this time.
    pub(crate) fn synced(&mut self) {
        if self.unsure {
            return;
        }
        let now = self.now;
        for mail in self.mail.values_mut() {
            for (level, at) in mail.fates.iter_mut().filter_map(|fate| fate.kept.as_mut()) {
                if *level == Level::Written && now.since(*at) >= SYNC_WITHIN {
                    *level = Level::Synced;
                }
            }
        }
    }

    /// All that waits was made due.
    pub(crate) fn flushed(&mut self) {
        self.mail.values_mut().for_each(|mail| mail.retry = None);
    }

    /// An orderly stop: all that was recorded is in files.
    pub(crate) fn stopped(&mut self) {
        for fate in self.mail.values_mut().flat_map(|mail| &mut mail.fates) {
            if let Some((level, _)) = &mut fate.kept {
                *level = Level::Synced;
            }
        }
        self.forget(Level::Synced);
    }

    /// The queue manager is gone and the kernel lives.
    pub(crate) fn killed(&mut self) {
        // Where the disk failed, what could not be written was kept in the memory of who is gone now.
        let kept = if self.unsure { Level::Synced } else { Level::Written };
        self.forget(kept);
    }

    /// The power was gone.
    pub(crate) fn power_cut(&mut self) {
        self.forget(Level::Synced);
    }

    /// What is kept less well may be there or not. A new life of the queue manager begins.
    fn forget(&mut self, kept: Level) {
        for mail in self.mail.values_mut() {
            for fate in &mut mail.fates {
                fate.failed = false;
                if fate.kept.is_some_and(|(level, _)| level < kept) {
                    fate.kept = None;
                    fate.reported = false;
                }
            }
            if mail.retry.is_some_and(|(level, _)| level < kept) {
                mail.retry = None;
            }
            if mail.warned.is_some_and(|level| level < kept) {
                mail.warned = None;
            }
        }
        self.keys.clear();
        self.given.clear();
        self.scanned = false;
        self.unsure = false;
    }

    /// Behind the end: each recipient of each acknowledged message has a fate.
    pub(crate) fn each_has_a_fate(&mut self) {
        let over = |mail: &Mail| mail.fates.iter().all(|fate| fate.delivered + fate.dropped > 0);
        let over: HashSet<&str> =
            self.mail.iter().filter(|(_, mail)| over(mail)).map(|(id, _)| id.as_str()).collect();
        let mut lost = None;
        for (id, mail) in self.mail.iter().filter(|(_, mail)| mail.told == Told::Accepted) {
            for (n, fate) in mail.fates.iter().enumerate() {
                let reported = fate.reports.iter().any(|report| over.contains(report.as_str()));
                if fate.delivered + fate.dropped == 0 && !reported {
                    lost = Some(format!("{id}: recipient {n} was acknowledged and is lost ({fate:?})"));
                }
            }
        }
        lost.into_iter().for_each(|lost| self.fail(lost));
    }
}
