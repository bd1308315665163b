//! Who passes whom in a transport's line.

use super::*;

/// One delivery at a time, of one recipient each, all to `a`.
fn narrow(slots: SlotSettings) -> Sched {
    with(TransportSettings {
        recipient_limit: 1,
        initial_concurrency: 1,
        concurrency_limit: 1,
        slots,
        ..TransportSettings::default()
    })
}

/// Delivers `count` requests one after the other and gives whose they were.
fn deliver(s: &mut Sched, count: usize) -> Vec<u32> {
    deliver_at(s, count, at(0))
}

fn deliver_at(s: &mut Sched, count: usize, now: Timestamp) -> Vec<u32> {
    let one = |s: &mut Sched| {
        let job = s.next(now).expect("something waits");
        s.done(now, job.job, Ended::Reached);
        job.key
    };
    (0..count).map(|_| one(s)).collect()
}

#[test]
fn a_small_message_passes_a_huge_one_once_it_has_earned_slots() {
    let mut s = narrow(SlotSettings::default());
    add(&mut s, 1, &["a"; 2000]);
    deliver(&mut s, 1);
    // One slot is there, three are lent, and half of the eight are discounted.
    add(&mut s, 2, &["a"; 8]);
    assert_eq!(deliver(&mut s, 1), [1], "0 earned + 3 lent is below 4");
    deliver(&mut s, 3);
    assert_eq!(deliver(&mut s, 9), [2, 2, 2, 2, 2, 2, 2, 2, 1]);
    // The eight are paid for with forty requests; five of them were served before.
    add(&mut s, 3, &["a"]);
    let order = deliver(&mut s, 60);
    assert_eq!(order.iter().position(|&key| key == 3), Some(35), "{order:?}");
}

#[test]
fn a_flood_of_small_messages_leaves_a_huge_one_its_share() {
    for (cost, share) in [(5, 5), (2, 2)] {
        let mut s = narrow(SlotSettings { cost, ..SlotSettings::default() });
        add(&mut s, 0, &["a"; 900]);
        for key in 1..900 {
            add(&mut s, key, &["a"]);
        }
        let order = deliver(&mut s, 600);
        let huge = order.iter().filter(|&&key| key == 0).count();
        let wanted = 600 * share / (share + 1);
        assert!(huge.abs_diff(wanted) <= 10, "cost {cost}: {huge} of 600 were the huge one's");
        let small: Vec<u32> = order.into_iter().filter(|key| *key != 0).collect();
        assert!(small.is_sorted(), "the oldest passes first");
    }
}

#[test]
fn a_message_that_just_came_is_a_candidate_though_the_line_was_searched_in_this_second() {
    let mut s = narrow(SlotSettings::default());
    add(&mut s, 1, &["a"; 100]);
    deliver(&mut s, 20);
    for key in 2..6 {
        add(&mut s, key, &["a"]);
        assert_eq!(deliver(&mut s, 2), [key, 1]);
    }
}

#[test]
fn nothing_passes_where_slots_cost_less_than_two_or_the_message_is_short() {
    for (slots, huge) in [
        (SlotSettings { cost: 0, ..SlotSettings::default() }, 100),
        (SlotSettings { cost: 1, ..SlotSettings::default() }, 100),
        (SlotSettings { minimum: 20, ..SlotSettings::default() }, 99),
        (SlotSettings::default(), 14),
    ] {
        let mut s = narrow(slots);
        add(&mut s, 1, &["a"].repeat(huge));
        add(&mut s, 2, &["a"]);
        assert_eq!(deliver(&mut s, huge), vec![1; huge], "{slots:?}");
        assert_eq!(deliver(&mut s, 1), [2]);
    }
}

#[test]
fn loan_and_discount_say_how_soon_another_may_pass() {
    let at_once = SlotSettings { loan: 0, discount: 100, ..SlotSettings::default() };
    let earned_first = SlotSettings { loan: 0, discount: 0, ..SlotSettings::default() };
    for (slots, before) in [(at_once, 1), (earned_first, 15), (SlotSettings { loan: 1, ..earned_first }, 10)]
    {
        let mut s = narrow(slots);
        add(&mut s, 1, &["a"; 100]);
        add(&mut s, 2, &["a"; 3]);
        let order = deliver(&mut s, 50);
        assert_eq!(order.iter().position(|&key| key == 2), Some(before), "{slots:?}");
    }
}

#[test]
fn a_message_that_passed_is_itself_passed_by_smaller_ones() {
    let mut s = narrow(SlotSettings::default());
    add(&mut s, 1, &["a"; 2000]);
    deliver(&mut s, 400);
    add(&mut s, 2, &["a"; 60]);
    deliver(&mut s, 10);
    add(&mut s, 3, &["a"]);
    let order = deliver(&mut s, 52);
    assert_eq!(order[0], 3, "it passes the second, which passes the first");
    assert_eq!(order[1..51], [2; 50]);
    assert_eq!(order[51], 1);
}

#[test]
fn who_cannot_be_served_does_not_pass() {
    let mut s = with(TransportSettings {
        recipient_limit: 1,
        initial_concurrency: 2,
        concurrency_limit: 2,
        ..TransportSettings::default()
    });
    // Two deliveries to `slow` run for ever, more mail waits for it.
    for key in 10..30 {
        add(&mut s, key, &["slow"]);
    }
    assert_eq!(all_jobs(&mut s, at(0)).len(), 2);
    add(&mut s, 1, &["a"; 400]);
    add(&mut s, 2, &["a"]);
    assert_eq!(deliver(&mut s, 3), [1, 2, 1]);
}

#[test]
fn the_best_candidate_is_the_one_that_waited_longest_for_its_size() {
    let mut s = narrow(SlotSettings { loan: 0, discount: 0, ..SlotSettings::default() });
    add(&mut s, 1, &["a"; 1000]);
    deliver(&mut s, 100);
    let add_at = |s: &mut Sched, key: u32, size: u32, secs: i64| {
        s.arrived(key);
        let pulled = s.pull(at(secs)).unwrap();
        let routes: Vec<Route> = (0..size).map(|i| route(i, "smtp", "a")).collect();
        s.activate(pulled, &routes, false, at(secs));
    };
    add_at(&mut s, 2, 5, 0);
    add_at(&mut s, 3, 1, 60);
    add_at(&mut s, 4, 2, 0);
    let order = deliver_at(&mut s, 8, at(60));
    assert_eq!(order, [4, 4, 2, 2, 2, 2, 2, 3], "61/2, 61/5, 1/1");
}

#[test]
fn a_message_to_many_destinations_is_passed_too() {
    let settings = TransportSettings { jobs_max: Some(1), ..TransportSettings::default() };
    let mut s = with(settings);
    let many: Vec<String> = (0..200).map(|n| format!("d{n}")).collect();
    add(&mut s, 1, &many.iter().map(String::as_str).collect::<Vec<_>>());
    add(&mut s, 2, &["small"]);
    let order = deliver(&mut s, 10);
    assert!(order.contains(&2), "{order:?}");
}

#[test]
fn a_slow_destination_with_much_old_mail_leaves_turns_to_others() {
    let settings = TransportSettings { initial_concurrency: 20, ..TransportSettings::default() };
    let mut s =
        Sched::new(Arc::new(Settings { jobs_max: 5, default_transport: settings, ..Settings::default() }));
    for key in 0..100 {
        add(&mut s, key, &["slow"]);
    }
    let jobs = all_jobs(&mut s, at(0));
    add(&mut s, 200, &["live"]);
    s.done(at(0), jobs[0].job, Ended::Reached);
    s.done(at(0), jobs[1].job, Ended::Reached);
    s.done(at(0), jobs[2].job, Ended::Reached);
    s.done(at(0), jobs[3].job, Ended::Reached);
    let next = keys(&all_jobs(&mut s, at(0)));
    assert!(next.contains(&200), "{next:?}");
}
