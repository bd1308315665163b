//! What a commit costs: messages a second, messages a group, CPU a message. `cargo test --release -p queue --test
//! enqueue -- --ignored --nocapture`, with TMPDIR on the file system to be measured.

#![allow(clippy::unwrap_used, reason = "a test: its helpers may end it")]

use bytes::Bytes;
use mail::{Address, ContentFlags, Envelope, Recipient, Timestamp};
use queue::{Hooks, Intake, IntakeSettings, RealDisk, Role};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

struct Woken(AtomicBool, Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        if !self.0.swap(true, Ordering::SeqCst) {
            self.1.unpark();
        }
    }
}

fn cpu_micros() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

fn run(sessions: usize, messages: usize, bytes: usize) {
    let dir = std::env::temp_dir().join(format!("posthaste-enqueue-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let groups = Arc::new(AtomicU64::new(0));
    let counter = groups.clone();
    let hooks = Hooks {
        notice: Box::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        }),
        ..Hooks::none()
    };
    let mut settings = IntakeSettings::new(Role::Smtpd);
    settings.journal_bytes_max = 4 << 30;
    let intake = Intake::open(settings, Arc::new(RealDisk::new(&dir).unwrap()), hooks).unwrap();
    let body = Bytes::from(vec![b'x'; bytes]);
    let now = Timestamp::from_secs(1_700_000_000);
    let submit = || {
        let mut draft = intake.draft(intake.new_id(now));
        draft
            .append(Bytes::from_static(b"Received: from client.example.org by mx.example.net; now\r\n"))
            .unwrap();
        draft.append(body.clone()).unwrap();
        let mut envelope = Envelope::new(Address::from("ann@example.org"), now);
        envelope.recipients.push(Recipient::new(Address::from("bob@example.net")));
        Box::pin(intake.commit(draft, envelope, ContentFlags::default()))
    };
    let woken = Arc::new(Woken(AtomicBool::new(true), std::thread::current()));
    let waker = Waker::from(woken.clone());
    let (start, cpu, before) = (Instant::now(), cpu_micros(), groups.load(Ordering::Relaxed));
    let (mut sent, mut done) = (sessions, 0);
    let mut waiting: Vec<Pin<Box<queue::CommitFuture>>> = (0..sessions).map(|_| submit()).collect();
    while done < messages {
        while !woken.0.swap(false, Ordering::SeqCst) {
            std::thread::park();
        }
        let mut n = 0;
        while n < waiting.len() {
            match waiting[n].as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => n += 1,
                Poll::Ready(answer) => {
                    answer.unwrap();
                    done += 1;
                    if sent < messages {
                        sent += 1;
                        waiting[n] = submit();
                    } else {
                        drop(waiting.swap_remove(n));
                    }
                }
            }
        }
    }
    let (time, cpu) = (start.elapsed(), cpu_micros() - cpu);
    let groups = groups.load(Ordering::Relaxed) - before;
    println!(
        "{sessions:4} sessions, {bytes:6} bytes: {:6.0} msg/s, {:5.1} messages a sync, {:5.1} µs CPU a message",
        messages as f64 / time.as_secs_f64(),
        messages as f64 / groups as f64,
        cpu as f64 / messages as f64,
    );
    intake.close();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
#[ignore = "a measurement"]
fn what_a_commit_costs() {
    for bytes in [1024, 10_240] {
        for sessions in [1, 20, 100] {
            run(sessions, 5_000, bytes);
        }
    }
}
