//! A destination's concurrency window and how results move it.
//!
//! Postfix: `default_destination_concurrency_positive_feedback`, `…_negative_feedback`, `…_failed_cohort_limit`.

/// By how much one result moves the window, as a function of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feedback {
    /// `n`
    Constant(f64),
    /// `n / concurrency`
    OverConcurrency(f64),
    /// `n / sqrt_concurrency`
    OverSqrtConcurrency(f64),
}

impl Feedback {
    /// The step at this window.
    pub fn at(self, window: u32) -> f64 {
        match self {
            Feedback::Constant(n) => n,
            Feedback::OverConcurrency(n) => n / f64::from(window.max(1)),
            Feedback::OverSqrtConcurrency(n) => n / f64::from(window.max(1)).sqrt(),
        }
    }
}

/// What a window needs to know from its transport.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WindowSettings {
    /// `initial_destination_concurrency`.
    pub initial: u32,
    /// `…_destination_concurrency_limit`; 0 means none. Already 1 where a rate delay is set.
    pub limit: u32,
    /// `…_positive_feedback`.
    pub positive: Feedback,
    /// `…_negative_feedback`.
    pub negative: Feedback,
    /// `…_failed_cohort_limit`: so many cohorts in a row must fail until the destination is dead; 0 means never.
    pub failed_cohort_limit: u32,
}

/// How many deliveries a destination may have at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    size: u32,
    success: f64,
    failure: f64,
    failed_cohorts: f64,
}

/// What a site failure did to a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AfterFailure {
    /// It is smaller, or as it was, by this step.
    Open(f64),
    /// A whole cohort failed: the destination is dead.
    Dead,
}

impl Window {
    /// The window of a destination that nothing is known about.
    pub fn new(settings: &WindowSettings) -> Self {
        Window {
            size: capped(settings.initial.max(1), settings),
            success: 0.0,
            failure: 0.0,
            failed_cohorts: 0.0,
        }
    }

    /// How many deliveries may run at once.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// What counts toward the next step: successes, failures, failed cohorts.
    pub fn counts(&self) -> [f64; 3] {
        [self.success, self.failure, self.failed_cohorts]
    }

    /// A delivery reached the site; `busy` counts it still. Gives the step that it made.
    pub fn succeeded(&mut self, busy: u32, settings: &WindowSettings) -> Option<f64> {
        self.failed_cohorts = 0.0;
        let below_limit = settings.limit == 0 || self.size < settings.limit;
        if !below_limit || self.size >= busy.saturating_add(settings.initial) {
            return None;
        }
        let step = settings.positive.at(self.size);
        self.success += step;
        while self.success + step / 2.0 >= 1.0 {
            self.size += 1;
            self.success -= 1.0;
            self.failure = 0.0;
        }
        self.size = capped(self.size, settings);
        Some(step)
    }

    /// The site failed as a whole.
    pub fn failed(&mut self, settings: &WindowSettings) -> AfterFailure {
        self.failed_cohorts += 1.0 / f64::from(self.size);
        if settings.failed_cohort_limit > 0 && self.failed_cohorts >= f64::from(settings.failed_cohort_limit)
        {
            return AfterFailure::Dead;
        }
        let step = settings.negative.at(self.size);
        self.failure -= step;
        while self.failure - step / 2.0 < 0.0 {
            self.size = self.size.saturating_sub(1);
            self.success = 0.0;
            self.failure += 1.0;
        }
        self.size = self.size.max(1);
        AfterFailure::Open(step)
    }

    /// The destination was dead and is tried again; `busy` deliveries still run.
    pub fn revived(busy: u32, settings: &WindowSettings) -> Self {
        Window { size: if busy > 0 { busy } else { settings.initial.max(1) }, ..Window::new(settings) }
    }

    /// New settings: the window keeps what it learnt, below the new limit.
    pub fn cap(&mut self, settings: &WindowSettings) {
        self.size = capped(self.size, settings);
    }
}

fn capped(size: u32, settings: &WindowSettings) -> u32 {
    if settings.limit == 0 { size } else { size.min(settings.limit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(feedback: Feedback, cohorts: u32) -> WindowSettings {
        WindowSettings {
            initial: 5,
            limit: 20,
            positive: feedback,
            negative: feedback,
            failed_cohort_limit: cohorts,
        }
    }

    #[test]
    fn each_success_opens_the_default_window_by_one_while_it_is_used() {
        let s = settings(Feedback::Constant(1.0), 1);
        let mut w = Window::new(&s);
        let sizes: Vec<u32> = (0..20)
            .map(|_| {
                w.succeeded(w.size(), &s);
                w.size()
            })
            .collect();
        // The first step counts its own half (success + step/2 ≥ 1), so that rounding never loses one.
        assert_eq!(sizes[..4], [6, 7, 8, 9]);
        assert_eq!(sizes[19], 20, "the limit");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let s = settings(Feedback::Constant(1.0), 1);
        let mut w = Window::new(&s);
        for _ in 0..100 {
            w.succeeded(1, &s);
        }
        assert_eq!(w.size(), 6, "at most initial beyond what is busy");
    }

    #[test]
    fn less_than_hyperbolic_feedback_needs_a_whole_cohort_for_one_step() {
        let s = settings(Feedback::OverConcurrency(1.0), 0);
        let mut w = Window::new(&s);
        let mut steps = 0;
        while w.size() == 5 {
            w.succeeded(5, &s);
            steps += 1;
        }
        assert_eq!(steps, 5, "0.2 each; 5 × 0.2 + 0.1 ≥ 1, 4 × 0.2 + 0.1 < 1");
        // Failures: the first moves at once (failure − step/2 < 0 from the start), the next after a cohort.
        w.failed(&s);
        assert_eq!(w.size(), 5);
        let mut more = 0;
        while w.size() == 5 {
            w.failed(&s);
            more += 1;
        }
        assert_eq!(more, 4);
    }

    #[test]
    fn one_failed_cohort_kills_the_default_destination() {
        let s = settings(Feedback::Constant(1.0), 1);
        let mut w = Window::new(&s);
        // 1/5, window 3; 1/3, window 2; 1/2: 1.03 ≥ 1.
        assert_eq!((w.failed(&s), w.size()), (AfterFailure::Open(1.0), 3));
        assert_eq!((w.failed(&s), w.size()), (AfterFailure::Open(1.0), 2));
        assert_eq!(w.failed(&s), AfterFailure::Dead);
    }

    #[test]
    fn a_success_between_failures_forgets_the_failed_cohort() {
        let s = settings(Feedback::Constant(1.0), 1);
        let mut w = Window::new(&s);
        for _ in 0..50 {
            assert_eq!(w.failed(&s), AfterFailure::Open(1.0));
            w.succeeded(1, &s);
        }
        assert!(w.size() >= 1);
    }

    #[test]
    fn a_window_never_closes_and_never_dies_where_no_cohort_limit_is_set() {
        let s = settings(Feedback::Constant(1.0), 0);
        let mut w = Window::new(&s);
        for _ in 0..1000 {
            assert_eq!(w.failed(&s), AfterFailure::Open(1.0));
        }
        assert_eq!(w.size(), 1);
    }

    #[test]
    fn a_revived_window_is_what_runs_or_the_initial_one() {
        let s = settings(Feedback::Constant(1.0), 1);
        assert_eq!(Window::revived(3, &s).size(), 3);
        assert_eq!(Window::revived(0, &s).size(), 5);
    }
}
