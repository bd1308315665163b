//! The scheduler's behaviour, by hand-made cases and by random ones.

mod preemption;

use super::*;
use proptest::prelude::*;
use std::time::Duration;

type Sched = Scheduler<u32>;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn failure() -> SiteFailure {
    SiteFailure { dsn: Dsn::new(4, 4, 1), reason: "connect to mx[192.0.2.1]:25: Connection refused".into() }
}

fn route(index: u32, transport: &str, nexthop: &str) -> Route {
    Route {
        index,
        transport: transport.into(),
        nexthop: nexthop.into(),
        queue: nexthop.to_lowercase().into(),
    }
}

/// Brings in a message with one recipient at each of `nexthops`, transport `smtp`.
fn add(s: &mut Sched, key: u32, nexthops: &[&str]) -> Activated {
    s.arrived(key);
    let pulled = s.pull(at(0)).expect("there is room");
    assert_eq!(pulled.key, key);
    let mut routes: Vec<Route> = (0..).zip(nexthops).map(|(i, n)| route(i, "smtp", n)).collect();
    routes.sort_by(|a, b| a.queue.cmp(&b.queue));
    s.activate(pulled, &routes, false, at(0))
}

fn all_jobs(s: &mut Sched, now: Timestamp) -> Vec<Handout<u32>> {
    std::iter::from_fn(|| s.next(now)).collect()
}

fn keys(jobs: &[Handout<u32>]) -> Vec<u32> {
    jobs.iter().map(|j| j.key).collect()
}

fn with(transport: TransportSettings) -> Sched {
    Sched::new(Arc::new(Settings { default_transport: transport, ..Settings::default() }))
}

#[test]
fn a_message_is_handed_out_and_finished() {
    let mut s = Sched::new(Arc::default());
    add(&mut s, 1, &["a", "b", "b"]);
    let jobs = all_jobs(&mut s, at(0));
    assert_eq!(
        jobs.iter().map(|j| (&*j.nexthop, j.recipients.len())).collect::<Vec<_>>(),
        [("a", 1), ("b", 2)]
    );
    s.done(at(1), jobs[0].job, Ended::Reached);
    assert_eq!(s.finished(), None);
    s.done(at(1), jobs[1].job, Ended::Reached);
    assert_eq!((s.finished(), s.finished()), (Some(1), None));
    assert_eq!(s.counts(), Counts::default());
}

#[test]
fn recipients_of_one_destination_are_split_at_the_limit() {
    let mut s = with(TransportSettings { recipient_limit: 2, ..TransportSettings::default() });
    add(&mut s, 1, &["a"; 5]);
    assert_eq!(
        all_jobs(&mut s, at(0)).iter().map(|j| j.recipients.clone()).collect::<Vec<_>>(),
        [vec![0, 1], vec![2, 3], vec![4]]
    );
}

#[test]
fn a_destination_gets_five_jobs_and_one_more_for_each_success_up_to_twenty() {
    let mut s = Sched::new(Arc::default());
    for key in 0..200 {
        add(&mut s, key, &["a"]);
    }
    let mut running: VecDeque<_> = all_jobs(&mut s, at(0)).into();
    assert_eq!(running.len(), 5);
    let mut widths = vec![];
    for _ in 0..30 {
        let job = running.pop_front().unwrap();
        s.done(at(0), job.job, Ended::Reached);
        running.extend(all_jobs(&mut s, at(0)));
        widths.push(running.len());
    }
    assert_eq!(widths[..4], [6, 7, 8, 9]);
    assert_eq!(widths.iter().max(), Some(&20));
}

#[test]
fn the_next_job_of_a_destination_comes_right_after_one_ended() {
    let mut s = with(TransportSettings { concurrency_limit: 1, ..TransportSettings::default() });
    add(&mut s, 1, &["a"]);
    add(&mut s, 2, &["a"]);
    let first = s.next(at(0)).unwrap();
    assert!(s.next(at(0)).is_none());
    s.done(at(0), first.job, Ended::Reached);
    assert_eq!(s.next(at(0)).map(|j| j.key), Some(2));
}

#[test]
fn a_dead_destination_defers_its_own_and_leaves_others_alone() {
    let mut s = Sched::new(Arc::default());
    for key in 0..40 {
        add(&mut s, key, &[if key % 2 == 0 { "dead" } else { "live" }]);
    }
    let jobs = all_jobs(&mut s, at(0));
    assert_eq!(jobs.len(), 10);
    for job in jobs.iter().filter(|j| &*j.nexthop == "dead").take(3) {
        s.done(at(1), job.job, Ended::Site(failure()));
    }
    // 1/5 + 1/3 + 1/2 of a cohort: dead. The fifteen that wait are suspended, two still run.
    let suspended = all_jobs(&mut s, at(1));
    assert_eq!(suspended.len(), 15);
    assert!(suspended.iter().all(|j| &*j.nexthop == "dead" && j.suspended == Some(failure())));
    for job in &suspended {
        s.done(at(1), job.job, Ended::Reached);
    }
    assert_eq!(std::iter::from_fn(|| s.finished()).count(), 18);
    for job in jobs.iter().filter(|j| &*j.nexthop == "live") {
        s.done(at(1), job.job, Ended::Reached);
    }
    assert!(all_jobs(&mut s, at(1)).iter().all(|j| &*j.nexthop == "live" && j.suspended.is_none()));
    // New mail for it is suspended at once, until minimal_backoff_time is over.
    add(&mut s, 100, &["dead"]);
    assert!(s.next(at(2)).is_some_and(|j| j.suspended.is_some()));
    assert_eq!(s.next_timer(), Some(at(301)));
    for job in jobs.iter().filter(|j| &*j.nexthop == "dead").skip(3) {
        s.done(at(2), job.job, Ended::Site(failure()));
    }
    s.advance(at(301));
    add(&mut s, 101, &["dead"]);
    assert!(s.next(at(301)).is_some_and(|j| j.suspended.is_none()));
}

#[test]
fn a_success_or_a_flush_revives_a_dead_destination() {
    for flush in [false, true] {
        let mut s = Sched::new(Arc::default());
        for key in 0..5 {
            add(&mut s, key, &["a"]);
        }
        let jobs = all_jobs(&mut s, at(0));
        for job in &jobs[..3] {
            s.done(at(1), job.job, Ended::Site(failure()));
        }
        if flush {
            s.flush_all();
        } else {
            s.done(at(1), jobs[3].job, Ended::Reached);
        }
        add(&mut s, 9, &["a"]);
        let next = s.next(at(1));
        if flush {
            assert!(next.is_none(), "its window is the two that still run");
            s.done(at(1), jobs[3].job, Ended::Reached);
            assert!(s.next(at(1)).is_some_and(|j| j.suspended.is_none()));
        } else {
            assert!(
                next.is_some_and(|j| j.suspended.is_none()),
                "two were busy when it was revived, one is left"
            );
        }
    }
}

#[test]
fn a_flushed_message_tries_its_dead_destination() {
    let mut s = Sched::new(Arc::default());
    for key in 0..3 {
        add(&mut s, key, &["a"]);
    }
    for job in all_jobs(&mut s, at(0)) {
        s.done(at(1), job.job, Ended::Site(failure()));
    }
    s.wait(7, at(1000));
    assert!(s.flush_one(7));
    let pulled = s.pull(at(2)).unwrap();
    assert!(pulled.flushed);
    s.activate(pulled, &[route(0, "smtp", "a")], false, at(0));
    assert!(s.next(at(2)).is_some_and(|j| j.suspended.is_none()));
}

#[test]
fn destinations_and_transports_take_turns() {
    let mut s = Sched::new(Arc::new(Settings { jobs_max: 6, ..Settings::default() }));
    for key in 0..10 {
        add(&mut s, key, &["a"]);
    }
    add(&mut s, 10, &["b"]);
    s.arrived(11);
    let pulled = s.pull(at(0)).unwrap();
    s.activate(pulled, &[route(0, "lmtp", "c")], false, at(0));
    let jobs = all_jobs(&mut s, at(0));
    assert_eq!(keys(&jobs)[..2], [0, 11], "transports in turn");
    assert!(keys(&jobs)[..5].contains(&10), "destinations of one too");
    assert_eq!(jobs.len(), 6, "the limit over all");
}

#[test]
fn a_transport_with_a_session_limit_leaves_the_others_theirs() {
    let limited = TransportSettings { jobs_max: Some(1), ..TransportSettings::default() };
    let settings = Settings { transports: HashMap::from([("smtp".into(), limited)]), ..Settings::default() };
    let mut s = Sched::new(Arc::new(settings));
    add(&mut s, 1, &["a", "b"]);
    s.arrived(2);
    let pulled = s.pull(at(0)).unwrap();
    s.activate(pulled, &[route(0, "lmtp", "c"), route(1, "lmtp", "d")], false, at(0));
    assert_eq!(keys(&all_jobs(&mut s, at(0))), [1, 2, 2]);
}

#[test]
fn a_rate_delay_spaces_the_deliveries_of_a_destination() {
    let mut s = with(TransportSettings {
        destination_rate_delay: Duration::from_secs(10),
        ..TransportSettings::default()
    });
    for key in 0..3 {
        add(&mut s, key, &["a"]);
    }
    let first = s.next(at(0)).unwrap();
    assert!(s.next(at(0)).is_none(), "one at a time");
    s.done(at(1), first.job, Ended::Reached);
    assert!(s.next(at(1)).is_none());
    assert_eq!(s.next_timer(), Some(at(11)));
    s.advance(at(11));
    assert!(s.next(at(11)).is_some());
}

#[test]
fn a_transport_rate_delay_holds_for_all_its_destinations() {
    let mut s = with(TransportSettings {
        transport_rate_delay: Duration::from_secs(10),
        ..TransportSettings::default()
    });
    add(&mut s, 1, &["a", "b"]);
    assert!(s.next(at(0)).is_some());
    assert!(s.next(at(5)).is_none());
    s.advance(at(10));
    assert!(s.next(at(10)).is_some());
}

#[test]
fn a_transport_that_fails_suspends_all_its_destinations_for_a_while() {
    let mut s = Sched::new(Arc::default());
    for (key, nexthop) in [(0, "a"), (1, "b"), (2, "b"), (3, "b"), (4, "b"), (5, "b"), (6, "b")] {
        add(&mut s, key, &[nexthop]);
    }
    let jobs = all_jobs(&mut s, at(0));
    s.done(at(0), jobs[0].job, Ended::Transport(failure()));
    let suspended = all_jobs(&mut s, at(0));
    assert_eq!(keys(&suspended), [6]);
    add(&mut s, 8, &["c"]);
    assert!(s.next(at(0)).is_some_and(|j| j.suspended.is_some()));
    s.advance(at(60));
    add(&mut s, 9, &["c"]);
    assert!(s.next(at(60)).is_some_and(|j| j.suspended.is_none()));
}

#[test]
fn a_suspect_runs_when_nothing_else_does() {
    let mut s = Sched::new(Arc::default());
    add(&mut s, 1, &["a"]);
    let ordinary = s.next(at(0)).unwrap();
    s.arrived(2);
    let pulled = s.pull(at(0)).unwrap();
    s.activate(pulled, &[route(0, "smtp", "b"), route(1, "smtp", "c")], true, at(0));
    add(&mut s, 3, &["a"]);
    assert!(s.next(at(0)).is_none(), "the suspect waits for the ordinary one, and the next for the suspect");
    s.done(at(0), ordinary.job, Ended::Reached);
    for _ in 0..2 {
        let suspect = s.next(at(0)).unwrap();
        assert_eq!(suspect.key, 2);
        assert!(s.next(at(0)).is_none());
        s.done(at(0), suspect.job, Ended::Reached);
    }
    assert_eq!(s.next(at(0)).map(|j| j.key), Some(3));
}

#[test]
fn a_removed_message_is_not_handed_out_any_more() {
    let mut s =
        with(TransportSettings { initial_concurrency: 1, concurrency_limit: 1, ..Default::default() });
    for key in 1..4 {
        add(&mut s, key, &["a"]);
    }
    let first = s.next(at(0)).unwrap();
    assert!(s.remove(2));
    s.done(at(0), first.job, Ended::Reached);
    assert_eq!(s.next(at(0)).map(|j| j.key), Some(3));
    assert_eq!((s.finished(), s.finished(), s.finished()), (Some(1), Some(2), None));
}

#[test]
fn a_message_without_recipients_is_finished_at_once() {
    let mut s = Sched::new(Arc::default());
    assert_eq!(add(&mut s, 1, &[]), Activated::Active);
    assert_eq!(s.finished(), Some(1));
}

#[test]
fn a_slow_destination_cannot_fill_the_active_queue() {
    let mut s = Sched::new(Arc::new(Settings { active_limit: 100, ..Settings::default() }));
    let mut parked = 0;
    for key in 0..1000 {
        parked += usize::from(add(&mut s, key, &["slow"]) == Activated::Parked);
    }
    let slow = all_jobs(&mut s, at(0));
    assert!(s.counts().active < 60 && parked > 900, "{:?}", s.counts());
    assert_eq!(add(&mut s, 2000, &["live"]), Activated::Active);
    assert_eq!(s.next(at(0)).map(|j| j.key), Some(2000));
    // They all come out in the end, with full concurrency.
    let mut running: VecDeque<_> = slow.into();
    let (mut delivered, mut widest) = (0, 0);
    while let Some(job) = running.pop_front() {
        delivered += 1;
        s.done(at(0), job.job, Ended::Reached);
        while let Some(pulled) = s.pull(at(0)) {
            s.activate(pulled, &[route(0, "smtp", "slow")], false, at(0));
        }
        running.extend(all_jobs(&mut s, at(0)));
        widest = widest.max(running.len());
    }
    assert_eq!((delivered, widest), (1000, 20));
}

#[test]
fn parked_mail_of_a_destination_that_dies_comes_back() {
    let mut s = Sched::new(Arc::new(Settings { active_limit: 20, ..Settings::default() }));
    for key in 0..100 {
        add(&mut s, key, &["a"]);
    }
    for job in all_jobs(&mut s, at(0)).iter().take(3) {
        s.done(at(0), job.job, Ended::Site(failure()));
    }
    let mut suspended = 0;
    loop {
        let jobs = all_jobs(&mut s, at(0));
        for job in &jobs {
            assert!(job.suspended.is_some());
            suspended += 1;
            s.done(at(0), job.job, Ended::Reached);
        }
        let mut more = false;
        while let Some(pulled) = s.pull(at(0)) {
            more = true;
            s.activate(pulled, &[route(0, "smtp", "a")], false, at(0));
        }
        if jobs.is_empty() && !more {
            break;
        }
    }
    assert_eq!(suspended, 95);
}

#[test]
fn new_settings_hold_for_what_is_queued() {
    let mut s = Sched::new(Arc::default());
    for key in 0..10 {
        add(&mut s, key, &["a"]);
    }
    let narrow = TransportSettings { concurrency_limit: 2, ..TransportSettings::default() };
    s.set_settings(Arc::new(Settings { default_transport: narrow, ..Settings::default() }));
    assert_eq!(all_jobs(&mut s, at(0)).len(), 2);
}

/// What may happen in a random run.
#[derive(Clone, Debug)]
enum Step {
    Arrive { nexthops: Vec<u8> },
    EndOne { which: usize, how: u8 },
    Pass { secs: i64 },
    Remove { key: u32 },
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::collection::vec(0u8..5, 0..40).prop_map(|nexthops| Step::Arrive { nexthops }),
        6 => (any::<usize>(), 0u8..10).prop_map(|(which, how)| Step::EndOne { which, how }),
        1 => (1i64..400).prop_map(|secs| Step::Pass { secs }),
        1 => (0u32..50).prop_map(|key| Step::Remove { key }),
        1 => Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever happens: each recipient is handed out once an activation, no window and no limit is exceeded,
    /// nothing is forgotten, and when all has ended nothing is left behind.
    #[test]
    fn each_recipient_is_handed_out_once_and_within_all_limits(
        steps in proptest::collection::vec(step(), 1..200),
        limit in 1usize..4,
        active_limit in 4usize..40,
        rate in 0u64..2,
    ) {
        let transport = TransportSettings {
            recipient_limit: limit,
            destination_rate_delay: Duration::from_secs(rate * 5),
            ..TransportSettings::default()
        };
        let jobs_max = 12;
        let mut s = Sched::new(Arc::new(Settings {
            active_limit, jobs_max, default_transport: transport.clone(), ..Settings::default()
        }));
        let mut world = World::default();
        for step in steps {
            match step {
                Step::Arrive { nexthops } => world.arrive(&mut s, nexthops),
                Step::EndOne { which, how } => world.end_one(&mut s, which, how),
                Step::Pass { secs } => {
                    world.now = world.now.after(Duration::from_secs(secs as u64));
                    s.advance(world.now);
                }
                Step::Remove { key } => {
                    s.remove(key);
                    world.removed.insert(key);
                }
                Step::Flush => s.flush_all(),
            }
            world.turn(&mut s);
            prop_assert!(world.running.iter().filter(|j| j.suspended.is_none()).count() <= jobs_max);
            prop_assert!(s.counts().active <= active_limit);
        }
        for _ in 0..100_000 {
            world.end_one(&mut s, 0, 0);
            world.now = world.now.after(Duration::from_secs(5));
            s.advance(world.now);
            world.turn(&mut s);
            if world.running.is_empty() && s.counts().active == 0 && s.counts().waiting == 0 {
                break;
            }
        }
        prop_assert_eq!(s.counts().active, 0);
        prop_assert_eq!(s.counts().waiting, 0);
        prop_assert!(s.transports.iter().all(|t| t.line.tasks.is_empty() && t.line.ready.is_empty()));
        for (key, nexthops) in &world.messages {
            if !world.removed.contains(key) {
                prop_assert!(world.finished.contains(key), "message {} was forgotten", key);
                prop_assert_eq!(world.handed_out.get(key).map_or(0, Vec::len), nexthops.len());
            }
        }
    }
}

/// The driver of the random runs.
#[derive(Default)]
struct World {
    now: Timestamp,
    messages: BTreeMap<u32, Vec<u8>>,
    running: Vec<Handout<u32>>,
    handed_out: BTreeMap<u32, Vec<u32>>,
    removed: BTreeSet<u32>,
    finished: BTreeSet<u32>,
}

impl World {
    fn arrive(&mut self, s: &mut Sched, nexthops: Vec<u8>) {
        let key = self.messages.len() as u32;
        self.removed.remove(&key);
        self.messages.insert(key, nexthops);
        s.arrived(key);
    }

    fn end_one(&mut self, s: &mut Sched, which: usize, how: u8) {
        if self.running.is_empty() {
            return;
        }
        let job = self.running.swap_remove(which % self.running.len());
        let ended = match how {
            0..6 => Ended::Reached,
            6..9 => Ended::Site(failure()),
            _ => Ended::Transport(failure()),
        };
        s.done(self.now, job.job, ended);
    }

    fn turn(&mut self, s: &mut Sched) {
        while let Some(pulled) = s.pull(self.now) {
            let nexthops = &self.messages[&pulled.key];
            let mut routes: Vec<Route> =
                (0..).zip(nexthops).map(|(i, n)| route(i, &format!("t{}", n % 2), &n.to_string())).collect();
            routes.sort_by(|a, b| (&a.transport, &a.queue).cmp(&(&b.transport, &b.queue)));
            s.activate(pulled, &routes, false, at(0));
        }
        while let Some(job) = s.next(self.now) {
            let seen = self.handed_out.entry(job.key).or_default();
            for index in &job.recipients {
                assert!(!seen.contains(index), "recipient {index} of {} twice", job.key);
                seen.push(*index);
            }
            assert!(!job.recipients.is_empty());
            self.running.push(job);
        }
        while let Some(key) = s.finished() {
            assert!(self.finished.insert(key), "{key} finished twice");
        }
    }
}

#[test]
fn a_destination_with_more_than_a_fifth_of_the_active_queue_is_told_of_once_in_a_while() {
    let mut s = Sched::new(Arc::new(Settings { active_limit: 10, ..Settings::default() }));
    for key in 0..2 {
        add(&mut s, key, &["a"]);
    }
    assert_eq!(s.remark(), None);
    add(&mut s, 2, &["a"]);
    let clogged = |at_limit| Remark::Clogged {
        transport: "smtp".into(),
        nexthop: "a".into(),
        entries: 3,
        active: 3,
        at_limit,
    };
    assert_eq!(s.remark(), Some(clogged(None)));
    add(&mut s, 3, &["a"]);
    assert_eq!(s.remark(), None, "it was said just now");
    s.arrived(4);
    let pulled = s.pull(at(300)).unwrap();
    s.activate(pulled, &[route(0, "smtp", "a")], false, at(300));
    assert!(s.remark().is_some(), "again after qmgr_clog_warn_time");

    let narrow = TransportSettings { concurrency_limit: 2, ..TransportSettings::default() };
    let mut s =
        Sched::new(Arc::new(Settings { active_limit: 10, default_transport: narrow, ..Settings::default() }));
    for key in 0..3 {
        add(&mut s, key, &["a"]);
    }
    assert_eq!(s.remark(), Some(clogged(Some(2))));

    let mut s = Sched::new(Arc::new(Settings { active_limit: 10, clog_warn: None, ..Settings::default() }));
    for key in 0..4 {
        add(&mut s, key, &["a"]);
    }
    assert_eq!(s.remark(), None);
}

#[test]
fn windows_are_told_where_that_is_asked_for() {
    let mut s = Sched::new(Arc::new(Settings { feedback_debug: true, ..Settings::default() }));
    for key in 0..4 {
        add(&mut s, key, &["a"]);
    }
    let jobs = all_jobs(&mut s, at(0));
    s.done(at(0), jobs[0].job, Ended::Reached);
    for job in &jobs[1..] {
        s.done(at(0), job.job, Ended::Site(failure()));
    }
    let told: Vec<_> = std::iter::from_fn(|| s.remark())
        .map(|remark| match remark {
            Remark::Window { succeeded, step, limit: 20, size, .. } => (succeeded, step, size),
            other => panic!("{other:?}"),
        })
        .collect();
    // 1/6 + 1/4 + 1/3 of a cohort is not a whole one.
    assert_eq!(
        told,
        [(true, Some(1.0), 6), (false, Some(1.0), 4), (false, Some(1.0), 3), (false, Some(1.0), 2)]
    );
}
