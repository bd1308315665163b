//! The score that DNS lists give a client, and how long it may be believed.

use super::sites::Site;
use net::dns::Listing;
use std::time::Duration;

/// What the lists say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    /// The sum of the weights.
    pub rank: i32,
    /// How long it may be believed.
    pub time_to_live: Option<Duration>,
    /// The domain of the worst entry, for the reply.
    pub domain: Option<String>,
}

/// The answers of the lists so far, by domain; what is not there has not answered.
pub(super) type Answers = Vec<(String, Listing)>;

/// Adds up the answers. A good score lasts as long as the shortest of what made it; a bad one as long as the longest,
/// since it does not end before.
pub(super) fn score(sites: &[Site], answers: &Answers) -> Score {
    let mut score = Score::default();
    let (mut good, mut bad, mut worst) = (None::<Duration>, None::<Duration>, 0);
    let (mut weights, mut order) = (std::collections::HashMap::<&str, i32>::new(), Vec::new());
    for site in sites {
        let Some((_, listing)) = answers.iter().find(|(domain, _)| *domain == site.domain) else { continue };
        let hit = listing.addresses.iter().any(|a| site.counts(*a));
        match (hit, listing.time_to_live) {
            (true, Some(ttl)) if site.weight > 0 => bad = Some(bad.map_or(ttl, |t| t.max(ttl))),
            (true, Some(ttl)) => good = Some(good.map_or(ttl, |t| t.min(ttl))),
            (false, Some(ttl)) if site.weight > 0 => good = Some(good.map_or(ttl, |t| t.min(ttl))),
            _ => {}
        }
        if hit {
            score.rank = score.rank.saturating_add(site.weight);
            if !weights.contains_key(site.domain.as_str()) {
                order.push(&site.domain);
            }
            let of_domain = weights.entry(&site.domain).or_default();
            *of_domain = of_domain.saturating_add(site.weight);
        }
    }
    for domain in order {
        if weights[domain.as_str()] > worst {
            worst = weights[domain.as_str()];
            score.domain = Some(domain.clone());
        }
    }
    score.time_to_live = if score.rank > 0 { bad } else { good };
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(words: &str) -> Vec<Site> {
        words.split(' ').map(|w| Site::parse(w).unwrap()).collect()
    }

    fn listing(addresses: &[&str], seconds: u64) -> Listing {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Listing { addresses, time_to_live: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn weights_add_up_and_the_worst_list_is_named() {
        let sites = sites("a.bl b.bl=127.0.0.[2..9]*2 w.wl*-3 c.bl=127.0.0.[1;3]*4 c.bl=10.0.0.1*7");
        let of = |answers: &Answers| {
            let score = score(&sites, answers);
            (score.rank, score.domain.unwrap_or_default())
        };
        let a = || ("a.bl".to_owned(), listing(&["127.0.0.2"], 30));
        let b = || ("b.bl".to_owned(), listing(&["127.0.0.2", "127.0.0.4"], 30));
        let c = || ("c.bl".to_owned(), listing(&["127.0.0.3", "10.0.0.1"], 30));
        let w = || ("w.wl".to_owned(), listing(&["127.0.0.1"], 30));
        assert_eq!(of(&vec![]), (0, String::new()));
        assert_eq!(of(&vec![a(), b()]), (3, "b.bl".into()));
        assert_eq!(of(&vec![a(), w()]), (-2, "a.bl".into()));
        assert_eq!(of(&vec![c(), a()]), (12, "c.bl".into()));
        assert_eq!(of(&vec![("b.bl".into(), listing(&["127.0.0.1"], 30))]), (0, String::new()));
    }

    #[test]
    fn a_score_lasts_as_long_as_what_made_it() {
        let ttl =
            |words: &str, answers: &Answers| score(&sites(words), answers).time_to_live.map(|t| t.as_secs());
        let hit = |seconds| ("a.bl".to_owned(), listing(&["127.0.0.2"], seconds));
        let miss = |seconds| ("b.bl".to_owned(), listing(&[], seconds));
        assert_eq!(ttl("a.bl b.bl", &vec![hit(900), miss(444)]), Some(900));
        assert_eq!(ttl("a.bl*0 b.bl", &vec![hit(900), miss(444)]), Some(444));
        assert_eq!(ttl("a.bl*-1", &vec![hit(900)]), Some(900));
        assert_eq!(ttl("b.bl*-1", &vec![miss(444)]), None);
    }
}
