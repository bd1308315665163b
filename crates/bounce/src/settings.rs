//! What the parameters say about reports.

use config::parameters::{Bounce, Global};
use config::{Config, Errors, ServiceType};
use mail::Address;
use std::time::Duration;

/// How reports are written and who gets them.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `myhostname`: who reports.
    pub myhostname: String,
    /// `myorigin`: completes the addresses below.
    pub myorigin: String,
    /// `mail_name`, part of the names of two header fields.
    pub mail_name: String,
    /// `bounce_size_limit`: larger messages are returned as headers only.
    pub bounce_size_limit: u64,
    /// `notify_classes`: what postmaster is told too.
    pub notify_classes: Vec<String>,
    /// `bounce_notice_recipient`.
    pub bounce_notice_recipient: Address,
    /// `2bounce_notice_recipient`.
    pub double_bounce_notice_recipient: Address,
    /// `delay_notice_recipient`.
    pub delay_notice_recipient: Address,
    /// `double_bounce_sender`: sender of what postmaster is told; nothing is reported to it.
    pub double_bounce_sender: Address,
    /// `delay_warning_time`, named in the text.
    pub delay_warning_time: Duration,
    /// `maximal_queue_lifetime`, named in the text.
    pub maximal_queue_lifetime: Duration,
    /// `enable_threaded_bounces`.
    pub threaded: bool,
}

impl Settings {
    /// As main.cf says, and the line of the service `bounce`.
    pub fn new(config: &Config, maximal_queue_lifetime: Duration) -> Result<Settings, Errors> {
        let service = config.service("bounce", ServiceType::Unix);
        let (global, bounce) = (Global::read(config, service)?, Bounce::read(config, service)?);
        // The name begins with a digit, so no typed view can have it as a field.
        let double = config.scope(service).expanded("2bounce_notice_recipient")?;
        let complete = |address: &str| complete(address, &global.myorigin);
        Ok(Settings {
            bounce_size_limit: bounce.bounce_size_limit,
            bounce_notice_recipient: complete(&bounce.bounce_notice_recipient),
            double_bounce_notice_recipient: complete(&double),
            delay_notice_recipient: complete(&bounce.delay_notice_recipient),
            double_bounce_sender: complete(&bounce.double_bounce_sender),
            notify_classes: bounce.notify_classes,
            delay_warning_time: bounce.delay_warning_time,
            maximal_queue_lifetime,
            threaded: bounce.enable_threaded_bounces,
            myhostname: global.myhostname,
            myorigin: global.myorigin,
            mail_name: global.mail_name,
        })
    }

    /// Who may get reports besides senders.
    pub fn postmasters(&self) -> Vec<Address> {
        let notices = [
            ("bounce", &self.bounce_notice_recipient),
            ("2bounce", &self.double_bounce_notice_recipient),
            ("delay", &self.delay_notice_recipient),
        ];
        let wanted =
            notices.into_iter().filter(|(class, address)| self.notifies(class) && !address.is_null());
        wanted.map(|(_, address)| address.clone()).collect()
    }

    /// Whether `notify_classes` names `class`.
    pub(crate) fn notifies(&self, class: &str) -> bool {
        self.notify_classes.iter().any(|c| c.eq_ignore_ascii_case(class))
    }
}

/// A name without a domain is an account of `myorigin`.
pub(crate) fn complete(address: &str, myorigin: &str) -> Address {
    if address.is_empty() || address.contains('@') {
        Address::from(address)
    } else {
        Address::new(format!("{address}@{myorigin}"))
    }
}
