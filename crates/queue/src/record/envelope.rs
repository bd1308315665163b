//! An envelope as records, and back.
//!
//! The order of the records is that of Postfix's smtpd and cleanup. What follows from other fields is not stored in
//! the journal (`log_client_name`, which repeats `client_name`; an original recipient that equals the recipient), but
//! is in a file, since Postfix looks for it there.

use super::{Damaged, Record, Records, kind, put, put_attribute};
use mail::{Address, Client, Encoding, Envelope, Notify, Recipient, Ret, RewriteContext, Timestamp};

/// Most recipients of one message that we take into memory; a file of Postfix's with more is refused as damaged.
pub(crate) const RECIPIENTS_MAX: usize = 1_000_000;

/// Attributes of ours, which only the journal holds: a file says the same by its directory, its mode and record `C`.
const HOLD: &str = "posthaste_hold";
const FORCE_EXPIRE: &str = "posthaste_force_expire";
const SENDER_OPTIONS: &str = "posthaste_sender_options";

/// Where an envelope is to lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Journal,
    File,
}

/// Appends `envelope` in the journal's form: every field of it, in records without `C`, `M` and `E`.
pub fn encode_envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    encode_head(envelope, Form::Journal, out);
    for recipient in &envelope.recipients {
        encode_recipient(recipient, Form::Journal, out);
    }
}

/// Reads what [`encode_envelope`] wrote.
pub fn decode_envelope(bytes: &[u8]) -> Result<Envelope, Damaged> {
    let mut builder = EnvelopeBuilder::default();
    for record in Records::new(bytes) {
        builder.add(&record?)?;
    }
    builder.finish(bytes.len() as u64)
}

/// Everything but the recipients.
pub(crate) fn encode_head(e: &Envelope, form: Form, out: &mut Vec<u8>) {
    put(out, kind::TIME, format!("{} {}", e.arrival.secs(), e.arrival.subsec_micros()).as_bytes());
    put_attribute(out, "create_time", e.created.secs().to_string().as_bytes());
    let (first, second): (Vec<_>, Vec<_>) = e.attributes.iter().partition(|(name, _)| leads(name));
    put_kept(&first, out);
    // Local mail has these two in front, as pickup passes them on before cleanup adds its own.
    let local = !e.full_name.is_empty();
    if local {
        put_dsn_options(e, out);
    }
    put_attribute(out, "rewrite_context", rewrite_context_name(e.rewrite_context).as_bytes());
    if !local {
        put_dsn_options(e, out);
    }
    put_kept(&second, out);
    if form == Form::Journal {
        put_journal_only(e, out);
    }
    if !e.full_name.is_empty() {
        put(out, kind::FULL_NAME, e.full_name.as_bytes());
    }
    put(out, kind::SENDER, e.sender.as_bytes());
    if let Some(name) = encoding_name(e.encoding) {
        put_attribute(out, "encoding", name.as_bytes());
    }
    if form == Form::File {
        put_logged_client(e, out);
    }
    put_client(&e.client, out);
    if form == Form::File && e.attribute("client_address_type").is_none() {
        put_address_type(&e.client.address, out);
    }
    if let Some(at) = e.warn_at {
        put(out, kind::WARN, format!("{:15}", at.secs()).as_bytes());
    }
}

/// One recipient with its options; gives where in `out` the recipient's own record is.
pub(crate) fn encode_recipient(r: &Recipient, form: Form, out: &mut Vec<u8>) -> usize {
    if r.notify != Notify::default() {
        put_attribute(out, "notify_flags", r.notify.0.to_string().as_bytes());
    }
    if !r.dsn_orcpt.is_empty() {
        put_attribute(out, "dsn_orig_rcpt", r.dsn_orcpt.as_bytes());
    } else if form == Form::File {
        put_attribute(out, "dsn_orig_rcpt", &default_orcpt(&r.original));
    }
    if form == Form::File || r.original != r.address {
        put(out, kind::ORIGINAL, r.original.as_bytes());
    }
    let at = out.len();
    put(out, kind::RECIPIENT, r.address.as_bytes());
    at
}

/// What Postfix writes where nobody named an original recipient; agents and reports name the same.
fn default_orcpt(original: &Address) -> Vec<u8> {
    [b"rfc822;", &original.to_external()[..]].concat()
}

/// Whether a kept attribute stands before the others, as Postfix's pickup and cleanup write it.
fn leads(name: &str) -> bool {
    name == "log_ident" || name == "L"
}

fn put_dsn_options(e: &Envelope, out: &mut Vec<u8>) {
    if !e.envid.is_empty() {
        put_attribute(out, "envelope_id", e.envid.as_bytes());
    }
    match e.ret {
        Some(Ret::Full) => put_attribute(out, "ret_flags", b"1"),
        Some(Ret::Hdrs) => put_attribute(out, "ret_flags", b"2"),
        None => {}
    }
}

/// What we keep without understanding it: a name of one character is a record, every other an attribute.
fn put_kept(kept: &[&(String, Vec<u8>)], out: &mut Vec<u8>) {
    for (name, value) in kept {
        match name.as_bytes() {
            [kind] => put(out, *kind, value),
            _ if LOGGED.contains(&name.as_str()) => {}
            _ => put_attribute(out, name, value),
        }
    }
}

fn put_journal_only(e: &Envelope, out: &mut Vec<u8>) {
    for (name, value) in e.attributes.iter().filter(|(name, _)| LOGGED.contains(&name.as_str())) {
        put_attribute(out, name, value);
    }
    if let Some(reason) = &e.hold {
        put_attribute(out, HOLD, reason.as_bytes());
    }
    if e.force_expire {
        put_attribute(out, FORCE_EXPIRE, b"1");
    }
    if e.smtputf8 != 0 {
        put_attribute(out, SENDER_OPTIONS, e.smtputf8.to_string().as_bytes());
    }
}

/// What Postfix logs and passes on of the client; equal to what the client is, unless XFORWARD said otherwise.
const LOGGED: [&str; 6] = [
    "log_client_name",
    "log_client_address",
    "log_client_port",
    "log_message_origin",
    "log_helo_name",
    "log_protocol_name",
];

fn put_logged_client(e: &Envelope, out: &mut Vec<u8>) {
    for name in LOGGED {
        match e.attribute(name) {
            // XFORWARD told of the client, but not this.
            Some([]) => {}
            Some(value) => put_attribute(out, name, value),
            None => match logged_by_default(&e.client, name) {
                value if value.is_empty() => {}
                value => put_attribute(out, name, value.as_bytes()),
            },
        }
    }
}

fn logged_by_default(c: &Client, name: &str) -> String {
    match name {
        "log_client_name" => c.name.clone(),
        // As RFC 5321 writes addresses.
        "log_client_address" if c.address.contains(':') => format!("IPv6:{}", c.address),
        "log_client_address" => c.address.clone(),
        "log_client_port" => c.port.clone(),
        "log_message_origin" if c.address.is_empty() => String::new(),
        "log_message_origin" => format!("{}[{}]", c.name, c.address),
        "log_helo_name" => c.helo.clone(),
        "log_protocol_name" => c.protocol.clone(),
        _ => String::new(),
    }
}

fn put_client(c: &Client, out: &mut Vec<u8>) {
    for (name, value) in [
        ("client_name", &c.name),
        ("reverse_client_name", &c.reverse_name),
        ("client_address", &c.address),
        ("client_port", &c.port),
        ("server_address", &c.server_address),
        ("server_port", &c.server_port),
        ("helo_name", &c.helo),
        ("protocol_name", &c.protocol),
    ] {
        if !value.is_empty() {
            put_attribute(out, name, value.as_bytes());
        }
    }
}

fn put_address_type(address: &str, out: &mut Vec<u8>) {
    if let Some(family) = address_type(address) {
        put_attribute(out, "client_address_type", family.as_bytes());
    }
}

/// The number of the address family on Linux, as Postfix writes it.
fn address_type(address: &str) -> Option<&'static str> {
    match address {
        "" => None,
        v6 if v6.contains(':') => Some("10"),
        _ => Some("2"),
    }
}

fn rewrite_context_name(context: RewriteContext) -> &'static str {
    match context {
        RewriteContext::Local => "local",
        RewriteContext::Remote => "remote",
    }
}

/// The value of the attribute `encoding`, where anything was declared.
pub(crate) fn encoding_name(encoding: Encoding) -> Option<&'static str> {
    match encoding {
        Encoding::Unknown => None,
        Encoding::SevenBit => Some("7bit"),
        Encoding::EightBit => Some("8bit"),
    }
}

/// Takes the records of an envelope one by one, as they lie in a journal record or in both segments of a file.
#[derive(Default)]
pub(crate) struct EnvelopeBuilder {
    envelope: Option<Envelope>,
    arrival: Option<Timestamp>,
    created: Option<i64>,
    sender: Option<Address>,
    logged: [Option<Vec<u8>>; 6],
    client_address_type: Option<Vec<u8>>,
    original: Option<Address>,
    orcpt: String,
    notify: Notify,
}

/// What became of a recipient record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Recipient { done: bool },
    Other,
}

impl EnvelopeBuilder {
    fn envelope(&mut self) -> &mut Envelope {
        self.envelope.get_or_insert_with(|| Envelope::new(Address::null(), Timestamp::default()))
    }

    /// Takes one record; says whether it was a recipient.
    pub(crate) fn add(&mut self, record: &Record<'_>) -> Result<Added, Damaged> {
        let Record { offset, kind, data } = *record;
        match kind {
            kind::TIME => {
                self.arrival =
                    Some(parse_arrival(data).ok_or_else(|| no_number(offset, "arrival time", data))?)
            }
            kind::FULL_NAME => self.envelope().full_name = text(data),
            kind::SENDER if self.sender.is_some() => return Err(Damaged::new(offset, "a second sender")),
            kind::SENDER => self.sender = Some(Address::new(data)),
            kind::RECIPIENT | kind::DONE => {
                self.add_recipient(data, offset)?;
                return Ok(Added::Recipient { done: kind == kind::DONE });
            }
            kind::CANCELLED => self.forget_options(),
            kind::ORIGINAL => self.original = Some(Address::new(data)),
            kind::WARN => {
                let at: i64 = number(data).ok_or_else(|| no_number(offset, "warning time", data))?;
                self.envelope().warn_at = (at > 0).then(|| Timestamp::from_secs(at));
            }
            kind::ATTRIBUTE => self.add_attribute(data, offset)?,
            kind::KILLED => {}
            kind::FILTER | kind::INSPECT | b'V' | b'>' | b'P' | b'r' | b'e' => {
                self.envelope().attributes.push((char::from(kind).to_string(), data.to_vec()));
            }
            _ => return Err(Damaged::new(offset, format!("unexpected record type {}", shown(kind)))),
        }
        Ok(Added::Other)
    }

    fn add_recipient(&mut self, data: &[u8], offset: u64) -> Result<(), Damaged> {
        let address = Address::new(data);
        let original = self.original.take().unwrap_or_else(|| address.clone());
        let (mut dsn_orcpt, notify) = (std::mem::take(&mut self.orcpt), std::mem::take(&mut self.notify));
        if dsn_orcpt == text(&default_orcpt(&original)) {
            dsn_orcpt.clear();
        }
        let recipients = &mut self.envelope().recipients;
        if recipients.len() >= RECIPIENTS_MAX {
            return Err(Damaged::new(offset, format!("more than {RECIPIENTS_MAX} recipients")));
        }
        recipients.push(Recipient { address, original, dsn_orcpt, notify });
        Ok(())
    }

    fn forget_options(&mut self) {
        self.original = None;
        self.orcpt.clear();
        self.notify = Notify::default();
    }

    fn add_attribute(&mut self, data: &[u8], offset: u64) -> Result<(), Damaged> {
        let Some(equals) = memchr::memchr(b'=', data) else {
            return Err(Damaged::new(offset, "attribute without `=`"));
        };
        let (name, value) = (&data[..equals], &data[equals + 1..]);
        let Ok(name) = std::str::from_utf8(name) else {
            return Err(Damaged::new(offset, "attribute name is no text"));
        };
        if let Some(n) = LOGGED.iter().position(|logged| *logged == name) {
            self.logged[n] = Some(value.to_vec());
            return Ok(());
        }
        match name {
            "create_time" => {
                self.created = Some(number(value).ok_or_else(|| no_number(offset, name, value))?)
            }
            "dsn_orig_rcpt" => self.orcpt = text(value),
            "notify_flags" => {
                self.notify = Notify(number(value).ok_or_else(|| no_number(offset, name, value))?)
            }
            "client_address_type" => self.client_address_type = Some(value.to_vec()),
            _ => return self.add_envelope_attribute(name, value, offset),
        }
        Ok(())
    }

    fn add_envelope_attribute(&mut self, name: &str, value: &[u8], offset: u64) -> Result<(), Damaged> {
        let e = self.envelope();
        match name {
            "envelope_id" => e.envid = text(value),
            "ret_flags" => {
                e.ret = match number(value) {
                    Some(1) => Some(Ret::Full),
                    Some(2) => Some(Ret::Hdrs),
                    Some(0) => None,
                    _ => return Err(no_number(offset, name, value)),
                }
            }
            "rewrite_context" if value == b"local" => e.rewrite_context = RewriteContext::Local,
            "rewrite_context" => e.rewrite_context = RewriteContext::Remote,
            "encoding" if value == b"8bit" => e.encoding = Encoding::EightBit,
            "encoding" if value == b"7bit" => e.encoding = Encoding::SevenBit,
            "client_name" => e.client.name = text(value),
            "reverse_client_name" => e.client.reverse_name = text(value),
            "client_address" => e.client.address = text(value),
            "client_port" => e.client.port = text(value),
            "server_address" => e.client.server_address = text(value),
            "server_port" => e.client.server_port = text(value),
            "helo_name" => e.client.helo = text(value),
            "protocol_name" => e.client.protocol = text(value),
            HOLD => e.hold = Some(text(value)),
            FORCE_EXPIRE => e.force_expire = true,
            SENDER_OPTIONS => e.smtputf8 = number(value).ok_or_else(|| no_number(offset, name, value))?,
            // A name of one character would be taken for a record when it is written again.
            _ if name.len() == 1 => {
                e.attributes.push(("A".to_string(), [name.as_bytes(), b"=", value].concat()))
            }
            _ => e.attributes.push((name.to_string(), value.to_vec())),
        }
        Ok(())
    }

    /// Whether the sender is known, so that recipients may follow.
    pub(crate) fn has_sender(&self) -> bool {
        self.sender.is_some()
    }

    /// The envelope, which arrived at `modified` where it does not tell.
    pub(crate) fn finish_from(mut self, modified: Timestamp, end: u64) -> Result<Envelope, Damaged> {
        self.arrival.get_or_insert(modified);
        self.finish(end)
    }

    /// The envelope; `end` is the offset that errors name.
    pub(crate) fn finish(mut self, end: u64) -> Result<Envelope, Damaged> {
        let arrival = self.arrival.ok_or_else(|| Damaged::new(end, "no arrival time"))?;
        let sender = self.sender.take().ok_or_else(|| Damaged::new(end, "no sender"))?;
        let logged = std::mem::take(&mut self.logged);
        let address_kind = self.client_address_type.take();
        let created = self.created;
        let e = self.envelope();
        e.arrival = arrival;
        e.created = match created {
            Some(secs) if secs != arrival.secs() => Timestamp::from_secs(secs),
            _ => arrival,
        };
        e.sender = sender;
        for (name, value) in LOGGED.iter().zip(logged) {
            if let Some(value) =
                value.filter(|v| v.as_slice() != logged_by_default(&e.client, name).as_bytes())
            {
                e.attributes.push((name.to_string(), value));
            }
        }
        if let Some(value) =
            address_kind.filter(|v| Some(v.as_slice()) != address_type(&e.client.address).map(str::as_bytes))
        {
            e.attributes.push(("client_address_type".to_string(), value));
        }
        // In the order in which they are written, so that an envelope written and read again equals itself.
        e.attributes.sort_by_key(|(name, _)| !leads(name));
        Ok(self.envelope.take().expect("envelope() above made one"))
    }
}

fn parse_arrival(data: &[u8]) -> Option<Timestamp> {
    let mut parts = std::str::from_utf8(data).ok()?.split_ascii_whitespace();
    let secs: i64 = parts.next()?.parse().ok()?;
    let micros: i64 =
        parts.next().map_or(Some(0), |m| m.parse().ok()).filter(|m| (0..1_000_000).contains(m))?;
    Some(Timestamp::from_micros(secs.checked_mul(1_000_000)?.checked_add(micros)?))
}

/// A decimal number with blanks around it.
pub(crate) fn number<T: std::str::FromStr>(data: &[u8]) -> Option<T> {
    std::str::from_utf8(data).ok()?.trim_ascii().parse().ok()
}

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

fn no_number(offset: u64, name: &str, value: &[u8]) -> Damaged {
    let value = String::from_utf8_lossy(&value[..value.len().min(40)]);
    Damaged::new(offset, format!("{name}: expected a number in its range, found `{}`", value.escape_debug()))
}

/// A record type for a reader of errors.
pub(crate) fn shown(kind: u8) -> String {
    if kind.is_ascii_graphic() { format!("`{}`", char::from(kind)) } else { format!("0x{kind:02x}") }
}
