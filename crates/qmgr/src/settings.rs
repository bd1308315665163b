//! What the queue manager is told by the configuration.

use crate::scheduler::{self, Feedback, SlotSettings, TransportSettings};
use config::kinds::{FeedbackPer, FeedbackStep};
use config::parameters::{Global, Qmgr, Transport};
use config::{Config, Errors, ServiceType};
use mail::Address;
use std::sync::Arc;

/// Settings of the queue manager; a reload brings new ones, which hold for queued mail too.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The scheduler's.
    pub scheduler: Arc<scheduler::Settings>,
    /// `defer_transports`.
    pub defer_transports: Vec<String>,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// The user of `double_bounce_sender`: mail to it is dropped where its domain is local.
    pub double_bounce_user: String,
    /// `delay_logging_resolution_limit`.
    pub delay_decimals: u32,
}

impl Settings {
    /// Reads them; `jobs_max` bounds the jobs over all transports, as descriptors do.
    pub fn read(config: &Config, jobs_max: usize) -> Result<Settings, Errors> {
        let qmgr = Qmgr::read(config, config.service("qmgr", ServiceType::Unix))?;
        let global = Global::read(config, None)?;
        let scope = config.scope(None);
        let mut settings = scheduler::Settings {
            active_limit: count(qmgr.qmgr_message_active_limit),
            recipient_limit: count(qmgr.qmgr_message_recipient_limit),
            minimal_backoff: qmgr.minimal_backoff_time,
            maximal_backoff: qmgr.maximal_backoff_time,
            maximal_lifetime: qmgr.maximal_queue_lifetime,
            bounce_lifetime: qmgr.bounce_queue_lifetime,
            transport_retry: qmgr.transport_retry_time,
            clog_warn: Some(qmgr.qmgr_clog_warn_time).filter(|t| qmgr.helpful_warnings && !t.is_zero()),
            feedback_debug: qmgr.destination_concurrency_feedback_debug,
            jobs_max,
            default_transport: TransportSettings {
                initial_concurrency: small(qmgr.initial_destination_concurrency),
                concurrency_limit: small(qmgr.default_destination_concurrency_limit),
                recipient_limit: count(qmgr.default_destination_recipient_limit),
                positive: feedback(&qmgr.default_destination_concurrency_positive_feedback),
                negative: feedback(&qmgr.default_destination_concurrency_negative_feedback),
                failed_cohort_limit: small(qmgr.default_destination_concurrency_failed_cohort_limit),
                destination_rate_delay: qmgr.default_destination_rate_delay,
                transport_rate_delay: qmgr.default_transport_rate_delay,
                slots: SlotSettings {
                    cost: qmgr.default_delivery_slot_cost,
                    loan: qmgr.default_delivery_slot_loan,
                    discount: qmgr.default_delivery_slot_discount,
                    minimum: qmgr.default_minimum_delivery_slots,
                },
                jobs_max: None,
            },
            ..scheduler::Settings::default()
        };
        for service in config.services().iter().filter(|s| s.kind == ServiceType::Unix) {
            let t = Transport::read(&scope, &service.name)?;
            let transport = TransportSettings {
                initial_concurrency: small(t.initial_destination_concurrency),
                concurrency_limit: small(t.destination_concurrency_limit),
                recipient_limit: count(t.destination_recipient_limit),
                positive: feedback(&t.destination_concurrency_positive_feedback),
                negative: feedback(&t.destination_concurrency_negative_feedback),
                failed_cohort_limit: small(t.destination_concurrency_failed_cohort_limit),
                destination_rate_delay: t.destination_rate_delay,
                transport_rate_delay: t.transport_rate_delay,
                slots: SlotSettings {
                    cost: t.delivery_slot_cost,
                    loan: t.delivery_slot_loan,
                    discount: t.delivery_slot_discount,
                    minimum: t.minimum_delivery_slots,
                },
                jobs_max: service.maxproc.filter(|&max| max > 0).map(|max| max as usize),
            };
            settings.transports.insert(service.name.clone(), transport);
        }
        let double_bounce_user =
            global.double_bounce_sender.split('@').next().unwrap_or_default().to_string();
        Ok(Settings {
            scheduler: Arc::new(settings),
            defer_transports: qmgr.defer_transports,
            recipient_delimiter: global.recipient_delimiter,
            double_bounce_user,
            delay_decimals: u32::try_from(global.delay_logging_resolution_limit).unwrap_or(2),
        })
    }

    /// Whether this is the user that notices to postmaster come from.
    pub fn is_double_bounce(&self, address: &Address) -> bool {
        !self.double_bounce_user.is_empty()
            && address.local_part().eq_ignore_ascii_case(self.double_bounce_user.as_bytes())
    }
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn feedback(step: &FeedbackStep) -> Feedback {
    match step.per {
        FeedbackPer::One => Feedback::Constant(step.base),
        FeedbackPer::Concurrency => Feedback::OverConcurrency(step.base),
        FeedbackPer::SqrtConcurrency => Feedback::OverSqrtConcurrency(step.base),
    }
}
