//! Commands and files that aliases, `.forward` files and mailbox_command name.

use super::context::Context;
use super::settings::{LocalSettings, has};
use super::{Delivery, Failure, misconfigured, names};
use crate::local_role::command::{self, Command, What};
use crate::local_role::exit_status::Ran;
use crate::local_role::pool::Job;
use crate::local_role::settings::Mailbox;
use mail::Dsn;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::{RunAs, User};
use tokio::sync::oneshot;

/// A command with all that it needs, on its way to a thread of its own.
struct Prepared {
    line: String,
    shell: String,
    user: Arc<User>,
    environment: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    entry: Vec<u8>,
    as_caller: bool,
    settings: (std::time::Duration, u64),
    job: Arc<Job>,
}

impl Prepared {
    fn run(self) -> io::Result<Ran> {
        let (time_limit, size_max) = self.settings;
        let identity = (!self.as_caller).then_some((self.user.uid, self.user.gid));
        let what = match self.shell.is_empty() {
            true => What::Line(&self.line),
            false => What::LineFor(&self.shell, &self.line),
        };
        let command = Command {
            what,
            run_as: RunAs {
                identity,
                chroot: None,
                directory: self.directory.as_deref(),
                file_size_max: (size_max > 0).then_some(size_max),
            },
            environment: &self.environment,
            time_limit,
            halt: Some(&self.job.halt),
            agent: "local",
        };
        let (mut entry, mut pieces) = (Some(self.entry.clone()), self.job.text.pieces());
        command::run(&command, &mut || match entry.take() {
            Some(entry) => Ok(Some(entry)),
            None => pieces.next_piece(),
        })
    }
}

impl Delivery<'_> {
    /// A `|command` of an alias or a file.
    pub(super) async fn named_command(&self, within: &Context, line: &str) {
        if !has(&self.settings.view.allow_mail_to_commands, within.origin.word()) {
            let failure = Failure::new(Dsn::new(5, 7, 1), "mail to command is restricted");
            return self.failed(within, failure);
        }
        let user = match self.rights_of(within) {
            Ok(user) => user,
            Err(failure) => return self.failed(within, failure),
        };
        if self.is_new(format!("command {} {line}", user.uid)) {
            self.command(within, user, line).await;
        }
    }

    /// Whose rights a command or file has.
    fn rights_of(&self, within: &Context) -> Result<Arc<User>, Failure> {
        let user = within.user.as_ref().or(self.settings.default_user.as_ref());
        let missing = || format!("no account `{}` (default_privs)", self.settings.view.default_privs);
        user.cloned().ok_or_else(|| misconfigured(missing()))
    }

    /// Runs a command for a recipient.
    pub(super) async fn command(&self, to: &Context, user: Arc<User>, line: &str) {
        if !self.delivers() {
            return self.sent(to, format!("delivers to command: {line}"));
        }
        let prepared = match self.prepare(to, user, line) {
            Ok(prepared) => prepared,
            Err(failure) => return self.failed(to, failure),
        };
        let unable = |why: &str| Failure::new(Dsn::new(4, 3, 0), format!("cannot run a command: {why}"));
        let permit = self.shared.commands.acquire().await;
        let (sender, receiver) = oneshot::channel();
        let run = move || drop(sender.send(prepared.run()));
        let started = std::thread::Builder::new().name("command".into()).spawn(run);
        let ran = match started {
            Err(e) => return self.failed(to, unable(&e.to_string())),
            Ok(_) => receiver.await,
        };
        drop(permit);
        match ran {
            Ok(Ok(ran)) => match ran.judge(line) {
                Ok(()) => self.sent(to, format!("delivered to command: {line}")),
                Err(failure) => self.failed(to, failure),
            },
            Ok(Err(e)) => self.failed(to, unable(&e.to_string())),
            Err(_) => self.failed(to, Failure::new(Dsn::new(4, 3, 0), "unknown mail transport error")),
        }
    }

    fn prepare(&self, to: &Context, user: Arc<User>, line: &str) -> Result<Prepared, Failure> {
        let LocalSettings { view, writing, environment, .. } = self.settings;
        let filter = Some(view.execution_directory_expansion_filter.as_str());
        let template = &view.command_execution_directory;
        let directory = names::expand(template, to, &view.recipient_delimiter, filter)
            .map_err(|why| misconfigured(format!("command_execution_directory: {why}")))?;
        let own = names::environment(to, &view.command_expansion_filter);
        Ok(Prepared {
            line: line.to_owned(),
            shell: view.local_command_shell.clone(),
            user,
            environment: environment.iter().cloned().chain(own).collect(),
            directory: (!directory.is_empty()).then(|| directory.into()),
            entry: self.entry(to, "command", true),
            as_caller: writing.as_caller,
            settings: (view.command_time_limit, writing.size_max),
            job: self.job.clone(),
        })
    }

    /// A `/file` of an alias or a file.
    pub(super) async fn named_file(&self, within: &Context, path: &str) {
        if !has(&self.settings.view.allow_mail_to_files, within.origin.word()) {
            let failure = Failure::new(Dsn::new(5, 7, 1), "mail to file is restricted");
            return self.failed(within, failure);
        }
        let user = match self.rights_of(within) {
            Ok(user) => user,
            Err(failure) => return self.failed(within, failure),
        };
        if !self.is_new(format!("file {} {path}", user.uid)) {
            return;
        }
        if !self.delivers() {
            return self.sent(within, format!("delivers to file: {path}"));
        }
        let is_maildir = path.ends_with('/');
        let plain = if is_maildir { path.trim_end_matches('/') } else { path };
        let mailbox = Mailbox {
            otherwise: LocalSettings::OTHERWISE,
            is_configured: false,
            failing: format!("cannot append message to file {path}: "),
            lock_may_fail: true,
            may_be_a_device: true,
            may_be_anybodys: true,
            ..Mailbox::new(Path::new(plain).into(), is_maildir, user.uid, user.gid)
        };
        let reason =
            if is_maildir { "delivered to maildir".into() } else { format!("delivered to file: {path}") };
        self.write(within, mailbox, reason).await;
    }
}
