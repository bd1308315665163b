//! Mail that the mail system writes itself.

parameters! {
    /// Parameters of bounce(8).
    pub struct Bounce {
        /// Bytes of the original message in a bounce.
        bounce_size_limit: Count = "50000", range 1..,
        /// Templates of bounces other than the built-in ones.
        bounce_template_file: Path = "",
        /// What postmaster is told about.
        notify_classes: List = "resource, software",
        /// Who is told of bounces.
        bounce_notice_recipient: Text = "postmaster",
        /// Who is told of delays.
        delay_notice_recipient: Text = "postmaster",
        /// Who is told of errors.
        error_notice_recipient: Text = "postmaster",
        /// The sender of mail about bounces that could not be delivered.
        double_bounce_sender: Text = "double-bounce",
        /// After what time the sender is told of a delay; 0 is never.
        delay_warning_time: Duration = "0h",
        /// Whether reasons are also kept in Postfix's old form.
        backwards_bounce_logfile_compatibility: Bool = "yes",
        /// Whether bounces refer to the message they are about.
        enable_threaded_bounces: Bool = "no",
    }
}
