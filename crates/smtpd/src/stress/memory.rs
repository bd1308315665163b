//! How much memory is left, for the whole host and for the control groups that the process belongs to.

use super::policy::{Measure, Reading};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a file that are looked at; what is needed stands at the beginning.
const TEXT_MAX: usize = 8 << 10;

/// Control groups within each other that are looked at.
const GROUPS_MAX: usize = 16;

/// Where control groups are, in the form that has one tree of them (version 2).
const GROUPS: &str = "/sys/fs/cgroup";

/// The files that tell it. They are opened early, while the process still sees them.
#[derive(Debug, Default)]
pub struct Memory {
    host: Option<File>,
    groups: Vec<Group>,
}

/// A control group with a limit.
#[derive(Debug)]
struct Group {
    max: File,
    current: File,
    stat: File,
}

impl Memory {
    /// Opens what there is; a host without these files never runs short.
    pub fn open() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let groups = own_group(&own).map(groups_of).unwrap_or_default();
        Memory { host: File::open("/proc/meminfo").ok(), groups }
    }

    /// The fullest of the host and the groups.
    pub(super) fn read(&self) -> Option<Reading> {
        let host = self.host.as_ref().and_then(|file| of_host(&text(file)));
        let groups =
            self.groups.iter().filter_map(|g| of_group(&text(&g.max), &text(&g.current), &text(&g.stat)));
        host.into_iter()
            .chain(groups)
            .max_by_key(|reading| reading.used.saturating_mul(1000) / reading.of.max(1))
    }
}

fn groups_of(own: &str) -> Vec<Group> {
    let path = Path::new(GROUPS).join(own.trim_start_matches('/'));
    let above = path.ancestors().take_while(|path| path.starts_with(GROUPS)).take(GROUPS_MAX);
    let open = |path: &Path| {
        let file = |name| File::open(path.join(name)).ok();
        Some(Group { max: file("memory.max")?, current: file("memory.current")?, stat: file("memory.stat")? })
    };
    above.filter_map(open).collect()
}

fn text(file: &File) -> String {
    let mut bytes = vec![0; TEXT_MAX];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// The path of the process's group: `0::/system.slice/posthaste.service`.
fn own_group(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::"))
}

/// /proc/meminfo: what programs can still have without swapping.
fn of_host(text: &str) -> Option<Reading> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.saturating_mul(1024))
    };
    let (of, available) = (bytes("MemTotal")?, bytes("MemAvailable")?);
    Some(Reading { measure: Measure::Memory, used: of.saturating_sub(available), of })
}

/// A group with a limit; its cache of files that nobody uses goes when memory is needed.
fn of_group(max: &str, current: &str, stat: &str) -> Option<Reading> {
    // Without a limit it says `max`.
    let of: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let unused = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    Some(Reading { measure: Measure::Memory, used: current.saturating_sub(unused.unwrap_or(0)), of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_memory_is_what_programs_can_have() {
        let text = "MemTotal:       16000 kB\nMemFree:         100 kB\nMemAvailable:    4000 kB\n";
        let reading = of_host(text).unwrap();
        assert_eq!((reading.used, reading.of), (12_000 << 10, 16_000 << 10));
        assert_eq!(of_host("MemTotal: 16000 kB\n"), None);
    }

    #[test]
    fn a_group_counts_where_it_has_a_limit_and_without_what_it_can_give_back() {
        let stat = "anon 5\nfile 400\ninactive_file 300\nactive_file 100\n";
        let reading = of_group("1000\n", "900\n", stat).unwrap();
        assert_eq!((reading.used, reading.of), (600, 1000));
        assert_eq!(of_group("max\n", "900\n", stat), None);
        assert_eq!(
            own_group("1:name=systemd:/\n0::/system.slice/mail.service\n"),
            Some("/system.slice/mail.service")
        );
        assert_eq!(own_group("4:memory:/docker/x\n"), None);
    }

    #[test]
    fn this_host_has_memory_in_use() {
        let reading = Memory::open().read().expect("Linux tells it");
        assert!(reading.used > 0 && reading.used <= reading.of, "{reading}");
        assert_eq!(Memory::default().read(), None);
    }
}
