//! The multiparts that are open, the innermost last.

/// What `mime_nesting_limit` does not count: Postfix takes so many levels more.
const LEVELS_FREE: usize = 2;

/// Open multiparts.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels(Vec<Level>);

#[derive(Clone, Debug)]
struct Level {
    boundary: Vec<u8>,
    digest: bool,
}

impl Levels {
    /// No part can begin.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A multipart begins; false where that would be one too many.
    pub(super) fn open(&mut self, boundary: &[u8], digest: bool, nesting_max: usize) -> bool {
        let room = self.0.len() < nesting_max.saturating_add(LEVELS_FREE);
        if room {
            self.0.push(Level { boundary: boundary.to_vec(), digest });
        }
        room
    }

    /// The level whose boundary a line is, and whether it is the last one.
    pub(super) fn find(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        // As Postfix has it, what stands behind the boundary does not matter.
        let found = self.0.iter().rposition(|level| line.starts_with(&level.boundary))?;
        Some((found, line[self.0[found].boundary.len()..].starts_with(b"--")))
    }

    /// Parts of this level are messages where they do not say otherwise.
    pub(super) fn is_digest(&self, level: usize) -> bool {
        self.0.get(level).is_some_and(|level| level.digest)
    }

    /// Closes the levels from `level` on.
    pub(super) fn truncate(&mut self, level: usize) {
        self.0.truncate(level);
    }
}
