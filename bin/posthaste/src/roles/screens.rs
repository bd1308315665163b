//! postscreen in the process `smtpd`: its services, and the files of what it knows of clients.

use super::{Start, agents, caches};
use ::smtpd::Listener;
use ::smtpd::postscreen::{Cache, Cleaning, Screen, Service, Settings};
use config::{Config, ServiceLine, ServiceType};
use observe::Tag;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use tables::keeper::{Keeper, Place};

/// A postscreen service of master.cf, ready to look at clients on several event loops.
pub struct PreparedScreen {
    program: Arc<str>,
    dnsblog_program: Arc<str>,
    listeners: Vec<Listener>,
    /// Until it has its cache.
    settings: Option<Settings>,
    place: Option<Result<Place, String>>,
    map: String,
    cleaning: Cleaning,
    screen: Option<Arc<Screen>>,
}

/// Reads the settings of a service. Its cache is opened too, since its file may soon be out of reach.
pub fn prepare(
    config: &Config,
    service: &ServiceLine,
    tables: &tables::Settings,
    listeners: Vec<OwnedFd>,
) -> Result<PreparedScreen, String> {
    let settings = Settings::read(config, service, tables).map_err(|e| e.to_string())?;
    let dnsblog = config.service("dnsblog", ServiceType::Unix);
    let program = |service, name| {
        agents::syslog_name(config, service).map(|syslog_name| format!("{syslog_name}/{name}").into())
    };
    Ok(PreparedScreen {
        program: program(Some(service), "postscreen")?,
        dnsblog_program: program(dnsblog, "dnsblog")?,
        listeners: listeners.into_iter().map(|fd| Listener::Tcp(fd.into())).collect(),
        place: Some(Place::open(&settings.cache_map)),
        map: settings.cache_map.clone(),
        cleaning: settings.cleaning,
        settings: Some(settings),
        screen: None,
    })
}

/// The directories of the caches' files.
pub fn directories(screens: &[PreparedScreen]) -> Vec<BorrowedFd<'_>> {
    screens.iter().filter_map(|screen| Some(screen.place.as_ref()?.as_ref().ok()?.directory())).collect()
}

/// Gives each service its cache, one for all that have the same map, and begins to keep the files of them.
pub fn keep(screens: &mut [PreparedScreen], start: &Start) -> Result<Vec<Keeper>, String> {
    let mut known: BTreeMap<String, Arc<Cache>> = BTreeMap::new();
    let mut keepers = Vec::new();
    for screen in screens {
        let tag = Tag { program: Arc::clone(&screen.program), number: start.tag.number };
        let cache = match known.get(&screen.map) {
            Some(cache) => Arc::clone(cache),
            None => {
                let (cache, cleaning) = (Arc::new(Cache::default()), screen.cleaning);
                let kind = caches::Kind {
                    thread: "postscreen-cache",
                    parameter: "postscreen_cache_map",
                    forgets: "the clients that passed",
                    map: screen.map.clone(),
                    tag,
                };
                let (kept, own) = (Arc::clone(&cache), Arc::clone(&cache));
                let clean = move |now| cleaning.clean(&own, now);
                keepers.push(caches::keep(kind, kept, screen.place.take(), clean)?);
                known.insert(screen.map.clone(), Arc::clone(&cache));
                cache
            }
        };
        if let Some(settings) = screen.settings.take() {
            screen.screen = Some(Arc::new(Screen::new(settings, cache)));
        }
    }
    Ok(keepers)
}

impl PreparedScreen {
    /// Its name in the log, and what its event loops share.
    pub fn known(&self) -> Option<(Arc<str>, Arc<Screen>)> {
        Some((Arc::clone(&self.program), self.screen.clone()?))
    }

    /// The service for one of the event loops, on duplicates of its sockets.
    pub fn share(&self) -> Result<Service, String> {
        let listeners: Result<_, _> = self.listeners.iter().map(Listener::try_clone).collect();
        Ok(Service {
            program: Arc::clone(&self.program),
            dnsblog_program: Arc::clone(&self.dnsblog_program),
            listeners: listeners.map_err(|e| e.to_string())?,
            screen: self.screen.clone().ok_or("postscreen has no cache yet")?,
        })
    }
}
