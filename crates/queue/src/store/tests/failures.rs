//! Segments that fail: what was acknowledged or reported before stays, however much of the news is lost.

use super::*;
use crate::testing::Stubborn;

/// Queues a report; its key.
fn report(store: &mut Store, id: &QueueId, now: Timestamp) -> MessageKey {
    let mut envelope = Envelope::new(Address::null(), now);
    envelope.recipients.push(Recipient::new(Address::from("ann@example.org")));
    let content = vec![Bytes::from_static(b"Subject: Undelivered\r\n\r\n")];
    store.bounce(None, id.clone(), envelope, content, ContentFlags::default()).unwrap().key
}

#[test]
fn a_segment_that_failed_is_read_although_its_notices_were_lost() {
    let mut world = World::new("store-lost-notice");
    let disk = Stubborn::new(&world.dir);
    let failures = disk.failures.clone();
    let mut committer = world.committer_on(Arc::new(disk));
    let (mut store, _) = world.store();
    let first = world.send(&mut committer, 1, b"Subject: first\r\n\r\n");
    failures.write.store(1, Ordering::Relaxed);
    assert!(world.try_send(&mut committer, 1, b"Subject: refused\r\n\r\n").is_err());
    let last = world.send(&mut committer, 1, b"Subject: last\r\n\r\n");
    assert_ne!(first.segment, last.segment);
    // Only the last notice arrives: that of the segment that says that the first one is given up.
    let notice = world.notices.lock().unwrap().drain(..).next_back().unwrap();
    store.take_notice(notice);
    let mut news: Vec<_> = store.poll_new(world.now).unwrap().iter().map(|m| m.key).collect();
    world.pass(&mut store, 3);
    news.extend(store.poll_new(world.now).unwrap().iter().map(|m| m.key));
    news.sort();
    assert_eq!(news, [first, last]);
}

#[test]
fn a_report_that_is_there_twice_outlives_any_number_of_starts() {
    let world = World::new("store-copied");
    let (mut store, _) = world.store();
    let id = store.new_id(world.now);
    // As when its segment failed, and the next could not be told so.
    report(&mut store, &id, world.now);
    let second = report(&mut store, &id, world.now);
    store.write_out(world.now).unwrap();
    drop(store);
    for start in 1..4 {
        let (mut store, recovered) = world.store();
        let keys: Vec<_> = store.poll_new(world.now).unwrap().iter().map(|m| m.key).collect();
        assert_eq!((recovered.messages, &keys[..]), (1, &[second][..]), "start {start}");
    }
}

#[test]
fn what_two_segments_in_a_row_cannot_hold_goes_to_a_third() {
    let mut world = World::new("store-third");
    let disk = Stubborn::new(&world.dir);
    let failures = disk.failures.clone();
    let (mut store, _) = world.store_on(Arc::new(disk));
    let ids: Vec<_> = (0..3).map(|_| store.new_id(world.now)).collect();
    for id in &ids {
        report(&mut store, id, world.now);
    }
    // The sync fails; of the next segment the header and the first report are written, the second is not.
    failures.sync.store(1, Ordering::Relaxed);
    failures.write.store(3, Ordering::Relaxed);
    world.pass(&mut store, 3);
    assert_eq!(failures.write.load(Ordering::Relaxed), 0);
    assert_eq!(store.log.durable(), store.log.position());
    drop(store);
    let (mut store, _) = world.store();
    let mut found: Vec<_> = store.poll_new(world.now).unwrap().into_iter().map(|m| m.queue_id).collect();
    found.sort();
    assert_eq!(found, ids);
    let reports = world.reports.lock().unwrap();
    assert!(!reports.iter().any(|report| report.contains("damaged")), "{reports:?}");
}
