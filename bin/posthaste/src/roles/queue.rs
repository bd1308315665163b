//! The queue's settings as main.cf gives them, and what the queue reports as log lines.

use config::Config;
use config::parameters::Queue;
use mail::QueueIdForm;
use master::Plan;
use observe::Tag;
use queue::paths::Hashing;
use queue::{IntakeSettings, RealDisk, Reporter, Role, SpaceRule, StoreSettings};
use std::sync::Arc;

/// Logs what the queue reports.
pub fn reporter(tag: &Tag) -> Reporter {
    let tag = tag.clone();
    Arc::new(move |report| {
        if report.is_error() {
            observe::error(&tag, format_args!("{report}"));
        } else {
            observe::warn(&tag, format_args!("{report}"));
        }
    })
}

/// The file system below queue_directory.
pub fn disk(plan: &Plan) -> Result<RealDisk, String> {
    RealDisk::new(&plan.queue_directory).map_err(|e| format!("{}: {e}", plan.queue_directory.display()))
}

/// How a process that takes mail in writes its part of the journal.
pub fn intake_settings(config: &Config, role: Role) -> Result<IntakeSettings, String> {
    let queue = Queue::read(config, None).map_err(|e| e.to_string())?;
    Ok(IntakeSettings {
        role,
        segment_bytes: queue.posthaste_journal_segment_size,
        journal_bytes_max: queue.posthaste_journal_size_limit,
        large_message_bytes: queue.posthaste_journal_large_message_size,
        body_memory_max: queue.posthaste_body_memory_limit,
        id_form: id_form(&queue),
        space: SpaceRule { minfree: queue.queue_minfree, message_size_limit: queue.message_size_limit },
    })
}

/// How the queue manager keeps the queue.
pub fn store_settings(config: &Config, reporter: Reporter) -> Result<StoreSettings, String> {
    let queue = Queue::read(config, None).map_err(|e| e.to_string())?;
    Ok(StoreSettings {
        segment_bytes: queue.posthaste_journal_segment_size,
        journal_bytes_max: queue.posthaste_journal_size_limit,
        spill_after: queue.posthaste_spill_after,
        id_form: id_form(&queue),
        hash_queue_depth: u32::try_from(queue.hash_queue_depth).unwrap_or(1),
        hash_queue_names: queue.hash_queue_names,
        ..StoreSettings::new(reporter)
    })
}

/// Which queue directories have subdirectories.
pub fn hashing(config: &Config) -> Result<Hashing, String> {
    let queue = Queue::read(config, None).map_err(|e| e.to_string())?;
    let depth = usize::try_from(queue.hash_queue_depth).unwrap_or(1);
    Ok(Hashing { names: queue.hash_queue_names, depth })
}

fn id_form(queue: &Queue) -> QueueIdForm {
    if queue.enable_long_queue_ids { QueueIdForm::Long } else { QueueIdForm::Short }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Host;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn the_journals_settings_reach_those_who_write_it() {
        let main_cf = "posthaste_journal_segment_size = 2000001\nposthaste_journal_size_limit = 20000002\n\
                       posthaste_journal_large_message_size = 5003\nposthaste_body_memory_limit = 2000004\n\
                       posthaste_spill_after = 5s\n";
        let config =
            Config::parse(Path::new("/etc/postfix"), main_cf, "", Host::default()).expect("it parses");
        let intake = intake_settings(&config, Role::Smtpd).expect("the values are right");
        let store = store_settings(&config, Arc::new(|_| {})).expect("the values are right");
        assert_eq!(
            (
                intake.segment_bytes,
                intake.journal_bytes_max,
                intake.large_message_bytes,
                intake.body_memory_max
            ),
            (2_000_001, 20_000_002, 5003, 2_000_004)
        );
        assert_eq!(
            (store.segment_bytes, store.journal_bytes_max, store.spill_after),
            (2_000_001, 20_000_002, Duration::from_secs(5))
        );
    }
}
