//! postscreen in the process `smtpd`: its services, and the files of what it knows of clients.

use super::{Start, agents};
use ::smtpd::Listener;
use ::smtpd::postscreen::{Cache, Cleaning, Screen, Service, Settings};
use config::{Config, ServiceLine, ServiceType};
use observe::events::cache::CacheCleaned;
use observe::{Tag, emit};
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use tables::keeper::{Keeper, Kept, Place, Tasks};

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
    let mut caches: BTreeMap<String, Arc<Cache>> = BTreeMap::new();
    let mut keepers = Vec::new();
    for screen in screens {
        let tag = Tag { program: Arc::clone(&screen.program), number: start.tag.number };
        let warn = |text: String| observe::warn(&tag, format_args!("{text}"));
        let cache = match caches.get(&screen.map) {
            Some(cache) => Arc::clone(cache),
            None => {
                let cache = Arc::new(Cache::default());
                let place = match screen.place.take() {
                    Some(Ok(place)) => {
                        place.read(&*cache, &warn);
                        Some(place)
                    }
                    Some(Err(why)) => {
                        warn(format!(
                            "postscreen_cache_map: {why}: a restart forgets the clients that passed"
                        ));
                        None
                    }
                    None => None,
                };
                let (map, cleaning) = (screen.map.clone(), screen.cleaning);
                let (own, kept) = (Arc::clone(&cache), Arc::clone(&cache) as Arc<dyn Kept>);
                let (cleaner, warner) = (tag.clone(), tag.clone());
                let clean = move |now| {
                    if let Some((retained, dropped)) = own.clean(now, cleaning) {
                        emit(&cleaner, &CacheCleaned { map: &map, retained, dropped });
                    }
                };
                let warn = move |text: String| observe::warn(&warner, format_args!("{text}"));
                let tasks = Tasks { clean: Box::new(clean), warn: Box::new(warn) };
                let keeper = Keeper::start("postscreen-cache", kept, place, tasks);
                keepers.push(keeper.map_err(|e| format!("cannot start a thread: {e}"))?);
                caches.insert(screen.map.clone(), Arc::clone(&cache));
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
