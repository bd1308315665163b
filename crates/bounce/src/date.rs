//! Dates as headers have them (RFC 5322 3.3).

use mail::Timestamp;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Sun, 22 Nov 2026 16:19:28 +0000 (UTC)`, in the zone of this host.
pub fn local_date(at: Timestamp) -> String {
    let Ok(t) = sys::local_time(at.secs()) else {
        // Only a year beyond any calendar gets here; RFC 5322 knows no such date.
        return "Thu, 1 Jan 1970 00:00:00 +0000 (UTC)".to_string();
    };
    let sign = if t.utc_offset < 0 { '-' } else { '+' };
    let minutes = t.utc_offset.unsigned_abs() / 60;
    format!(
        "{}, {} {} {} {:02}:{:02}:{:02} {sign}{:02}{:02} ({})",
        DAYS[usize::from(t.weekday) % 7],
        t.day,
        MONTHS[usize::from(t.month.max(1) - 1) % 12],
        t.year,
        t.hour,
        t.minute,
        t.second,
        minutes / 60,
        minutes % 60,
        t.zone.as_str(),
    )
}
