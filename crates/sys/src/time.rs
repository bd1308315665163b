//! Local time, as the host's time zone tells it.

use std::io;

/// A point in time in the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year, as in 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// Day of the month, 1 to 31.
    pub day: u8,
    /// Day of the week, 0 is Sunday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60: leap seconds exist.
    pub second: u8,
    /// Seconds east of Greenwich.
    pub utc_offset: i32,
    /// Abbreviation of the zone, as in `CET`, cut at eight bytes.
    pub zone: Zone,
}

impl LocalTime {
    /// `Sun Nov 22 16:33:27 2026`: the form of asctime(3), of mbox and of queue listings.
    pub fn asctime(&self) -> String {
        let (day, month) = (self.weekday_name(), self.month_name());
        format!("{day} {month} {:2} {} {}", self.day, self.clock(), self.year)
    }

    /// `Sun,  5 Jul 2026 12:00:00 +0200 (CEST)`: a date of a header (RFC 5322 3.3), with the day padded as Postfix does.
    pub fn header_date(&self) -> String {
        let (day, month) = (self.weekday_name(), self.month_name());
        let sign = if self.utc_offset < 0 { '-' } else { '+' };
        let east = self.utc_offset.unsigned_abs();
        let (hours, minutes) = (east / 3600, east / 60 % 60);
        let zone = self.zone.as_str();
        format!(
            "{day}, {:2} {month} {} {} {sign}{hours:02}{minutes:02} ({zone})",
            self.day,
            self.year,
            self.clock()
        )
    }

    /// `Nov 22 16:33:27`: the time of a log line.
    pub fn log_time(&self) -> String {
        format!("{} {:2} {}", self.month_name(), self.day, self.clock())
    }

    fn clock(&self) -> String {
        format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }

    fn weekday_name(&self) -> &'static str {
        ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"].get(usize::from(self.weekday)).unwrap_or(&"?")
    }

    fn month_name(&self) -> &'static str {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        MONTHS.get(usize::from(self.month).wrapping_sub(1)).unwrap_or(&"?")
    }
}

/// Abbreviation of a time zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone {
    bytes: [u8; 8],
    length: u8,
}

impl Zone {
    /// The abbreviation as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("?")
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The local time at `seconds` since the epoch, by TZ or /etc/localtime.
pub fn local_time(seconds: i64) -> io::Result<LocalTime> {
    let clock: libc::time_t = seconds;
    // SAFETY: `tm` is plain old data (integers and a pointer), for which all zeros is a valid value.
    let mut tm: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live local variables; localtime_r is thread safe and writes only to `tm`.
    // No thread of ours changes the environment (TZ) after the start, since std's set_var is unsafe and unused.
    let answer = unsafe { libc::localtime_r(&raw const clock, &raw mut tm) };
    if answer.is_null() {
        return Err(io::Error::last_os_error());
    }
    let small = |n: i32| u8::try_from(n).unwrap_or(0);
    Ok(LocalTime {
        year: tm.tm_year + 1900,
        month: small(tm.tm_mon + 1),
        day: small(tm.tm_mday),
        weekday: small(tm.tm_wday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        utc_offset: i32::try_from(tm.tm_gmtoff).unwrap_or(0),
        zone: zone_of(&tm),
    })
}

fn zone_of(tm: &libc::tm) -> Zone {
    let mut zone = Zone { bytes: [0; 8], length: 0 };
    if tm.tm_zone.is_null() {
        return zone;
    }
    // SAFETY: localtime_r lets tm_zone point to a NUL-terminated name that lives as long as the process's time
    // zone data, which only tzset replaces; it is copied here at once.
    let name = unsafe { std::ffi::CStr::from_ptr(tm.tm_zone) };
    for (to, from) in zone.bytes.iter_mut().zip(name.to_bytes().iter().filter(|b| b.is_ascii_graphic())) {
        *to = *from;
        zone.length += 1;
    }
    zone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_less_its_offset_is_universal_time() {
        let t = local_time(1_700_000_000).unwrap();
        let seconds_of_day =
            i32::from(t.hour) * 3600 + i32::from(t.minute) * 60 + i32::from(t.second) - t.utc_offset;
        assert_eq!(seconds_of_day.rem_euclid(86_400), 1_700_000_000 % 86_400);
        assert_eq!((t.year, t.month), (2023, 11));
        assert!(!t.zone.as_str().is_empty());
    }

    #[test]
    fn days_below_ten_are_padded_with_a_blank_in_every_form() {
        let mut zone = Zone { bytes: [0; 8], length: 4 };
        zone.bytes[..4].copy_from_slice(b"CEST");
        let t = LocalTime {
            year: 2026,
            month: 7,
            day: 5,
            weekday: 0,
            hour: 12,
            minute: 3,
            second: 9,
            utc_offset: 7200,
            zone,
        };
        assert_eq!(t.header_date(), "Sun,  5 Jul 2026 12:03:09 +0200 (CEST)");
        assert_eq!(t.asctime(), "Sun Jul  5 12:03:09 2026");
        assert_eq!(t.log_time(), "Jul  5 12:03:09");
        let west = LocalTime { day: 22, utc_offset: -12_600, ..t };
        assert_eq!(west.header_date(), "Sun, 22 Jul 2026 12:03:09 -0330 (CEST)");
    }
}
