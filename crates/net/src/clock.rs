//! The only place that reads the host's clock; drivers call it and pass the time on.

use mail::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day.
pub fn now() -> Timestamp {
    let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    };
    Timestamp::from_micros(micros)
}
