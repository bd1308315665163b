//! The services of master.cf that this process delivers for, by their names.

use super::local::LocalSettings;
use super::pipe;
use super::settings::Settings;
use config::{Config, Errors, ServiceLine, ServiceType};
use std::collections::HashMap;
use std::sync::Arc;
use tables::Trust;

/// One service.
#[derive(Clone)]
pub enum Service {
    /// local(8).
    Local(Arc<LocalSettings>),
    /// pipe(8).
    Pipe(Arc<pipe::Settings>),
    /// virtual(8).
    Virtual(Arc<Settings>),
}

/// The settings of each service, by its name; a reload brings new ones.
#[derive(Clone, Default)]
pub struct Services(HashMap<String, Service>);

impl Services {
    /// Reads those of all services; the error holds the mistakes of all.
    pub fn read(config: &Config, tables: &tables::Settings, as_caller: bool) -> Result<Services, Errors> {
        // Whose rights a delivery has is not for everybody to say.
        let tables = &tables.with_trust(Trust::Authenticated);
        let (mut services, mut errors) = (HashMap::new(), Vec::new());
        for service in config.services().iter().filter(|s| s.kind == ServiceType::Unix) {
            match Service::read(config, service, tables, as_caller) {
                None => {}
                Some(Ok(settings)) => {
                    services.insert(service.name.clone(), settings);
                }
                Some(Err(found)) => errors.extend(found.into_vec()),
            }
        }
        Errors::check(errors)?;
        Ok(Services(services))
    }

    /// One service with these settings.
    pub fn one(name: &str, service: Service) -> Services {
        Services(HashMap::from([(name.to_owned(), service)]))
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<&Service> {
        self.0.get(name)
    }
}

impl Service {
    /// Reads the settings of a line; nothing where its program is none of ours.
    fn read(
        config: &Config,
        service: &ServiceLine,
        tables: &tables::Settings,
        as_caller: bool,
    ) -> Option<Result<Service, Errors>> {
        Some(match service.command.as_str() {
            "local" => {
                let settings = LocalSettings::read(config, service, tables, as_caller);
                settings.map(|s| Service::Local(Arc::new(s)))
            }
            "pipe" => pipe::Settings::read(config, service, as_caller).map(|s| Service::Pipe(Arc::new(s))),
            "virtual" => {
                let settings = Settings::read(config, service, tables, as_caller);
                settings.map(|s| Service::Virtual(Arc::new(s)))
            }
            _ => return None,
        })
    }
}
