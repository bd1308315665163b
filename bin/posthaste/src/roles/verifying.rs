//! Address verification in the process `qmgr`: the desk, its socket, and the file of what is known.

use super::{Start, agents, caches, sockets};
use config::{Config, ServiceType};
use observe::Tag;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tables::keeper::{Keeper, Place};
use verify::{Cache, Desk, Settings};

/// What is read while every file is in reach.
pub struct Prepared {
    settings: Arc<Settings>,
    /// The name in the log.
    program: String,
    /// Nothing where findings are kept in memory alone.
    place: Option<Result<Place, String>>,
}

/// Address verification at work.
pub struct Verifying {
    /// Decides what is answered.
    pub desk: Desk,
    /// Where it is asked.
    pub listener: UnixListener,
    /// Keeps the file.
    pub keeper: Keeper,
}

/// Reads the settings, and opens the directory of the cache's file, which may soon be out of reach.
pub fn prepare(config: &Config) -> Result<Prepared, String> {
    let settings = Settings::read(config).map_err(|e| e.to_string())?;
    let place = (!settings.map.is_empty()).then(|| Place::open(&settings.map));
    let program = agents::syslog_name(config, config.service("verify", ServiceType::Unix))?;
    Ok(Prepared { settings: Arc::new(settings), program, place })
}

impl Prepared {
    /// The directory of the cache's file.
    pub fn directories(&self) -> Vec<BorrowedFd<'_>> {
        self.place.iter().flatten().map(Place::directory).collect()
    }

    /// Takes in what the file holds, and begins to keep it.
    pub fn begin(self, start: &Start) -> Result<Verifying, String> {
        let (cache, settings) = (Arc::new(Cache::default()), self.settings);
        let kind = caches::Kind {
            thread: "verify-cache",
            parameter: "address_verify_map",
            forgets: "what is known of addresses",
            map: settings.map.clone(),
            tag: Tag::new(&self.program, "verify", start.tag.number),
        };
        let (own, rules) = (cache.clone(), settings.clone());
        let clean = move |now| rules.clean(&own, now);
        let keeper = caches::keep(kind, cache.clone(), self.place, clean)?;
        Ok(Verifying { desk: Desk::new(settings, cache), listener: sockets::listen(verify::SOCKET)?, keeper })
    }
}
