//! `unix:passwd.byname`, `unix:group.byname`: the host's users and groups, as lines of passwd(5) and group(5).

use super::Kind;
use crate::lookup::{Lookup, LookupFuture};
use crate::service::{self, Worker, within};
use crate::table::{Settings, Source, TableError};
use std::io;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Handle;

/// The kind `unix`.
pub const KIND: Kind = Kind { name: "unix", open };

/// The thread that asks the C library, one name after another.
static HOST: LazyLock<Worker<()>> = LazyLock::new(|| Worker::new("tables-host", || ()));

/// How long a name is waited for. The host may ask a server (LDAP, say) that does not answer; mail waits then.
const HOST_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds the line of a name.
type Find = fn(&str) -> io::Result<Option<String>>;

struct Unix {
    spec: String,
    find: Find,
}

fn open(name: &str, spec: &str, settings: &Settings) -> Result<Box<dyn Source>, TableError> {
    let find: Find = match name {
        "passwd.byname" => user,
        "group.byname" => group,
        _ => return Err(TableError::new(spec, "expected `unix:passwd.byname` or `unix:group.byname`")),
    };
    if settings.chrooted {
        // What the C library needs for it lies beyond the root, and would be read below it.
        let text = "a service with `y` in the chroot column of master.cf cannot ask for the host's users";
        return Err(TableError::new(spec, text));
    }
    Ok(Box::new(Unix { spec: spec.to_owned(), find }))
}

fn user(name: &str) -> io::Result<Option<String>> {
    let Some(user) = sys::user_by_name(name)? else { return Ok(None) };
    let (home, shell) = (user.home.display(), user.shell.display());
    Ok(Some(format!(
        "{}:{}:{}:{}:{}:{home}:{shell}",
        user.name, user.password, user.uid, user.gid, user.gecos
    )))
}

fn group(name: &str) -> io::Result<Option<String>> {
    let Some(group) = sys::group_by_name(name)? else { return Ok(None) };
    Ok(Some(format!("{}:{}:{}:{}", group.name, group.password, group.gid, group.members.join(","))))
}

impl Source for Unix {
    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        if key.is_empty() {
            return Lookup::NotFound.into();
        }
        let (find, name) = (self.find, key.to_owned());
        LookupFuture::Waiting(Box::pin(async move {
            let line = within(HOST_TIMEOUT, "answer of the host", HOST.ask(move |()| find(&name)));
            // Only the time limit needs a runtime: who has one is spared the way over another thread and back.
            let answer = match Handle::try_current() {
                Ok(_) => Ok(line.await),
                Err(_) => service::ask(line).await,
            };
            let why = match answer {
                Ok(Ok(Ok(Ok(Some(line))))) => return Lookup::Found(line),
                Ok(Ok(Ok(Ok(None)))) => return Lookup::NotFound,
                Ok(Ok(Ok(Err(error)))) => error.to_string(),
                Ok(Err(late)) => late,
                Ok(Ok(Err(gone))) | Err(gone) => gone.to_string(),
            };
            Lookup::TempFail(format!("{}: `{key}`: {why}", self.spec))
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Table, wait};

    #[test]
    fn users_and_groups_are_found_in_any_case() {
        let ask = |spec: &str, key: &str| wait(Table::open(spec, &Settings::default()).unwrap().lookup(key));
        let Lookup::Found(root) = ask("unix:passwd.byname", "Root") else { panic!("root is known") };
        assert!(root.starts_with("root:") && root.split(':').nth(2) == Some("0"), "{root}");
        let Lookup::Found(group) = ask("proxy:unix:group.byname", "root") else { panic!("root is known") };
        assert!(group.starts_with("root:") && group.split(':').nth(2) == Some("0"), "{group}");
        assert_eq!(ask("unix:passwd.byname", "no-such-user-here"), Lookup::NotFound);
        assert_eq!(ask("unix:passwd.byname", ""), Lookup::NotFound);
    }

    #[test]
    fn a_chrooted_service_is_told_that_it_cannot() {
        let settings = Settings { chrooted: true, ..Settings::default() };
        let error = Table::open("unix:passwd.byname", &settings).unwrap_err();
        assert!(error.to_string().contains("chroot column"), "{error}");
    }
}
