//! master.cf: one service a line, eight columns, and the `-o` settings of its command.

use crate::error::{Error, Origin};
use crate::lines::{LogicalLine, is_space, logical_lines};
use crate::main_cf::split_assignment;
use crate::words::{unbalanced, unbraced, words};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How clients reach a service; the second column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceType {
    /// A TCP port, perhaps with an address in front.
    Inet,
    /// A stream socket in `private/` or `public/`.
    Unix,
    /// A datagram socket there.
    UnixDgram,
    /// A named pipe there (obsolete in Postfix, still read).
    Fifo,
    /// A socket over which another service hands connections on.
    Pass,
}

impl ServiceType {
    /// The type of this name in master.cf.
    pub fn parse(name: &str) -> Option<ServiceType> {
        Some(match name {
            "inet" => ServiceType::Inet,
            "unix" => ServiceType::Unix,
            "unix-dgram" => ServiceType::UnixDgram,
            "fifo" => ServiceType::Fifo,
            "pass" => ServiceType::Pass,
            _ => return None,
        })
    }

    /// The name in master.cf.
    pub fn name(self) -> &'static str {
        match self {
            ServiceType::Inet => "inet",
            ServiceType::Unix => "unix",
            ServiceType::UnixDgram => "unix-dgram",
            ServiceType::Fifo => "fifo",
            ServiceType::Pass => "pass",
        }
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a service is to be woken up; the sixth column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// The time between two wake-ups.
    pub every: Duration,
    /// Whether only a service that was used since the start is woken (`?`).
    pub only_if_used: bool,
}

/// One service of master.cf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLine {
    /// The first column: `smtp`, `127.0.0.1:2525`, `[::1]:25`, `cleanup` …
    pub name: String,
    /// The second column.
    pub kind: ServiceType,
    /// Whether only the mail system may connect (`private/` rather than `public/`); never so for inet.
    pub private: bool,
    /// Whether the service runs as mail_owner.
    pub unprivileged: bool,
    /// Whether the service runs below queue_directory; nothing where the column says `-`.
    pub chroot: Option<bool>,
    /// The wake-up timer, if any.
    pub wakeup: Option<Wakeup>,
    /// The process limit; nothing where the column says `-`, 0 is no limit.
    pub maxproc: Option<u32>,
    /// The program: `smtpd`, `qmgr` …
    pub command: String,
    /// Its arguments without the `-o` settings, braces taken off.
    pub args: Vec<String>,
    /// Its `-o name=value` settings in order, unexpanded.
    pub overrides: Vec<(String, String)>,
    /// Where each of `overrides` stands.
    pub override_origins: Vec<Origin>,
    /// The eight columns as written, the command with its arguments as one text; for `postconf -M`.
    pub columns: [String; 8],
    /// Where the line starts.
    pub origin: Origin,
}

impl ServiceLine {
    /// The last `-o` setting of `name`, with where it stands.
    pub fn override_of(&self, name: &str) -> Option<(&str, &Origin)> {
        let at = self.overrides.iter().rposition(|(n, _)| n == name)?;
        Some((&self.overrides[at].1, &self.override_origins[at]))
    }

    /// Leaves all `-o` settings of `name` out.
    pub(crate) fn leave_out(&mut self, name: &str) {
        let (overrides, origins) = std::mem::take(&mut self.overrides)
            .into_iter()
            .zip(std::mem::take(&mut self.override_origins))
            .filter(|((n, _), _)| n != name)
            .unzip();
        (self.overrides, self.override_origins) = (overrides, origins);
    }

    /// Address and port of an inet service: (`127.0.0.1`, `2525`), (nothing, `smtp`).
    pub fn endpoint(&self) -> Option<(Option<&str>, &str)> {
        if self.kind != ServiceType::Inet {
            return None;
        }
        Some(split_endpoint(&self.name))
    }
}

/// Splits `host:port`, `[host]:port` or `port`.
pub fn split_endpoint(name: &str) -> (Option<&str>, &str) {
    if let Some(rest) = name.strip_prefix('[')
        && let Some((host, rest)) = rest.split_once(']')
        && let Some(port) = rest.strip_prefix(':')
    {
        return (Some(host), port);
    }
    match name.rsplit_once(':') {
        Some(("", port)) => (None, port),
        Some((host, port)) => (Some(host), port),
        None => (None, name),
    }
}

/// The services of a master.cf in the file's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterCf {
    /// The services; of two with one name and type only the later.
    pub services: Vec<ServiceLine>,
    /// What the administrator should know although the file can be used.
    pub warnings: Vec<Error>,
}

impl MasterCf {
    /// Parses the text of the file `file`; all mistakes are added to `errors`.
    pub fn parse(file: &Arc<Path>, text: &str, errors: &mut Vec<Error>) -> MasterCf {
        let mut master = MasterCf::default();
        let lines = logical_lines(text);
        master.warnings = lines.warnings(file);
        for line in &lines.lines {
            if let Some(service) = service_line(file, line, errors) {
                master.add(service);
            }
        }
        master
    }

    fn add(&mut self, service: ServiceLine) {
        let same = |s: &ServiceLine| s.name == service.name && s.kind == service.kind;
        if let Some(old) = self.services.iter_mut().find(|s| same(s)) {
            let text = format!("overrides the entry of line {}", old.origin.line);
            let subject = format!("{}/{}", service.name, service.kind);
            self.warnings.push(Error::new(Some(service.origin.clone()), subject, text));
            *old = service;
        } else {
            self.services.push(service);
        }
    }
}

const COLUMNS: [&str; 8] =
    ["name", "type", "private", "unprivileged", "chroot", "wakeup", "process limit", "command"];

/// Reads one logical line; nothing where an error was added.
fn service_line(file: &Arc<Path>, line: &LogicalLine, errors: &mut Vec<Error>) -> Option<ServiceLine> {
    let origin = |offset| Origin { file: file.clone(), line: line.line_at(offset) };
    if unbalanced(&line.text) {
        errors.push(Error::general(Some(origin(0)), "expected a `}` for each `{`"));
        return None;
    }
    let words: Vec<(usize, &str)> = words(&line.text, is_space).collect();
    if words.len() < COLUMNS.len() {
        let found = words.len();
        let text = format!("expected 8 columns, found {found}: the column `{}` is missing", COLUMNS[found]);
        errors.push(Error::general(Some(origin(0)), text));
        return None;
    }
    let subject = format!("{}/{}", words[0].1, words[1].1);
    let before = errors.len();
    let mut wrong = |column: usize, expected: &str| {
        let (offset, found) = words[column];
        let text = format!("{}: expected {expected}, found `{found}`", COLUMNS[column]);
        errors.push(Error::new(Some(origin(offset)), &subject, text));
    };
    let kind = ServiceType::parse(words[1].1);
    if kind.is_none() {
        wrong(1, "inet, unix, unix-dgram, fifo or pass");
    }
    let mut flag = |column: usize| match words[column].1 {
        "y" => Some(true),
        "n" => Some(false),
        "-" => None,
        _ => {
            wrong(column, "y, n or -");
            None
        }
    };
    let (private, unprivileged, chroot) = (flag(2), flag(3), flag(4));
    let wakeup = parse_wakeup(words[5].1).unwrap_or_else(|| {
        wrong(5, "a number of seconds, perhaps with `?`, or -");
        None
    });
    let maxproc = match words[6].1 {
        "-" => None,
        text => text.parse().map(Some).unwrap_or_else(|_| {
            wrong(6, "a number or -");
            None
        }),
    };
    if kind == Some(ServiceType::Inet) && private == Some(true) {
        wrong(2, "n, since an inet service is open to all");
    }
    let mut service = ServiceLine {
        name: words[0].1.to_owned(),
        kind: kind.unwrap_or(ServiceType::Unix),
        private: kind != Some(ServiceType::Inet) && private.unwrap_or(true),
        unprivileged: unprivileged.unwrap_or(true),
        chroot,
        wakeup,
        maxproc,
        command: words[7].1.to_owned(),
        args: Vec::new(),
        overrides: Vec::new(),
        override_origins: Vec::new(),
        columns: std::array::from_fn(|i| match i {
            7 => words[7..].iter().map(|w| w.1).collect::<Vec<_>>().join(" "),
            i => words[i].1.to_owned(),
        }),
        origin: origin(0),
    };
    arguments(&mut service, &words[8..], origin, errors);
    (errors.len() == before).then_some(service)
}

fn parse_wakeup(text: &str) -> Option<Option<Wakeup>> {
    if text == "-" {
        return Some(None);
    }
    let (digits, only_if_used) = match text.strip_suffix('?') {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let secs: u32 = digits.parse().ok()?;
    Some((secs > 0).then(|| Wakeup { every: Duration::from_secs(u64::from(secs)), only_if_used }))
}

/// Divides a command's words into `-o` settings and other arguments. As in Postfix, options end at the first word
/// that is none; behind it `-o` belongs to the command (`pipe … argv=/bin/x -o y`).
fn arguments(
    service: &mut ServiceLine,
    words: &[(usize, &str)],
    origin: impl Fn(usize) -> Origin,
    errors: &mut Vec<Error>,
) {
    let mut rest = words.iter();
    let mut options = true;
    while let Some(&(offset, word)) = rest.next() {
        let setting = match word.strip_prefix("-o") {
            Some("") if options => match rest.next() {
                Some(&(_, setting)) => setting,
                None => {
                    let text = "-o: expected `name=value` behind it, found the end of the line";
                    errors.push(Error::new(Some(origin(offset)), subject(service), text));
                    return;
                }
            },
            Some(setting) if options => setting,
            _ => {
                options = options && word.starts_with('-');
                service.args.push(unbraced(word).unwrap_or(word).to_owned());
                continue;
            }
        };
        match split_assignment(unbraced(setting).unwrap_or(setting)) {
            Ok((name, value)) => {
                service.overrides.push((name.to_owned(), value.to_owned()));
                service.override_origins.push(origin(offset));
            }
            Err(text) => {
                let hint = if setting.contains('=') {
                    ""
                } else {
                    " (write `-o name=value` or `-o { name = value }`)"
                };
                errors.push(Error::new(Some(origin(offset)), subject(service), format!("-o: {text}{hint}")));
            }
        }
    }
}

fn subject(service: &ServiceLine) -> String {
    format!("{}/{}", service.name, service.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (MasterCf, Vec<String>) {
        let mut errors = Vec::new();
        let master = MasterCf::parse(&Path::new("/etc/postfix/master.cf").into(), text, &mut errors);
        (master, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_stock_line_has_postfix_defaults() {
        let (master, errors) = parse("smtp inet n - y - - smtpd\ntlsmgr unix - - - 1000? 1 tlsmgr\n");
        assert_eq!(errors, Vec::<String>::new());
        let [smtp, tlsmgr] = &master.services[..] else { panic!("two services") };
        assert_eq!((smtp.kind, smtp.private, smtp.unprivileged), (ServiceType::Inet, false, true));
        assert_eq!((smtp.chroot, smtp.maxproc, smtp.wakeup), (Some(true), None, None));
        assert_eq!((tlsmgr.private, tlsmgr.chroot, tlsmgr.maxproc), (true, None, Some(1)));
        let wakeup = Wakeup { every: Duration::from_secs(1000), only_if_used: true };
        assert_eq!(tlsmgr.wakeup, Some(wakeup));
    }

    #[test]
    fn settings_and_arguments_are_told_apart_and_know_their_line() {
        let (master, errors) = parse(
            "sub inet n - n - 0 smtpd -v\n  -o a=b -oc=d\n  # note\n  -o { e = f g }\n\
             p unix - n n - - pipe\n flags=R user=x argv=/bin/x -o ${recipient} { two words }\n",
        );
        assert_eq!(errors, Vec::<String>::new());
        let settings = [("a", "b"), ("c", "d"), ("e", "f g")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(master.services[0].overrides, settings);
        assert_eq!(master.services[0].override_of("e").map(|(v, o)| (v, o.line)), Some(("f g", 4)));
        assert_eq!(master.services[0].args, ["-v"]);
        let args = ["flags=R", "user=x", "argv=/bin/x", "-o", "${recipient}", "two words"];
        assert_eq!(master.services[1].args, args);
    }

    #[test]
    fn every_mistake_names_line_service_and_column() {
        let (_, errors) =
            parse("smtp inet y - x - many smtpd\na b\nx udp - - - - - smtpd\nq unix - - - ? - q -o\n");
        assert_eq!(
            errors,
            [
                "/etc/postfix/master.cf:1: smtp/inet: chroot: expected y, n or -, found `x`",
                "/etc/postfix/master.cf:1: smtp/inet: process limit: expected a number or -, found `many`",
                "/etc/postfix/master.cf:1: smtp/inet: private: expected n, since an inet service is open to all, found `y`",
                "/etc/postfix/master.cf:2: expected 8 columns, found 2: the column `private` is missing",
                "/etc/postfix/master.cf:3: x/udp: type: expected inet, unix, unix-dgram, fifo or pass, found `udp`",
                "/etc/postfix/master.cf:4: q/unix: wakeup: expected a number of seconds, perhaps with `?`, or -, found `?`",
                "/etc/postfix/master.cf:4: q/unix: -o: expected `name=value` behind it, found the end of the line",
            ]
        );
    }

    #[test]
    fn endpoints_have_address_and_port() {
        for (name, host, port) in [
            ("smtp", None, "smtp"),
            ("127.0.0.1:2525", Some("127.0.0.1"), "2525"),
            ("[::1]:25", Some("::1"), "25"),
            ("::1:25", Some("::1"), "25"),
            (":25", None, "25"),
        ] {
            assert_eq!(split_endpoint(name), (host, port));
        }
    }
}
