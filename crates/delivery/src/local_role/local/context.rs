//! For whom a delivery is, at one point of what an alias or a `.forward` expands to.

use mail::Address;
use std::sync::Arc;
use sys::User;
use tables::search::{self, split_extension};

/// Where an item was named: `allow_mail_to_commands` and the like tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the queue.
    Envelope,
    /// In an alias.
    Alias,
    /// In a `.forward` file.
    Forward,
    /// In an `:include:` file.
    Include,
}

impl Origin {
    /// The word in allow_mail_to_commands, allow_mail_to_files and propagate_unmatched_extensions.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Envelope => "",
            Origin::Alias => "alias",
            Origin::Forward => "forward",
            Origin::Include => "include",
        }
    }
}

/// One recipient on its way through aliases and `.forward` files.
#[derive(Clone, Debug)]
pub struct Context {
    /// The recipient: `to=` in the log.
    pub address: Address,
    /// Where the sender sent it: `orig_to=`; null where an owner- alias took over.
    pub original: Address,
    /// The recipient of the queue, for `Delivered-To`.
    pub delivered: Address,
    /// The envelope sender, perhaps an owner- alias.
    pub sender: Address,
    /// The sender is an owner- alias.
    pub owned: bool,
    /// That alias is told of what fails.
    pub owner_is_told: bool,
    /// The local part in lower case.
    pub local: String,
    /// The same without its extension.
    pub name: String,
    /// The extension.
    pub extension: Option<String>,
    /// Whose account it is, or whose file named it: commands and files have his rights.
    pub user: Option<Arc<User>>,
    /// Where it was named.
    pub origin: Origin,
    /// How deep within aliases.
    pub level: u32,
    /// The alias that named it.
    pub named_by: Option<String>,
    /// Whoever it is gets it as a new message: an `:include:` file or an owner- alias named him.
    pub indirect: bool,
    /// The same for all but this user, whose `.forward` file named them.
    pub only_user: Option<String>,
    /// An extension that no key named, to be put on what comes out.
    pub unmatched: Option<String>,
    /// `CLIENT_ADDRESS` and so on.
    pub client: Arc<Vec<(&'static str, String)>>,
}

impl Context {
    /// The same for another recipient, as an alias or a file names it.
    pub fn towards(&self, address: Address, delimiters: &str, owner_request_special: bool) -> Context {
        let local = String::from_utf8_lossy(address.local_part()).to_lowercase();
        let (name, extension) = divided(&local, delimiters, owner_request_special);
        let level = self.level + 1;
        Context { address, name, extension, local, level, ..self.clone() }
    }

    /// The domain of the recipient.
    pub fn domain(&self) -> String {
        String::from_utf8_lossy(self.address.domain().unwrap_or_default()).into_owned()
    }

    /// The character that stands before the extension.
    pub fn delimiter_used(&self, delimiters: &str) -> String {
        let used = self.local.get(self.name.len()..).and_then(|rest| rest.chars().next());
        used.filter(|c| delimiters.contains(*c)).map(String::from).unwrap_or_default()
    }

    /// Two recipients with this text are the same one.
    pub fn key(&self) -> String {
        String::from_utf8_lossy(self.address.as_bytes()).to_lowercase()
    }
}

/// Name and extension of a local part.
pub fn divided(local: &str, delimiters: &str, owner_request_special: bool) -> (String, Option<String>) {
    match split_extension(local, &search::delimiters(delimiters, owner_request_special)) {
        Some((name, extension)) => (name.to_owned(), Some(extension.to_owned())),
        None => (local.to_owned(), None),
    }
}

#[cfg(test)]
impl Context {
    /// A recipient `NAME+EXTENSION@local.example` with an account.
    pub fn for_test(name: &str, extension: Option<&str>, home: &str) -> Context {
        let local = extension.map_or(name.to_owned(), |e| format!("{name}+{e}"));
        let address = Address::new(format!("{local}@local.example"));
        let user = User {
            name: name.into(),
            password: "x".into(),
            uid: 5004,
            gid: 5004,
            home: home.into(),
            shell: "/bin/sh".into(),
            gecos: String::new(),
        };
        Context {
            original: address.clone(),
            delivered: address.clone(),
            address,
            sender: Address::from("s@x.example"),
            owned: false,
            owner_is_told: false,
            local,
            name: name.into(),
            extension: extension.map(Into::into),
            user: Some(Arc::new(user)),
            origin: Origin::Envelope,
            level: 0,
            named_by: None,
            indirect: false,
            only_user: None,
            unmatched: None,
            client: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_lists_owners_have_no_extension_unless_told_so() {
        let split = |local: &str, special| divided(local, "-+", special);
        assert_eq!(split("ann+x-y", true), ("ann".into(), Some("x-y".into())));
        assert_eq!(split("owner-list", true), ("owner-list".into(), None));
        assert_eq!(split("owner-list", false), ("owner".into(), Some("list".into())));
        assert_eq!(split("list-request", true), ("list-request".into(), None));
        assert_eq!(split("mailer-daemon", false), ("mailer-daemon".into(), None));
        assert_eq!(split("+x", false), ("+x".into(), None));
        assert_eq!(divided("ann", "", true), ("ann".into(), None));
    }
}
