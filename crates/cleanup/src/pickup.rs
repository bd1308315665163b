//! pickup: takes in what local programs left in `maildrop/`.
//!
//! A file is removed when its message is committed. A kill between the two delivers the message twice; nothing loses
//! it. What is no message goes to `corrupt/`; what the queue cannot take now stays where it is.

use crate::checks::{Found, Inspection, Source};
use crate::stray::StrayReturns;
use crate::{Addresses, Context, Finished, Message, Origin, Refusal, Settings, map_addresses, map_copies};
use mail::smtputf8::Asking;
use mail::{Address, Encoding, Envelope, Purpose, QueueId, Recipient, Ret, Timestamp};
use observe::events::cleanup::NotQueued;
use observe::events::pickup::{PickedUp, PickupDelayed, PickupRefused};
use observe::{Tag, emit};
use queue::file::submission::{self, Submission};
use queue::file::{OnDisk, ReadError};
use queue::{Disk, Intake};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;
mod thread;

pub use thread::{Pickup, PickupStop};

/// Messages taken in one go; then the disk's directory is made durable and orders to stop are looked at.
const BATCH_MAX: usize = 100;

/// The age of a file that is not complete from which on nobody writes it any more; Postfix's.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// What pickup needs.
#[derive(Clone)]
pub struct PickupInputs {
    /// The way into the queue.
    pub intake: Intake,
    /// The queue directory.
    pub disk: Arc<dyn Disk>,
    /// What [`Disk`] does not tell of a file below the queue directory.
    pub look: fn(&Path) -> io::Result<Look>,
    /// cleanup's settings.
    pub settings: Arc<Settings>,
    /// Whether tables are asked about addresses.
    pub tables: rewrite::Tables,
    /// Whether tables are asked about headers and bodies.
    pub checks_content: bool,
    /// What mail goes through before it is delivered; empty is nothing (`content_filter`).
    pub content_filter: String,
    /// `delay_warning_time`; zero is never.
    pub delay_warning_time: Duration,
    /// Who gets mail whose recipient is empty (`empty_address_recipient`).
    pub empty_recipient: Address,
    /// Mail that needs SMTPUTF8 asks for it (`smtputf8_autodetect_classes`).
    pub detects_smtputf8: bool,
    /// Tag of pickup's lines.
    pub tag: Tag,
    /// Tag of cleanup's lines.
    pub cleanup_tag: Tag,
}

/// Whose a file is, and whether it is one that postdrop may have made.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its owner.
    pub uid: u32,
    /// No directory, link, pipe or the like.
    pub is_regular: bool,
    /// Its names.
    pub links: u64,
}

/// Why a file was not taken in.
enum Problem {
    /// It never can be.
    Refused(String),
    /// It cannot be read; others may be.
    Unreadable(String),
    /// It may be later, and so may others: the queue takes nothing now.
    Delayed(String),
}

impl PickupInputs {
    /// Takes in what is complete, at most some messages; says whether there may be more.
    pub fn step(&self, now: Timestamp) -> bool {
        let mut names = match self.disk.list(Path::new("maildrop")) {
            Ok(entries) => entries.into_iter().filter(|e| !e.is_dir).map(|e| e.name).collect::<Vec<_>>(),
            Err(e) => {
                observe::warn(&self.tag, format_args!("maildrop: {e}"));
                return false;
            }
        };
        // Names of both forms sort roughly by time.
        names.sort();
        let (mut taken, mut delayed) = (0, false);
        for name in names {
            let Some(id) = QueueId::parse(&name) else {
                self.forget_abandoned(&name, now);
                continue;
            };
            match self.take(&id, now) {
                Ok(true) => taken += 1,
                Ok(false) => {}
                Err(Problem::Unreadable(reason)) => {
                    observe::warn(&self.tag, format_args!("maildrop/{name}: {reason}"));
                }
                Err(Problem::Delayed(reason)) => {
                    emit(&self.tag, &PickupDelayed { name: &name, reason: &reason });
                    delayed = true;
                }
                Err(Problem::Refused(reason)) => self.refuse(&name, &reason),
            }
            if taken == BATCH_MAX || delayed {
                break;
            }
        }
        if taken > 0 {
            // Else a power cut would bring the files back, and the messages a second time.
            let _ = self.disk.sync_dir(Path::new("maildrop"));
        }
        taken == BATCH_MAX && !delayed
    }

    /// Names with a dot are files that are still being written, or whose writer was killed: Postfix's `postsuper -p`
    /// removes these when they are a day old.
    fn forget_abandoned(&self, name: &str, now: Timestamp) {
        let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !name.split_once('.').is_some_and(|(micros, process)| number(micros) && number(process)) {
            return;
        }
        let path = Path::new("maildrop").join(name);
        if self.disk.stat(&path).is_ok_and(|stat| stat.modified.after(ABANDONED_AFTER) < now) {
            observe::info(&self.tag, format_args!("{}: its writer is gone: removed", path.display()));
            let _ = self.disk.unlink(&path);
        }
    }

    /// Takes in one file; false where it is not complete or gone.
    fn take(&self, name: &QueueId, now: Timestamp) -> Result<bool, Problem> {
        let path = PathBuf::from("maildrop").join(name.as_str());
        let Some((uid, submission)) = self.read(&path)? else { return Ok(false) };
        let Submission { mut envelope, content, requeued } = submission;
        if envelope.recipients.is_empty() {
            return Err(Problem::Refused("no recipients".to_string()));
        }
        let id = self.intake.new_id(now);
        let original_id = requeued.then_some(name);
        emit(&self.tag, &PickedUp { queue_id: &id, uid, sender: &envelope.sender, original_id });

        envelope.created = now;
        if requeued {
            // Decisions of the first time; the second makes its own.
            envelope.attributes.retain(|(name, _)| name.len() > 1);
            envelope.warn_at = None;
        }
        if !requeued && Purpose::of(&envelope) == Purpose::Verification {
            // What is known of addresses is nothing that users may write: they are told themselves.
            envelope.attributes.extend(Purpose::Forecast.attribute());
            envelope
                .attributes
                .retain(|attribute| Some(attribute) != Purpose::Verification.attribute().as_ref());
        }
        let named = std::mem::take(&mut envelope.recipients);
        let named: Vec<_> = named.into_iter().map(|recipient| self.complete(recipient)).collect();
        let last = named.last().map(|recipient| recipient.address.clone());
        let tag = (&self.cleanup_tag, &id);
        let mapped = map_addresses(&self.settings, tag, &envelope.sender, named, self.tables);
        let Addresses { sender, mapped } = tables::wait(mapped).map_err(problem)?;
        let wide = mapped.needs_smtputf8;
        (envelope.sender, envelope.recipients) = (sender, mapped.recipients);
        envelope.set_expanded(&mapped.expanded);
        if !self.delay_warning_time.is_zero() && !envelope.sender.is_null() {
            envelope.warn_at = Some(envelope.arrival.after(self.delay_warning_time));
        }

        let context = Context {
            queue_id: id.clone(),
            arrival: envelope.arrival,
            sender: envelope.sender.clone(),
            // The mail system has no name besides MAILER-DAEMON.
            full_name: if envelope.sender.is_null() { String::new() } else { envelope.full_name.clone() },
            rewrite_context: envelope.rewrite_context,
            tables: self.tables,
            prepended: Vec::new(),
            inspection: Some(Box::new(self.inspection(&id, &envelope.sender, last.as_ref()))),
        };
        let draft = self.intake.draft(id.clone());
        let origin = Origin::Local { uid };
        let mut message =
            Message::new(self.settings.clone(), self.cleanup_tag.clone(), draft, context, origin, None);
        let mut reader = content.reader();
        let mut stray = self.settings.replace_stray_cr.then(StrayReturns::default);
        while let Some(piece) = reader.next_piece().map_err(|e| Problem::Delayed(e.to_string()))? {
            tables::wait(message.append(match &mut stray {
                Some(stray) => stray.replace(piece),
                None => piece,
            }));
            if message.has_failed() {
                break;
            }
        }
        stray.and_then(StrayReturns::rest).into_iter().for_each(|rest| tables::wait(message.append(rest)));
        let Finished { sink: draft, flags, found } = tables::wait(message.finish()).map_err(problem)?;
        if found.discard {
            emit(&self.cleanup_tag, &NotQueued { queue_id: &id, discarded: true });
            return self.remove(&path);
        }
        self.obey(found, &id, &mut envelope)?;
        let flags = content.flags.with(flags);
        envelope.smtputf8 |= self.asking().options(&envelope.sender, wide, flags);
        self.intake.commit_blocking(draft, envelope, flags).map_err(|e| Problem::Delayed(e.to_string()))?;
        self.remove(&path)
    }

    /// What is asked for by mail that names nothing itself.
    fn asking(&self) -> Asking {
        Asking::new(false, self.detects_smtputf8)
    }

    fn inspection(&self, id: &QueueId, sender: &Address, recipient: Option<&Address>) -> Inspection {
        let source = Source { origin: "local", protocol: "", helo: "", sender, recipient };
        let (checks, tag) = (Arc::clone(&self.settings.checks), self.cleanup_tag.clone());
        Inspection::new(checks, tag, id.clone(), &source).asking(self.checks_content)
    }

    /// Does what header and body checks want.
    fn obey(&self, found: Found, id: &QueueId, envelope: &mut Envelope) -> Result<(), Problem> {
        let mut attribute =
            |name: &str, value: &[u8]| envelope.attributes.push((name.to_owned(), value.to_vec()));
        if let Some(refusal) = found.refusal {
            // All of it comes back by the agent that returns mail, which needs the header only.
            attribute("L", format!("error:{}", &refusal.to_string()[4..]).as_bytes());
            envelope.ret = Some(Ret::Hdrs);
            return Ok(());
        }
        let filter = found.filter.unwrap_or_else(|| self.content_filter.clone());
        if !filter.is_empty() {
            attribute("L", filter.as_bytes());
        }
        if let Some(address) = found.redirect {
            attribute(">", self.settings.mapper.rules().canonical(&address).as_bytes());
        }
        envelope.hold = envelope.hold.take().or(found.hold);
        if found.eight_bit && envelope.encoding == Encoding::Unknown {
            envelope.encoding = Encoding::EightBit;
        }
        let copies = map_copies(&self.settings, (&self.cleanup_tag, id), &found.bcc, self.tables);
        envelope.recipients.extend(tables::wait(copies).map_err(problem)?);
        Ok(())
    }

    /// The message is dealt with; true, since it was one.
    fn remove(&self, path: &Path) -> Result<bool, Problem> {
        match self.disk.unlink(path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            // It would be taken in again and again: the administrator has to know at once.
            Err(e) => {
                observe::error(&self.tag, format_args!("{}: cannot be removed: {e}", path.display()));
                Err(Problem::Delayed("it was taken in and cannot be removed".to_string()))
            }
        }
    }

    fn read(&self, path: &Path) -> Result<Option<(u32, Submission)>, Problem> {
        let unreadable = |e: io::Error| Problem::Unreadable(e.to_string());
        let Look { uid, is_regular, links } = match (self.look)(path) {
            Ok(look) => look,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        };
        if !is_regular {
            return Err(Problem::Unreadable(format!("uid {uid}: not a regular file")));
        }
        let stat = self.disk.stat(path).map_err(unreadable)?;
        if stat.mode & queue::file::mode::COMPLETE == 0 {
            return Ok(None);
        }
        // What has another name could change, or be somebody else's.
        if links > 1 {
            return Err(Problem::Refused(format!("file has {links} hard links")));
        }
        let file = self.disk.open_read(path).map_err(unreadable)?;
        match submission::read(Arc::new(OnDisk(file)), stat.modified) {
            Ok(submission) => Ok(Some((uid, submission))),
            Err(ReadError::Damaged(damaged)) => Err(Problem::Refused(damaged.to_string())),
            Err(ReadError::Io(e)) => Err(unreadable(e)),
        }
    }

    /// The recipient in full form, which is the original one where the file names none.
    fn complete(&self, mut recipient: Recipient) -> Recipient {
        let address = if recipient.address.is_null() { &self.empty_recipient } else { &recipient.address };
        recipient.address = self.settings.mapper.rules().canonical(address);
        if recipient.dsn_orcpt.is_empty() {
            // Reports name the address that was given.
            recipient.dsn_orcpt = self.asking().original_recipient(&recipient.address);
        }
        recipient
    }

    fn refuse(&self, name: &str, reason: &str) {
        emit(&self.tag, &PickupRefused { name, reason });
        let (from, to) = (Path::new("maildrop").join(name), Path::new("corrupt").join(name));
        if let Err(e) = self.disk.rename_new(&from, &to) {
            observe::error(
                &self.tag,
                format_args!("{}: cannot be saved as {}: {e}", from.display(), to.display()),
            );
        }
    }
}

fn problem(refusal: Refusal) -> Problem {
    match refusal.is_permanent() {
        true => Problem::Refused(refusal.to_string()),
        false => Problem::Delayed(refusal.to_string()),
    }
}
