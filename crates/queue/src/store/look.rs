//! What no notice told of: segments whose writer died, new ones, and records behind the last notice.

use super::Store;
use super::tail::{Item, Tailed, save_damage};
use crate::journal::Event;
use crate::segment::JOURNAL;
use std::io;
use std::path::Path;

impl Store {
    /// Finds what no notice told: segments whose writer died, new ones, and records behind the last notice.
    pub(super) fn look_for_segments(&mut self) {
        if let Err(error) = self.try_look() {
            self.failed("looking for segments in", Path::new(JOURNAL), &error);
        }
    }

    pub(super) fn try_look(&mut self) -> io::Result<()> {
        for id in self.segments.unknown(&*self.disk)? {
            self.segments.get_or_open(&*self.disk, id)?;
        }
        // What was announced first: it may say that the end of another segment does not count, which announces what comes
        // before in that one, and so on.
        while self.segments.by_id.values().any(Tailed::has_news) {
            self.read_news()?;
        }
        let mut found = Vec::new();
        for (&id, segment) in self.segments.by_id.iter_mut().filter(|(_, s)| !s.own && !s.sealed) {
            // The lock is tried before the end is looked for: what a writer adds later is not missed.
            let dead = segment.file.try_lock()?.is_some();
            if dead || segment.has_unannounced()? {
                found.push((id, dead, segment.look_ahead()?));
            }
        }
        for item in found.iter().flat_map(|(_, _, parsed)| &parsed.items) {
            if let Item::Event(Event::Void(segment, from)) = item {
                self.segments.void(*segment, *from);
            }
        }
        let mut result = Ok(());
        for (id, dead, parsed) in found {
            let Some(segment) = self.segments.by_id.get_mut(&id) else { continue };
            let before = segment.durable;
            let end = parsed.end.min(segment.void_from).max(before);
            // Nothing is given out before it is durable.
            if let Err(error) = segment.make_durable(before.max(parsed.proven).min(end)..end, dead) {
                result = Err(error);
                continue;
            }
            segment.durable = end;
            segment.sealed |= dead;
            // Behind what was announced a gap is no damage: a group that was being written when its writer died.
            segment.void_from = if dead { segment.void_from.min(end) } else { segment.void_from };
            segment.judged = segment.judged.max(end);
            for gap in parsed.gaps.into_iter().filter(|gap| gap.start >= before && gap.start < parsed.proven)
            {
                let what = "expected journal records";
                save_damage(&*self.disk, &self.settings.report, id, &*segment.file, gap, what);
            }
        }
        result
    }
}
