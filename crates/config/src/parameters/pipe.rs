//! Commands outside the mail system: pipe(8) and spawn(8).

parameters! {
    /// Parameters of pipe(8).
    pub struct Pipe {
        /// How long a command may run.
        command_time_limit: Duration = "1000s", range 1..,
        /// Variables that services pass on to commands outside the mail system.
        export_environment: List = "TZ MAIL_CONFIG LANG",
        /// Tables that replace the status and text of results of pipe.
        pipe_delivery_status_filter: Tables = "$default_delivery_status_filter",
    }
}

family! {
    /// Parameters `<service>_<suffix>` of one pipe(8) or spawn(8).
    pub struct Spawned {
        /// How long a command of pipe or spawn may run, by the name of its service.
        time_limit: Duration = "$command_time_limit", range 1..,
    }
}
