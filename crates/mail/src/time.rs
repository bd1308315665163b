//! Points in time, as the clock of the host tells them, and how Postfix prints delays.

use std::time::Duration;

/// Microseconds since 1970-01-01 UTC. Passed in by drivers; nothing on this floor reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Timestamp(micros)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The microseconds within the second, 0 to 999,999.
    pub const fn subsec_micros(self) -> u32 {
        self.0.rem_euclid(1_000_000) as u32
    }

    /// This time plus `d`.
    pub fn after(self, d: Duration) -> Self {
        Timestamp(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How much later than `earlier` this is; zero where it is not later (clocks are set back).
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A delay as Postfix logs it in `delay=` and `delays=`: two significant digits, at most `decimals`
/// decimals (`delay_logging_resolution_limit`), no trailing zeros.
pub fn format_delay(d: Duration, decimals: u32) -> String {
    let micros = d.as_micros();
    let secs = micros / 1_000_000;
    let digits = match secs {
        0 => 2,
        1..10 => 1,
        _ => 0,
    };
    let unit = 10u128.pow(6 - digits.min(decimals));
    let rounded = (micros + unit / 2) / unit * unit;
    let (whole, rest) = (rounded / 1_000_000, rounded % 1_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:06}").trim_end_matches('0').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_two_significant_digits() {
        for (micros, text) in [
            (4_000, "0"),
            (5_000, "0.01"),
            (126_000, "0.13"),
            (1_234_000, "1.2"),
            (9_960_000, "10"),
            (99_600_000, "100"),
            (1_110_000_000, "1110"),
            (0, "0"),
            (990_000, "0.99"),
            (996_000, "1"),
        ] {
            assert_eq!(format_delay(Duration::from_micros(micros), 2), text, "{micros} µs");
        }
    }

    #[test]
    fn time_before_the_epoch_keeps_positive_microseconds() {
        assert_eq!(
            (Timestamp::from_micros(-1).secs(), Timestamp::from_micros(-1).subsec_micros()),
            (-1, 999_999)
        );
    }
}
