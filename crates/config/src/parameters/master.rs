//! What the master needs: limits of services and of their restarts.

parameters! {
    /// Parameters of the master.
    pub struct Master {
        /// The limit of a service whose line in master.cf has none; without effect here unless main.cf sets it.
        default_process_limit: Count = "100", range 1..,
        /// How long a service that fails at once is left alone before it is started again.
        service_throttle_time: Duration = "60s", range 1..,
        /// Services that are not started: name/type, or a type for all of it.
        master_service_disable: List = "",
        /// How long an idle helper process stays.
        max_idle: Duration = "100s", range 1..,
        /// How many requests a helper process serves before it is replaced.
        max_use: Count = "100", range 1..,
        /// Whether nothing starts where a table cannot be opened; else its lookups fail until it can.
        daemon_table_open_error_is_fatal: Bool = "no",
        /// How often the start of a process is tried.
        fork_attempts: Count = "5", range 1..,
        /// The pause between two attempts to start a process.
        fork_delay: Duration = "1s", range 1..,
    }
}
