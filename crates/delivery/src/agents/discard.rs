//! The agent `discard`: claims that it delivered.
//!
//! Postfix: discard(8); the nexthop is the reason that is logged.

use super::error::split;
use crate::report::{Report, ReportStyle, Verdict, Via};
use crate::{Assignment, DeliveryAgent};
use mail::{Dsn, Status};
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
        let (mut dsn, text) = split(&nexthop, 2);
        let number = self.numbers.take();
        let mut report = Report::new(assignment, self.tag.numbered(*number), self.style);
        if dsn.class != 2 {
            observe::warn(report.tag(), format_args!("sent: ignoring dsn code \"{dsn}\""));
            dsn = Dsn::new(2, 0, 0);
        }
        report.rest(Via::NONE, net::clock::now(), &Verdict::new(Status::Sent, dsn, text));
        report.finish(None);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testjob::{Seen, assignment};
    use super::*;
    use observe::NumbersRange;

    #[test]
    fn each_recipient_counts_as_delivered_whatever_the_nexthop_says() {
        for (nexthop, dsn, reason) in [
            ("test mail", "2.0.0", "test mail"),
            ("2.1.5 gone", "2.1.5", "gone"),
            ("5.7.1 no", "2.0.0", "no"),
        ] {
            let seen = Seen::new();
            let numbers = Numbers::new(NumbersRange::of_slot(0));
            let agent = DiscardAgent::new(Tag::new("postfix", "discard", 1), numbers, ReportStyle::default());
            agent.accept(assignment(nexthop, &["ann@a.example", "bob@a.example"], &seen));
            let outcomes = seen.outcomes();
            assert_eq!(outcomes.len(), 2);
            let sent = |o: &mail::Outcome| {
                o.status == Status::Sent && o.dsn.to_string() == dsn && o.reason == reason
            };
            assert!(outcomes.iter().all(sent), "{nexthop}: {outcomes:?}");
            assert_eq!(seen.done(), [None]);
        }
    }
}
