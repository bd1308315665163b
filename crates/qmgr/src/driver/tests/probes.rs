//! Messages that only ask: they are done with whatever comes of them, and whoever asked is told.

use super::*;
use mail::Purpose;
use verify::Finding;

fn ask(b: &mut Bench, address: &str, secs: i64) {
    assert!(b.driver.desk.ask(address, secs as u64).wants_probe, "{address}");
    b.driver.probe(Address::from(address), at(secs));
}

fn known(b: &Bench, address: &str) -> String {
    b.driver.desk.look(address, 5).to_string()
}

#[test]
fn a_probe_that_cannot_be_answered_now_is_not_tried_again() {
    let mut b = Bench::new();
    ask(&mut b, "r@a", 0);
    assert_eq!(b.turn(0), ["report B1", "attempt 1", "written", "job B1 smtp a"]);
    assert_eq!(b.agents.jobs.borrow()[0].0.purpose, Purpose::Verification);
    b.agents.answer(Status::Deferred, None);
    assert_eq!(b.turn(5), ["Sent 1 #0", "written"]);
    assert!(b.driver.active.is_empty() && b.driver.probes == 0);
    assert_eq!(known(&b, "r@a"), "1:0:5:because");
}

#[test]
fn a_probe_tells_whether_the_address_can_get_mail() {
    for (status, told) in [(Status::Sent, "0:0:5:because"), (Status::Bounced, "2:0:5:because")] {
        let mut b = Bench::new();
        ask(&mut b, "r@a", 0);
        b.turn(0);
        b.agents.answer(status, None);
        assert_eq!(b.turn(5), ["Sent 1 #0", "written"]);
        assert_eq!(known(&b, "r@a"), told);
    }
}

#[test]
fn an_address_that_stands_for_several_exists_and_nobody_is_asked() {
    let mut b = Bench::new();
    ask(&mut b, "list@alias", 5);
    assert_eq!(b.turn(5), ["report B1"]);
    assert_eq!(known(&b, "list@alias"), "0:0:5:aliased to multiple recipients");
    assert!(b.driver.active.is_empty());
}

#[test]
fn a_probe_whose_tables_do_not_answer_is_asked_for_again() {
    let mut b = Bench::new();
    ask(&mut b, "r@lost", 0);
    assert_eq!(b.turn(0), [""; 0]);
    assert_eq!(b.driver.desk.look("r@lost", 5).finding, Finding::Unknown);
    ask(&mut b, "r@lost", 5);
}

#[test]
fn probes_beyond_the_limit_are_answered_for_now() {
    let mut b = Bench::new();
    ask(&mut b, "r@a", 0);
    b.turn(0);
    ask(&mut b, "q@b", 1);
    let log = b.turn(1);
    assert!(
        log.iter().any(|line| line == "job B2 retry 4.3.2 Too many address verification requests"),
        "{log:?}"
    );
    b.agents.answer(Status::Deferred, None);
    b.turn(5);
    ask(&mut b, "p@b", 6);
    assert!(b.turn(6).iter().any(|line| line == "job B3 smtp b"), "there is room again");
}

#[test]
fn who_asks_what_would_become_of_mail_is_told_of_each_recipient_once() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.attributes.extend(Purpose::Forecast.attribute());
    mail.envelope.attributes.push(("L".into(), b"filter:x".to_vec()));
    b.arrive(mail);
    assert_eq!(b.turn(0), ["attempt 1", "written", "job A smtp a"], "no filter takes it");
    b.agents.answer(Status::Bounced, None);
    assert_eq!(b.turn(1), ["Sent 1 #0", "report B1", "attempt 2", "written", "job B1 smtp x"]);
}

#[test]
fn who_wants_to_be_told_of_the_first_attempt_is_not_told_of_the_second() {
    let mut b = Bench::new();
    let mut mail = b.mail("A", "s@x", &["r@a"]);
    mail.envelope.attributes.extend(Purpose::ToldDelivery.attribute());
    b.arrive(mail);
    b.turn(0);
    b.agents.answer(Status::Deferred, None);
    let log = b.turn(1);
    assert!(log.contains(&"report B1".to_owned()) && log.contains(&"retry 1 at 301".to_owned()), "{log:?}");
    b.agents.answer(Status::Sent, None);
    b.turn(2);
    b.memory.borrow_mut().kept.values_mut().flat_map(|kept| &mut kept.message).for_each(|message| {
        message.retry_at = Some(at(301));
    });
    b.turn(301);
    b.agents.answer(Status::Deferred, None);
    let log = b.turn(302);
    assert!(log.iter().all(|line| !line.starts_with("report")), "{log:?}");
}
