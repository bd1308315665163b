//! Which way mail is sent that does not just go where its recipient's domain says.

use super::*;

#[test]
fn a_redirected_message_goes_to_one_address_instead_of_all_its_recipients() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a", "q@a", "p@b"]);
    mail.envelope.attributes.push((">".into(), b"boss@c".to_vec()));
    b.arrive(mail);
    // As Postfix: the first in the order of domains and addresses stands for it, here q@a.
    assert_eq!(b.turn(0), ["Sent 1 #0", "Sent 1 #2", "attempt 1", "written", "job A smtp c"]);
    assert_eq!(b.agents.jobs.borrow()[0].0.recipients[0].recipient.address, Address::from("boss@c"));
    b.agents.answer(Status::Sent, None);
    assert_eq!(b.turn(1), ["Sent 1 #1", "written"]);
    assert!(b.driver.active.is_empty());
}

#[test]
fn a_message_that_names_a_filter_goes_there_or_nowhere() {
    for (filter, job) in [
        ("smtp:[127.0.0.1]:10025", "job A smtp [127.0.0.1]:10025"),
        ("smtp:", "job A smtp a"),
        ("uucp:scan", "job A retry 4.3.0 mail transport unavailable"),
    ] {
        let mut b = Bench::new();
        let mut mail = b.mail("A", "s@x", &["r@a"]);
        mail.envelope.attributes.push(("L".into(), filter.into()));
        b.arrive(mail);
        assert_eq!(b.turn(0)[2], job);
    }
}

#[test]
fn mail_to_the_double_bounce_address_of_this_host_is_dropped() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["Double-Bounce@here"]));
    assert_eq!(b.turn(0), ["Sent 1 #0", "written"]);
    assert!(b.driver.active.is_empty());
    b.arrive(b.mail("C", "s@x", &["double-bounce@there"]));
    assert_eq!(b.turn(0)[2], "job C smtp there");
}

#[test]
fn mail_that_an_administrator_gave_up_goes_back_without_a_try() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.force_expire = true;
    b.arrive(mail);
    assert_eq!(b.turn(0)[2], "job A retry 4.7.0 message is administratively expired");
    b.agents.answer(Status::Deferred, None);
    assert_eq!(b.turn(1)[..2], ["Deferred 1 #0", "report B1 with 1 [0]"]);
}

#[test]
fn a_recipient_without_an_address_fails() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &[""]));
    assert_eq!(b.turn(0)[2], "job A error 5.1.3 null recipient address");
}

#[test]
fn a_flush_lifts_defer_transports() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@later"]));
    assert_eq!(b.turn(0)[2], "job A retry 4.3.2 deferred transport");
    b.agents.answer(Status::Deferred, None);
    b.turn(10);
    assert_eq!(b.turn(400)[2], "job A retry 4.3.2 deferred transport", "its own time lifts nothing");
    b.agents.answer(Status::Deferred, None);
    b.turn(400);
    b.driver.order(Order::FlushAll, at(401));
    assert_eq!(b.turn(401), ["attempt 1", "written", "job A later later"]);
}

#[test]
fn a_transport_that_nobody_serves_defers() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@nobody"]));
    assert_eq!(b.turn(0)[2], "job A retry 4.3.0 mail transport unavailable");
}

#[test]
fn with_verp_each_recipient_is_named_in_the_sender_and_in_its_report() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "list@x", &["r@a", "q@a"]);
    mail.envelope.attributes.push(("V".into(), b"+=".to_vec()));
    b.arrive(mail);
    b.turn(0);
    let senders = |b: &Bench| {
        let jobs = b.agents.jobs.borrow();
        let mut senders: Vec<String> =
            jobs.iter().map(|(job, _)| String::from_utf8_lossy(job.sender.as_bytes()).into()).collect();
        senders.sort();
        senders
    };
    assert_eq!(senders(&b), ["list+q=a@x", "list+r=a@x"]);
    b.agents.answer(Status::Bounced, None);
    let log = b.turn(1);
    assert_eq!(log[..2], ["report B1 with 1 [0]", "report B2 with 1 [1]"]);
    let jobs = b.agents.jobs.borrow();
    let mut told: Vec<_> = jobs.iter().map(|(job, _)| job.recipients[0].recipient.address.clone()).collect();
    told.sort_by_key(|address| address.as_bytes().to_vec());
    assert_eq!(told, [Address::from("list+q=a@x"), Address::from("list+r=a@x")]);
}

#[test]
fn reports_go_to_the_plain_sender_where_verp_is_switched_off_for_them() {
    let mut b = Bench::new();
    b.driver.settings = Arc::new(Settings { disable_verp_bounces: true, ..(*b.driver.settings).clone() });
    let mut mail = b.mail("A", "list@x", &["r@a", "q@a"]);
    mail.envelope.attributes.push(("V".into(), b"+=".to_vec()));
    b.arrive(mail);
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(1)[0], "report B1 with 1 [0, 1]");
    assert_eq!(b.agents.jobs.borrow()[0].0.recipients[0].recipient.address, Address::from("list@x"));
}

#[test]
fn a_way_that_is_asked_for_holds_up_only_its_own_message() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@asked", "q@a"]));
    b.arrive(b.mail("C", "s@x", &["r@c"]));
    assert_eq!(b.turn(0), ["attempt 2", "written", "job C smtp c"]);
    // Another look at it, as after a flush, does not make it active twice.
    b.driver.order(Order::FlushAll, at(1));
    assert_eq!(b.turn(1), [""; 0]);
    WAYS_KNOWN.set(true);
    let found = tables::now(b.driver.routed());
    assert_eq!((found, b.turn(2).len()), (Some(()), 4), "one attempt, one writing, two jobs");
}

#[test]
fn a_message_that_goes_on_hold_while_its_way_is_asked_for_stays_there() {
    let mut b = Bench::new();
    b.arrive(b.mail("A", "s@x", &["r@asked"]));
    b.turn(0);
    b.driver.order(Order::Hold(QueueId::parse("A").unwrap()), at(1));
    WAYS_KNOWN.set(true);
    assert_eq!(b.turn(2), ["hold 1", "written"]);
    assert!(b.driver.active.is_empty() && b.driver.routing.is_empty());
}
