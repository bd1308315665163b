//! The macros of pipe(8)'s `argv=`, filled in for one delivery.
//!
//! An argument with a macro that tells of a recipient is repeated for each recipient. Values stand as they are: what a
//! stranger wrote is never looked through for further macros.

use crate::local_role::wire::{Head, Recipient};
use config::expand::{self, Names};
use config::{MACROS_OF_MESSAGE, MACROS_OF_RECIPIENT};
use mail::Address;
use std::borrow::Cow;
use tables::search;

/// How addresses stand in arguments: letters of `flags=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressFlags {
    /// `h`: domains and the nexthop in lower case.
    pub fold_domain: bool,
    /// `u`: local parts in lower case.
    pub fold_local: bool,
    /// `q`: local parts quoted where they must be in SMTP.
    pub quote: bool,
}

/// What an argument asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    text: String,
    /// It is repeated for each recipient.
    each: bool,
}

/// The command with its arguments, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Argument>);

impl Template {
    /// Reads the words behind `argv=`; the error holds what is wrong with each.
    pub fn parse(words: &[String]) -> Result<Template, Vec<String>> {
        let (mut arguments, mut errors) = (Vec::new(), Vec::new());
        for word in words {
            let (mut unknown, mut each) = (None, false);
            let read = expand::names_in(word, &mut |name| {
                each |= MACROS_OF_RECIPIENT.contains(&name);
                if !MACROS_OF_RECIPIENT.contains(&name) && !MACROS_OF_MESSAGE.contains(&name) {
                    unknown = Some(name.to_owned());
                }
            });
            match (read, unknown) {
                (Err(fault), _) => errors.push(format!("argv: `{word}`: {}", fault.text)),
                (Ok(()), Some(name)) => {
                    let known: Vec<&str> =
                        MACROS_OF_MESSAGE.iter().chain(&MACROS_OF_RECIPIENT).copied().collect();
                    let known = known.join(", ");
                    errors.push(format!("argv: expected one of {known} behind `$`, found `{name}`"));
                }
                (Ok(()), None) => arguments.push(Argument { text: word.clone(), each }),
            }
        }
        if errors.is_empty() { Ok(Template(arguments)) } else { Err(errors) }
    }

    /// How the command is called in reasons: its first word.
    pub fn command(&self) -> &str {
        self.0.first().map_or("", |argument| &argument.text)
    }

    /// The command with its arguments for a job.
    pub fn fill(&self, values: &Values<'_>) -> Result<Vec<String>, String> {
        let mut filled = Vec::with_capacity(self.0.len());
        for Argument { text, each } in &self.0 {
            let recipients = if *each { values.head.recipients.len() } else { 1 };
            for recipient in values.head.recipients.iter().take(recipients) {
                filled.push(expand::expand(text, &OneRecipient { values, recipient })?);
            }
        }
        Ok(filled)
    }
}

/// What the macros stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The job.
    pub head: &'a Head,
    /// How addresses are written.
    pub flags: AddressFlags,
    /// `null_sender=`.
    pub null_sender: &'a str,
    /// `recipient_delimiter`.
    pub delimiters: &'a str,
}

impl Values<'_> {
    fn of_message(&self, name: &str) -> Option<String> {
        let (head, origin) = (self.head, &self.head.origin);
        Some(match name {
            "client_address" => origin.address.clone(),
            "client_helo" => origin.helo.clone(),
            // A client without a name is not one without an address: mail of this host.
            "client_hostname" if origin.name.is_empty() && !origin.address.is_empty() => "unknown".into(),
            "client_hostname" => origin.name.clone(),
            "client_port" => origin.port.clone(),
            "client_protocol" => origin.protocol.clone(),
            "envid" => head.envid.clone(),
            "nexthop" if self.flags.fold_domain => head.nexthop.to_lowercase(),
            "nexthop" => head.nexthop.clone(),
            "queue_id" => head.queue_id.as_str().to_owned(),
            "sasl_method" => origin.sasl_method.clone(),
            "sasl_sender" => origin.sasl_sender.clone(),
            "sasl_username" => origin.sasl_username.clone(),
            "sender" if head.sender.is_null() => self.null_sender.to_owned(),
            "sender" => text(&self.quoted(&head.sender)),
            "size" => head.size.to_string(),
            _ => return None,
        })
    }

    fn quoted<'a>(&self, address: &'a Address) -> Cow<'a, [u8]> {
        if self.flags.quote { address.to_external().into() } else { address.as_bytes().into() }
    }

    /// The address as `h` and `u` want it.
    fn folded(&self, address: &Address) -> Address {
        let fold = |part: &[u8], yes: bool| match yes {
            true => String::from_utf8_lossy(part).to_lowercase().into_bytes(),
            false => part.to_vec(),
        };
        let local = fold(address.local_part(), self.flags.fold_local);
        match address.domain() {
            None => Address::new(local),
            Some(domain) => Address::new([&local[..], b"@", &fold(domain, self.flags.fold_domain)].concat()),
        }
    }

    fn of_recipient(&self, name: &str, recipient: &Recipient) -> Option<String> {
        if !MACROS_OF_RECIPIENT.contains(&name) {
            return None;
        }
        if name == "original_recipient" {
            return Some(text(&self.quoted(&self.folded(&recipient.original))));
        }
        let address = self.folded(&recipient.address);
        let local = text(address.local_part());
        let split = || search::split_extension(&local, self.delimiters);
        Some(match name {
            "recipient" => text(&self.quoted(&address)),
            "domain" => text(address.domain().unwrap_or_default()),
            "extension" => split().map_or("", |(_, extension)| extension).to_owned(),
            "user" => split().map_or(&*local, |(user, _)| user).to_owned(),
            _ => local,
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct OneRecipient<'a> {
    values: &'a Values<'a>,
    recipient: &'a Recipient,
}

impl Names for OneRecipient<'_> {
    fn raw(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.values.of_recipient(name, self.recipient);
        let value = found.or_else(|| self.values.of_message(name))?;
        // What it holds is no macro, whatever it looks like.
        Some(value.replace('$', "$$").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::testjob::{Seen, assignment};
    use crate::local_role::wire;

    fn head(recipients: &[&str]) -> Head {
        let mut job = assignment("Next.Hop", recipients, &Seen::new()).job;
        job.envid = "e id".into();
        job.sender = Address::from("S b@X.example");
        let origin = mail::Origin {
            address: "192.0.2.1".into(),
            helo: "he.lo".into(),
            port: "77".into(),
            protocol: "ESMTP".into(),
            sasl_method: "PLAIN".into(),
            sasl_sender: "auth@x.example".into(),
            sasl_username: "ann".into(),
            ..mail::Origin::default()
        };
        job.origin = std::sync::Arc::new(origin);
        wire::decode_head(&wire::encode_head(&job)[4..]).unwrap()
    }

    fn filled(argv: &[&str], flags: AddressFlags, recipients: &[&str]) -> Vec<String> {
        let words: Vec<String> = argv.iter().map(|word| (*word).to_owned()).collect();
        let head = head(recipients);
        let values = Values { head: &head, flags, null_sender: "NULL", delimiters: "+" };
        Template::parse(&words).unwrap().fill(&values).unwrap()
    }

    #[test]
    fn each_macro_has_its_value() {
        let none = AddressFlags::default();
        for (name, value) in [
            ("client_address", "192.0.2.1"),
            ("client_helo", "he.lo"),
            ("client_hostname", "unknown"),
            ("client_port", "77"),
            ("client_protocol", "ESMTP"),
            ("domain", "A.Example"),
            ("envid", "e id"),
            ("extension", "E+x"),
            ("mailbox", "Ann+E+x"),
            ("nexthop", "Next.Hop"),
            ("original_recipient", "Ann+E+x@A.Example"),
            ("queue_id", "4XyZ1"),
            ("recipient", "Ann+E+x@A.Example"),
            ("sasl_method", "PLAIN"),
            ("sasl_sender", "auth@x.example"),
            ("sasl_username", "ann"),
            ("sender", "S b@X.example"),
            ("size", "35"),
            ("user", "Ann"),
        ] {
            let argument = format!("a${{{name}}}b$$$({name})");
            assert_eq!(
                filled(&["x", &argument], none, &["Ann+E+x@A.Example"]),
                ["x".to_owned(), format!("a{value}b${value}")],
                "{name}"
            );
        }
    }

    #[test]
    fn an_argument_that_tells_of_a_recipient_is_repeated() {
        let recipients = ["ann+x@a.example", "bob@b.example"];
        assert_eq!(
            filled(
                &["x", "-r", "$recipient", "$size/$user/$domain", "${extension?e $extension}"],
                AddressFlags::default(),
                &recipients
            ),
            [
                "x",
                "-r",
                "ann+x@a.example",
                "bob@b.example",
                "35/ann/a.example",
                "35/bob/b.example",
                "e x",
                ""
            ]
        );
    }

    #[test]
    fn flags_fold_and_quote() {
        let words = ["$recipient", "$sender", "$nexthop", "$user", "$domain", "$mailbox"];
        let with = |fold_domain, fold_local, quote| {
            filled(&words, AddressFlags { fold_domain, fold_local, quote }, &["A b+C@D.Example"]).join("|")
        };
        assert_eq!(with(false, false, false), "A b+C@D.Example|S b@X.example|Next.Hop|A b|D.Example|A b+C");
        assert_eq!(with(true, false, false), "A b+C@d.example|S b@X.example|next.hop|A b|d.example|A b+C");
        assert_eq!(with(false, true, false), "a b+c@D.Example|S b@X.example|Next.Hop|a b|D.Example|a b+c");
        assert_eq!(
            with(false, false, true),
            "\"A b+C\"@D.Example|\"S b\"@X.example|Next.Hop|A b|D.Example|A b+C"
        );
    }

    #[test]
    fn what_a_stranger_wrote_is_no_macro() {
        let recipients = ["$sender@a.example", "${nexthop}@a.example", "$$@a.example", "{x}@a.example"];
        assert_eq!(filled(&["$recipient"], AddressFlags::default(), &recipients), recipients);
    }

    #[test]
    fn a_macro_that_nobody_knows_is_told() {
        let words = ["$recipent".to_owned(), "${size".to_owned(), "$sender".to_owned()];
        let errors = Template::parse(&words).unwrap_err();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].ends_with("behind `$`, found `recipent`"), "{}", errors[0]);
        assert!(errors[1].starts_with("argv: `${size`: "), "{}", errors[1]);
    }
}
