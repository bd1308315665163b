//! Stress: a service whose sessions near their limit, or whose machine runs short, takes the settings for `stress=yes`
//! for new sessions until that is over.
//!
//! Postfix: STRESS_README. There the master starts new processes with `-o stress=yes`; here each service has both
//! readings of its settings ([`crate::Readings`]), and a session takes one as it begins.

mod memory;
mod policy;

pub use memory::Memory;
pub use policy::{Measure, Policy, Reading, Switch};

use net::Shutdown;
use observe::Tag;
use queue::Intake;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often the machine is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Whether a service is under stress; clones are the same, and all event loops share it.
#[derive(Clone, Debug)]
pub struct Stress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Arc<str>,
    tag: Tag,
    /// Sessions at once, on all event loops.
    sessions_max: usize,
    sessions: AtomicUsize,
    on: AtomicBool,
    /// Nothing where the service never changes its settings.
    policy: Option<Mutex<Policy>>,
}

/// A session that counts; dropping it uncounts it.
#[derive(Debug)]
pub(crate) struct Counted(Stress);

impl Stress {
    /// A calm service with so many sessions at most. Without a `calm_time` it stays calm.
    pub fn new(service: Arc<str>, tag: Tag, sessions_max: usize, calm_time: Option<Duration>) -> Self {
        let policy = calm_time.map(|time| Mutex::new(Policy::new(time)));
        let (sessions, on) = (AtomicUsize::new(0), AtomicBool::new(false));
        Stress(Arc::new(Inner { service, tag, sessions_max, sessions, on, policy }))
    }

    /// Sessions that are open, on all event loops.
    pub fn sessions_open(&self) -> usize {
        self.0.sessions.load(Ordering::Relaxed)
    }

    /// Sessions at once, on all event loops.
    pub fn sessions_max(&self) -> usize {
        self.0.sessions_max
    }

    /// Whether new sessions take the settings for stress.
    pub fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Counts a session that begins, unless there are as many as there may be; at the mark stress begins with it.
    pub(crate) fn try_count(&self) -> Option<Counted> {
        let max = self.0.sessions_max;
        let more = |sessions| (sessions < max).then_some(sessions + 1);
        let before = self.0.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let reading = self.sessions(before + 1);
        if reading.is_short() && !self.is_on() {
            self.observe(&[reading]);
        }
        Some(Counted(self.clone()))
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.sessions.load(Ordering::Relaxed) >= self.0.sessions_max
    }

    /// Takes what is used of the machine.
    pub fn look(&self, machine: &[Reading]) {
        let sessions = self.sessions(self.0.sessions.load(Ordering::Relaxed));
        let load: Vec<Reading> = std::iter::once(sessions).chain(machine.iter().copied()).collect();
        self.observe(&load);
    }

    fn sessions(&self, used: usize) -> Reading {
        let of = self.0.sessions_max as u64;
        Reading { measure: Measure::Sessions, used: used as u64, of }
    }

    fn observe(&self, load: &[Reading]) {
        let Some(policy) = &self.0.policy else { return };
        let switch = policy.lock().unwrap_or_else(PoisonError::into_inner).observe(load, Instant::now());
        let Inner { service, tag, on, .. } = &*self.0;
        match switch {
            None => {}
            Some(Switch::On(why)) => {
                on.store(true, Ordering::Relaxed);
                let text =
                    format_args!("service \"{service}\" enters stress: {why}; new sessions have stress=yes");
                observe::warn(tag, text);
            }
            Some(Switch::Off(lasted, now)) => {
                on.store(false, Ordering::Relaxed);
                let lasted = lasted.as_secs();
                observe::info(
                    tag,
                    format_args!("service \"{service}\" leaves stress after {lasted} s: {now}"),
                );
            }
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a process has.
pub struct Machine {
    /// Memory, its own and the host's.
    pub memory: Memory,
    /// Descriptors that sessions may use.
    pub descriptors: u64,
    /// The way to the disk.
    pub intake: Intake,
}

impl Machine {
    /// How much of it is used, with the sessions of these services.
    fn load(&self, services: &[Stress]) -> Vec<Reading> {
        let sessions: usize = services.iter().map(|s| s.0.sessions.load(Ordering::Relaxed)).sum();
        let reading = |measure, used: usize, of| Reading { measure, used: used as u64, of };
        let (waiting, may_wait) = self.intake.backlog();
        let fixed = [
            reading(Measure::Descriptors, sessions, self.descriptors),
            reading(Measure::Backlog, waiting, may_wait as u64),
        ];
        self.memory.read().into_iter().chain(fixed).collect()
    }
}

/// Looks at the machine for all services of a process until the end.
pub async fn watch(services: Vec<Stress>, machine: Machine, shutdown: Shutdown) {
    if services.iter().all(|service| service.0.policy.is_none()) {
        return;
    }
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(LOOK_PERIOD) => {}
        }
        let load = machine.load(&services);
        services.iter().for_each(|service| service.look(&load));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stress(calm_time: Option<Duration>) -> Stress {
        Stress::new("smtp".into(), Tag::new("postfix", "smtpd", 1), 3, calm_time)
    }

    #[test]
    fn the_session_that_reaches_the_mark_begins_stress_and_it_ends_with_calm() {
        let stress = stress(Some(Duration::ZERO));
        let sessions = [stress.try_count(), stress.try_count()];
        assert!(!stress.is_on());
        let last = stress.try_count();
        assert!(stress.is_on() && stress.is_full() && stress.try_count().is_none());
        stress.look(&[]);
        assert!(stress.is_on(), "all sessions are in use");
        drop((sessions, last));
        stress.look(&[Reading { measure: Measure::Memory, used: 99, of: 100 }]);
        assert!(stress.is_on(), "memory is short");
        stress.look(&[Reading { measure: Measure::Memory, used: 9, of: 100 }]);
        assert!(!stress.is_on());
    }

    #[test]
    fn a_service_without_stress_stays_calm() {
        let stress = stress(None);
        let _sessions: Vec<_> = (0..3).map(|_| stress.try_count()).collect();
        stress.look(&[Reading { measure: Measure::Memory, used: 99, of: 100 }]);
        assert!(!stress.is_on());
    }
}
