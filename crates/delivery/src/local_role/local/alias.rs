//! Aliases, and what stands in their values and in files that they include.

use super::context::{Context, Origin};
use super::list::{self, Item};
use super::settings::has;
use super::{Delivery, Failure, Note, Step, misconfigured};
use mail::{Address, Dsn, Purpose};
use std::path::Path;
use std::sync::Arc;
use sys::User;
use tables::Lookup;
use tables::search::Key;

/// An alias that was found.
struct Alias {
    value: String,
    /// Whose rights its commands have; `None` are those of `default_privs`.
    user: Option<Arc<User>>,
}

impl Delivery<'_> {
    /// Delivers to what an alias of this recipient names. False where there is none.
    pub(super) async fn alias(&self, to: &Context) -> bool {
        let names =
            [Some((to.local.clone(), None)), to.extension.clone().map(|e| (to.name.clone(), Some(e)))];
        for (name, unmatched) in names.into_iter().flatten() {
            // Found in its own expansion: the user of this name is meant.
            if to.named_by.as_ref() == Some(&name) {
                continue;
            }
            match self.find_alias(&name).await {
                Ok(Some(alias)) => {
                    self.expand_alias(to, &name, unmatched, alias).await;
                    return true;
                }
                Ok(None) => {}
                Err(failure) => {
                    self.failed(to, failure);
                    return true;
                }
            }
        }
        false
    }

    async fn find_alias(&self, name: &str) -> Result<Option<Alias>, Failure> {
        for table in &self.settings.aliases {
            match table.maps.lookup(&Key { text: name.to_owned(), part: false }).await {
                Lookup::NotFound => {}
                Lookup::Found(value) => {
                    let user = match table.owner() {
                        0 => None,
                        uid => Some(self.user_of(uid).await?),
                    };
                    return Ok(Some(Alias { value, user }));
                }
                Lookup::TempFail(why) => {
                    let mut failure = Failure::new(Dsn::new(4, 3, 0), "alias database unavailable");
                    failure.notes.push(Note::Warning(format!("lookup of alias {name}: {why}")));
                    return Err(failure);
                }
            }
        }
        Ok(None)
    }

    /// The account with this number.
    pub(super) async fn user_of(&self, uid: u32) -> Result<Arc<User>, Failure> {
        match self.shared.pool.run(move |_| sys::user_by_id(uid)).await {
            Some(Ok(Some(user))) => Ok(Arc::new(user)),
            Some(Ok(None)) => Err(misconfigured(format!("cannot find alias database owner uid {uid}"))),
            _ => Err(Failure::new(Dsn::new(4, 3, 0), "user database unavailable")),
        }
    }

    async fn expand_alias(&self, to: &Context, name: &str, unmatched: Option<String>, alias: Alias) {
        // Whoever it stands for, the address exists.
        if self.job.head.purpose == Purpose::Verification {
            return self.sent(to, format!("aliased to {}", alias.value));
        }
        let mut within = Context { origin: Origin::Alias, user: alias.user, ..to.clone() };
        within.named_by = Some(name.to_owned());
        let propagates = has(&self.settings.view.propagate_unmatched_extensions, "alias");
        within.unmatched = unmatched.filter(|_| propagates);
        match self.owner_of(name).await {
            Ok(Some(owner)) => {
                within.sender = owner;
                within.owned = true;
                within.owner_is_told = true;
                within.indirect = true;
                within.original = Address::null();
            }
            // The mail goes on as the outer list's; failures are the sender's again.
            Ok(None) if self.settings.view.reset_owner_alias => within.owner_is_told = false,
            Ok(None) => {}
            Err(failure) => return self.failed(to, failure),
        }
        let items = list::items(&alias.value);
        if items.is_empty() {
            let mut failure = Failure::new(Dsn::new(4, 3, 0), "alias database unavailable");
            failure.notes.push(Note::Warning(format!("no recipient in alias lookup result for {name}")));
            return self.failed(to, failure);
        }
        self.items(&within, items).await;
    }

    /// The sender that mail of a list has: `owner-LIST`, or what that alias holds.
    async fn owner_of(&self, name: &str) -> Result<Option<Address>, Failure> {
        if name.starts_with("owner-") {
            return Ok(None);
        }
        let owner = format!("owner-{name}");
        let Some(alias) = self.find_alias(&owner).await? else { return Ok(None) };
        let first = list::items(&alias.value).into_iter().next();
        let address = match first {
            Some(Item::Address(address)) if self.settings.view.expand_owner_alias => address,
            _ => owner,
        };
        Ok(Some(self.settings.rules.canonical(&Address::from(address.as_str()))))
    }

    /// Delivers to each of them, in order.
    pub(super) fn items<'s>(&'s self, within: &'s Context, items: Vec<Item>) -> Step<'s> {
        Box::pin(async move {
            for item in items {
                match item {
                    Item::Address(text) => self.address(within, &text).await,
                    Item::Command(command) => self.named_command(within, &command).await,
                    Item::File(path) => self.named_file(within, &path).await,
                    Item::Include(path) => self.include(within, &path).await,
                }
            }
        })
    }

    async fn include(&self, within: &Context, path: &str) {
        if !path.starts_with('/') {
            let text = format!(":include:{path} uses a relative path");
            return self.failed(within, misconfigured(text));
        }
        if !self.is_new(format!("include {path}")) {
            return;
        }
        let (text, owner) = match self.read_include(within, Path::new(path)).await {
            Ok(read) => read,
            Err(failure) => return self.failed(within, failure),
        };
        let user = match owner {
            0 => within.user.clone(),
            uid => match self.user_of(uid).await {
                Ok(user) => Some(user),
                Err(failure) => return self.failed(within, failure),
            },
        };
        let mut inner = Context { origin: Origin::Include, user, indirect: true, ..within.clone() };
        if !has(&self.settings.view.propagate_unmatched_extensions, "include") {
            inner.unmatched = None;
        }
        self.items(&inner, list::lines(&text)).await;
    }
}
