//! Dates as headers have them (RFC 5322 3.3).

use mail::Timestamp;

/// `Sun, 22 Nov 2026 16:19:28 +0000 (UTC)`, in the zone of this host.
pub fn local_date(at: Timestamp) -> String {
    // Only a year beyond any calendar gives no local time; RFC 5322 knows no such date.
    sys::local_time(at.secs())
        .map_or_else(|_| "Thu,  1 Jan 1970 00:00:00 +0000 (UTC)".to_owned(), |t| t.header_date())
}
