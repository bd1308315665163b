//! Delivery agents behind one trait.
//!
//! An agent gets an [`Assignment`], logs one line for each recipient and then reports its outcome. Everything here
//! stays on the event loop that it started on.

pub mod agents;
mod assignment;
pub mod local_role;
mod report;
mod status_filter;

pub use assignment::{Assignment, OutcomeSender, OutcomeSink};
pub use report::{PassOn, Report, ReportStyle, Verdict, Via};
pub use status_filter::StatusFilter;

/// Delivers messages in one way: by SMTP, into mailboxes, …
///
/// Contract: `accept` never blocks and never refuses; how much is under way at once is bounded by the scheduler's
/// concurrency. Each recipient of the job gets exactly one outcome, then the job is done. Whatever happens to the
/// agent, an assignment that is dropped defers what it has not reported.
pub trait DeliveryAgent {
    /// The program that Postfix has for it, as in master.cf's last column.
    const KIND: &'static str;

    /// Takes a job and returns at once.
    fn accept(&self, assignment: Assignment);

    /// The process ends soon: what may take long is to end now, with a result that is still told.
    fn hurry(&self) {}
}
