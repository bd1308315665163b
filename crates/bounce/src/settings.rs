//! What the parameters say about reports.

use crate::text::Texts;
use crate::{Heading, ReportKind, ReportReader};
use config::expand::Names;
use config::parameters::{Bounce, Global};
use config::{Config, Errors, ServiceType};
use mail::Address;
use std::borrow::Cow;
use std::time::Duration;

/// How reports are written and who gets them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `myhostname`: who reports.
    pub myhostname: String,
    /// `mail_name`, part of the names of two header fields.
    pub mail_name: String,
    /// `bounce_size_limit`: larger messages are returned as headers only.
    pub bounce_size_limit: u64,
    /// `notify_classes`: what postmaster is told too.
    pub notify_classes: Vec<String>,
    /// `bounce_notice_recipient`, as written.
    pub bounce_notice_recipient: Address,
    /// `2bounce_notice_recipient`, as written.
    pub double_bounce_notice_recipient: Address,
    /// `delay_notice_recipient`, as written.
    pub delay_notice_recipient: Address,
    /// `double_bounce_sender` on `myhostname`: sender of what postmaster is told; nothing is reported to it.
    pub double_bounce_sender: Address,
    /// `maximal_queue_lifetime`: until when delayed mail is tried.
    pub maximal_queue_lifetime: Duration,
    /// Reports to senders that need SMTPUTF8 ask for it (`smtputf8_autodetect_classes`).
    pub detects_smtputf8: bool,
    /// So do those to postmasters.
    pub notices_detect_smtputf8: bool,
    /// So do probes of addresses.
    pub probes_detect_smtputf8: bool,
    /// `enable_threaded_bounces`.
    pub threaded: bool,
    /// `bounce_template_file`: what reports say.
    pub texts: Texts,
}

impl Settings {
    /// As main.cf says, and the line of the service `bounce`.
    pub fn new(config: &Config, maximal_queue_lifetime: Duration) -> Result<Settings, Errors> {
        let service = config.service("bounce", ServiceType::Unix);
        let (global, bounce) = (Global::read(config, service)?, Bounce::read(config, service)?);
        // The name begins with a digit, so no typed view can have it as a field.
        let double = config.scope(service).expanded("2bounce_notice_recipient")?;
        Ok(Settings {
            bounce_size_limit: bounce.bounce_size_limit,
            bounce_notice_recipient: Address::from(&*bounce.bounce_notice_recipient),
            double_bounce_notice_recipient: Address::from(&*double),
            delay_notice_recipient: Address::from(&*bounce.delay_notice_recipient),
            double_bounce_sender: of_host(&bounce.double_bounce_sender, &global.myhostname),
            notify_classes: bounce.notify_classes,
            maximal_queue_lifetime,
            detects_smtputf8: global.detects_smtputf8("bounce"),
            notices_detect_smtputf8: global.detects_smtputf8("notify"),
            probes_detect_smtputf8: global.detects_smtputf8("verify"),
            threaded: bounce.enable_threaded_bounces,
            texts: Texts::read(&bounce.bounce_template_file, &config.scope(service)),
            myhostname: global.myhostname,
            mail_name: global.mail_name,
        })
    }

    /// What the defaults are on a host, which all addresses belong to; for who has no configuration.
    pub fn of_host(myhostname: &str) -> Settings {
        let address = |user: &str| of_host(user, myhostname);
        Settings {
            myhostname: myhostname.to_owned(),
            mail_name: "Postfix".to_owned(),
            bounce_size_limit: 50_000,
            notify_classes: vec!["resource".to_owned(), "software".to_owned()],
            bounce_notice_recipient: address("postmaster"),
            double_bounce_notice_recipient: address("postmaster"),
            delay_notice_recipient: address("postmaster"),
            double_bounce_sender: address("double-bounce"),
            maximal_queue_lifetime: Duration::from_secs(5 * 86_400),
            detects_smtputf8: false,
            notices_detect_smtputf8: false,
            probes_detect_smtputf8: true,
            threaded: false,
            texts: Texts::read("", &Host(myhostname)),
        }
    }

    /// The addresses that a report is written with.
    pub fn heading(&self, kind: ReportKind, reader: ReportReader, recipient: Address) -> Heading {
        let sender = match reader {
            ReportReader::Sender => Address::null(),
            ReportReader::Postmaster => self.double_bounce_sender.clone(),
        };
        Heading::new(sender, recipient, self.texts.of(kind).from())
    }

    /// Whether `notify_classes` names `class`.
    pub(crate) fn notifies(&self, class: &str) -> bool {
        self.notify_classes.iter().any(|c| c.eq_ignore_ascii_case(class))
    }
}

/// The names in the built-in texts.
struct Host<'a>(&'a str);

impl Names for Host<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "myhostname" => Some(self.0.into()),
            "delay_warning_time" => Some("0h".into()),
            "maximal_queue_lifetime" => Some("5d".into()),
            _ => None,
        }
    }
}

/// The address of the mail system itself: an account of `myhostname`, whatever `myorigin` is.
pub(crate) fn of_host(address: &str, myhostname: &str) -> Address {
    match address.is_empty() || address.contains('@') {
        true => Address::from(address),
        false => Address::new(format!("{address}@{myhostname}")),
    }
}
