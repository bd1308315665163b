//! What postscreen refuses goes into the list of recent refusals, with what it found before.

use crate::recent::{Packing, Recent};
use crate::trail::Trail;
use mail::Reply;
use net::dns::{DnsError, Listing};
use observe::Event as _;
use observe::events::postscreen::{Finding, Rejection, Screened};
use std::net::SocketAddr;

/// What was found about a client so far, as its log lines say it. A client about whom nothing is found costs nothing.
#[derive(Default)]
pub(super) struct Found(Trail);

impl Found {
    /// Notes a finding; those that say nothing against a client are left out.
    pub(super) fn note(&self, said: &Screened<'_>) {
        let is_usual = matches!(
            said.finding,
            Finding::Connect(_)
                | Finding::PassNew
                | Finding::PassOld
                | Finding::Allowlisted
                | Finding::Rejected(_)
                | Finding::Refused(_)
                | Finding::KeywordsDiscarded(_)
                | Finding::Disconnect
        );
        if !is_usual {
            let mut line = String::new();
            said.line(&mut line);
            self.0.noted("postscreen", &line);
        }
    }

    /// Notes what a list in DNS answered.
    pub(super) fn listed(&self, domain: &str, answer: &Result<Listing, DnsError>) {
        let told = match answer {
            Ok(listing) if listing.addresses.is_empty() => return,
            Ok(listing) => listing.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        };
        self.0.resolved(format_args!("{domain} A"), &told);
    }

    /// Records a refused connection, or a refused recipient.
    pub(super) fn record(
        &self,
        (recent, program): (&Recent, &str),
        (client, name): (SocketAddr, &str),
        rejection: Option<&Rejection>,
        reply: &Reply,
    ) {
        let packing = Packing {
            time: net::clock::now(),
            address: client.ip(),
            client: name,
            service: program,
            command: if rejection.is_some() { "RCPT" } else { "CONNECT" },
            helo: rejection.map_or("", |rejection| &rejection.helo),
            sender: rejection.map(|rejection| rejection.sender.as_bytes()),
            recipient: rejection.map(|rejection| rejection.recipient.as_bytes()),
            queue_id: "",
            login: "",
        };
        recent.record(&packing, Some(&self.0), &reply.to_string());
    }
}
