//! Reads the settings of each role before any is started, so that their mistakes stop the start as well.

use config::parameters::Global;
use config::{Config, Error, Errors};
use smtpd::{Surroundings, postscreen};
use std::path::Path;

/// All mistakes that a role would find in its settings: an unknown restriction, a bad network … And the tables that
/// cannot be opened as things stand: for a start they are warnings, since mail can wait until they are there.
pub fn check(config: &Config) -> Result<(Vec<Error>, Vec<Error>), Errors> {
    let global = Global::read(config, None)?;
    let tables = tables::Settings::of(config)?;
    let settings = rewrite::Settings::open(config, &tables)?;
    let around = Surroundings::of(&rewrite::Resolver::new(settings), tables.clone());
    let mut errors = unusable_paths(config, &global);
    let virtuals = delivery::local_role::Services::read(config, &tables, true);
    errors.extend(virtuals.err().into_iter().flat_map(Errors::into_vec));
    let spawned = delivery::local_role::spawn::Settings::read_all(config, true);
    errors.extend(spawned.err().into_iter().flat_map(Errors::into_vec));
    for service in config.services().iter().filter(|s| s.command == "smtp" || s.command == "lmtp") {
        let marks = delivery::agents::marked::Marks::of(&config.scope(Some(service)), service);
        errors.extend(marks.err().into_iter().flat_map(Errors::into_vec));
    }
    // Kept while the tables are looked at, so that each is read once.
    let mut kept = Vec::new();
    for service in config.services().iter().filter(|s| s.command == "smtpd") {
        match smtpd::Readings::read(config, Some(service), &around) {
            Ok(readings) => kept.push(readings),
            Err(found) => errors.extend(found.into_vec()),
        }
    }
    let mut mappers = Vec::new();
    for service in config.services().iter().filter(|s| s.command == "cleanup") {
        match rewrite::Mapper::open(config, Some(service), &tables) {
            Ok(mapper) => mappers.push(mapper),
            Err(found) => errors.extend(found.into_vec()),
        }
    }
    let mut screens = Vec::new();
    for service in config.services().iter().filter(|s| s.command == "postscreen") {
        match postscreen::Settings::read(config, service, &tables) {
            Ok(settings) => screens.push(settings),
            Err(found) => errors.extend(found.into_vec()),
        }
    }
    Ok((errors, tables::unopenable(config, &tables)))
}

/// Directories of main.cf that are no absolute paths: our processes would each look in another place.
fn unusable_paths(config: &Config, global: &Global) -> Vec<Error> {
    let named = [("queue_directory", &global.queue_directory), ("data_directory", &global.data_directory)];
    let wrong = named.into_iter().filter(|(_, path)| !Path::new(path.as_str()).is_absolute());
    wrong
        .map(|(name, path)| {
            config.scope(None).error(name, format!("expected an absolute path, found `{path}`"))
        })
        .collect()
}
