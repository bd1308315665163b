//! What happened, told to the administrator: log lines in Postfix's shapes, and counters.
//!
//! Everything that is logged is an [`Event`]: a struct in `events/` whose fields are values and whose
//! [`Event::line`] is the text behind `postfix/smtpd[123]: `. [`emit`] formats it into one buffer of the
//! process and never waits; [`flush`] writes the buffer. Before [`start`] lines are kept, so that nothing is lost.
//!
//! Owners add their events to the file of their service below [`events`].

mod buffer;
mod counters;
mod escape;
mod event;
pub mod events;
mod numbers;
mod sink;

pub use buffer::{finish, flush, flush_soon, start, stop_console};
pub use counters::{Counter, counters};
pub use escape::Escaped;
pub use event::{Event, Level, Tag, emit, error, fatal, info, panic, warn};
pub use numbers::{Number, Numbers, NumbersRange};
pub use sink::{Destination, Facility, Fallback, Settings};
