//! Jobs for tests, and an end of the way back that remembers.

use crate::{Assignment, OutcomeSink};
use mail::{
    Address, Content, ContentFlags, Encoding, Job, JobId, JobRecipient, Outcome, QueueId, Recipient,
    SiteFailure, Stamps,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// Remembers what came back.
#[derive(Default)]
pub struct Seen {
    outcomes: RefCell<Vec<Outcome>>,
    done: RefCell<Vec<Option<SiteFailure>>>,
    transports_failed: RefCell<Vec<String>>,
}

impl Seen {
    pub fn new() -> Rc<Seen> {
        Rc::default()
    }

    pub fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes = self.outcomes.borrow().clone();
        outcomes.sort_by_key(|o| o.index);
        outcomes
    }

    pub fn done(&self) -> Vec<Option<SiteFailure>> {
        self.done.borrow().clone()
    }

    pub fn transports_failed(&self) -> Vec<String> {
        self.transports_failed.borrow().clone()
    }
}

impl OutcomeSink for Seen {
    fn outcome(&self, outcome: Outcome) {
        self.outcomes.borrow_mut().push(outcome);
    }

    fn done(&self, _: JobId, site_failure: Option<SiteFailure>) {
        self.done.borrow_mut().push(site_failure);
    }

    fn transport_failed(&self, _: JobId, failure: SiteFailure) {
        self.transports_failed.borrow_mut().push(failure.reason);
    }
}

/// A small message from `s@x.example` to these recipients.
pub fn assignment(nexthop: &str, recipients: &[&str], seen: &Rc<Seen>) -> Assignment {
    let recipients = (0u32..).zip(recipients);
    let recipients =
        recipients.map(|(index, r)| JobRecipient { index, recipient: Recipient::new(Address::from(*r)) });
    let content = bytes::Bytes::from("Subject: x\r\n\r\nFrom here\r\nto there\r\n");
    let job = Job {
        id: JobId(7),
        queue_id: QueueId::parse("4XyZ1").unwrap(),
        purpose: mail::Purpose::Delivery,
        sender: Address::from("s@x.example"),
        envid: String::new(),
        ret: None,
        encoding: Encoding::Unknown,
        smtputf8: 0,
        origin: Arc::default(),
        transport: "test".into(),
        nexthop: nexthop.into(),
        recipients: recipients.collect(),
        content: Content::in_memory(vec![content], ContentFlags::default()),
        stamps: Stamps::default(),
    };
    Assignment::new(job, seen.clone())
}
