//! What the queue manager is told by the configuration.

use crate::scheduler::{self, Feedback, SlotSettings, TransportSettings};
use config::kinds::{FeedbackPer, FeedbackStep};
use config::parameters::{Global, Qmgr, Transport};
use config::{Config, Errors, ServiceType};
use mail::Address;
use std::sync::Arc;
use std::time::Duration;

/// Reports are not to outlive other mail.
const LOWERED: &str =
    "bounce_queue_lifetime is larger than maximal_queue_lifetime - adjusting bounce_queue_lifetime";

/// Settings of the queue manager; a reload brings new ones, which hold for queued mail too.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `address_verify_pending_request_limit`: probes under way at once.
    pub probes_max: usize,
    /// The scheduler's.
    pub scheduler: Arc<scheduler::Settings>,
    /// `defer_transports`.
    pub defer_transports: Vec<String>,
    /// Where a filter without a next hop is reached; empty is the recipient's domain.
    pub default_filter_nexthop: String,
    /// `recipient_delimiter`.
    pub recipient_delimiter: String,
    /// The user of `double_bounce_sender`: mail to it is dropped where its domain is local.
    pub double_bounce_user: String,
    /// `delay_logging_resolution_limit`.
    pub delay_decimals: u32,
    /// `confirm_delay_cleared`: mail that waited so long (`delay_warning_time`) was told of, and its delivery is too.
    pub confirm_after: Option<Duration>,
    /// `disable_verp_bounces`.
    pub disable_verp_bounces: bool,
    /// `verp_delimiter_filter`: other delimiters of VERP are not obeyed.
    pub verp_delimiter_filter: String,
    /// `qmgr_daemon_timeout`; `None` where nobody watches. A reload does not change it.
    pub daemon_timeout: Option<Duration>,
    /// What was set otherwise than it holds, for the log.
    pub warnings: Vec<&'static str>,
}

impl Settings {
    /// Reads them; `jobs_max` bounds the jobs over all transports, as descriptors do.
    pub fn read(config: &Config, jobs_max: usize) -> Result<Settings, Errors> {
        let own = config.service("qmgr", ServiceType::Unix);
        let (qmgr, global, scope) = (Qmgr::read(config, own)?, Global::read(config, own)?, config.scope(own));
        let mut settings = scheduler::Settings {
            active_limit: count(qmgr.qmgr_message_active_limit),
            recipient_limit: count(qmgr.qmgr_message_recipient_limit),
            minimal_backoff: qmgr.minimal_backoff_time,
            maximal_backoff: qmgr.maximal_backoff_time,
            maximal_lifetime: qmgr.maximal_queue_lifetime,
            bounce_lifetime: qmgr.bounce_queue_lifetime.min(qmgr.maximal_queue_lifetime),
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
        let mut warnings = Vec::new();
        if qmgr.bounce_queue_lifetime > qmgr.maximal_queue_lifetime {
            warnings.push(LOWERED);
        }
        let double_bounce_user =
            global.double_bounce_sender.split('@').next().unwrap_or_default().to_string();
        Ok(Settings {
            probes_max: count(qmgr.address_verify_pending_request_limit),
            scheduler: Arc::new(settings),
            defer_transports: qmgr.defer_transports,
            default_filter_nexthop: qmgr.default_filter_nexthop,
            recipient_delimiter: global.recipient_delimiter,
            double_bounce_user,
            confirm_after: Some(qmgr.delay_warning_time)
                .filter(|time| qmgr.confirm_delay_cleared && !time.is_zero()),
            disable_verp_bounces: qmgr.disable_verp_bounces,
            verp_delimiter_filter: qmgr.verp_delimiter_filter,
            daemon_timeout: Some(qmgr.qmgr_daemon_timeout),
            warnings,
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

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    fn read(main_cf: &str) -> Settings {
        let master_cf = "smtp unix - - n - - smtp\nslow unix - - n - 3 smtp\n";
        let main_cf = format!("myhostname = mail.example.com\n{main_cf}");
        let config = Config::parse(Path::new("/etc/postfix"), &main_cf, master_cf, Host::default())
            .expect("it parses");
        Settings::read(&config, 1000).expect("all values are right")
    }

    #[test]
    fn each_default_may_be_set_anew_for_one_transport() {
        let settings = read(
            "initial_destination_concurrency = 4\nslow_initial_destination_concurrency = 2\n\
             default_destination_concurrency_limit = 30\nslow_destination_concurrency_limit = 3\n\
             default_destination_recipient_limit = 60\nslow_destination_recipient_limit = 1\n\
             default_destination_concurrency_positive_feedback = 1/concurrency\n\
             slow_destination_concurrency_positive_feedback = 0.5/sqrt_concurrency\n\
             slow_destination_concurrency_negative_feedback = 0.5\n\
             slow_destination_concurrency_failed_cohort_limit = 7\n\
             slow_destination_rate_delay = 5s\nslow_transport_rate_delay = 2s\n\
             default_delivery_slot_cost = 6\nslow_delivery_slot_cost = 2\n\
             default_delivery_slot_loan = 4\nslow_delivery_slot_loan = 0\n\
             default_delivery_slot_discount = 40\nslow_delivery_slot_discount = 10\n\
             default_minimum_delivery_slots = 5\nslow_minimum_delivery_slots = 1\n",
        );
        let ordinary = TransportSettings {
            initial_concurrency: 4,
            concurrency_limit: 30,
            recipient_limit: 60,
            positive: Feedback::OverConcurrency(1.0),
            slots: SlotSettings { cost: 6, loan: 4, discount: 40, minimum: 5 },
            ..TransportSettings::default()
        };
        assert_eq!(settings.scheduler.transport("smtp"), &ordinary);
        let slow = TransportSettings {
            initial_concurrency: 2,
            concurrency_limit: 3,
            recipient_limit: 1,
            positive: Feedback::OverSqrtConcurrency(0.5),
            negative: Feedback::Constant(0.5),
            failed_cohort_limit: 7,
            destination_rate_delay: Duration::from_secs(5),
            transport_rate_delay: Duration::from_secs(2),
            slots: SlotSettings { cost: 2, loan: 0, discount: 10, minimum: 1 },
            jobs_max: Some(3),
        };
        assert_eq!(settings.scheduler.transport("slow"), &slow);
        assert_eq!(slow.window().limit, 1, "a rate delay leaves one delivery at a time");
    }

    #[test]
    fn the_transports_that_the_manual_names_have_their_own_limits() {
        let master_cf = "smtp unix - - n - - smtp\nlmtp unix - - n - - lmtp\nrelay unix - - n - - smtp\n\
                         local unix - n n - - local\nvirtual unix - n n - - virtual\n";
        let main_cf = "smtp_destination_concurrency_limit = 11\nsmtp_destination_recipient_limit = 12\n\
             lmtp_destination_concurrency_limit = 13\nlmtp_destination_recipient_limit = 14\n\
             relay_destination_concurrency_limit = 15\nrelay_destination_recipient_limit = 16\n\
             local_destination_concurrency_limit = 17\nlocal_destination_recipient_limit = 18\n\
             virtual_destination_concurrency_limit = 19\nvirtual_destination_recipient_limit = 21\n";
        let limits = |main_cf: &str| {
            let config = Config::parse(Path::new("/etc/postfix"), main_cf, master_cf, Host::default());
            let settings = Settings::read(&config.expect("it parses"), 1000).expect("all values are right");
            ["smtp", "lmtp", "relay", "local", "virtual"].map(|name| {
                let transport = settings.scheduler.transport(name);
                (transport.concurrency_limit, transport.recipient_limit)
            })
        };
        assert_eq!(limits(main_cf), [(11, 12), (13, 14), (15, 16), (17, 18), (19, 21)]);
        assert_eq!(limits(""), [(20, 50), (20, 50), (20, 50), (2, 1), (20, 50)]);
    }

    #[test]
    fn each_default_of_all_transports_counts() {
        let usual = read("").scheduler.transport("smtp").clone();
        for main_cf in [
            "default_destination_concurrency_failed_cohort_limit = 7\n",
            "default_destination_concurrency_negative_feedback = 0.5\n",
            "default_destination_rate_delay = 7s\n",
            "default_transport_rate_delay = 7s\n",
        ] {
            assert_ne!(read(main_cf).scheduler.transport("smtp"), &usual, "{main_cf}");
        }
    }

    #[test]
    fn what_the_log_and_the_watchdog_need_is_read() {
        let settings = read(
            "qmgr_daemon_timeout = 7s\ndelay_logging_resolution_limit = 0\ndisable_verp_bounces = yes\n",
        );
        assert_eq!(settings.daemon_timeout, Some(Duration::from_secs(7)));
        assert_eq!((settings.delay_decimals, settings.disable_verp_bounces), (0, true));
    }

    #[test]
    fn what_holds_for_the_whole_queue_is_read() {
        let settings = read(
            "qmgr_message_active_limit = 70\nqmgr_message_recipient_limit = 80\nminimal_backoff_time = 10s\n\
             maximal_backoff_time = 1h\nmaximal_queue_lifetime = 2d\nbounce_queue_lifetime = 1d\n\
             transport_retry_time = 7s\nqmgr_clog_warn_time = 9s\ndefer_transports = slow smtp\n\
             destination_concurrency_feedback_debug = yes\ndouble_bounce_sender = dd@elsewhere.example\n",
        );
        let scheduler = &settings.scheduler;
        assert_eq!((scheduler.active_limit, scheduler.recipient_limit), (70, 80));
        let seconds = [10, 3600, 172_800, 86_400, 7].map(Duration::from_secs);
        let read_seconds = [
            scheduler.minimal_backoff,
            scheduler.maximal_backoff,
            scheduler.maximal_lifetime,
            scheduler.bounce_lifetime,
            scheduler.transport_retry,
        ];
        assert_eq!(read_seconds, seconds);
        assert_eq!(scheduler.clog_warn, Some(Duration::from_secs(9)));
        assert_eq!(settings.daemon_timeout, Some(Duration::from_secs(1000)));
        assert!(scheduler.feedback_debug);
        assert_eq!(settings.defer_transports, ["slow", "smtp"]);
        assert!(settings.is_double_bounce(&Address::from("DD@here.example")));
    }

    #[test]
    fn reports_do_not_outlive_other_mail() {
        let settings = read("maximal_queue_lifetime = 1d\nbounce_queue_lifetime = 2d\n");
        assert_eq!(settings.scheduler.bounce_lifetime, Duration::from_secs(86_400));
        assert_eq!(settings.warnings, [LOWERED]);
        assert!(read("maximal_queue_lifetime = 2d\nbounce_queue_lifetime = 1d\n").warnings.is_empty());
    }

    #[test]
    fn warnings_of_a_full_queue_can_be_switched_off_in_two_ways() {
        assert_eq!(read("").scheduler.clog_warn, Some(Duration::from_secs(300)));
        assert_eq!(read("qmgr_clog_warn_time = 0\n").scheduler.clog_warn, None);
        assert_eq!(read("helpful_warnings = no\n").scheduler.clog_warn, None);
    }
}
