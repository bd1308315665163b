//! anvil's lines in the log: the highest counts since the last lines (`anvil_status_update_time`).

use super::shard::{EVENTS, Maximum};
use super::{Anvil, lock};
use net::Shutdown;
use observe::events::anvil::{CacheSize, Highest};
use observe::{Tag, emit};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is seen to who has been idle for long enough. Postfix has a timer for each client.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// What a rate is called in the log, by the number of its event.
const RATES: [&str; EVENTS] =
    ["connection rate", "message rate", "recipient rate", "newtls rate", "auth rate"];

/// Logs the highest counts each `period` if there are any, until the end; then what is left. Forgets idle clients, too.
pub async fn report(anvil: Anvil, tag: Tag, period: Duration, shutdown: Shutdown) {
    let mut next = Instant::now() + period;
    loop {
        // Without clients there is nothing to be done before somebody comes, or the lines are due.
        let look = async {
            if anvil.networks() == 0 {
                anvil.0.filled.notified().await;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        };
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            () = tokio::time::sleep_until(next) => {
                next += period;
                log(&anvil, &tag);
            }
            () = look => anvil.forget_idle(),
        }
    }
    log(&anvil, &tag);
}

fn log(anvil: &Anvil, tag: &Tag) {
    let maxima = anvil.take_maxima();
    let unit = u64::from(anvil.0.rate_time_unit);
    // In Postfix's order: the number of connections stands behind their rate.
    let (connections, others) = maxima.rates.split_at(1);
    let first = connections.iter().map(|m| (RATES[0], m, Some(unit)));
    let second = std::iter::once(("connection count", &maxima.sessions, None));
    let rest = others.iter().zip(&RATES[1..]).map(|(m, what)| (*what, m, Some(unit)));
    for (what, maximum, unit) in first.chain(second).chain(rest) {
        let Maximum { value, at, key: Some(key) } = maximum else { continue };
        let service = lock(&anvil.0.services)[usize::from(key.service.0)].clone();
        let network = key.network.to_string();
        let at = anvil.time_of(*at);
        emit(tag, &Highest { what, value: *value, unit, service: &service, network: &network, at: &at });
    }
    if maxima.networks.value > 0 {
        emit(tag, &CacheSize { value: maxima.networks.value, at: &anvil.time_of(maxima.networks.at) });
    }
}

impl Anvil {
    /// A time of our clock as the host's clock showed it then, or would have, had it been set right.
    fn time_of(&self, at: u64) -> String {
        let ago = i64::try_from(self.0.clock.now().saturating_sub(at)).unwrap_or(0);
        let seconds = (net::clock::now().micros() - ago).div_euclid(1_000_000);
        sys::local_time(seconds).map_or_else(|_| seconds.to_string(), |time| time.log_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_the_log_showed_it_when_it_was() {
        let anvil = Anvil::new(Duration::from_secs(60));
        let shown = |micros: i64| sys::local_time(micros.div_euclid(1_000_000)).unwrap().log_time();
        let (before, at, after) =
            (net::clock::now().micros(), anvil.0.clock.now(), net::clock::now().micros());
        // Over the turn of a second: the second of the time counts, not that of the question.
        let turn = at + 1_000_000 - at % 1_000_000;
        while anvil.0.clock.now() < turn {
            std::thread::sleep(Duration::from_millis(10));
        }
        let found = anvil.time_of(at);
        assert!([shown(before), shown(after)].contains(&found), "{found}");
    }
}
