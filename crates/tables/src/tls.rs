//! TLS as tables speak it to their servers: whom they take for theirs, and who they are themselves.
//!
//! Files are read when a table is opened, while they are in reach.

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a server's certificate must show.
pub(crate) enum Takes {
    /// Nothing: any server is taken.
    Anybody,
    /// That one of the authorities vouches for it, under whatever name.
    #[cfg(feature = "pgsql")]
    Vouched(Authorities),
    /// The same, under the name that it is asked by.
    Named(Authorities),
}

/// Whom certificates are believed from.
pub(crate) struct Authorities(Arc<WebPkiServerVerifier>);

impl Authorities {
    /// Those in PEM files; an error names the file.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Authorities, String> {
        let mut roots = RootCertStore::empty();
        for file in files {
            roots.add_parsable_certificates(certificates(file)?);
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let shown = || files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        Ok(Authorities(verifier.map_err(|error| format!("{}: {error}", shown()))?))
    }
}

/// A certificate of our own and its key, in PEM files.
pub(crate) struct Own {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How connections are encrypted; an error names the file.
pub(crate) fn client(takes: Takes, own: Option<Own>) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let (authorities, name) = match takes {
        Takes::Anybody => (None, false),
        #[cfg(feature = "pgsql")]
        Takes::Vouched(authorities) => (Some(authorities.0), false),
        Takes::Named(authorities) => (Some(authorities.0), true),
    };
    let checks = Checks { authorities, name, provider: provider.clone() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(checks));
    let Some(own) = own else { return Ok(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_file(&own.key).map_err(|error| told(&own.key, error))?;
    let chain = certificates(&own.certificate)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| told(&own.certificate, error))
}

/// The certificates of a PEM file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| told(file, error))?;
    if all.is_empty() { Err(told(file, "expected a certificate in PEM form, found none")) } else { Ok(all) }
}

fn told(file: &Path, error: impl Display) -> String {
    format!("{}: {error}", file.display())
}

/// Asks of a certificate what [`Takes`] says; what the server signs must be right in any case.
#[derive(Debug)]
struct Checks {
    authorities: Option<Arc<WebPkiServerVerifier>>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checks {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(authorities) = &self.authorities else { return Ok(ServerCertVerified::assertion()) };
        match authorities.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is the last thing that is checked.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.name => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
