//! The queue manager.

parameters! {
    /// Parameters of the queue manager.
    pub struct Qmgr {
        /// The time between two scans of the deferred queue.
        queue_run_delay: Duration = "300s", range 1..,
        /// The shortest time between two attempts.
        minimal_backoff_time: Duration = "300s", range 1..,
        /// The longest time between two attempts.
        maximal_backoff_time: Duration = "4000s", range 1..,
        /// How long mail is tried before it bounces.
        maximal_queue_lifetime: Duration = "5d",
        /// The same for bounces.
        bounce_queue_lifetime: Duration = "5d",
        /// Messages that are in delivery at a time.
        qmgr_message_active_limit: Count = "20000", range 1..,
        /// Recipients held in memory.
        qmgr_message_recipient_limit: Count = "20000", range 1..,
        /// Recipients of a message held in memory at least.
        qmgr_message_recipient_minimum: Count = "10", range 1..,
        /// Deliveries at a time to a destination that was not seen before.
        initial_destination_concurrency: Count = "5", range 1..,
        /// Deliveries at a time to one destination; 0 is no limit.
        default_destination_concurrency_limit: Count = "20",
        /// How the concurrency grows after a delivery.
        default_destination_concurrency_positive_feedback: Feedback = "1",
        /// How the concurrency shrinks after a failed session.
        default_destination_concurrency_negative_feedback: Feedback = "1",
        /// Rounds of failed sessions after which a destination is taken for dead; 0 is never.
        default_destination_concurrency_failed_cohort_limit: Count = "1",
        /// Whether each step of a destination's concurrency is logged.
        destination_concurrency_feedback_debug: Bool = "no",
        /// Recipients of one delivery; 0 is no limit.
        default_destination_recipient_limit: Count = "50",
        /// The pause between two deliveries to one destination.
        default_destination_rate_delay: Duration = "0s",
        /// The pause between two deliveries of one transport.
        default_transport_rate_delay: Duration = "0s",
        /// How many recipients of one message pay for another's going before.
        default_delivery_slot_cost: Count = "5",
        /// Slots lent in advance.
        default_delivery_slot_loan: Count = "3",
        /// Percent of the slots that need not be there.
        default_delivery_slot_discount: Count = "50", range 0..=100,
        /// Slots a message must have to be preempted.
        default_minimum_delivery_slots: Count = "3",
        /// Recipients of one transport held in memory.
        default_recipient_limit: Count = "20000",
        /// Further recipients for messages that go before.
        default_extra_recipient_limit: Count = "1000",
        /// Recipients read again at a time.
        default_recipient_refill_limit: Count = "100", range 1..,
        /// The longest time between reading recipients.
        default_recipient_refill_delay: Duration = "5s", range 1..,
        /// Transports whose mail is not tried until it is flushed.
        defer_transports: List = "",
        /// The next hop of a FILTER action or content_filter that names none; empty is the recipient's domain.
        default_filter_nexthop: Text = "",
        /// How long a transport that does not answer is left alone.
        transport_retry_time: Duration = "60s", range 1..,
        /// The pause of the intake while more mail comes than goes.
        in_flow_delay: Duration = "1s", range 0..=10,
        /// The time between two warnings about a clogged queue.
        qmgr_clog_warn_time: Duration = "300s",
        /// Whether warnings tell what to change.
        helpful_warnings: Bool = "yes",
        /// Probes that may be under way at a time.
        address_verify_pending_request_limit: Count = "5000", range 1..,
        /// How long the queue manager may stay without progress.
        qmgr_daemon_timeout: Duration = "1000s", range 1..,
        /// How long the queue manager waits for another service.
        qmgr_ipc_timeout: Duration = "60s", range 1..,
        /// After what time the sender is told of a delay; 0 is never.
        delay_warning_time: Duration = "0h",
        /// Whether the sender is told when delayed mail was delivered after all.
        confirm_delay_cleared: Bool = "no",
        /// Whether reports go to the sender as it is where each recipient was named in it.
        disable_verp_bounces: Bool = "no",
        /// The characters that may be taken for the delimiters of VERP.
        verp_delimiter_filter: Text = "-=+",
        /// Whether permanent errors are made temporary.
        soft_bounce: Bool = "no",
    }
}

family! {
    /// Parameters `<transport>_<suffix>` of one transport.
    pub struct Transport {
        /// Deliveries at a time to one destination; 0 is no limit.
        destination_concurrency_limit: Count = "$default_destination_concurrency_limit",
        /// How the concurrency grows after a delivery.
        destination_concurrency_positive_feedback: Feedback = "$default_destination_concurrency_positive_feedback",
        /// How the concurrency shrinks after a failed session.
        destination_concurrency_negative_feedback: Feedback = "$default_destination_concurrency_negative_feedback",
        /// Rounds of failed sessions after which a destination is taken for dead.
        destination_concurrency_failed_cohort_limit: Count = "$default_destination_concurrency_failed_cohort_limit",
        /// Deliveries at a time to a destination that was not seen before.
        initial_destination_concurrency: Count = "$initial_destination_concurrency", range 1..,
        /// Recipients of one delivery; 0 is no limit.
        destination_recipient_limit: Count = "$default_destination_recipient_limit",
        /// The pause between two deliveries to one destination.
        destination_rate_delay: Duration = "$default_destination_rate_delay",
        /// The pause between two deliveries of the transport.
        transport_rate_delay: Duration = "$default_transport_rate_delay",
        /// How many recipients of one message pay for another's going before.
        delivery_slot_cost: Count = "$default_delivery_slot_cost",
        /// Slots lent in advance.
        delivery_slot_loan: Count = "$default_delivery_slot_loan",
        /// Percent of the slots that need not be there.
        delivery_slot_discount: Count = "$default_delivery_slot_discount", range 0..=100,
        /// Slots a message must have to be preempted.
        minimum_delivery_slots: Count = "$default_minimum_delivery_slots",
        /// Recipients of the transport held in memory.
        recipient_limit: Count = "$default_recipient_limit",
        /// Further recipients for messages that go before.
        extra_recipient_limit: Count = "$default_extra_recipient_limit",
        /// Recipients read again at a time.
        recipient_refill_limit: Count = "$default_recipient_refill_limit", range 1..,
        /// The longest time between reading recipients.
        recipient_refill_delay: Duration = "$default_recipient_refill_delay", range 1..,
    }
}
