//! What every part of the mail system needs: who we are, where things lie, how it is logged.

parameters! {
    /// Parameters of the whole instance.
    pub struct Global {
        /// The name of this mail system; by default the host's name, with the domain behind it.
        myhostname: Text = "",
        /// The domain of this mail system; by default myhostname without its first label.
        mydomain: Text = "",
        /// The domain that local mail comes from; completes addresses without a domain.
        myorigin: Text = "$myhostname",
        /// Domains that this host delivers to its own accounts; names, /files or type:tables.
        mydestination: List = "$myhostname, localhost.$mydomain, localhost",
        /// Networks whose clients may relay; by default worked out from mynetworks_style.
        mynetworks: List = "",
        /// Which networks mynetworks holds where it is not set.
        mynetworks_style: Text = "${{$compatibility_level} <level {2} ? {subnet} : {host}}", one_of &["class", "subnet", "host"],
        /// Addresses to receive mail on: `all`, `loopback-only`, names or addresses.
        inet_interfaces: List = "all",
        /// IP versions to use.
        inet_protocols: List = "all", one_of &["all", "ipv4", "ipv6"],
        /// Addresses of proxies or translators that lead to this host.
        proxy_interfaces: List = "",
        /// The longest query to a socketmap server.
        socketmap_max_query_size: Size = "10000", range 1..,
        /// The longest answer of a socketmap server.
        socketmap_max_reply_size: Size = "100000", range 1..,
        /// Where the queue and the services' sockets lie.
        queue_directory: Path = "/var/spool/postfix",
        /// Where mail_owner keeps data that may be lost, such as caches.
        data_directory: Path = "/var/lib/postfix",
        /// The directory of main.cf, as the -c option or MAIL_CONFIG gave it.
        config_directory: Path = "/etc/postfix",
        /// Where Postfix keeps its daemons; for $daemon_directory in values.
        daemon_directory: Path = "/usr/libexec/postfix",
        /// Where the administrator's commands lie.
        command_directory: Path = "/usr/sbin",
        /// Where below queue_directory the master's lock lies.
        process_id_directory: Path = "pid",
        /// The account that owns the queue and runs the services.
        mail_owner: Text = "postfix",
        /// The group of the submission commands and of maildrop/.
        setgid_group: Text = "postdrop",
        /// The account for deliveries whose recipient has none.
        default_privs: Text = "nobody",
        /// The name in greetings, Received headers and bounces.
        mail_name: Text = "Postfix",
        /// The version of Postfix whose behaviour this is.
        mail_version: Text = "3.12.0",
        /// The name of this instance among several.
        multi_instance_name: Text = "",
        /// The facility of log lines that go to syslog.
        syslog_facility: Text = "mail",
        /// What stands before the `/` in the tag of log lines.
        syslog_name: Text = "${multi_instance_name?{$multi_instance_name}:{postfix}}",
        /// The log file; empty sends log lines to syslog; /dev/stdout is allowed.
        maillog_file: Path = "",
        /// What maillog_file must begin with.
        maillog_file_prefixes: List = "/var, /dev/stdout",
        /// The mode of a new log file.
        maillog_file_permissions: Text = "0600", one_of &["0600", "0640", "0644"],
        /// Characters that divide user and extension in an address.
        recipient_delimiter: Text = "",
        /// The sender of mail about bounces that could not be delivered.
        double_bounce_sender: Text = "double-bounce",
        /// Whether addresses in log lines are quoted.
        info_log_address_format: Text = "external", one_of &["external", "internal"],
        /// Decimals of the delays in log lines.
        delay_logging_resolution_limit: Count = "2", range 0..=6,
        /// Lists and tables where a domain stands for its subdomains too.
        parent_domain_matches_subdomains: List = "debug_peer_list,fast_flush_domains,mynetworks,permit_mx_backup_networks,qmqpd_authorized_clients,relay_domains,smtpd_access_maps",
        /// Whether addresses and headers may hold UTF-8 (RFC 6531).
        smtputf8_enable: Bool = "${{$compatibility_level} <level {1} ? {no} : {yes}}",
        /// Whether UTF-8 is refused where SMTPUTF8 was not asked for.
        strict_smtputf8: Bool = "no",
        /// Mail that is looked through for addresses and headers which need SMTPUTF8.
        smtputf8_autodetect_classes: List = "sendmail, verify", one_of &["sendmail", "smtpd", "qmqpd", "forward", "bounce", "notify", "verify", "all"],
        /// Whether names in UTF-8 are asked for in DNS by the rules of 2003, which know no `ß`.
        enable_idna2003_compatibility: Bool = "no",
        /// Whether permanent errors are made temporary, for tests.
        soft_bounce: Bool = "no",
        /// The level of Postfix whose defaults hold; some defaults depend on it.
        compatibility_level: Text = "0",
        /// Other directories that the set-gid commands may take with -c.
        alternate_config_directories: List = "",
        /// Directories of further instances.
        multi_instance_directories: List = "",
        /// Names that services take over from the environment.
        import_environment: List = "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME XDG_RUNTIME_DIR",
        /// How long a service may stay without progress before it is restarted.
        daemon_timeout: Duration = "18000s", range 1..,
        /// Ours: DNS servers as address or address:port; empty reads /etc/resolv.conf.
        dns_nameservers: List = "",
        /// Ours: parameters that may be set although nothing honours them yet and ignoring them is dangerous.
        posthaste_accept_missing: List = "",
    }
}

impl Global {
    /// Whether mail of a class of sources is looked through for what needs SMTPUTF8 (`smtputf8_autodetect_classes`).
    pub fn detects_smtputf8(&self, class: &str) -> bool {
        let named = |word: &String| word == class || word == "all";
        self.smtputf8_enable && self.smtputf8_autodetect_classes.iter().any(named)
    }
}
