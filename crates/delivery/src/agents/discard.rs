//! The agent `discard`: claims that it delivered.
//!
//! Postfix: discard(8); the nexthop is the reason that is logged.

use super::error::split;
use crate::report::{Report, ReportStyle, Verdict, Via};
use crate::{Assignment, DeliveryAgent};
use mail::Status;
use observe::{Numbers, Tag};

/// Drops mail by order.
pub struct DiscardAgent {
    tag: Tag,
    numbers: Numbers,
    style: ReportStyle,
}

impl DiscardAgent {
    /// The agent of one service; `tag` names the program, each delivery gets a number of its own.
    pub fn new(tag: Tag, numbers: Numbers, style: ReportStyle) -> Self {
        DiscardAgent { tag, numbers, style }
    }
}

impl DeliveryAgent for DiscardAgent {
    const KIND: &'static str = "discard";

    fn accept(&self, assignment: Assignment) {
        let nexthop = assignment.job.nexthop.clone();
        let (dsn, text) = split(&nexthop, 2);
        let number = self.numbers.take();
        let mut report = Report::new(assignment, self.tag.numbered(*number), self.style);
        report.rest(Via::NONE, net::clock::now(), &Verdict::new(Status::Sent, dsn.with_class(2), text));
        report.finish(None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testjob::{Seen, assignment};
    use super::*;
    use observe::NumbersRange;

    #[test]
    fn each_recipient_counts_as_delivered() {
        let seen = Seen::new();
        let numbers = Numbers::new(NumbersRange::of_slot(0));
        let agent = DiscardAgent::new(Tag::new("postfix", "discard", 1), numbers, ReportStyle::default());
        agent.accept(assignment("test mail", &["ann@a.example", "bob@a.example"], &seen));
        let outcomes = seen.outcomes();
        assert_eq!(outcomes.len(), 2);
        let sent = |o: &mail::Outcome| {
            o.status == Status::Sent && o.dsn.to_string() == "2.0.0" && o.reason == "test mail"
        };
        assert!(outcomes.iter().all(sent));
        assert_eq!(seen.done(), [None]);
    }
}
