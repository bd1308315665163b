//! Which of many rules about networks is the first that fits an address, found by binary search.
//!
//! All prefixes of the rules divide the addresses into ranges within which every rule gives one answer. Each range is
//! given to its first rule when the table is built, so that a lookup costs the same for ten rules and for a million.

use crate::rules::Step;
use std::net::IpAddr;
use std::ops::Range;

/// A network, or all addresses of its family outside of it. Neither says anything of the other family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) is_ipv4: bool,
    pub(crate) first: u128,
    pub(crate) last: u128,
    pub(crate) negated: bool,
}

/// The number of an address, and whether it is an IPv4 address.
pub(crate) fn number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(address) => (true, u32::from(address).into()),
        IpAddr::V6(address) => (false, address.into()),
    }
}

/// No rule.
const NONE: u32 = u32::MAX;

/// The addresses of one family: where each range starts, and the number of the rule that its addresses get.
#[derive(Debug, Default)]
struct Family {
    starts: Vec<u128>,
    rules: Vec<u32>,
}

/// For each address the number of the rule that answers.
#[derive(Debug)]
pub(crate) struct Networks {
    ipv4: Family,
    ipv6: Family,
}

impl Networks {
    /// The index of rules that are tried in order, within their blocks.
    pub(crate) fn of<R>(steps: &[Step<Network, R>], network: impl Fn(&R) -> Network) -> Networks {
        let family = |is_ipv4| Builder::new(steps, &network, is_ipv4).run(steps, &network);
        Networks { ipv4: family(true), ipv6: family(false) }
    }

    /// The place among the steps of the rule that answers for an address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<usize> {
        let (is_ipv4, number) = number(address);
        let family = if is_ipv4 { &self.ipv4 } else { &self.ipv6 };
        let after = family.starts.partition_point(|&start| start <= number);
        let rule = *family.rules.get(after.checked_sub(1)?)?;
        (rule != NONE).then_some(rule as usize)
    }
}

/// Gives each range to its first rule.
struct Builder {
    is_ipv4: bool,
    starts: Vec<u128>,
    rules: Vec<u32>,
    /// For each range a range at or behind it that may have no rule yet: each range is passed once, then jumped over.
    next: Vec<u32>,
}

impl Builder {
    fn new<R>(steps: &[Step<Network, R>], network: impl Fn(&R) -> Network, is_ipv4: bool) -> Builder {
        let mut starts = vec![0];
        for step in steps {
            let network = match step {
                Step::Rule(rule) => network(rule),
                Step::Block { condition, .. } => *condition,
            };
            if network.is_ipv4 == is_ipv4 {
                starts.push(network.first);
                starts.extend(network.last.checked_add(1));
            }
        }
        starts.sort_unstable();
        starts.dedup();
        let count =
            u32::try_from(starts.len()).expect("a table has less than a billion rules, see RULES_MAX");
        Builder { is_ipv4, rules: vec![NONE; starts.len()], next: (0..=count).collect(), starts }
    }

    fn run<R>(mut self, steps: &[Step<Network, R>], network: impl Fn(&R) -> Network) -> Family {
        // The ranges that the open blocks leave, each with the step where its block ends.
        let everywhere = 0..self.starts.len();
        let mut scopes = vec![(steps.len(), vec![everywhere])];
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            while scopes.last().is_some_and(|(end, _)| *end <= at) {
                scopes.pop();
            }
            let scope = scopes.last().map_or(&[][..], |(_, scope)| scope);
            at += 1;
            match step {
                Step::Rule(rule) => {
                    for part in self.parts(network(rule)) {
                        self.give(&part, scope, at - 1);
                    }
                }
                Step::Block { condition, end } => {
                    let parts = self.parts(*condition);
                    let inner: Vec<_> = parts.iter().flat_map(|part| within(scope, part)).collect();
                    match inner.is_empty() {
                        true => at = *end,
                        false => scopes.push((*end, inner)),
                    }
                }
            }
        }
        self.finished()
    }

    /// The ranges that a network covers, ascending.
    fn parts(&self, network: Network) -> Vec<Range<usize>> {
        if network.is_ipv4 != self.is_ipv4 {
            return Vec::new();
        }
        let place = |number| self.starts.partition_point(|&start| start < number);
        let inside = place(network.first)..network.last.checked_add(1).map_or(self.starts.len(), place);
        match network.negated {
            false => vec![inside],
            true => [0..inside.start, inside.end..self.starts.len()]
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect(),
        }
    }

    /// Gives to a rule what has none yet in `part`, within `scope`.
    fn give(&mut self, part: &Range<usize>, scope: &[Range<usize>], rule: usize) {
        let mut at = self.free(part.start);
        while at < part.end {
            // The part of the scope that holds this range, or the next one.
            let Some(place) = scope.get(scope.partition_point(|place| place.end <= at)) else { return };
            at = self.free(at.max(place.start));
            if at < place.end.min(part.end) {
                self.rules[at] = u32::try_from(rule).unwrap_or(NONE);
                self.next[at] = self.next[at + 1];
                at = self.free(at);
            }
        }
    }

    /// The first range at or behind `at` that has no rule yet; shortens the way for the next who asks.
    fn free(&mut self, mut at: usize) -> usize {
        while self.next[at] as usize != at {
            let ahead = self.next[self.next[at] as usize];
            self.next[at] = ahead;
            at = ahead as usize;
        }
        at
    }

    /// The ranges with their rules; neighbours with the same rule are one.
    fn finished(self) -> Family {
        let mut family = Family::default();
        for (start, rule) in self.starts.into_iter().zip(self.rules) {
            if family.rules.last() != Some(&rule) {
                family.starts.push(start);
                family.rules.push(rule);
            }
        }
        family.starts.shrink_to_fit();
        family.rules.shrink_to_fit();
        family
    }
}

/// What `scope` and `part` have in common.
fn within(scope: &[Range<usize>], part: &Range<usize>) -> Vec<Range<usize>> {
    let from = scope.partition_point(|place| place.end <= part.start);
    scope[from..]
        .iter()
        .take_while(|place| place.start < part.end)
        .map(|place| place.start.max(part.start)..place.end.min(part.end))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A network of few, so that rules meet each other.
    fn network() -> impl Strategy<Value = Network> {
        (any::<bool>(), 0u128..16, 0u32..5, any::<bool>()).prop_map(|(is_ipv4, number, bits, negated)| {
            let width = if is_ipv4 { 32 } else { 128 };
            let size = 1u128.checked_shl(width - bits).map_or(u128::MAX, |size| size - 1);
            let top = number.checked_shl(width - 4).unwrap_or(0);
            let first = top & !size & if is_ipv4 { u128::from(u32::MAX) } else { u128::MAX };
            Network {
                is_ipv4,
                first,
                last: first + size.min(if is_ipv4 { u32::MAX.into() } else { u128::MAX }),
                negated,
            }
        })
    }

    #[derive(Clone, Debug)]
    enum Piece {
        Rule(Network),
        Open(Network),
        Close,
    }

    fn steps(pieces: &[Piece]) -> Vec<Step<Network, Network>> {
        let (mut steps, mut open) = (Vec::new(), Vec::new());
        let close = |steps: &mut Vec<Step<Network, Network>>, start: Option<usize>| {
            let after = steps.len();
            if let Some(Step::Block { end, .. }) = start.and_then(|start| steps.get_mut(start)) {
                *end = after;
            }
        };
        for piece in pieces {
            match piece {
                Piece::Rule(network) => steps.push(Step::Rule(*network)),
                Piece::Open(condition) => {
                    open.push(steps.len());
                    steps.push(Step::Block { condition: *condition, end: 0 });
                }
                Piece::Close => close(&mut steps, open.pop()),
            }
        }
        while let Some(start) = open.pop() {
            close(&mut steps, Some(start));
        }
        steps
    }

    fn holds(network: &Network, address: IpAddr) -> bool {
        let (is_ipv4, number) = number(address);
        is_ipv4 == network.is_ipv4 && (network.first..=network.last).contains(&number) != network.negated
    }

    /// One rule after another, as Postfix does it.
    fn linear(steps: &[Step<Network, Network>], address: IpAddr) -> Option<usize> {
        let mut at = 0;
        while let Some(step) = steps.get(at) {
            at += 1;
            match step {
                Step::Rule(network) if holds(network, address) => return Some(at - 1),
                Step::Block { condition, end } if !holds(condition, address) => at = *end,
                _ => {}
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_index_answers_as_a_linear_search_does(
            pieces in proptest::collection::vec(
                prop_oneof![
                    4 => network().prop_map(Piece::Rule),
                    2 => network().prop_map(Piece::Open),
                    1 => Just(Piece::Close),
                ],
                0..24,
            ),
            others in proptest::collection::vec(any::<IpAddr>(), 8),
        ) {
            let steps = steps(&pieces);
            let networks = Networks::of(&steps, |network| *network);
            let few = (0..16u32).flat_map(|n| {
                let (v4, v6) = (n << 28, u128::from(n) << 124);
                [IpAddr::V4(v4.into()), IpAddr::V4((v4 | 0x0fff_ffff).into()), IpAddr::V6(v6.into()), IpAddr::V6((v6 | u128::MAX >> 4).into())]
            });
            for address in few.chain(others) {
                prop_assert_eq!(networks.find(address), linear(&steps, address), "{}", address);
            }
        }
    }

    #[test]
    fn many_rules_over_each_other_are_built_in_one_pass() {
        let all = Network { is_ipv4: true, first: 0, last: u32::MAX.into(), negated: false };
        let mut steps: Vec<Step<Network, Network>> = (0..100_000u128)
            .map(|n| Step::Rule(Network { first: n << 8, last: (n << 8) + 255, ..all }))
            .collect();
        steps.extend((0..1000).map(|_| Step::Rule(all)));
        let networks = Networks::of(&steps, |network| *network);
        assert_eq!(networks.find("0.0.3.7".parse().unwrap()), Some(3));
        assert_eq!(networks.find("255.0.0.1".parse().unwrap()), Some(100_000));
        assert_eq!(networks.find("::1".parse().unwrap()), None);
    }
}
