//! How many sessions a service may have.

use config::parameters::Master;
use config::{Config, ServiceLine};

/// Descriptors that are not for sessions: journal, log, sockets, DNS.
const DESCRIPTORS_KEPT: u64 = 200;

/// A limit and where it comes from, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sessions at once.
    pub sessions: usize,
    /// Why so many.
    pub why: String,
}

/// The limit of a service: its own number in master.cf, else default_process_limit where main.cf sets it, else what
/// the descriptors allow. Postfix's default of 100 processes is none of ours: a session costs a few kilobytes.
pub fn sessions(config: &Config, service: &ServiceLine, descriptors: u64) -> Result<Limit, String> {
    let allowed = usize::try_from(allowed(descriptors)).unwrap_or(usize::MAX);
    let limit = |n: u64, why: &str| Limit {
        sessions: usize::try_from(n).unwrap_or(usize::MAX).clamp(1, allowed),
        why: why.to_owned(),
    };
    Ok(match service.maxproc {
        Some(n) if n > 0 => limit(n.into(), "master.cf"),
        // 0 means no limit.
        Some(_) => Limit { sessions: allowed, why: format!("{descriptors} descriptors") },
        None if config.main().get("default_process_limit").is_some() => {
            let master = Master::read(config, None).map_err(|e| e.to_string())?;
            limit(master.default_process_limit, "default_process_limit")
        }
        None => Limit { sessions: allowed, why: format!("{descriptors} descriptors") },
    })
}

/// Fewest and most clients of a service that wait for a session. Fewest: each is a descriptor that may be missing. Most:
/// what a port's queue holds by default is four times that, but whoever waits so far behind had better come again.
const WAITING: (usize, usize) = (32, 1024);

/// How many clients may wait for one of so many sessions, from the descriptors that are left.
pub fn waiting(sessions: usize, descriptors: u64) -> usize {
    let left = usize::try_from(allowed(descriptors)).unwrap_or(usize::MAX).saturating_sub(sessions);
    left.clamp(WAITING.0, WAITING.1)
}

/// What all sessions of the process may use together.
pub fn for_sessions() -> u64 {
    allowed(descriptors())
}

fn allowed(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_KEPT).max(16)
}

/// The soft limit of descriptors of this process, which master has raised.
pub fn descriptors() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, ServiceType};
    use std::path::Path;

    #[test]
    fn as_many_may_wait_as_there_are_descriptors_left() {
        let found =
            [(100, 20_000), (100, 1024), (20_000, 20_000)].map(|(sessions, all)| waiting(sessions, all));
        assert_eq!(found, [1024, 724, 32]);
    }

    #[test]
    fn the_limit_is_master_cfs_number_then_main_cfs_then_what_descriptors_allow() {
        for (main, maxproc, descriptors, sessions, why) in [
            ("", "7", 1024, 7, "master.cf"),
            ("default_process_limit = 50\n", "7", 1024, 7, "master.cf"),
            ("default_process_limit = 50\n", "-", 1024, 50, "default_process_limit"),
            ("default_process_limit = 50\n", "0", 1024, 824, "1024 descriptors"),
            ("", "-", 20_000, 19_800, "20000 descriptors"),
            ("", "9000", 1024, 824, "master.cf"),
            ("", "-", 10, 16, "10 descriptors"),
        ] {
            let master = format!("smtp inet n - n - {maxproc} smtpd\n");
            let config = Config::parse(Path::new("/etc/postfix"), main, &master, Host::this()).unwrap();
            let service = config.service("smtp", ServiceType::Inet).unwrap();
            let found = super::sessions(&config, service, descriptors).unwrap();
            assert_eq!(found, Limit { sessions, why: why.into() }, "{main:?} {maxproc}");
        }
    }
}
