//! What becomes of each of Postfix's daemons: the last column of master.cf.

/// Where a service's work is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a process of the same name.
    Process,
    /// Within another process, or not needed at all; the text says which and why.
    Elsewhere(&'static str),
    /// Nowhere yet; the text says what it comes with.
    Nowhere(&'static str),
}

const IN_SMTPD: Place = Place::Elsewhere("runs inside smtpd");
const IN_QMGR: Place = Place::Elsewhere("runs inside qmgr");
const IN_BOTH: Place = Place::Elsewhere("runs inside smtpd and qmgr");

/// Postfix's daemons, sorted by name.
pub const PROGRAMS: &[(&str, Place)] = &[
    ("anvil", IN_SMTPD),
    ("bounce", IN_QMGR),
    ("cleanup", IN_SMTPD),
    ("discard", IN_QMGR),
    ("dnsblog", IN_SMTPD),
    ("error", IN_QMGR),
    ("flush", Place::Nowhere("comes with ETRN and fast flush")),
    ("lmtp", IN_QMGR),
    ("local", Place::Process),
    ("nqmgr", Place::Elsewhere("an old name of qmgr")),
    ("oqmgr", Place::Elsewhere("qmgr does its work")),
    ("pickup", IN_SMTPD),
    ("pipe", Place::Elsewhere("runs inside local")),
    ("postlogd", Place::Elsewhere("not needed: each process writes the log itself")),
    ("postscreen", IN_SMTPD),
    ("proxymap", Place::Elsewhere("not needed: each process asks tables itself")),
    ("qmgr", Place::Process),
    ("qmqpd", Place::Nowhere("comes with the QMQP server")),
    ("scache", IN_QMGR),
    ("showq", Place::Elsewhere("runs inside control")),
    ("smtp", IN_QMGR),
    ("smtpd", Place::Process),
    ("spawn", Place::Elsewhere("runs inside local")),
    ("tlsmgr", Place::Elsewhere("not needed: TLS keeps its state where it is used")),
    ("tlsproxy", IN_SMTPD),
    ("trivial-rewrite", IN_BOTH),
    ("verify", IN_QMGR),
    ("virtual", Place::Elsewhere("runs inside local")),
];

/// Where the work of a daemon is done; nothing where Postfix has none of that name.
pub fn find(program: &str) -> Option<Place> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let at = PROGRAMS.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(PROGRAMS[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_sorted_and_found_by_path_too() {
        assert!(PROGRAMS.is_sorted_by_key(|(name, _)| name));
        assert_eq!(find("/usr/libexec/postfix/smtpd"), Some(Place::Process));
        assert_eq!(find("nosuch"), None);
    }
}
