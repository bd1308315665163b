//! Delivery to the users of this host.

parameters! {
    /// Parameters of local(8).
    pub struct Local {
        /// Tables of the aliases that local delivery follows.
        alias_maps: Tables = "$default_database_type:/etc/aliases, nis:mail.aliases",
        /// Where mail to a `|command` is allowed.
        allow_mail_to_commands: List = "alias, forward", one_of &["alias", "forward", "include"],
        /// Where mail to a file's path is allowed.
        allow_mail_to_files: List = "alias, forward", one_of &["alias", "forward", "include"],
        /// The directory in which mailbox and alias commands run.
        command_execution_directory: RawText = "",
        /// Characters that may stand in values of mailbox_command.
        command_expansion_filter: Text = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        /// How long a command of local delivery may run.
        command_time_limit: Duration = "1000s", range 1..,
        /// The account for deliveries whose recipient has none.
        default_privs: Text = "nobody",
        /// How often a lock is tried.
        deliver_lock_attempts: Count = "20", range 1..,
        /// The pause between two tries.
        deliver_lock_delay: Duration = "1s", range 1..,
        /// How many recipients a message's duplicates are looked for among; 0 is all.
        duplicate_filter_limit: Count = "1000",
        /// Characters that may stand in values of command_execution_directory.
        execution_directory_expansion_filter: Text = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        /// Whether mail of a list with an owner- alias comes from what that alias holds.
        expand_owner_alias: Bool = "no",
        /// Variables that services pass on to commands outside the mail system.
        export_environment: List = "TZ MAIL_CONFIG LANG",
        /// The transport for local recipients without an account.
        fallback_transport: Text = "",
        /// Tables that give such a transport by recipient.
        fallback_transport_maps: Tables = "",
        /// Characters that may stand in values of forward_path.
        forward_expansion_filter: Text = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
        /// Files in which users say where their mail goes.
        forward_path: RawText = "$home/.forward${recipient_delimiter}${extension}, $home/.forward",
        /// Whether the Delivered-To address is fixed before aliases are followed.
        frozen_delivered_to: Bool = "yes",
        /// The mailbox below each user's home directory; with `/` at its end a Maildir.
        home_mailbox: Text = "",
        /// The shell that runs commands of local delivery in place of a direct start.
        local_command_shell: Path = "",
        /// Tables that replace the status and text of results of local delivery.
        local_delivery_status_filter: Tables = "$default_delivery_status_filter",
        /// Who gets mail for local recipients that do not exist.
        luser_relay: RawText = "",
        /// Where mailbox files of local users lie; with `/` at its end Maildirs.
        mail_spool_directory: Path = "/var/mail",
        /// A command that takes local mail in place of a mailbox file.
        mailbox_command: RawText = "",
        /// Such commands by recipient.
        mailbox_command_maps: Tables = "",
        /// How mailbox files of local users are locked.
        mailbox_delivery_lock: List = "fcntl, dotlock", one_of &["flock", "fcntl", "dotlock"],
        /// The largest mailbox file of local delivery; 0 is no limit.
        mailbox_size_limit: Size = "51200000",
        /// The transport for local users in place of mailbox files.
        mailbox_transport: Text = "",
        /// Tables that give such a transport by recipient.
        mailbox_transport_maps: Tables = "",
        /// Whether owner-LIST and LIST-request are never split at recipient_delimiter.
        owner_request_special: Bool = "yes",
        /// Which deliveries add Delivered-To.
        prepend_delivered_header: List = "command, file, forward", one_of &["command", "file", "forward"],
        /// Lookups that keep an address extension which no entry names.
        propagate_unmatched_extensions: List = "canonical, virtual",
        /// Characters that divide user and extension in lookups.
        recipient_delimiter: Text = "",
        /// Whether local delivery waits until the user's home directory is there.
        require_home_directory: Bool = "no",
        /// Whether mail that leaves a list by an alias of its own gets that alias' owner.
        reset_owner_alias: Bool = "no",
        /// The age of a lock file that is taken over.
        stale_lock_time: Duration = "500s", range 1..,
        /// Whether a mailbox file must belong to its user.
        strict_mailbox_ownership: Bool = "yes",
    }
}
