//! Tables that are looked up in an index file.

use crate::index::{self, Format, Opened};
use crate::lookup::{Lookup, LookupFuture};
use crate::service;
use crate::table::{Settings, Source, TableError};
use crate::watched::Watched;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a lookup waits for a writer that has the file locked. Postfix waits without end; postmap makes an index of
/// a million entries meanwhile, and a client that waits for our reply gives up after minutes.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// How often it looks whether the writer is done.
const LOCK_LOOKS: Duration = Duration::from_millis(50);
/// Lookups of all tables that wait for writers at once; more fail for the time being, so that those of tables with
/// servers, which share their thread, get their turn.
const LOCK_WAITING_MAX: usize = 256;

static WAITING: Semaphore = Semaphore::const_new(LOCK_WAITING_MAX);

/// Opens the table of a source file `name`, whose index has one of these formats.
pub(super) fn open(
    name: &str,
    spec: &str,
    settings: &Settings,
    formats: &'static [Format],
) -> Result<Box<dyn Source>, TableError> {
    if name.is_empty() {
        return Err(TableError::new(spec, "expected a file name behind the type"));
    }
    let source = settings.path(name);
    let paths = formats.iter().map(|format| format.path(&source)).collect();
    let (owner, warn) = (spec.to_owned(), settings.warn.clone());
    let load = move || index::open_newest(&source, formats, &|text| warn(&format!("{owner}: {text}")));
    let watched = Watched::open_any(paths, spec, settings, load);
    Ok(Box::new(Indexed(Arc::new(Inner { watched, spec: spec.to_owned() }))))
}

struct Indexed(Arc<Inner>);

struct Inner {
    watched: Watched<Opened>,
    spec: String,
}

impl Source for Indexed {
    fn ready(&self) -> Result<(), String> {
        self.0.watched.with(|_| ())
    }

    fn lookup<'a>(&'a self, key: &'a str) -> LookupFuture<'a> {
        match self.0.look(key) {
            Ok(answer) => answer.into(),
            Err(Locked) => LookupFuture::Waiting(Box::pin(self.0.clone().wait(key.to_owned(), LOCK_WAIT))),
        }
    }
}

/// A writer has the file locked.
struct Locked;

impl Inner {
    fn look(&self, key: &str) -> Result<Lookup, Locked> {
        let found = self.watched.with(|opened| match index::find(&*opened.index, key) {
            Err(text) if text == index::BUSY => Err(Locked),
            Err(text) => Ok(Lookup::TempFail(format!("{}: {}: {text}", self.spec, opened.path.display()))),
            Ok(Some(value)) => Ok(Lookup::Found(value)),
            Ok(None) => Ok(Lookup::NotFound),
        });
        found.unwrap_or_else(|text| Ok(Lookup::TempFail(text)))
    }

    /// Looks again and again for so long, on the thread for servers: whoever asked goes on meanwhile.
    async fn wait(self: Arc<Self>, key: String, limit: Duration) -> Lookup {
        let fails = |text: &str| Lookup::TempFail(format!("{}: {text}", self.spec));
        let Ok(_waiting) = WAITING.try_acquire() else {
            return fails(&format!("{}, as {LOCK_WAITING_MAX} lookups do already", index::BUSY));
        };
        let (inner, end) = (self.clone(), Instant::now() + limit);
        let looks = async move {
            while Instant::now() < end {
                tokio::time::sleep(LOCK_LOOKS).await;
                if let Ok(answer) = inner.look(&key) {
                    return Some(answer);
                }
            }
            None
        };
        match service::ask(looks).await {
            Ok(Some(answer)) => answer,
            Ok(None) => fails(&format!("{}; no end within {} s", index::BUSY, limit.as_secs_f64())),
            Err(gone) => fails(&gone.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::wait;
    use rustix::fs::{FlockOperation, flock};
    use std::path::Path;

    #[test]
    fn a_lookup_waits_for_a_writer_but_not_for_ever() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/index/postfix-hash.db");
        let source = std::env::temp_dir().join(format!("indexed-{}", std::process::id()));
        let file = Format::BerkeleyHash.path(&source);
        std::fs::copy(golden, &file).unwrap();
        let open = |path: &Path| {
            let path = path.to_owned();
            let load = move || index::open_newest(&path, &[Format::BerkeleyHash], &|_| {});
            let watched = Watched::open_any(Vec::new(), "hash:t", &Settings::default(), load);
            Arc::new(Inner { watched, spec: "hash:t".to_owned() })
        };
        let (indexed, writer) = (open(&source), std::fs::File::open(&file).unwrap());
        flock(&writer, FlockOperation::LockExclusive).unwrap();
        let late = wait(indexed.clone().wait("user1@example.com".to_owned(), Duration::from_millis(120)));
        let text = "hash:t: is being written by another process; wait until it is done; no end within 0.12 s";
        assert_eq!(late, Lookup::TempFail(text.to_owned()));
        let key = "user1@example.com".to_owned();
        let found = std::thread::scope(|scope| {
            let asked = scope.spawn(|| wait(indexed.clone().wait(key, LOCK_WAIT)));
            std::thread::sleep(LOCK_LOOKS * 3);
            assert!(!asked.is_finished(), "the writer is not done");
            drop(writer);
            asked.join().unwrap()
        });
        assert!(matches!(found, Lookup::Found(_)), "{found:?}");
        std::fs::remove_file(&file).unwrap();
    }
}
