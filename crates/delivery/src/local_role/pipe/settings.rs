//! What a line of master.cf with pipe(8) says, checked where the mail system starts.

use super::arguments::{AddressFlags, Template};
use super::stream::LineStyle;
use crate::local_role::environment;
use crate::local_role::identity::{self, Nobody};
use config::parameters::{Global, Pipe, Spawned, Transport};
use config::{Attributes, Config, Error, Errors, ServiceLine};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Settings of one pipe(8).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service's name.
    pub service: String,
    /// `argv=`.
    pub argv: Template,
    /// `user=`; nothing where we are not root, and all runs as the caller. The error is a user whom the host does not
    /// have: the service's mail waits.
    pub identity: Result<Option<(u32, u32)>, String>,
    /// `directory=`, else `queue_directory`; another root is the directory itself.
    pub directory: Option<PathBuf>,
    /// `chroot=`.
    pub chroot: Option<PathBuf>,
    /// `size=`; 0 for any.
    pub size_max: u64,
    /// `null_sender=`.
    pub null_sender: String,
    /// `flags=` F.
    pub from_line: bool,
    /// R.
    pub return_path: bool,
    /// O.
    pub original_to: bool,
    /// D.
    pub delivered_to: bool,
    /// h, u and q.
    pub address_flags: AddressFlags,
    /// B, `.`, `>` and `eol=`.
    pub lines: LineStyle,
    /// `<service>_destination_recipient_limit` is 1.
    pub has_recipient_limit_1: bool,
    /// `<service>_time_limit`.
    pub time_limit: Duration,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// What a command has of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Commands at once: a number in master.cf, else `default_process_limit`.
    pub places: Arc<Semaphore>,
}

impl Settings {
    /// Reads them as the service sees them; the error holds every mistake.
    pub fn read(config: &Config, service: &ServiceLine, as_caller: bool) -> Result<Settings, Errors> {
        let scope = config.scope(Some(service));
        let (own, global) = (Pipe::read_in(&scope)?, Global::read_in(&scope)?);
        let limits = Transport::read(&config.scope(None), &service.name)?;
        let time_limit = Spawned::read(&scope, &service.name)?.time_limit;
        let attributes = Attributes::of(service)?;
        let wrong = |text: String| {
            let subject = format!("{}/{}", service.name, service.kind);
            Error::new(Some(service.origin.clone()), subject, format!("pipe: {text}"))
        };
        let mut errors = Vec::new();
        let argv = Template::parse(&attributes.argv).unwrap_or_else(|texts| {
            errors.extend(texts.into_iter().map(wrong));
            Template::default()
        });
        let environment = environment::exported(&own.export_environment).unwrap_or_else(|text| {
            errors.push(scope.error("export_environment", text));
            Vec::new()
        });
        let identity = match identity::of(&attributes, &global) {
            Ok(_) | Err(Nobody::Missing(_)) if as_caller => Ok(None),
            Ok(identity) => Ok(Some(identity)),
            Err(Nobody::Missing(text)) => Err(text),
            Err(Nobody::Wrong(text)) => {
                errors.push(wrong(text));
                Ok(None)
            }
        };
        Errors::check(errors)?;
        let has = |letter: char| attributes.flags.contains(letter);
        Ok(Settings {
            service: service.name.clone(),
            argv,
            identity,
            directory: match (&attributes.directory, &attributes.chroot) {
                (Some(directory), _) => Some(directory.into()),
                (None, None) => Some(global.queue_directory.into()),
                (None, Some(_)) => None,
            },
            chroot: attributes.chroot.as_ref().map(PathBuf::from),
            size_max: attributes.size,
            null_sender: attributes.null_sender.clone(),
            from_line: has('F'),
            return_path: has('R'),
            original_to: has('O'),
            delivered_to: has('D'),
            address_flags: AddressFlags { fold_domain: has('h'), fold_local: has('u'), quote: has('q') },
            lines: LineStyle {
                eol: attributes.eol.clone(),
                stuff_dots: has('.'),
                quote_from: has('>'),
                blank_line: has('B'),
            },
            has_recipient_limit_1: limits.destination_recipient_limit == 1,
            time_limit,
            recipient_delimiter: global.recipient_delimiter,
            environment,
            places: Arc::new(Semaphore::new(identity::process_limit(config, service)?)),
        })
    }

    /// Lines that tell of a recipient need one command for each.
    pub fn needs_one_recipient(&self) -> bool {
        self.delivered_to || self.original_to
    }

    /// What to set where several recipients came to such a command.
    pub fn one_recipient_advice(&self) -> String {
        let letter = if self.delivered_to { 'D' } else { 'O' };
        format!("pipe flag `{letter}' requires {}_destination_recipient_limit = 1", self.service)
    }
}
