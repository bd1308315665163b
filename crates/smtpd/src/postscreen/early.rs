//! The tests before a client is greeted: whether it waits for its turn, and what DNS lists say of it.

use super::cache::Entry;
use super::dnsbl::Score;
use super::kinds::{Action, Setup, Test, Tests};
use mail::{Dsn, Reply};
use observe::events::postscreen::Finding;
use std::net::IpAddr;
use std::time::Duration;

/// What the tests work by.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The tests, in the order of [`Test`].
    pub setups: [Setup; 5],
    /// `postscreen_dnsbl_threshold`.
    pub threshold: i32,
    /// `postscreen_dnsbl_allowlist_threshold`; 0 is none.
    pub allow_threshold: i32,
    /// `postscreen_dnsbl_min_ttl` and `postscreen_dnsbl_max_ttl`.
    pub score_lasts: (Duration, Duration),
}

/// What was found of a client so far.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    /// Tests that it has to pass.
    pub todo: Tests,
    /// Tests that it passed.
    pub passed: Tests,
    /// Tests that it failed.
    pub failed: Tests,
    /// How recipients are refused, where something is held against it.
    pub refusal: Option<Reply>,
    /// It came to an address of ours where none passes.
    pub veto: bool,
    /// How long its score counts.
    score_lasts: Duration,
    /// DNS lists speak for it, so no other test counts.
    recommended: bool,
}

/// What happens to a client while it waits.
pub(super) enum Input<'a> {
    /// It said something, so long after it connected.
    Spoke(&'a [u8], Duration),
    /// It hung up.
    HungUp(Duration),
    /// All lists have answered.
    Listed(&'a Score),
    /// The time is over; the score of the lists that have answered.
    Time(&'a Score),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for more.
    Wait,
    /// Say this, if anything, and close.
    Close(Option<Reply>),
    /// Hand it to smtpd.
    Pass,
    /// Talk SMTP with it.
    Talk,
}

/// A client before it is greeted.
pub(super) struct Early<'a> {
    rules: &'a Rules,
    client: IpAddr,
    /// What was found of it.
    pub judgement: Judgement,
    lists_answered: bool,
    /// What they answered.
    score: Score,
}

impl Rules {
    /// The setup of a test.
    pub fn setup(&self, test: Test) -> &Setup {
        &self.setups[test as usize]
    }

    /// The tests that a client with these stamps has to pass.
    pub fn todo(&self, known: &Entry, now: u64) -> Tests {
        let mut todo = Tests::default();
        for test in Test::ALL {
            if self.setup(test).enabled && !known.is_fresh(test, now) {
                todo.add(test);
            }
        }
        todo
    }
}

impl Judgement {
    /// Nothing is found yet; `refusal` is what the access list holds against the client.
    pub fn new(todo: Tests, refusal: Option<Reply>, veto: bool) -> Self {
        Judgement {
            todo,
            passed: Tests::default(),
            failed: Tests::default(),
            refusal,
            veto,
            score_lasts: Duration::ZERO,
            recommended: false,
        }
    }

    /// Whether it may be called a client that passed.
    pub fn is_good(&self) -> bool {
        self.refusal.is_none() && !self.veto && !self.failed.has_any(&[Test::Pregreet, Test::Dnsbl])
    }

    /// Whether one of the tests had never been passed before; one that was turned off then is no news.
    pub fn is_of_a_new_client(&self, known: &Entry) -> bool {
        Test::ALL.into_iter().any(|test| self.todo.has(test) && known.stamp(test) == Entry::NEVER)
    }

    /// What the cache is to know of it; nothing where something is held against it, or nothing new is known.
    pub fn entry(&self, rules: &Rules, known: &Entry, now: u64) -> Option<Entry> {
        if self.refusal.is_some() || self.veto || self.passed.is_empty() {
            return None;
        }
        let mut entry = known.clone();
        for test in Test::ALL {
            let setup = rules.setup(test);
            let lasts =
                if test == Test::Dnsbl || self.recommended { self.score_lasts } else { setup.time_to_live };
            let stamp = match () {
                () if self.passed.has(test) => now.saturating_add(lasts.as_secs()),
                () if !setup.enabled => known.stamp(test).max(Entry::DISABLED),
                () if self.todo.has(test) => Entry::NEVER,
                () => known.stamp(test),
            };
            entry.set(test, stamp);
        }
        Some(entry)
    }
}

impl<'a> Early<'a> {
    /// Before anything has happened.
    pub fn new(rules: &'a Rules, client: IpAddr, judgement: Judgement) -> Self {
        let lists_answered = !judgement.todo.has(Test::Dnsbl);
        Early { rules, client, judgement, lists_answered, score: Score::default() }
    }

    /// Whether what the client says still matters.
    pub fn listens(&self) -> bool {
        !self.judgement.failed.has(Test::Pregreet)
    }

    /// Takes what happens; log lines go to `findings`.
    pub fn step(&mut self, input: Input<'_>, findings: &mut Vec<Finding>) -> Next {
        match input {
            Input::HungUp(after) => {
                findings.push(Finding::Hangup { after, greeted: false });
                Next::Close(None)
            }
            Input::Spoke(text, after) => {
                findings.push(Finding::Pregreet { bytes: text.len(), after, text: text.to_vec() });
                self.judgement.failed.add(Test::Pregreet);
                let action = self.rules.setup(Test::Pregreet).action;
                match self.held(action, |code| Reply::new(code, Dsn::new(5, 5, 1), "Protocol error")) {
                    Some(reply) => Next::Close(Some(reply)),
                    None if self.lists_answered => self.conclude(findings),
                    None => Next::Wait,
                }
            }
            Input::Listed(score) => {
                self.lists_answered = true;
                self.score = score.clone();
                if self.rules.allow_threshold < 0
                    && score.rank <= self.rules.allow_threshold
                    && self.judgement.is_good()
                {
                    return self.recommended();
                }
                let waits = self.judgement.todo.has(Test::Pregreet) && self.listens();
                if waits { Next::Wait } else { self.conclude(findings) }
            }
            Input::Time(score) => {
                self.score = score.clone();
                self.conclude(findings)
            }
        }
    }

    /// Lists speak for the client: it passes whatever else could be tested.
    fn recommended(&mut self) -> Next {
        Test::ALL.into_iter().for_each(|test| self.judgement.passed.add(test));
        self.judgement.recommended = true;
        self.judgement.score_lasts = self.score_lasts();
        Next::Pass
    }

    fn score_lasts(&self) -> Duration {
        let (low, high) = self.rules.score_lasts;
        self.score.time_to_live.unwrap_or(low).clamp(low, high.max(low))
    }

    /// The end of a client whose score is too bad.
    fn judge_score(&mut self, findings: &mut Vec<Finding>) -> Option<Reply> {
        self.judgement.score_lasts = self.score_lasts();
        if self.score.rank < self.rules.threshold {
            self.judgement.passed.add(Test::Dnsbl);
            return None;
        }
        findings.push(Finding::Rank(self.score.rank));
        self.judgement.failed.add(Test::Dnsbl);
        let action = self.rules.setup(Test::Dnsbl).action;
        let domain = self.score.domain.as_deref().unwrap_or_default();
        let text = format!("Service unavailable; client [{}] blocked using {domain}", self.client);
        self.held(action, |code| Reply::new(code, Dsn::new(5, 7, 1), text))
    }

    /// Holds a failed test against the client: the reply, where that ends the connection.
    fn held(&mut self, action: Action, reply: impl FnOnce(u16) -> Reply) -> Option<Reply> {
        match action {
            Action::Ignore => None,
            Action::Enforce => {
                self.judgement.refusal = Some(reply(550));
                None
            }
            Action::Drop => Some(reply(521)),
        }
    }

    fn conclude(&mut self, findings: &mut Vec<Finding>) -> Next {
        if self.judgement.todo.has(Test::Dnsbl)
            && let Some(reply) = self.judge_score(findings)
        {
            return Next::Close(Some(reply));
        }
        let judgement = &mut self.judgement;
        if judgement.todo.has(Test::Pregreet) && !judgement.failed.has(Test::Pregreet) {
            judgement.passed.add(Test::Pregreet);
        }
        let talks = judgement.refusal.is_some() || judgement.veto || judgement.todo.has_any(&Test::DEEP);
        if talks { Next::Talk } else { Next::Pass }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn rules(pregreet: Action, dnsbl: Action) -> Rules {
        let setup = |enabled, action| Setup { enabled, action, time_to_live: 10 * MINUTE };
        let off = setup(false, Action::Ignore);
        Rules {
            setups: [setup(true, pregreet), setup(true, dnsbl), off, off, off],
            threshold: 1,
            allow_threshold: -2,
            score_lasts: (MINUTE, 60 * MINUTE),
        }
    }

    fn early(rules: &Rules) -> Early<'_> {
        let todo = rules.todo(&Entry::default(), 100);
        Early::new(rules, "192.0.2.1".parse().unwrap(), Judgement::new(todo, None, false))
    }

    fn score(rank: i32) -> Score {
        Score { rank, time_to_live: Some(2 * MINUTE), domain: Some("a.bl".into()) }
    }

    #[test]
    fn who_waits_and_is_not_listed_passes_and_the_cache_knows_how_long() {
        let rules = rules(Action::Enforce, Action::Enforce);
        let mut early = early(&rules);
        let mut found = Vec::new();
        assert_eq!(early.step(Input::Listed(&score(0)), &mut found), Next::Wait);
        assert_eq!(early.step(Input::Time(&score(0)), &mut found), Next::Pass);
        assert!(found.is_empty() && early.judgement.is_good());
        let entry = early.judgement.entry(&rules, &Entry::default(), 100).unwrap();
        assert_eq!(entry.to_string(), "700;220;1;1;1");
    }

    #[test]
    fn who_speaks_early_is_dropped_refused_or_noted() {
        let mut found = Vec::new();
        for (action, dropped, refused) in
            [(Action::Ignore, false, false), (Action::Enforce, false, true), (Action::Drop, true, false)]
        {
            let rules = rules(action, Action::Ignore);
            let mut early = early(&rules);
            let next = early.step(Input::Spoke(b"QUIT\r\n", MINUTE), &mut found);
            assert_eq!(matches!(next, Next::Close(Some(_))), dropped, "{action:?}");
            assert_eq!(early.judgement.refusal.is_some(), refused, "{action:?}");
            if !dropped {
                assert_eq!(next, Next::Wait, "the lists have not answered");
                let next = early.step(Input::Listed(&score(0)), &mut found);
                assert_eq!(next, if refused { Next::Talk } else { Next::Pass });
                assert!(!early.judgement.is_good());
            }
        }
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn a_client_is_new_only_while_there_is_a_test_that_it_never_passed() {
        let rules = rules(Action::Enforce, Action::Enforce);
        let is_new = |text: &str| {
            let known = Entry::parse(text).unwrap();
            Judgement::new(rules.todo(&known, 100), None, false).is_of_a_new_client(&known)
        };
        assert!(is_new("0;0;0;0;0"));
        assert!(is_new("50;0;1;1;1"), "its score was never known");
        assert!(!is_new("50;60;0;0;0"), "both have run out; the others are not made");
        assert!(!is_new("50;1;1;1;1"), "a test that was turned off then is no news");
    }

    #[test]
    fn lists_that_speak_for_a_client_spare_it_the_wait() {
        let rules = rules(Action::Enforce, Action::Enforce);
        let mut early = early(&rules);
        assert_eq!(early.step(Input::Listed(&score(-2)), &mut Vec::new()), Next::Pass);
        let entry = early.judgement.entry(&rules, &Entry::default(), 100).unwrap();
        assert_eq!(entry.to_string(), "220;220;220;220;220");
    }

    #[test]
    fn a_bad_score_is_dropped_refused_or_noted() {
        let reply = "521 5.7.1 Service unavailable; client [192.0.2.1] blocked using a.bl";
        let dropping = rules(Action::Ignore, Action::Drop);
        let mut found = Vec::new();
        match early(&dropping).step(Input::Time(&score(3)), &mut found) {
            Next::Close(Some(told)) => assert_eq!(told.to_string(), reply),
            other => panic!("{other:?}"),
        }
        assert_eq!(found, [Finding::Rank(3)]);
        let noting = rules(Action::Ignore, Action::Ignore);
        let mut noted = early(&noting);
        assert_eq!(noted.step(Input::Time(&score(3)), &mut found), Next::Pass);
        assert!(!noted.judgement.is_good());
        let entry = noted.judgement.entry(&noting, &Entry::default(), 100).unwrap();
        assert_eq!(entry.to_string(), "700;0;1;1;1", "the list is asked again next time");
    }

    #[test]
    fn who_hangs_up_is_gone() {
        let rules = rules(Action::Ignore, Action::Ignore);
        let mut found = Vec::new();
        assert_eq!(early(&rules).step(Input::HungUp(MINUTE), &mut found), Next::Close(None));
        assert_eq!(found, [Finding::Hangup { after: MINUTE, greeted: false }]);
    }
}
