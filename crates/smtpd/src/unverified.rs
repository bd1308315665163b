//! Whether an address can get mail, as a probe found (`reject_unverified_recipient`, `reject_unverified_sender`).

use crate::about::{About, Stage};
use crate::complaint::Complaint;
use crate::restrictions::Verdict;
use config::parameters::Unverified as Parameters;
use mail::Address;
use std::io;
use std::time::Duration;
use verify::{Client, Entry, Finding, ProbeSender};

/// How addresses are asked about, and what clients are told.
pub struct Unverified {
    /// Asks for findings.
    client: Client,
    /// Who probes come from.
    sender: ProbeSender,
    /// `address_verify_poll_delay`.
    poll_delay: Duration,
    recipients: Replies,
    senders: Replies,
}

/// What clients are told: `unverified_recipient_…` or `unverified_sender_…`.
struct Replies {
    reject_code: u16,
    defer_code: u16,
    reject_reason: String,
    /// `…_tempfail_action = defer`.
    defers: bool,
}

impl Unverified {
    /// As the parameters say.
    pub(crate) fn new(p: &Parameters, client: Client, sender: ProbeSender) -> Unverified {
        let replies = |(reject, defer): (u64, u64), reason: &str, action: &str| Replies {
            reject_code: crate::settings::code(reject),
            defer_code: crate::settings::code(defer),
            reject_reason: reason.to_owned(),
            defers: action == "defer",
        };
        Unverified {
            client,
            sender,
            poll_delay: p.address_verify_poll_delay,
            recipients: replies(
                (p.unverified_recipient_reject_code, p.unverified_recipient_defer_code),
                &p.unverified_recipient_reject_reason,
                &p.unverified_recipient_tempfail_action,
            ),
            senders: replies(
                (p.unverified_sender_reject_code, p.unverified_sender_defer_code),
                &p.unverified_sender_reject_reason,
                &p.unverified_sender_tempfail_action,
            ),
        }
    }

    /// Whether an address is the sender of probes, whose existence servers may want to verify in turn.
    pub(crate) fn is_probe_sender(&self, address: &Address) -> bool {
        self.sender.is(address, tables::keeper::seconds())
    }

    /// What is known of an address, once that is something; `polls` is `address_verify_poll_count`.
    async fn ask(&self, address: &Address, polls: u64) -> io::Result<Entry> {
        let mut left = polls;
        loop {
            left = left.saturating_sub(1);
            // The last time nobody waits.
            let wait = if left == 0 { Duration::ZERO } else { self.poll_delay };
            let entry = self.client.ask(address, wait).await?;
            if left == 0 || entry.finding != Finding::Unknown {
                return Ok(entry);
            }
        }
    }
}

impl About<'_> {
    /// Refuses an address that cannot get mail, or of which that is not known.
    pub(crate) async fn unverified(&self, address: &Address, stage: Stage) -> Verdict {
        let (unverified, about) = (&self.rules.unverified, self.at(stage));
        let (replies, detail) = match stage {
            Stage::Sender => (&unverified.senders, 7),
            _ => (&unverified.recipients, 1),
        };
        let resolved = match self.resolve(address).await {
            Ok(resolved) => resolved,
            Err(reply) => return Verdict::Unable(reply),
        };
        let asked = unverified.ask(&resolved.address, self.polls).await;
        if let Some(trail) = self.trail {
            let told = asked.as_ref().map_or_else(ToString::to_string, in_words);
            trail.verified(&resolved.address, &told);
        }
        let put_off =
            |code, text: &str| self.rules.put_off(replies.defers, about.refusal(code, (4, 1, detail), text));
        let entry = match asked {
            Ok(entry) => entry,
            Err(error) => {
                let complaint = Complaint::Lookup(format!("verify service failure: {error}"));
                let found = put_off(450, "address verification problem");
                return Verdict::Told(complaint, Box::new(found));
            }
        };
        let code = match entry.finding {
            Finding::Deliverable => return Verdict::Dunno,
            Finding::Undeliverable => replies.reject_code,
            Finding::Undetermined | Finding::Unknown => replies.defer_code,
        };
        let reason = if replies.reject_reason.is_empty() { &entry.text } else { &replies.reject_reason };
        match code / 100 {
            2 => Verdict::Dunno,
            4 => put_off(code, &format!("unverified address: {}", cut(reason))),
            _ => {
                let text = format!("undeliverable address: {}", cut(reason));
                Verdict::Refuse(about.refusal(code, (5, 1, detail), &text))
            }
        }
    }
}

/// Postfix's bound for what a reply repeats.
const REASON_MAX: usize = 250;

fn cut(text: &str) -> &str {
    let end = (0..=text.len().min(REASON_MAX)).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

/// A finding for who wants to know why.
pub fn in_words(entry: &Entry) -> String {
    let finding = match entry.finding {
        Finding::Deliverable => "deliverable",
        Finding::Undetermined => "not deliverable for now",
        Finding::Undeliverable => "undeliverable",
        Finding::Unknown => return "nothing is known yet".to_owned(),
    };
    let ago = tables::keeper::seconds().saturating_sub(entry.updated);
    format!("{finding} {} ago: {}", age(ago), entry.text)
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Config, Host};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use verify::Asking;

    #[test]
    fn an_unknown_address_is_asked_about_again_after_a_pause() {
        let path = std::env::temp_dir().join(format!("unverified-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let desk = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for socket in listener.incoming().take(3) {
                let (mut socket, mut line) = (socket.unwrap(), String::new());
                BufReader::new(&socket).read_line(&mut line).unwrap();
                socket.write_all(Entry::unknown().to_string().as_bytes()).unwrap();
                asked.push(line);
            }
            asked
        });
        let main_cf = "myhostname = mx.example.org\naddress_verify_poll_delay = 7s\n";
        let config = Config::parse(Path::new("/etc/postfix"), main_cf, "", Host::default()).unwrap();
        let parameters = Parameters::read(&config, None).unwrap();
        let sender = ProbeSender::new(&verify::Settings::read(&config).unwrap());
        let unverified = Unverified::new(&parameters, Client::new(&path, Asking::Probing), sender);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(unverified.ask(&Address::from("a@x.example"), 3)).unwrap();
        assert_eq!(found, Entry::unknown());
        std::fs::remove_file(&path).unwrap();
        let asked = ["ask 7000 a@x.example\n", "ask 7000 a@x.example\n", "ask 0 a@x.example\n"];
        assert_eq!(desk.join().unwrap(), asked);
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"ä".repeat(200)).len(), REASON_MAX);
        assert_eq!(cut(&format!("x{}", "ä".repeat(200))).len(), REASON_MAX - 1);
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_says_enough() {
        let ages = [7, 119, 120, 7_199, 7_200, 172_799, 172_800].map(age);
        assert_eq!(ages, ["7 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
