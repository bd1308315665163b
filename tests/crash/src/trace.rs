//! Reads a system call trace of a running instance: was each `250` behind the sync that covers it?
//!
//! A kill keeps the page cache and so proves nothing about syncs; the order of system calls does.

use std::collections::{HashMap, HashSet};

/// What a trace showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `250 … queued as ID` replies seen.
    pub acknowledged: usize,
    /// Syncs of journal files that returned 0.
    pub syncs: usize,
    /// Ids whose `250` was written before a sync that began after their record was written had returned.
    pub early: Vec<String>,
}

/// Reads what `strace -f -y -s 256` printed for pwritev, pwrite64, writev, write, sendto, sendmsg, fsync and fdatasync.
pub fn check(trace: &str) -> Report {
    let ids: HashSet<&str> = trace.lines().filter_map(queued_as).collect();
    let mut report = Report::default();
    let mut written: HashMap<String, HashSet<String>> = HashMap::new();
    let mut durable: HashSet<String> = HashSet::new();
    // By thread: the call that has begun and not returned.
    let mut begun: HashMap<&str, (String, HashSet<String>)> = HashMap::new();
    for line in trace.lines() {
        let (thread, call) = split_thread(line);
        if let Some(id) = queued_as(call) {
            report.acknowledged += 1;
            if !durable.contains(id) {
                report.early.push(id.to_string());
            }
        }
        if call.starts_with("<... ") {
            if let Some((path, covered)) = begun.remove(thread) {
                if call.contains("sync resumed") {
                    if call.ends_with("= 0") {
                        report.syncs += 1;
                        durable.extend(covered);
                    }
                } else {
                    written.entry(path).or_default().extend(covered);
                }
            }
            continue;
        }
        let Some(path) = journal_path(call) else { continue };
        let unfinished = call.ends_with("<unfinished ...>");
        if call.starts_with("fdatasync(") || call.starts_with("fsync(") {
            // What was written when the sync began is what it covers.
            let covered = written.get(&path).cloned().unwrap_or_default();
            if unfinished {
                begun.insert(thread, (path, covered));
            } else if call.ends_with("= 0") {
                report.syncs += 1;
                durable.extend(covered);
            }
        } else if call.starts_with("pwrite") || call.starts_with("write") {
            let found = ids_in(call, &ids);
            if unfinished {
                begun.insert(thread, (path, found));
            } else {
                written.entry(path).or_default().extend(found);
            }
        }
    }
    report
}

/// `[pid 12] call(…)` or `12 call(…)` → thread and call.
fn split_thread(line: &str) -> (&str, &str) {
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix("[pid")
        && let Some((pid, call)) = rest.split_once(']')
    {
        return (pid.trim(), call.trim());
    }
    match line.split_once(' ') {
        Some((pid, call)) if pid.bytes().all(|b| b.is_ascii_digit()) => (pid, call.trim()),
        _ => ("", line),
    }
}

/// The id of a reply that acknowledges a message, where this call begins to write one.
fn queued_as(call: &str) -> Option<&str> {
    let reply = call.find("250 2.0.0 Ok")?;
    let id = &call[reply..][call[reply..].find("queued as ")? + "queued as ".len()..];
    let end = id.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(id.len());
    // Only what goes out counts; a reply that we read as a client is another server's.
    let out = ["write(", "writev(", "sendto(", "sendmsg("].iter().any(|c| call.contains(c));
    (out && end > 0).then_some(&id[..end])
}

/// The path of the first argument, where it lies in the journal.
fn journal_path(call: &str) -> Option<String> {
    let path = call.split_once('<')?.1.split_once('>')?.0;
    path.contains("/journal/").then(|| path.to_string())
}

fn ids_in(call: &str, ids: &HashSet<&str>) -> HashSet<String> {
    call.split(|c: char| !c.is_ascii_alphanumeric())
        .flat_map(|word| {
            // A length byte before the id may look like a letter; so look for ids within words.
            (0..word.len()).filter_map(move |from| word.get(from..))
        })
        .filter_map(|tail| (6..=tail.len()).find_map(|len| ids.get(tail.get(..len)?)))
        .map(|id| id.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
[pid 7] pwritev(9</q/journal/1>, [{iov_base=\"\\1\\0ABC123\\0x\", iov_len=9}], 1, 0) = 9
[pid 7] fdatasync(9</q/journal/1>) = 0
[pid 6] sendto(5<socket:[1]>, \"250 2.0.0 Ok: queued as ABC123\\r\\n\", 32, 0, NULL, 0) = 32";

    #[test]
    fn a_250_behind_its_sync_is_in_order() {
        assert_eq!(check(GOOD), Report { acknowledged: 1, syncs: 1, early: vec![] });
    }

    #[test]
    fn a_250_without_a_sync_or_before_its_return_is_early() {
        let without = GOOD.replace("[pid 7] fdatasync(9</q/journal/1>) = 0\n", "");
        assert_eq!(check(&without).early, ["ABC123"]);
        let before = GOOD
            .replace("fdatasync(9</q/journal/1>) = 0", "fdatasync(9</q/journal/1> <unfinished ...>")
            + "\n[pid 7] <... fdatasync resumed>) = 0";
        assert_eq!(check(&before).early, ["ABC123"]);
        let failed = GOOD.replace("journal/1>) = 0", "journal/1>) = -1 EIO (Input/output error)");
        assert_eq!(check(&failed).early, ["ABC123"]);
    }

    #[test]
    fn a_sync_that_began_before_the_write_does_not_cover_it() {
        let text = "\
7 fdatasync(9</q/journal/1> <unfinished ...>
8 pwritev(9</q/journal/1>, [{iov_base=\"ABC123\", iov_len=6}], 1, 0) = 6
7 <... fdatasync resumed>) = 0
6 sendto(5<socket:[1]>, \"250 2.0.0 Ok: queued as ABC123\\r\\n\", 32, 0, NULL, 0) = 32";
        assert_eq!(check(text).early, ["ABC123"]);
    }
}
