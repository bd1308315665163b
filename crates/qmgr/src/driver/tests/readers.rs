//! Whom reports go to: what tables make of an address, at once, later, or not.

use super::*;

fn bounced(b: &mut Bench, sender: &str) -> Vec<String> {
    b.arrive(b.mail("A", sender, &["r@a"]));
    b.turn(0);
    b.agents.answer(Status::Bounced, None);
    b.turn(1)
}

#[test]
fn a_report_goes_to_all_that_an_address_stands_for() {
    let mut b = Bench::new();
    let log = bounced(&mut b, "list@alias");
    assert_eq!(log, ["report B1 with 1 [0]", "attempt 2", "written", "job B1 smtp one", "job B1 smtp two"]);
}

#[test]
fn a_report_that_waits_for_a_table_holds_up_only_its_own_message() {
    let mut b = Bench::new();
    assert_eq!(bounced(&mut b, "list@asked"), [""; 0]);
    b.arrive(b.mail("C", "s@x", &["r@c"]));
    assert_eq!(b.turn(2), ["attempt 2", "written", "job C smtp c"]);
    // Another look at it, as after a flush, does not make it active meanwhile.
    b.driver.order(Order::FlushAll, at(2));
    assert_eq!(b.turn(2), [""; 0]);
    WAYS_KNOWN.set(true);
    assert_eq!(tables::now(b.driver.routed()), Some(()));
    let log = b.turn(3);
    assert_eq!(log[0], "report B1 with 1 [0]");
    assert!(b.driver.concluding.is_empty() && log.contains(&"job B1 smtp one".to_owned()), "{log:?}");
}

#[test]
fn a_message_whose_report_finds_no_reader_is_tried_again() {
    let mut b = Bench::new();
    let log = bounced(&mut b, "list@lost");
    assert!(log[0].starts_with("retry 1 at "), "{log:?}");
}

#[test]
fn a_message_that_is_deleted_while_its_report_waits_gets_none() {
    let mut b = Bench::new();
    bounced(&mut b, "list@asked");
    b.driver.order(Order::Delete(QueueId::parse("A").unwrap()), at(2));
    WAYS_KNOWN.set(true);
    assert_eq!(b.turn(3), ["remove 1", "written"]);
}
