//! The agents `error` and `retry`: a fixed result for whatever is routed to them.
//!
//! Postfix: error(8); `error:5.1.1 text` bounces, the service named retry defers.

use crate::report::{Report, ReportStyle, Verdict, Via};
use crate::{Assignment, DeliveryAgent};
use mail::{Dsn, Status};
use observe::{Numbers, Tag};

/// Bounces or defers with the nexthop as the reason.
pub struct ErrorAgent {
    tag: Tag,
    numbers: Numbers,
    style: ReportStyle,
    result: FixedResult,
}

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FixedResult {
    /// The service `error`.
    Bounce,
    /// The service `retry`.
    Defer,
}

impl ErrorAgent {
    /// The agent of one service; `tag` names the program, each delivery gets a number of its own.
    pub fn new(tag: Tag, numbers: Numbers, style: ReportStyle, result: FixedResult) -> Self {
        ErrorAgent { tag, numbers, style, result }
    }
}

impl DeliveryAgent for ErrorAgent {
    const KIND: &'static str = "error";

    fn accept(&self, assignment: Assignment) {
        let (status, class) = match self.result {
            FixedResult::Bounce => (Status::Bounced, 5),
            FixedResult::Defer => (Status::Deferred, 4),
        };
        let nexthop = assignment.job.nexthop.clone();
        let number = self.numbers.take();
        let mut report = Report::new(assignment, self.tag.numbered(*number), self.style);
        let (mut dsn, text) = split(&nexthop, class);
        if dsn.class != class {
            let service = if class == 5 { "bounce_append" } else { "defer_append" };
            observe::warn(report.tag(), format_args!("{service}: ignoring dsn code \"{dsn}\""));
            dsn = Dsn::new(class, 0, 0);
        }
        report.rest(Via::NONE, net::clock::now(), &Verdict::new(status, dsn, text));
        report.finish(None);
    }
}

/// The code in front of a fixed text, or `class`.0.0 where there is none.
pub(super) fn split(nexthop: &str, class: u8) -> (Dsn, &str) {
    Dsn::parse_prefix(nexthop).unwrap_or((Dsn::new(class, 0, 0), nexthop))
}

#[cfg(test)]
mod tests {
    use super::super::testjob::{Seen, assignment};
    use super::*;
    use observe::NumbersRange;

    fn run(result: FixedResult, nexthop: &str) -> Vec<(u32, Status, String, String)> {
        let seen = Seen::new();
        let numbers = Numbers::new(NumbersRange::of_slot(0));
        let agent = ErrorAgent::new(Tag::new("postfix", "error", 1), numbers, ReportStyle::default(), result);
        agent.accept(assignment(nexthop, &["ann@a.example", "bob@a.example"], &seen));
        assert_eq!(seen.done(), [None]);
        seen.outcomes().into_iter().map(|o| (o.index, o.status, o.dsn.to_string(), o.reason)).collect()
    }

    #[test]
    fn the_nexthop_says_code_and_reason() {
        for (nexthop, dsn) in
            [("5.1.1 no place", "5.1.1"), ("no place", "5.0.0"), ("4.1.1 no place", "5.0.0")]
        {
            let expected: Vec<_> =
                (0..2).map(|i| (i, Status::Bounced, dsn.to_string(), "no place".to_string())).collect();
            assert_eq!(run(FixedResult::Bounce, nexthop), expected, "{nexthop}");
        }
    }

    #[test]
    fn the_retry_service_defers() {
        let outcomes = run(FixedResult::Defer, "4.3.2 deferred transport");
        assert_eq!(outcomes[0], (0, Status::Deferred, "4.3.2".into(), "deferred transport".into()));
        assert_eq!(run(FixedResult::Defer, "later")[1].2, "4.0.0");
    }
}
