//! Policy delegation: what a policy service is asked, and its answer (Postfix: SMTPD_POLICY_README).
//!
//! A request is lines `name=value` and an empty line; the answer is the line `action=RESULT`, perhaps among others, and
//! an empty line. The result is what may stand at the right-hand side of an access table.

use mail::Timestamp;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Bytes of an answer with its empty line; a longer one is an error. Postfix has no bound that anybody meets: an action
/// of 90,000 bytes is cut only where it becomes a reply.
pub const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// Bytes of a strange answer that an error shows.
const SHOWN_BYTES_MAX: usize = 100;

/// One end of a connection, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: Option<u16>,
}

impl From<SocketAddr> for End {
    fn from(end: SocketAddr) -> End {
        End { address: Some(end.ip()), port: Some(end.port()) }
    }
}

/// What a policy service is told. Texts that are not known are empty; addresses are in internal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// At which command: `CONNECT`, `EHLO`, `HELO`, `MAIL`, `RCPT`, `DATA`, `END-OF-MESSAGE`, `VRFY`, `ETRN`.
    pub protocol_state: &'a str,
    /// `SMTP` or `ESMTP`.
    pub protocol_name: &'a str,
    /// Who connected.
    pub client: End,
    /// The verified name, or `unknown`.
    pub client_name: &'a str,
    /// The name that the address leads to, or `unknown`.
    pub reverse_client_name: &'a str,
    /// Where it connected to.
    pub server: End,
    /// The argument of HELO or EHLO.
    pub helo_name: &'a str,
    /// The envelope's sender.
    pub sender: &'a [u8],
    /// The recipient at RCPT and VRFY, and the only one from DATA on.
    pub recipient: &'a [u8],
    /// How many recipients were accepted, from DATA on; before, 0.
    pub recipient_count: usize,
    /// The queue id, once there is one.
    pub queue_id: &'a str,
    /// What requests about one message have in common, from RCPT on.
    pub instance: Option<Instance>,
    /// What MAIL said with `SIZE=`, and at the end of the message its size.
    pub size: u64,
    /// The argument of ETRN.
    pub etrn_domain: &'a str,
    /// The parameter `stress`.
    pub stress: &'a str,
    /// How the client has proved who it is.
    pub sasl_method: &'a str,
    /// Who it is.
    pub sasl_username: &'a str,
    /// `AUTH=` of MAIL.
    pub sasl_sender: &'a str,
    /// The subject of the client's certificate.
    pub ccert_subject: &'a str,
    /// Who issued it.
    pub ccert_issuer: &'a str,
    /// Its fingerprint.
    pub ccert_fingerprint: &'a str,
    /// The fingerprint of its key.
    pub ccert_pubkey_fingerprint: &'a str,
    /// `TLSv1.3` and the like.
    pub encryption_protocol: &'a str,
    /// The cipher.
    pub encryption_cipher: &'a str,
    /// Bits of its key.
    pub encryption_keysize: u32,
    /// `policy_context` of the service.
    pub policy_context: &'a str,
    /// The parameter `compatibility_level` (since 3.8).
    pub compatibility_level: &'a str,
    /// The parameter `mail_version` (since 3.8).
    pub mail_version: &'a str,
    /// The name that the client asked for in TLS (since 3.12).
    pub tls_sni: &'a str,
}

/// A name for one mail transaction: `123.65a8f2b1.4c2f0.7`, all in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// A number that the session has for itself while it lasts; Postfix has its process id there.
    pub session: u32,
    /// When MAIL was accepted.
    pub time: Timestamp,
    /// Counts the transactions.
    pub serial: u64,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.time.secs(), self.time.subsec_micros());
        write!(f, "{:x}.{seconds:x}.{micros:x}.{:x}", self.session, self.serial)
    }
}

impl<'a> Request<'a> {
    /// About a client and the address that it reached, of which nothing else is known.
    pub fn of(client: impl Into<End>, server: impl Into<End>) -> Request<'a> {
        let (client, server) = (client.into(), server.into());
        Request {
            protocol_state: "",
            protocol_name: "",
            client,
            client_name: "",
            reverse_client_name: "",
            server,
            helo_name: "",
            sender: b"",
            recipient: b"",
            recipient_count: 0,
            queue_id: "",
            instance: None,
            size: 0,
            etrn_domain: "",
            stress: "",
            sasl_method: "",
            sasl_username: "",
            sasl_sender: "",
            ccert_subject: "",
            ccert_issuer: "",
            ccert_fingerprint: "",
            ccert_pubkey_fingerprint: "",
            encryption_protocol: "",
            encryption_cipher: "",
            encryption_keysize: 0,
            policy_context: "",
            compatibility_level: "",
            mail_version: "",
            tls_sni: "",
        }
    }

    /// The bytes of the request, in Postfix's order of attributes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Longer than any request without long addresses.
        let mut out = Out(Vec::with_capacity(1024));
        out.text("request", "smtpd_access_policy");
        out.text("protocol_state", self.protocol_state);
        out.text("protocol_name", self.protocol_name);
        out.known("client_address", self.client.address.map(|ip| ip.to_canonical()));
        out.text("client_name", self.client_name);
        out.known("client_port", self.client.port);
        out.text("reverse_client_name", self.reverse_client_name);
        out.known("server_address", self.server.address.map(|ip| ip.to_canonical()));
        out.known("server_port", self.server.port);
        out.text("helo_name", self.helo_name);
        out.bytes("sender", self.sender);
        out.bytes("recipient", self.recipient);
        out.shown("recipient_count", self.recipient_count);
        out.text("queue_id", self.queue_id);
        match self.instance {
            Some(instance) => out.shown("instance", instance),
            None => out.text("instance", ""),
        }
        out.shown("size", self.size);
        out.text("etrn_domain", self.etrn_domain);
        out.text("stress", self.stress);
        out.text("sasl_method", self.sasl_method);
        out.text("sasl_username", self.sasl_username);
        out.text("sasl_sender", self.sasl_sender);
        out.text("ccert_subject", self.ccert_subject);
        out.text("ccert_issuer", self.ccert_issuer);
        out.text("ccert_fingerprint", self.ccert_fingerprint);
        out.text("ccert_pubkey_fingerprint", self.ccert_pubkey_fingerprint);
        out.text("encryption_protocol", self.encryption_protocol);
        out.text("encryption_cipher", self.encryption_cipher);
        out.shown("encryption_keysize", self.encryption_keysize);
        out.text("policy_context", self.policy_context);
        out.text("compatibility_level", self.compatibility_level);
        out.text("mail_version", self.mail_version);
        out.text("tls_sni", self.tls_sni);
        out.0.push(b'\n');
        out.0
    }
}

/// Lines `name=value`. What would end a value early becomes `?`: no client writes a line of its own.
struct Out(Vec<u8>);

impl Out {
    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'=');
        self.0.extend(value.iter().map(|&byte| if matches!(byte, b'\n' | b'\0') { b'?' } else { byte }));
        self.0.push(b'\n');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn known(&mut self, name: &str, value: Option<impl fmt::Display>) {
        match value {
            Some(value) => self.shown(name, value),
            None => self.text(name, "unknown"),
        }
    }

    fn shown(&mut self, name: &str, value: impl fmt::Display) {
        self.text(name, &value.to_string());
    }
}

/// An answer that came whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What stands behind `action=`, up to a zero byte, which ends texts in Postfix.
    pub action: Vec<u8>,
    /// More came behind the answer: nobody knows to what the next answer belongs.
    pub more: bool,
}

/// Why what came is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The empty line came before a line `action=…`; this came.
    NoAction(Vec<u8>),
    /// `action` without `=`.
    NoValue,
    /// More than [`ANSWER_BYTES_MAX`] bytes.
    TooLong,
}

/// Where the bytes of an answer stop that is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Before the first.
    Nothing,
    /// In front of `=` or at the beginning of a line.
    Name,
    /// Behind `=`.
    Value,
}

/// Collects the bytes of one answer.
#[derive(Debug, Default)]
pub struct Scanner {
    bytes: Vec<u8>,
    /// Where the line begins whose end has not come.
    line: usize,
    /// What stands behind the first `action=`.
    action: Option<(usize, usize)>,
}

impl Scanner {
    /// Takes what came; the answer once it is complete.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Problem> {
        let room = ANSWER_BYTES_MAX - self.bytes.len();
        let mut searched = self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        while let Some(at) = memchr::memchr(b'\n', &self.bytes[searched..]) {
            let (start, end) = (self.line, searched + at);
            (self.line, searched) = (end + 1, end + 1);
            if start == end {
                return self.answer(self.line < self.bytes.len() || bytes.len() > room).map(Some);
            }
            let line = &self.bytes[start..end];
            if self.action.is_none() {
                match line.strip_prefix(b"action") {
                    Some(b"") => return Err(Problem::NoValue),
                    Some([b'=', ..]) => self.action = Some((start + b"action=".len(), end)),
                    _ => {}
                }
            }
        }
        if bytes.len() > room { Err(Problem::TooLong) } else { Ok(None) }
    }

    /// Where it stops, when no more comes.
    pub fn stop(&self) -> Stop {
        match &self.bytes[self.line..] {
            _ if self.bytes.is_empty() => Stop::Nothing,
            line if line.contains(&b'=') => Stop::Value,
            _ => Stop::Name,
        }
    }

    fn answer(&self, more: bool) -> Result<Answer, Problem> {
        let Some((start, end)) = self.action else {
            let shown = &self.bytes[..self.bytes.len().min(SHOWN_BYTES_MAX)];
            return Err(Problem::NoAction(shown.trim_ascii_end().to_vec()));
        };
        let value = &self.bytes[start..end];
        let value = &value[..memchr::memchr(0, value).unwrap_or(value.len())];
        Ok(Answer { action: value.to_vec(), more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(bytes: &[u8]) -> Result<Option<Answer>, Problem> {
        Scanner::default().take(bytes)
    }

    fn answer(action: &str, more: bool) -> Result<Option<Answer>, Problem> {
        Ok(Some(Answer { action: action.into(), more }))
    }

    fn no_action(shown: &str) -> Result<Option<Answer>, Problem> {
        Err(Problem::NoAction(shown.into()))
    }

    fn request<'a>() -> Request<'a> {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        Request::of(end("192.0.2.9:4321"), end("[::ffff:192.0.2.1]:25"))
    }

    #[test]
    fn ends_that_nobody_knows_are_unknown() {
        let nowhere = End { address: None, port: None };
        let bytes = Request { client: nowhere, server: nowhere, ..request() }.to_bytes();
        let text = String::from_utf8(bytes).unwrap();
        for name in ["client_address", "client_port", "server_address", "server_port"] {
            assert!(text.contains(&format!("\n{name}=unknown\n")), "{text}");
        }
    }

    #[test]
    fn a_request_has_the_attributes_in_postfixs_order() {
        let time = Timestamp::from_micros(0x65a8_f2b1 * 1_000_000 + 0x4c2f0);
        let instance = Some(Instance { session: 0x123, time, serial: 7 });
        let bytes = Request {
            protocol_state: "RCPT",
            sender: b"a b@example.net",
            policy_context: "x",
            mail_version: "3.12.0",
            instance,
            ..request()
        }
        .to_bytes();
        let expected = "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=\nclient_address=192.0.2.9\n\
             client_name=\nclient_port=4321\nreverse_client_name=\nserver_address=192.0.2.1\nserver_port=25\n\
             helo_name=\nsender=a b@example.net\nrecipient=\nrecipient_count=0\nqueue_id=\n\
             instance=123.65a8f2b1.4c2f0.7\nsize=0\netrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\n\
             ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\n\
             encryption_cipher=\nencryption_keysize=0\npolicy_context=x\ncompatibility_level=\nmail_version=3.12.0\n\
             tls_sni=\n\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }

    #[test]
    fn the_first_action_counts_and_other_lines_do_not() {
        assert_eq!(whole(b"action=DUNNO\n\n"), answer("DUNNO", false));
        assert_eq!(whole(b"x\n=y\nfoo=bar\naction=REJECT a=b\naction=OK\n\n"), answer("REJECT a=b", false));
        assert_eq!(whole(b"actions=OK\naction=\n\n"), answer("", false));
        assert_eq!(whole(b"action=REJECT \0x\n\n"), answer("REJECT ", false));
        assert_eq!(whole(b"action=OK\n\naction=OK\n\n"), answer("OK", true));
    }

    #[test]
    fn what_is_no_answer_says_what_came() {
        assert_eq!(whole(b"garbage\n\n"), no_action("garbage"));
        assert_eq!(whole(b"\n"), no_action(""));
        assert_eq!(whole(b"ACTION=OK\naction =OK\n action=OK\naction:OK\n\n").unwrap_err(), {
            Problem::NoAction(b"ACTION=OK\naction =OK\n action=OK\naction:OK".to_vec())
        });
        assert_eq!(whole(b"action\naction=OK\n\n"), Err(Problem::NoValue));
    }

    #[test]
    fn half_an_answer_waits_for_the_rest_and_knows_where_it_stops() {
        for (bytes, stop) in [
            (&b""[..], Stop::Nothing),
            (b"act", Stop::Name),
            (b"action=OK", Stop::Value),
            (b"action=OK\n", Stop::Name),
            (b"action=OK\r\n\r\n", Stop::Name),
        ] {
            let mut scanner = Scanner::default();
            assert_eq!(scanner.take(bytes), Ok(None), "{bytes:?}");
            assert_eq!(scanner.stop(), stop, "{bytes:?}");
        }
    }

    #[test]
    fn an_answer_may_be_as_long_as_the_bound_and_no_longer() {
        let long = |length: usize| [b"action=", &vec![b'x'; length][..], b"\n\n"].concat();
        let most = ANSWER_BYTES_MAX - long(0).len();
        assert_eq!(whole(&long(most)), answer(&"x".repeat(most), false));
        assert_eq!(whole(&long(most + 1)), Err(Problem::TooLong));
        assert_eq!(whole(&[long(most), b"x".to_vec()].concat()), answer(&"x".repeat(most), true));
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_answer_as_the_whole(
            bytes in "(action|action=|=|\n|x|\0){0,12}",
            cut in 0usize..40,
        ) {
            let bytes = bytes.as_bytes();
            let cut = cut.min(bytes.len());
            let mut scanner = Scanner::default();
            let first = scanner.take(&bytes[..cut]);
            let pieces = match first {
                Ok(None) => scanner.take(&bytes[cut..]),
                // What stands behind the answer says nothing of it.
                Ok(Some(answer)) => Ok(Some(Answer { more: answer.more || cut < bytes.len(), ..answer })),
                error => error,
            };
            match (pieces, whole(bytes)) {
                (Err(Problem::NoAction(_)), Err(Problem::NoAction(_))) => {}
                (pieces, whole) => prop_assert_eq!(pieces, whole),
            }
        }

        #[test]
        fn no_value_makes_a_line_of_its_own(
            sender in proptest::collection::vec(any::<u8>(), 0..40),
            helo in "[ -~\n\0]{0,20}",
        ) {
            let lines = |bytes: Vec<u8>| bytes.split(|b| *b == b'\n').count();
            let plain = lines(request().to_bytes());
            let asked = Request { sender: &sender, helo_name: &helo, ..request() };
            prop_assert_eq!(lines(asked.to_bytes()), plain);
        }
    }
}
