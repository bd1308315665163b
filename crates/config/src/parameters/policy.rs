//! The SMTP server's policy services (`check_policy_service`).

parameters! {
    /// Parameters of policy services; a service in braces may have its own.
    pub struct Policy {
        /// What counts where a policy service does not answer; anything that an access table may say.
        smtpd_policy_service_default_action: Text = "451 4.3.5 Server configuration problem",
        /// A word that policy services get with each request.
        smtpd_policy_service_policy_context: Text = "",
        /// How long a connection may take to open, and how long an answer.
        smtpd_policy_service_timeout: Duration = "100s", range 1..,
        /// How often a request is sent before it has failed, each time over a new connection.
        smtpd_policy_service_try_limit: Count = "2", range 1..,
        /// The pause before another try.
        smtpd_policy_service_retry_delay: Duration = "1s", range 1..,
        /// How long an unused connection stays open.
        smtpd_policy_service_max_idle: Duration = "300s", range 1..,
        /// How long a connection stays open at most.
        smtpd_policy_service_max_ttl: Duration = "1000s", range 1..,
        /// Requests over one connection; 0 is no limit.
        smtpd_policy_service_request_limit: Count = "0",
    }
}
