//! Waits so many seconds.

use super::{Checked, Kind, Make, Restriction, Verdict};
use crate::about::About;
use std::time::Duration;

pub(super) const KIND: Kind =
    Kind { name: "sleep", make: Make::WithWord("a number of seconds", make), guards_relaying: false };

struct This(Duration);

fn make(word: &str) -> Result<Box<dyn Restriction>, String> {
    let seconds = word.parse().map_err(|_| "not a number".to_owned())?;
    Ok(Box::new(This(Duration::from_secs(seconds))))
}

impl Restriction for This {
    fn check<'a>(&'a self, _: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(async {
            tokio::time::sleep(self.0).await;
            Verdict::Dunno
        }))
    }
}
