//! Log lines of what permits, where the administrator asks for them (`smtpd_log_access_permit_actions`).
//!
//! `QID: permit: RCPT from N[A]: action=permit_mynetworks for Client host=N[A] ; from=<s> …`, and for an entry of a table
//! `action=OK for Recipient address=r from TYPE:TABLE; …`. Where nobody asks, nothing is prepared.

use crate::about::About;
use crate::access::Subject;
use crate::list::{Effects, Said};

/// The result of an access table, or of a policy service, that permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its first word, as it was written.
    action: String,
    /// `Recipient address=x@example.org`.
    about: String,
    /// The table.
    source: String,
}

impl Grant {
    pub(crate) fn new(action: &str, subject: Subject<'_>, source: &str) -> Grant {
        let about = format!("{}={}", subject.class, subject.value);
        Grant { action: action.to_owned(), about, source: source.to_owned() }
    }

    /// Notes it for the log, if it is in the list.
    pub(crate) async fn note(&self, about: &About<'_>, effects: &mut Effects) {
        let Grant { action, about: subject, source } = self;
        if about.logs_permit(action).await {
            let text = format!("action={action} for {subject} from {source}");
            effects.said.push(Said::Acted("permit", text));
        }
    }
}

impl About<'_> {
    /// Notes for the log that a restriction permits, if it is in the list.
    pub(crate) async fn note_permit(&self, restriction: &str, effects: &mut Effects) {
        if self.logs_permit(restriction).await {
            let client = &self.client.name_and_address;
            let text = match is_about_client(restriction) {
                true => format!("action={restriction} for Client host={client} "),
                false => format!("action={restriction} for {}={} ", self.class(), self.value()),
            };
            effects.said.push(Said::Acted("permit", text));
        }
    }

    async fn logs_permit(&self, action: &str) -> bool {
        // A table that cannot be asked says nothing.
        self.rules.permits_logged.matches(action).await == Ok(true)
    }
}

/// Whether it looks at the client, whatever the list it stands in.
fn is_about_client(restriction: &str) -> bool {
    const OF_CLIENTS: [&str; 7] = [
        "permit_dnswl_client",
        "permit_inet_interfaces",
        "permit_mynetworks",
        "permit_rhswl_client",
        "permit_sasl_authenticated",
        "permit_tls_all_clientcerts",
        "permit_tls_clientcerts",
    ];
    OF_CLIENTS.contains(&restriction)
}
