//! Reads the settings of each role before any is started, so that their mistakes stop the start as well.

use config::parameters::Global;
use config::{Config, Errors, ServiceType};
use smtpd::Surroundings;

/// All mistakes that a role would find in its settings: an unknown restriction, a bad network, a missing table …
pub fn check(config: &Config) -> Result<(), Errors> {
    let global = Global::read(config, None)?;
    let tables = tables::Settings {
        utf8: global.smtputf8_enable,
        directory: Some(global.queue_directory.into()),
        ..tables::Settings::default()
    };
    let settings = rewrite::Settings::open(config, &tables)?;
    let around = Surroundings::of(&rewrite::Resolver::new(settings), tables);
    let mut errors = Vec::new();
    for service in config.services().iter().filter(|s| s.kind == ServiceType::Inet && s.command == "smtpd") {
        if let Err(found) = smtpd::Settings::read(config, Some(service), &around) {
            errors.extend(found.into_vec());
        }
    }
    Errors::check(errors)
}
