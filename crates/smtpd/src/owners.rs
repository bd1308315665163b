//! Whose a sender is: `smtpd_sender_login_maps` against the client's login.

use crate::about::{About, Stage, unanswered};
use crate::complaint::Complaint;
use crate::restrictions::Verdict;
use mail::Address;
use tables::{Lookup, search};

/// Which mismatches are refused.
#[derive(Clone, Copy, Default)]
pub struct Mismatch {
    /// Of clients that have logged in.
    pub logged_in: bool,
    /// Of clients that have not.
    pub not_logged_in: bool,
    /// Only of senders that belong to somebody.
    pub known_only: bool,
}

impl About<'_> {
    /// Refuses a sender that is not the client's. `parts` are the restrictions that the log calls ignored without SASL.
    pub(crate) async fn login_mismatch(&self, parts: &'static [&'static str], mismatch: Mismatch) -> Verdict {
        if !self.rules.sasl_enabled {
            return Verdict::Complain(Complaint::NoSasl(parts));
        }
        let Some(sender) = self.sender.filter(|sender| !sender.is_null()) else { return Verdict::Dunno };
        let logged_in = self.client.counted_login().is_some();
        if (logged_in && !mismatch.logged_in) || (!logged_in && !mismatch.not_logged_in) {
            return Verdict::Dunno;
        }
        let owners = match self.owners(sender).await {
            Ok(owners) => owners,
            Err(verdict) => return verdict,
        };
        let about = self.at(Stage::Sender);
        let refuse = |text: &str| Verdict::Refuse(about.refusal(553, (5, 7, 1), text));
        match self.client.counted_login() {
            Some(login) => {
                let user = login.username.as_str();
                let is_own = owners.iter().any(|owner| owner.eq_ignore_ascii_case(user));
                match is_own || (mismatch.known_only && owners.is_empty()) {
                    true => Verdict::Dunno,
                    false => refuse(&format!("not owned by user {user}")),
                }
            }
            None if !owners.is_empty() => refuse("not logged in"),
            None => Verdict::Dunno,
        }
    }

    async fn owners(&self, sender: &Address) -> Result<Vec<String>, Verdict> {
        let full = self.rules.addresses.complete(sender);
        let ours =
            self.resolve(sender).await.map_err(Verdict::Unable)?.class == crate::addresses::Class::Local;
        let text = String::from_utf8_lossy(full.as_bytes()).into_owned();
        let keys = search::mapping(&text, &self.rules.recipient_delimiter, ours);
        match self.found_in(&self.rules.sender_login_maps, keys).await {
            Lookup::Found(owners) => Ok(config::words::list(&owners)),
            Lookup::NotFound => Ok(Vec::new()),
            Lookup::TempFail(_) => Err(Verdict::Unable(unanswered(sender))),
        }
    }
}
