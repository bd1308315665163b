//! Caches in memory, and the threads that keep files of them.

use observe::events::cache::CacheCleaned;
use observe::{Tag, emit};
use std::sync::Arc;
use tables::keeper::{Keeper, Kept, Place, Tasks};

/// A cache that begins.
pub struct Kind<'a> {
    /// The name of its thread.
    pub thread: &'a str,
    /// The parameter that names its file.
    pub parameter: &'a str,
    /// What a restart forgets without the file.
    pub forgets: &'a str,
    /// `type:name` of its file.
    pub map: String,
    /// Who tells the log.
    pub tag: Tag,
}

/// Takes in what the file holds, and begins to keep it; without `place` the cache lives in memory alone. `clean` clears away
/// what is old and gives how many entries stayed and went, where it was time.
pub fn keep(
    kind: Kind<'_>,
    cache: Arc<dyn Kept>,
    place: Option<Result<Place, String>>,
    clean: impl Fn(u64) -> Option<(usize, usize)> + Send + 'static,
) -> Result<Keeper, String> {
    let Kind { thread, parameter, forgets, map, tag } = kind;
    let warner = tag.clone();
    let warn = move |text: String| observe::warn(&warner, format_args!("{text}"));
    let place = match place.transpose() {
        Ok(place) => place,
        Err(why) => {
            warn(format!("{parameter}: {why}: a restart forgets {forgets}"));
            None
        }
    };
    if let Some(place) = &place {
        place.read(&*cache, &warn);
    }
    let clean = move |now| {
        if let Some((retained, dropped)) = clean(now) {
            emit(&tag, &CacheCleaned { map: &map, retained, dropped });
        }
    };
    let tasks = Tasks { clean: Box::new(clean), warn: Box::new(warn) };
    Keeper::start(thread, cache, place, tasks).map_err(|e| format!("cannot start a thread: {e}"))
}
