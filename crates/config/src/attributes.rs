//! `user=`, `argv=` and their like: what pipe and spawn lines of master.cf say behind the program's name.
//!
//! Postfix: pipe(8), spawn(8). `argv=` is the last attribute; every word behind it belongs to the command.

use crate::error::{Error, Errors};
use crate::master_cf::ServiceLine;

/// The attributes of a pipe or spawn line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who runs the command; without a group, the user's own.
    pub user: String,
    /// The group, where one is named.
    pub group: Option<String>,
    /// The command and its arguments, with `${recipient}` and the like as they are.
    pub argv: Vec<String>,
    /// Letters of `flags=` (pipe).
    pub flags: String,
    /// Where the command runs; nothing for queue_directory (pipe).
    pub directory: Option<String>,
    /// The root of the command (pipe).
    pub chroot: Option<String>,
    /// What ends a line of the message, escapes resolved (pipe).
    pub eol: String,
    /// What `${sender}` is for the null sender (pipe).
    pub null_sender: String,
    /// The largest message in bytes; 0 for any (pipe).
    pub size: u64,
}

/// Letters that `flags=` may hold.
pub const PIPE_FLAGS: &str = "BDFORXhqu.>";

/// Macros of a pipe's `argv=` that tell of a recipient, sorted: an argument with one is repeated for each recipient.
pub const MACROS_OF_RECIPIENT: [&str; 6] =
    ["domain", "extension", "mailbox", "original_recipient", "recipient", "user"];

/// Those that tell of the message, sorted.
pub const MACROS_OF_MESSAGE: [&str; 13] = [
    "client_address",
    "client_helo",
    "client_hostname",
    "client_port",
    "client_protocol",
    "envid",
    "nexthop",
    "queue_id",
    "sasl_method",
    "sasl_sender",
    "sasl_username",
    "sender",
    "size",
];

impl Attributes {
    /// Reads the arguments of a line whose program is `pipe` or `spawn`; the error holds every mistake.
    pub fn of(service: &ServiceLine) -> Result<Attributes, Errors> {
        let mut found =
            Attributes { eol: "\n".into(), null_sender: "MAILER-DAEMON".into(), ..Attributes::default() };
        let mut errors = Vec::new();
        let mut wrong = |text: String| {
            let subject = format!("{}/{}", service.name, service.kind);
            errors.push(Error::new(
                Some(service.origin.clone()),
                subject,
                format!("{}: {text}", service.command),
            ));
        };
        let mut words = service.args.iter().skip_while(|word| word.starts_with('-'));
        while let Some(word) = words.next() {
            let Some((name, value)) = word.split_once('=') else {
                wrong(format!("expected `attribute=value`, found `{word}`"));
                continue;
            };
            if name == "argv" {
                found.argv.push(value.to_owned());
                found.argv.extend(words.by_ref().cloned());
                break;
            }
            if let Err(text) = found.take(name, value, service.command == "pipe") {
                wrong(text);
            }
        }
        if found.user.is_empty() {
            wrong("expected `user=NAME`: the command must not run as the mail system".into());
        }
        if found.argv.first().is_none_or(String::is_empty) {
            wrong("expected `argv=COMMAND …` as the last attribute".into());
        }
        Errors::check(errors)?;
        Ok(found)
    }

    fn take(&mut self, name: &str, value: &str, is_pipe: bool) -> Result<(), String> {
        match name {
            "user" => {
                let (user, group) = value.split_once(':').map_or((value, None), |(u, g)| (u, Some(g)));
                if user.is_empty() || group == Some("") {
                    return Err(format!("user: expected `NAME` or `NAME:GROUP`, found `{value}`"));
                }
                (self.user, self.group) = (user.to_owned(), group.map(str::to_owned));
            }
            "flags" if is_pipe => match value.chars().find(|c| !PIPE_FLAGS.contains(*c)) {
                Some(letter) => {
                    return Err(format!("flags: expected letters out of {PIPE_FLAGS}, found `{letter}`"));
                }
                None => self.flags += value,
            },
            "directory" | "chroot" if is_pipe && !value.starts_with('/') => {
                return Err(format!("{name}: expected an absolute path, found `{value}`"));
            }
            "directory" if is_pipe => self.directory = Some(value.to_owned()),
            "chroot" if is_pipe => self.chroot = Some(value.to_owned()),
            "eol" if is_pipe => self.eol = unescaped(value),
            "null_sender" if is_pipe => self.null_sender = value.to_owned(),
            "size" if is_pipe => {
                self.size = value
                    .parse()
                    .map_err(|_| format!("size: expected a number of bytes, found `{value}`"))?;
            }
            _ => return Err(format!("unknown attribute `{name}`")),
        }
        Ok(())
    }
}

/// The text with `\r`, `\n`, `\t` and `\ooo` (an octal byte of ASCII) resolved.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some(first @ '0'..='7') => {
                let mut code = u32::from(first) - u32::from('0');
                for _ in 0..2 {
                    let Some(digit) = rest.peek().and_then(|c| c.to_digit(8)) else { break };
                    code = code * 8 + digit;
                    rest.next();
                }
                out.extend(char::from_u32(code));
            }
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterCf;
    use std::path::Path;

    fn attributes(line: &str) -> Result<Attributes, String> {
        let mut errors = Vec::new();
        let master = MasterCf::parse(&Path::new("/etc/postfix/master.cf").into(), line, &mut errors);
        assert_eq!(errors, []);
        Attributes::of(&master.services[0])
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn a_stock_pipe_line_has_user_flags_and_command() {
        let found = attributes(
            "maildrop unix - n n - - pipe -v -o a=b\n  flags=DRXhu user=vmail:mail argv=/usr/bin/maildrop -d ${recipient} -o x\n",
        )
        .unwrap();
        assert_eq!((found.user.as_str(), found.group.as_deref()), ("vmail", Some("mail")));
        assert_eq!(found.argv, ["/usr/bin/maildrop", "-d", "${recipient}", "-o", "x"]);
        assert_eq!((found.flags.as_str(), found.eol.as_str(), found.size), ("DRXhu", "\n", 0));
    }

    #[test]
    fn values_in_braces_and_escapes_are_read() {
        let found = attributes(
            "x unix - n n - - pipe null_sender= eol=\\r\\n\\0101 {directory=/a b} size=10 user=u argv={/bin/x y}\n",
        );
        let found = found.unwrap();
        assert_eq!((found.null_sender.as_str(), found.eol.as_str()), ("", "\r\n\u{8}1"));
        assert_eq!((found.directory.as_deref(), found.size), (Some("/a b"), 10));
    }

    #[test]
    fn every_mistake_is_told() {
        let told =
            attributes("x unix - n n - - pipe flags=DZ eol directory=a size=x user=:g foo=1\n").unwrap_err();
        let texts: Vec<&str> = told.lines().map(|line| line.split("pipe: ").nth(1).unwrap()).collect();
        assert_eq!(
            texts,
            [
                "directory: expected an absolute path, found `a`",
                "expected `argv=COMMAND …` as the last attribute",
                "expected `attribute=value`, found `eol`",
                "expected `user=NAME`: the command must not run as the mail system",
                "flags: expected letters out of BDFORXhqu.>, found `Z`",
                "size: expected a number of bytes, found `x`",
                "unknown attribute `foo`",
                "user: expected `NAME` or `NAME:GROUP`, found `:g`",
            ]
        );
        assert!(told.starts_with("/etc/postfix/master.cf:1: x/unix: pipe: "));
        let spawn = attributes("x unix - n n - - spawn flags=D user=u argv=/bin/x\n").unwrap_err();
        assert!(spawn.ends_with("spawn: unknown attribute `flags`"));
    }
}
