//! The end of the way: a transport, a command or a mailbox for a user, and what is done for who is none.

use super::context::Context;
use super::settings::{LocalSettings, has};
use super::{Delivery, Failure, Note, misconfigured, names};
use crate::local_role::failure::words;
use crate::local_role::mbox;
use crate::local_role::pool::{Back, Task};
use crate::local_role::settings::Mailbox;
use crate::local_role::text::header;
use mail::{Address, Dsn};
use std::path::PathBuf;
use std::sync::Arc;
use sys::User;
use tables::search::Key;
use tables::{Lookup, Maps};
use tokio::sync::oneshot;

/// Names that each site must have (RFC 5321 4.5.1) or that our own mail comes from. Without an alias their mail is
/// thrown away rather than returned.
const REQUIRED: [&str; 2] = ["mailer-daemon", "postmaster"];

impl Delivery<'_> {
    /// The user of this name, or what is done for who is none.
    pub(super) async fn user(&self, mut to: Context, follows_forward: bool) {
        let user = match self.shared.accounts.named(&to.name, &self.shared.pool).await {
            Ok(user) => user,
            Err(failure) => return self.failed(&to, failure),
        };
        if let Some(user) = &user {
            to.user = Some(user.clone());
            if self.settings.view.require_home_directory
                && let Err(failure) = self.home_is_there(user).await
            {
                return self.failed(&to, failure);
            }
            if follows_forward && self.forward_file(&to, user).await {
                return;
            }
        } else {
            to.user = None;
        }
        self.mailbox(to, user).await;
    }

    async fn home_is_there(&self, user: &User) -> Result<(), Failure> {
        let home = user.home.clone();
        let found = self.shared.pool.run(move |_| std::fs::metadata(&home).map(|_| ())).await;
        let home = user.home.display();
        match found {
            Some(Ok(())) => Ok(()),
            Some(Err(e)) => {
                let text = format!("cannot access home directory {home}: {}", words(&e));
                Err(Failure::new(Dsn::new(4, 3, 0), text))
            }
            None => Err(Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error")),
        }
    }

    async fn mailbox(&self, to: Context, user: Option<Arc<User>>) {
        let view = &self.settings.view;
        if !self.is_new(format!("mailbox {}", to.key())) {
            return;
        }
        match self.found(&self.settings.mailbox_transport_maps, &to.name, &view.mailbox_transport).await {
            Ok(Some(transport)) => return self.pass(&to, transport),
            Ok(None) => {}
            Err(failure) => return self.failed(&to, failure),
        }
        let Some(user) = user else { return self.unknown(to).await };
        match self.found(&self.settings.mailbox_command_maps, &to.name, &view.mailbox_command).await {
            Ok(Some(command)) => self.command(&to, user, &command).await,
            Ok(None) => {
                let mailbox = self.place_of(&to, &user);
                let kind = if mailbox.is_maildir { "maildir" } else { "mailbox" };
                match self.delivers() {
                    true => self.write(&to, mailbox, format!("delivered to {kind}")).await,
                    false => self.sent(&to, format!("delivers to {kind}")),
                }
            }
            Err(failure) => self.failed(&to, failure),
        }
    }

    /// What a table has for a user, or what holds for all.
    async fn found(&self, maps: &Maps, name: &str, usual: &str) -> Result<Option<String>, Failure> {
        match maps.lookup(&Key { text: name.to_owned(), part: false }).await {
            Lookup::Found(value) => Ok(Some(value)),
            Lookup::NotFound => Ok((!usual.is_empty()).then(|| usual.to_owned())),
            Lookup::TempFail(why) => {
                let mut failure = Failure::new(Dsn::new(4, 3, 5), "mail system configuration error");
                failure.notes.push(Note::Warning(format!("user {name}: {why}")));
                Err(failure)
            }
        }
    }

    /// Where a user's mailbox lies.
    fn place_of(&self, to: &Context, user: &User) -> Mailbox {
        let view = &self.settings.view;
        let (text, in_spool) = match view.home_mailbox.is_empty() {
            false => (format!("{}/{}", user.home.display(), view.home_mailbox), false),
            true => {
                let (directory, is_maildir) = match view.mail_spool_directory.strip_suffix('/') {
                    Some(directory) => (directory, "/"),
                    None => (view.mail_spool_directory.as_str(), ""),
                };
                (format!("{directory}/{}{is_maildir}", to.name), true)
            }
        };
        let is_maildir = text.ends_with('/');
        let path = PathBuf::from(text.trim_end_matches('/'));
        Mailbox {
            failing: match is_maildir {
                true => String::new(),
                false => format!("cannot update mailbox {} for user {}. ", path.display(), to.name),
            },
            made_by_root: in_spool && !is_maildir,
            otherwise: LocalSettings::OTHERWISE,
            is_configured: false,
            ..Mailbox::new(path, is_maildir, user.uid, user.gid)
        }
    }

    /// Writes into a mailbox or file.
    pub(super) async fn write(&self, to: &Context, mailbox: Mailbox, reason: String) {
        let (sender, receiver) = oneshot::channel();
        let task = Task {
            entry: self.entry(to, "file", !mailbox.is_maildir),
            job: self.job.clone(),
            place: self.place,
            mailbox,
            writing: self.settings.writing.clone(),
            back: Back::Waiter(sender),
            attempts: 0,
        };
        self.shared.pool.add(vec![task]);
        match receiver.await {
            Ok(Ok(())) => self.sent(to, reason),
            Ok(Err(failure)) => self.failed(to, failure),
            Err(_) => self.failed(to, Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error")),
        }
    }

    /// What stands before the content; `kind` is the word of prepend_delivered_header.
    pub(super) fn entry(&self, to: &Context, kind: &str, from_line: bool) -> Vec<u8> {
        let mut entry = match from_line {
            true => mbox::from_line(&to.sender, net::clock::now()),
            false => Vec::new(),
        };
        header(&mut entry, b"Return-Path: ", &[b"<", &to.sender.to_external()[..], b">"].concat());
        if !to.original.is_null() {
            header(&mut entry, b"X-Original-To: ", &to.original.to_external());
        }
        if has(&self.settings.view.prepend_delivered_header, kind) {
            header(&mut entry, b"Delivered-To: ", &self.delivered_to(to).to_external());
        }
        entry
    }

    /// What `Delivered-To` says.
    pub(super) fn delivered_to(&self, to: &Context) -> Address {
        if self.settings.view.frozen_delivered_to { to.delivered.clone() } else { to.address.clone() }
    }

    async fn unknown(&self, to: Context) {
        let view = &self.settings.view;
        match self.found(&self.settings.fallback_transport_maps, &to.name, &view.fallback_transport).await {
            Ok(Some(transport)) => return self.pass(&to, transport),
            Ok(None) => {}
            Err(failure) => return self.failed(&to, failure),
        }
        if view.luser_relay.is_empty() {
            // Nobody who writes to these can help it that they have no alias.
            if REQUIRED.contains(&to.name.as_str()) {
                self.note(Note::Warning(format!("required alias not found: {}", to.name)));
                return self.sent(&to, "discarded");
            }
            let failure = Failure::new(Dsn::new(5, 1, 1), format!("unknown user: \"{}\"", to.name));
            return self.failed(&to, failure);
        }
        match names::expand(&view.luser_relay, &to, &view.recipient_delimiter, None) {
            Ok(relay) => {
                let delivered = String::from_utf8_lossy(to.delivered.as_bytes()).to_lowercase();
                let to = Context { delivered: Address::from(delivered.as_str()), ..to };
                let address = self.settings.rules.canonical(&Address::from(relay.trim()));
                match self.delivers() {
                    true => self.go_onward(&to, address),
                    false => self.resolved(&to, address).await,
                }
            }
            Err(why) => self.failed(&to, misconfigured(format!("luser_relay: {why}"))),
        }
    }

    /// Another transport takes the recipient over. One that an alias named gets a message of his own first.
    fn pass(&self, to: &Context, transport: String) {
        if to.level > 0 {
            return self.go_onward(to, to.address.clone());
        }
        *self.passed.borrow_mut() = Some(transport);
    }

    /// A line for the administrator.
    pub(super) fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }
}
