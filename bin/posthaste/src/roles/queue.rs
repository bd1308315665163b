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
