//! What a server session must know of the configuration and of its client, as plain values.

use std::time::Duration;

/// What the sessions of one service have in common; the names are Postfix's parameters without `smtpd_`.
pub struct Settings {
    /// `myhostname`.
    pub myhostname: String,
    /// The greeting's text, expanded.
    pub banner: String,
    /// MAIL needs HELO or EHLO first.
    pub helo_required: bool,
    /// VRFY is answered with 502.
    pub disable_vrfy_command: bool,
    /// Client restrictions are evaluated at RCPT, so that connecting asks nothing.
    pub delay_reject: bool,
    /// Addresses may begin with `-` (`allow_min_user`).
    pub allow_min_user: bool,
    /// Addresses need `<>`, and nothing may stand beside them.
    pub strict_rfc821_envelopes: bool,
    /// SMTPUTF8 is announced and commands must be UTF-8.
    pub smtputf8_enable: bool,
    /// Addresses outside ASCII need the SMTPUTF8 option.
    pub strict_smtputf8: bool,
    /// A CR inside a line of content becomes a blank (`cleanup_replace_stray_cr_lf`).
    pub replace_stray_cr: bool,
    /// A command line, without its end, is shorter.
    pub line_length_limit: usize,
    /// All refusals are for now only.
    pub soft_bounce: bool,
    /// Largest content; 0 means no limit.
    pub message_size_limit: u64,
    /// Most recipients of one transaction.
    pub recipient_limit: usize,
    /// So many recipients beyond the limit count as no error.
    pub recipient_overshoot_limit: usize,
    /// From so many errors on each reply waits.
    pub soft_error_limit: u32,
    /// From so many errors on the session ends.
    pub hard_error_limit: u32,
    /// How long a reply waits beyond the soft limit.
    pub error_sleep_time: Duration,
    /// So many commands that bring no mail are free, each further one is an error.
    pub junk_command_limit: u32,
    /// Reply code for a bare newline in mode `reject`.
    pub forbid_bare_newline_reject_code: u16,
    /// A client that does not wait for a reply where it must is thrown out.
    pub forbid_unauth_pipelining: bool,
    /// Commands that end the session at once, of those that nobody knows.
    pub forbidden_commands: CommandList,
    /// Commands that are answered with 250 and do nothing.
    pub noop_commands: CommandList,
    /// The driver is shown each command line before it is parsed.
    pub command_filter: bool,
    /// `default_verp_delimiters`: those of an XVERP that names none.
    pub verp_delimiters: [u8; 2],
    /// `verp_delimiter_filter`: the characters that XVERP may name.
    pub verp_delimiter_filter: String,
    /// The driver writes refusals.
    pub hand_over_refusals: bool,
}

/// A list of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandList {
    /// These words, in either case.
    Words(Vec<String>),
    /// What only the driver knows.
    Asked,
}

impl Settings {
    /// Postfix's defaults for a host of this name.
    pub fn of_host(myhostname: &str) -> Self {
        Settings {
            myhostname: myhostname.to_owned(),
            banner: format!("{myhostname} ESMTP Postfix"),
            helo_required: false,
            disable_vrfy_command: false,
            delay_reject: true,
            allow_min_user: false,
            strict_rfc821_envelopes: false,
            smtputf8_enable: true,
            strict_smtputf8: false,
            replace_stray_cr: true,
            line_length_limit: 2048,
            soft_bounce: false,
            message_size_limit: 10_240_000,
            recipient_limit: 1000,
            recipient_overshoot_limit: 1000,
            soft_error_limit: 10,
            hard_error_limit: 20,
            error_sleep_time: Duration::from_secs(1),
            junk_command_limit: 100,
            forbid_bare_newline_reject_code: 550,
            forbid_unauth_pipelining: true,
            // And the table regexp:{{/^[^A-Z]/ Bogus}}, which is the driver's.
            forbidden_commands: CommandList::Words(["CONNECT", "GET", "POST"].map(str::to_owned).to_vec()),
            noop_commands: CommandList::Words(Vec::new()),
            command_filter: false,
            verp_delimiters: *b"+=",
            verp_delimiter_filter: "-=+".to_owned(),
            hand_over_refusals: false,
        }
    }
}

/// What becomes of lines that end with a bare newline (`smtpd_forbid_bare_newline`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    /// It ends a line like any other, also the line with the final dot.
    Allow,
    /// It ends a line, but only `<CR><LF>.<CR><LF>` ends a message.
    Normalize,
    /// As normalize, and the log says so.
    Note,
    /// It ends the session or refuses the message.
    Reject,
}

/// EHLO keywords, as a set for `smtpd_discard_ehlo_keywords`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EhloKeywords {
    /// AUTH, which is not offered yet.
    pub auth: bool,
    /// STARTTLS, which is not offered yet.
    pub starttls: bool,
    /// XVERP.
    pub verp: bool,
    /// PIPELINING.
    pub pipelining: bool,
    /// SIZE.
    pub size: bool,
    /// VRFY.
    pub vrfy: bool,
    /// ETRN.
    pub etrn: bool,
    /// XCLIENT.
    pub xclient: bool,
    /// XFORWARD.
    pub xforward: bool,
    /// ENHANCEDSTATUSCODES.
    pub enhancedstatuscodes: bool,
    /// 8BITMIME.
    pub eightbitmime: bool,
    /// DSN.
    pub dsn: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// CHUNKING.
    pub chunking: bool,
    /// `silent-discard`: the log need not say so.
    pub silently: bool,
}

impl EhloKeywords {
    /// The keywords in the set, in the order in which Postfix's log has them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.eightbitmime, "8BITMIME"),
            (self.auth, "AUTH"),
            (self.etrn, "ETRN"),
            (self.pipelining, "PIPELINING"),
            (self.size, "SIZE"),
            (self.verp, "VERP"),
            (self.vrfy, "VRFY"),
            (self.xclient, "XCLIENT"),
            (self.xforward, "XFORWARD"),
            (self.enhancedstatuscodes, "ENHANCEDSTATUSCODES"),
            (self.starttls, "STARTTLS"),
            (self.dsn, "DSN"),
            (self.smtputf8, "SMTPUTF8"),
            (self.chunking, "CHUNKING"),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, name)| name)
    }
}

/// Which commands of a client are counted: the driver is asked about them ([`super::Ask::Count`]) once it is clear that
/// they are meant, and before their arguments are looked at, as Postfix does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// MAIL.
    pub messages: bool,
    /// RCPT, and VRFY as one.
    pub recipients: bool,
}

/// The client of one session, and what its address decides.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `name[address]`, as replies and the log show it.
    pub name_and_address: String,
    /// What to do with bare newlines of this client.
    pub bare_newline: BareNewline,
    /// What EHLO leaves out.
    pub discard_ehlo: EhloKeywords,
    /// It may use XCLIENT.
    pub xclient: bool,
    /// It may use XFORWARD.
    pub xforward: bool,
    /// It may use XVERP.
    pub verp: bool,
    /// Which of its commands are counted.
    pub counted: Counted,
    /// Its dialogue is for the log.
    pub verbose: bool,
    /// What it sent before it was greeted.
    pub early: Vec<u8>,
}

impl Peer {
    /// A client of which nothing but its name and address is known.
    pub fn stranger(name_and_address: impl Into<String>) -> Self {
        Peer {
            name_and_address: name_and_address.into(),
            bare_newline: BareNewline::Normalize,
            discard_ehlo: EhloKeywords::default(),
            xclient: false,
            xforward: false,
            verp: false,
            counted: Counted::default(),
            verbose: false,
            early: Vec::new(),
        }
    }
}
