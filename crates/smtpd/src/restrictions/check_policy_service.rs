//! Asks a policy service, whose answer is what an access table may say.

use super::{Checked, Kind, Made, Make, Restriction, Verdict};
use crate::about::About;
use crate::access::{self, Subject};
use crate::policy::{Around, Defaults, Server};
use mail::Address;
use observe::emit;
use observe::events::policy::PolicyEmpty;
use protocol::policy::Request;
use protocol::smtp::xtext::encode_xtext;
use std::sync::Arc;

pub(super) const KIND: Kind =
    Kind { name: "check_policy_service", make: Make::WithService(make), guards_relaying: false };

fn make(word: &str, defaults: &Defaults) -> Made {
    let server = Server::of(word, defaults)?;
    Ok(Box::new(This { server, defaults: defaults.clone() }))
}

struct This {
    server: Arc<Server>,
    defaults: Defaults,
}

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(self.decide(about)))
    }
}

impl This {
    async fn decide(&self, about: &About<'_>) -> Verdict {
        let around = Around { resolver: about.dns, families: about.rules.families, tag: about.tag };
        // Names of certificates that nobody vouches for are not told.
        let trusted = about.certificate().filter(|certificate| certificate.is_trusted);
        let (subject, issuer) = trusted.map_or_else(Default::default, |certificate| {
            (encode_xtext(certificate.subject.as_bytes()), encode_xtext(certificate.issuer.as_bytes()))
        });
        let answer = self.server.ask(&self.request(about, (&subject, &issuer)), &around).await;
        let action = answer.as_deref().map_err(|_| self.server.default_action());
        if let Some(trail) = about.trail {
            trail.policy(self.server.spec(), action);
        }
        let silent = action.is_err();
        let action = action.unwrap_or_else(|default| default);
        if action.is_empty() {
            // Postfix permits then; a service that is broken must not open a relay.
            emit(about.tag, &PolicyEmpty { service: self.server.spec() });
            return Verdict::Dunno;
        }
        let subject = Subject { value: &about.value(), class: about.class() };
        match access::result(action, self.server.spec(), "policy query", about, subject) {
            // What the default action refuses for now.
            Verdict::Refuse(reply) if silent && !reply.is_permanent() => Verdict::NotNow(reply),
            found => found,
        }
    }

    fn request<'a>(&'a self, about: &'a About<'_>, names: (&'a str, &'a str)) -> Request<'a> {
        let (facts, client) = (&about.facts, about.client);
        let sasl = client.login.as_ref();
        let tls = client.tls.as_deref();
        let certificate = about.certificate();
        let bytes = |address: Option<&'a Address>| address.map_or(&b""[..], Address::as_bytes);
        Request {
            protocol_state: facts.command,
            protocol_name: facts.protocol,
            client_name: &client.name,
            reverse_client_name: &client.reverse_name,
            helo_name: about.helo.unwrap_or_default(),
            sender: bytes(about.sender),
            recipient: bytes(about.recipient.or(facts.sole_recipient)),
            recipient_count: facts.recipients,
            queue_id: facts.queue_id.map_or("", |id| id.as_str()),
            instance: facts.instance,
            size: facts.size,
            etrn_domain: about.etrn.unwrap_or_default(),
            sasl_method: sasl.map_or("", |login| &login.method),
            sasl_username: sasl.map_or("", |login| &login.username),
            sasl_sender: about.facts.sasl_sender.unwrap_or_default(),
            stress: facts.stress,
            encryption_protocol: tls.map_or("", |tls| &tls.protocol),
            encryption_cipher: tls.map_or("", |tls| &tls.cipher),
            encryption_keysize: tls.map_or(0, |tls| tls.keysize),
            tls_sni: tls.map_or("", |tls| &tls.sni),
            ccert_subject: names.0,
            ccert_issuer: names.1,
            ccert_fingerprint: certificate.map_or("", |c| &c.fingerprint),
            ccert_pubkey_fingerprint: certificate.map_or("", |c| &c.pubkey_fingerprint),
            policy_context: self.server.policy_context(),
            compatibility_level: &self.defaults.compatibility_level,
            mail_version: &self.defaults.mail_version,
            ..Request::of(client.end(), client.server_end())
        }
    }
}
