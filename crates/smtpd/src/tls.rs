//! What restrictions and policy services may know of a session's encryption and of the client's certificate.
//!
//! TLS itself is not built yet: no session has such a record, but the one that `posthaste explain` supposes. Postfix:
//! TLS_README, `relay_clientcerts`.

use crate::about::About;
use crate::complaint::Complaint;
use crate::restrictions::Verdict;
use mail::{Dsn, Reply};
use tables::Lookup;
use tables::search::Key;

/// The encryption of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// `TLSv1.3`.
    pub protocol: String,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// Bits of the cipher's key.
    pub keysize: u32,
    /// The name that the client asked for; empty for none.
    pub sni: String,
    /// What the client showed.
    pub certificate: Option<Certificate>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Somebody whom we trust vouches for it.
    pub is_trusted: bool,
    /// The common name of its owner; empty for none.
    pub subject: String,
    /// The common name of who issued it.
    pub issuer: String,
    /// Its fingerprint, `AB:CD:…`.
    pub fingerprint: String,
    /// That of its key.
    pub pubkey_fingerprint: String,
}

/// By what a certificate is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchBy {
    /// `cert_fingerprint`.
    Certificate,
    /// `pubkey_fingerprint`.
    Key,
}

impl SearchBy {
    /// The order where none is set.
    pub const ORDER: [SearchBy; 2] = [SearchBy::Certificate, SearchBy::Key];
}

impl Certificate {
    /// The keys under which it is looked up.
    pub fn keys(&self, order: &[SearchBy]) -> Vec<Key> {
        let text = |by: &SearchBy| match by {
            SearchBy::Certificate => self.fingerprint.clone(),
            SearchBy::Key => self.pubkey_fingerprint.clone(),
        };
        order.iter().map(|by| Key { text: text(by), part: false }).collect()
    }
}

impl About<'_> {
    /// The client's certificate.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.client.tls.as_deref()?.certificate.as_ref()
    }

    /// Permits a client whose certificate `relay_clientcerts` knows; it need not be trusted, as in Postfix.
    pub(crate) async fn known_certificate(&self) -> Verdict {
        let Some(certificate) = self.certificate() else { return Verdict::Dunno };
        match self.found_in(&self.rules.relay_clientcerts, certificate.keys(&SearchBy::ORDER)).await {
            Lookup::Found(_) => Verdict::Permit,
            Lookup::NotFound => Verdict::Dunno,
            Lookup::TempFail(_) => {
                let Certificate { fingerprint, pubkey_fingerprint, .. } = certificate;
                let text = format!(
                    "relay_clientcerts: lookup error for fingerprint '{fingerprint}', pkey fingerprint \
                     {pubkey_fingerprint}"
                );
                let reply = format!("<{}>: Temporary lookup failure", self.value());
                Verdict::Broken(Complaint::Lookup(text), Reply::new(451, Dsn::new(4, 3, 0), reply))
            }
        }
    }
}
