//! The two readings of a service's settings: as they are, and with `stress=yes`.

use crate::settings::{Settings, Surroundings};
use config::{Config, Errors, ServiceLine};
use std::sync::Arc;
use std::time::Duration;

/// The settings of a service for quiet times and for stress.
#[derive(Clone)]
pub struct Readings {
    /// As the files say.
    pub calm: Arc<Settings>,
    /// With `stress=yes`; the same where the files set `stress` themselves.
    pub stressed: Arc<Settings>,
    /// After how much quiet stress ends (`posthaste_stress_calm_time`); nothing where the files set `stress`: then that
    /// holds always.
    pub calm_time: Option<Duration>,
}

/// What the master adds to a service's settings in Postfix.
const STRESS: &[(&str, &str)] = &[("stress", "yes")];

impl Readings {
    /// Reads both as `service` sees them; the error holds every mistake.
    ///
    /// Tables that both name are opened once (`tables::Opened`). Where no file names `stress`, it is in the defaults of
    /// some numbers alone: then lists, rules and tables are the very same.
    pub fn read(
        config: &Config,
        service: Option<&ServiceLine>,
        around: &Surroundings,
    ) -> Result<Readings, Errors> {
        let scope = config.scope(service);
        let calm = Settings::read(config, service, around)?;
        let is_set = scope.find("stress").is_some_and(|found| found.origin.is_some());
        if is_set {
            return Ok(Readings::always(calm));
        }
        let stressed = match names_stress(config) {
            true => Settings::read_in(scope.with(STRESS), around)?,
            false => calm.with_numbers_of(&scope, scope.with(STRESS), around)?,
        };
        let calm_time = Some(calm.stress_calm_time);
        Ok(Readings { calm: Arc::new(calm), stressed: Arc::new(stressed), calm_time })
    }

    /// The same settings whatever happens.
    pub fn always(settings: Settings) -> Self {
        let calm = Arc::new(settings);
        Readings { stressed: Arc::clone(&calm), calm, calm_time: None }
    }

    /// Those for a new session.
    pub(crate) fn of(&self, is_stressed: bool) -> &Arc<Settings> {
        if is_stressed { &self.stressed } else { &self.calm }
    }
}

/// Whether a value of main.cf, or of a line in master.cf, may look at `stress`; a word that merely holds it does no harm.
fn names_stress(config: &Config) -> bool {
    let in_main = config.main().iter().any(|(_, entry)| entry.value.contains("stress"));
    in_main
        || config
            .services()
            .iter()
            .any(|line| line.overrides.iter().any(|(_, value)| value.contains("stress")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Host, ServiceType};
    use std::path::Path;

    fn read(main_cf: &str, line: &str) -> Readings {
        try_read(main_cf, line).unwrap()
    }

    fn try_read(main_cf: &str, line: &str) -> Result<Readings, String> {
        let main_cf =
            format!("compatibility_level = 3.6\nmyhostname = mx.example.org\nalias_maps =\n{main_cf}");
        let config = Config::parse(Path::new("/etc/postfix"), &main_cf, line, Host::this()).unwrap();
        let tables = tables::Settings::default();
        let resolver = rewrite::Settings::open(&config, &tables).unwrap();
        let around = Surroundings::of(&rewrite::Resolver::new(resolver), tables);
        let service = config.service("smtp", ServiceType::Inet);
        Readings::read(&config, service, &around).map_err(|e| e.to_string())
    }

    /// Time-out and limit of errors of both readings.
    fn numbers(readings: &Readings) -> [(u64, u32); 2] {
        [&readings.calm, &readings.stressed].map(|s| (s.timeout.as_secs(), s.dialogue.hard_error_limit))
    }

    const PLAIN: &str = "smtp inet n - n - - smtpd\n";

    #[test]
    fn the_defaults_differ_and_lists_and_rules_are_the_same() {
        let readings = read("", PLAIN);
        assert_eq!(numbers(&readings), [(300, 20), (10, 1)]);
        assert_eq!(
            (readings.calm.per_request_deadline, readings.stressed.per_request_deadline),
            (false, true)
        );
        assert_eq!(readings.stressed.dialogue.junk_command_limit, 1);
        assert_eq!((readings.calm.stress.as_str(), readings.stressed.stress.as_str()), ("", "yes"));
        assert!(Arc::ptr_eq(&readings.calm.lists, &readings.stressed.lists));
        assert!(Arc::ptr_eq(&readings.calm.rules, &readings.stressed.rules));
        assert_eq!(readings.calm_time, Some(Duration::from_secs(60)));
    }

    #[test]
    fn any_value_may_look_at_stress() {
        let readings = read(
            "smtpd_helo_required = ${stress?{yes}:{no}}\nsmtpd_timeout = 77s\n\
             smtpd_client_message_rate_limit = ${stress?{5}:{0}}\ncontent_filter = ${stress?{}:{scan:}}\n",
            PLAIN,
        );
        assert_eq!(numbers(&readings), [(77, 20), (77, 1)]);
        let both = |of: fn(&Settings) -> u64| (of(&readings.calm), of(&readings.stressed));
        assert_eq!(both(|s| s.limits.message_rate), (0, 5));
        assert_eq!(both(|s| s.dialogue.helo_required.into()), (0, 1));
        assert_eq!(
            (&readings.calm.content_filter, &readings.stressed.content_filter),
            (&Some("scan:".into()), &None)
        );
        // One that follows another's default, which nobody names `stress` for.
        let readings = read("smtpd_client_recipient_rate_limit = $smtpd_hard_error_limit\n", PLAIN);
        assert_eq!(readings.calm.limits.recipient_rate, 20);
        assert_eq!(readings.stressed.limits.recipient_rate, 1);
    }

    #[test]
    fn where_the_files_set_stress_it_holds_always() {
        for (main, line, found) in [
            ("stress = yes\n", PLAIN, (10, 1)),
            ("", "smtp inet n - n - - smtpd -o stress=yes\n", (10, 1)),
            ("stress = yes\n", "smtp inet n - n - - smtpd -o stress=\n", (300, 20)),
            ("", "smtp inet n - n - - smtpd -o stress=\n", (300, 20)),
        ] {
            let readings = read(main, line);
            assert_eq!((numbers(&readings), readings.calm_time), ([found, found], None), "{main:?} {line:?}");
        }
    }

    #[test]
    fn a_mistake_that_shows_under_stress_only_is_told_at_the_start() {
        let told = try_read("smtpd_soft_error_limit = ${stress?{few}:{10}}\n", PLAIN).err().unwrap();
        assert!(told.contains("main.cf:4: smtpd_soft_error_limit: ") && told.contains("`few`"), "{told}");
    }
}
