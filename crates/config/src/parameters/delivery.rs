//! Delivery into virtual mailboxes.

parameters! {
    /// Parameters of virtual(8).
    pub struct Virtual {
        /// Where mailboxes lie, by address.
        virtual_mailbox_maps: Tables = "",
        /// The directory that mailbox paths are below.
        virtual_mailbox_base: Path = "",
        /// The largest mailbox file; 0 is no limit.
        virtual_mailbox_limit: Size = "51200000",
        /// How mailbox files are locked.
        virtual_mailbox_lock: List = "fcntl, dotlock", one_of &["flock", "fcntl", "dotlock"],
        /// The smallest user id that mail is delivered as.
        virtual_minimum_uid: Count = "100", range 1..,
        /// User ids by address; static:5000 for all.
        virtual_uid_maps: Tables = "",
        /// Group ids by address.
        virtual_gid_maps: Tables = "",
        /// Whether a mailbox file must belong to its user.
        strict_mailbox_ownership: Bool = "yes",
        /// How often a lock is tried.
        deliver_lock_attempts: Count = "20", range 1..,
        /// The pause between two tries.
        deliver_lock_delay: Duration = "1s", range 1..,
        /// The age of a lock file that is taken over.
        stale_lock_time: Duration = "500s", range 1..,
        /// How mailbox files of local users are locked.
        mailbox_delivery_lock: List = "fcntl, dotlock", one_of &["flock", "fcntl", "dotlock"],
        /// Tables that replace the status and text of results of virtual.
        virtual_delivery_status_filter: Tables = "$default_delivery_status_filter",
        /// Whether the recipient before aliases is kept.
        enable_original_recipient: Bool = "yes",
        /// Characters that divide user and extension in lookups.
        recipient_delimiter: Text = "",
        /// Whether owner-LIST and LIST-request are never split at recipient_delimiter.
        owner_request_special: Bool = "yes",
        /// Which deliveries add Delivered-To.
        prepend_delivered_header: List = "command, file, forward", one_of &["command", "file", "forward"],
    }
}
