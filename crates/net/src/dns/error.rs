//! Why a name gave no answer, in Postfix's words.

use mail::Dsn;
use std::fmt;

/// What became of an answer of which a filter kept nothing.
pub const ALL_DROPPED: &str = "DNS reply filter drops all results";

/// Which records were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Mail exchangers.
    Mx,
    /// Names of an address.
    Ptr,
    /// Name servers.
    Ns,
    /// Servers of a service.
    Srv,
    /// Texts.
    Txt,
}

/// What kind of failure: whose turn it is follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The name does not exist.
    NotFound,
    /// The name exists without such records.
    NoData,
    /// The domain says that it takes no mail (RFC 7505).
    NullMx,
    /// No answer now: time-out, or no server that would say anything about it.
    TryAgain,
    /// The server says that the question makes no sense.
    NonRecoverable,
    /// The answer makes no sense, or holds only invalid names.
    Malformed,
    /// A filter left out everything that the server said.
    Filtered,
    /// A filter could not be asked, or said what means nothing.
    FilterFailed,
    /// The name itself can be no host or domain name.
    InvalidName,
}

/// A lookup without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsError {
    /// What went wrong.
    pub problem: Problem,
    /// The name that was looked up.
    pub name: String,
    /// The records that were looked up.
    pub record_type: RecordType,
}

impl DnsError {
    /// Whether trying later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self.problem, Problem::TryAgain | Problem::Filtered | Problem::FilterFailed)
    }

    /// Whether name or records do not exist: for MX, the host's addresses come next (RFC 5321 5.1).
    pub fn is_absent(&self) -> bool {
        matches!(self.problem, Problem::NotFound | Problem::NoData)
    }

    /// Whether the question itself failed, as against an answer that there is nothing.
    pub fn is_failure(&self) -> bool {
        matches!(self.problem, Problem::TryAgain | Problem::NonRecoverable)
    }

    /// The words of getaddrinfo(3), which Postfix asks for the addresses of hosts.
    pub fn system_text(&self) -> &'static str {
        match self.problem {
            Problem::TryAgain => "Temporary failure in name resolution",
            Problem::NoData => "No address associated with hostname",
            _ => "Name or service not known",
        }
    }

    /// The words of the resolver library (`h_errno`), which Postfix asks for single records.
    pub fn resolver_text(&self) -> &'static str {
        match self.problem {
            Problem::NotFound => "Host not found",
            Problem::NoData => "Host found but no data record of requested type",
            Problem::TryAgain => "Host not found, try again",
            Problem::Filtered => "DNS reply filter policy",
            // It has no word for that.
            Problem::FilterFailed => "Unknown error 0",
            _ => "Malformed or unexpected name server reply",
        }
    }

    /// The enhanced code that Postfix's SMTP client gives to it.
    pub fn dsn(&self) -> Dsn {
        match self.problem {
            Problem::TryAgain | Problem::FilterFailed => Dsn::new(4, 4, 3),
            Problem::Filtered => Dsn::new(4, 7, 0),
            Problem::NonRecoverable => Dsn::new(5, 4, 3),
            Problem::NullMx => Dsn::new(5, 1, 0),
            Problem::NotFound | Problem::NoData | Problem::Malformed | Problem::InvalidName => {
                Dsn::new(5, 4, 4)
            }
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Mx => "MX",
            RecordType::Ptr => "PTR",
            RecordType::Ns => "NS",
            RecordType::Srv => "SRV",
            RecordType::Txt => "TXT",
        })
    }
}

impl fmt::Display for DnsError {
    /// The text that Postfix logs and reports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, record_type) = (&self.name, self.record_type);
        let reason = match self.problem {
            Problem::NullMx => return write!(f, "Domain {name} does not accept mail (nullMX)"),
            Problem::InvalidName => {
                return write!(f, "Name service error for {name}: invalid host or domain name");
            }
            Problem::Malformed => {
                return write!(
                    f,
                    "Name service error for name={name} type={record_type}: Malformed or unexpected name server reply"
                );
            }
            Problem::Filtered => {
                return write!(f, "Error looking up name={name} type={record_type}: {ALL_DROPPED}");
            }
            Problem::FilterFailed => {
                let why = "Invalid DNS reply filter syntax";
                return write!(f, "Error looking up name={name} type={record_type}: {why}");
            }
            Problem::NotFound => "Host not found",
            Problem::NoData => "Host found but no data record of requested type",
            Problem::TryAgain => "Host not found, try again",
            Problem::NonRecoverable => "Non-recoverable error",
        };
        write!(
            f,
            "Host or domain name not found. Name service error for name={name} type={record_type}: {reason}"
        )
    }
}

impl std::error::Error for DnsError {}
