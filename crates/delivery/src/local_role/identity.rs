//! `user=` of a pipe or spawn line: who a command runs as, and who it must not be.

use config::parameters::{Global, Master};
use config::{Attributes, Config, Errors, ServiceLine};

/// Why a command has nobody to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// The host does not have the user or the group, perhaps until a package is installed: Debian's master.cf has lines
    /// for programs that few hosts have.
    Missing(String),
    /// It must not run so.
    Wrong(String),
}

impl Nobody {
    /// What was expected and what was found.
    pub fn text(self) -> String {
        let (Nobody::Missing(text) | Nobody::Wrong(text)) = self;
        text
    }
}

/// User and group of a command. The error says what was expected: a command must neither run as root nor be able to
/// write where the mail system writes.
pub fn of(attributes: &Attributes, global: &Global) -> Result<(u32, u32), Nobody> {
    let asked = |what: &str, e: std::io::Error| Nobody::Wrong(format!("{what}: the host cannot tell: {e}"));
    let missing = |what: &str, name: &str| {
        Nobody::Missing(format!("user: expected a {what} of this host, found `{name}`"))
    };
    let name = &attributes.user;
    let user = sys::user_by_name(name).map_err(|e| asked("user", e))?.ok_or_else(|| missing("user", name))?;
    let gid = match &attributes.group {
        None => user.gid,
        Some(group) => {
            let found = sys::group_by_name(group).map_err(|e| asked("group", e))?;
            found.ok_or_else(|| missing("group", group))?.gid
        }
    };
    let wrong = |text: String| Err(Nobody::Wrong(text));
    if user.uid == 0 {
        return wrong(format!("user: expected a user without root's rights, found `{name}`"));
    }
    if gid == 0 {
        return wrong("user: expected a group other than root's (gid 0)".into());
    }
    let owner = sys::user_by_name(&global.mail_owner).map_err(|e| asked("mail_owner", e))?;
    if let Some(owner) = owner {
        if owner.uid == user.uid {
            return wrong(format!("user: expected another user than mail_owner, found `{name}`"));
        }
        if owner.gid == gid {
            return wrong(format!("user: expected another group than that of mail_owner (gid {gid})"));
        }
    }
    let setgid = sys::group_by_name(&global.setgid_group).map_err(|e| asked("setgid_group", e))?;
    if setgid.is_some_and(|group| group.gid == gid) {
        return wrong(format!("user: expected another group than setgid_group (gid {gid})"));
    }
    Ok((user.uid, gid))
}

/// How many commands of a service run at once: its number in master.cf, else `default_process_limit`.
pub fn process_limit(config: &Config, service: &ServiceLine) -> Result<usize, Errors> {
    let limit = match service.maxproc {
        // No limit: what one host can do.
        Some(0) => u64::from(u16::MAX),
        Some(limit) => limit.into(),
        None => Master::read(config, None)?.default_process_limit,
    };
    Ok(usize::try_from(limit).unwrap_or(usize::MAX).min(usize::from(u16::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;

    fn answer(user: &str, main_cf: &str) -> Result<(u32, u32), String> {
        let config = Config::parse(Path::new("/etc/postfix"), main_cf, "", Host::default()).unwrap();
        let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
        let attributes =
            Attributes { user: user.into(), group: group.map(str::to_owned), ..Attributes::default() };
        of(&attributes, &Global::read(&config, None).unwrap()).map_err(Nobody::text)
    }

    #[test]
    fn root_the_mail_owner_and_their_groups_are_refused() {
        let main_cf = "mail_owner = daemon\nsetgid_group = mail\n";
        let found = answer("nobody", main_cf).unwrap();
        assert!(found.0 > 0 && found.1 > 0);
        for (user, words) in [
            ("root", "without root's rights"),
            ("nobody:root", "other than root's"),
            ("daemon", "another user than mail_owner"),
            ("nobody:daemon", "that of mail_owner"),
            ("nobody:mail", "than setgid_group"),
            ("no-such-user", "found `no-such-user`"),
            ("nobody:no-such-group", "found `no-such-group`"),
        ] {
            let error = answer(user, main_cf).unwrap_err();
            assert!(error.starts_with("user: expected ") && error.contains(words), "{user}: {error}");
        }
    }

    #[test]
    fn commands_at_once_are_those_of_the_line_or_of_all_services() {
        for (column, expected) in [("7", 7), ("-", 33), ("0", usize::from(u16::MAX))] {
            let line = format!("x unix - n n - {column} pipe user=x argv=y\n");
            let main_cf = "default_process_limit = 33\n";
            let config = Config::parse(Path::new("/etc/postfix"), main_cf, &line, Host::default()).unwrap();
            assert_eq!(process_limit(&config, &config.services()[0]).unwrap(), expected);
        }
    }
}
