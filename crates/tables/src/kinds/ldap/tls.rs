//! How connections are opened: in clear, with STARTTLS, or over TLS at once.

use crate::table_config::TableConfig;
use ldap3::LdapConnSettings;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads `start_tls` and `tls_…`; nothing where they are wrong, which is noted.
pub(super) fn settings(config: &mut TableConfig<'_>, ldaps: bool) -> Option<LdapConnSettings> {
    let start_tls = config.yes_no("start_tls", false);
    let verify = config.yes_no("tls_require_cert", false);
    let path = |config: &mut TableConfig<'_>, name| {
        let text = config.text(name).filter(|text| !text.is_empty())?;
        Some(config.settings().path(&text))
    };
    let authorities = (path(config, "tls_ca_cert_file"), path(config, "tls_ca_cert_dir"));
    let own = (path(config, "tls_cert"), path(config, "tls_key"));
    let plain = LdapConnSettings::new();
    if !start_tls && !ldaps {
        return Some(plain);
    }
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match verify {
        true => verifier(config, authorities, provider.clone())?,
        false => Arc::new(Anybody(provider.clone())),
    };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("the provider has suites for both versions").dangerous();
    let builder = builder.with_custom_certificate_verifier(verifier);
    let client = match own {
        (Some(certificate), key) => {
            let key = key.unwrap_or_else(|| certificate.clone());
            let chain = read(config, "tls_cert", certificates(&certificate))?;
            let key = read(config, "tls_key", PrivateKeyDer::from_pem_file(&key).map_err(told(&key)))?;
            read(
                config,
                "tls_key",
                builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string()),
            )?
        }
        (None, _) => builder.with_no_client_auth(),
    };
    let plain = plain.set_starttls(start_tls).set_no_tls_verify(!verify);
    Some(plain.set_config(Arc::new(client)))
}

/// Checks that a server is who the authorities of the table say it is.
fn verifier(
    config: &mut TableConfig<'_>,
    (file, directory): (Option<PathBuf>, Option<PathBuf>),
    provider: Arc<CryptoProvider>,
) -> Option<Arc<dyn ServerCertVerifier>> {
    // The file counts where both are set, as in Postfix.
    let (name, files) = match (file, directory) {
        (Some(file), _) => ("tls_ca_cert_file", Ok(vec![file])),
        (None, Some(directory)) => ("tls_ca_cert_dir", files(&directory)),
        (None, None) => {
            ("tls_require_cert", Err("expected tls_ca_cert_file or tls_ca_cert_dir with it".into()))
        }
    };
    let mut roots = RootCertStore::empty();
    for file in read(config, name, files)? {
        roots.add_parsable_certificates(read(config, name, certificates(&file))?);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier: Arc<dyn ServerCertVerifier> =
        read(config, name, verifier.map_err(|error| error.to_string()))?;
    Some(verifier)
}

/// The value, or its error noted for the setting.
fn read<T>(config: &mut TableConfig<'_>, name: &str, result: Result<T, String>) -> Option<T> {
    result.map_err(|text| config.wrong(name, text)).ok()
}

fn told<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(told(path))?;
    if all.is_empty() {
        return Err(format!("{}: expected a certificate in PEM form, found none", path.display()));
    }
    Ok(all)
}

/// The files of a directory of authorities.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(directory).map_err(told(directory))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()).map_err(told(directory)));
    let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

/// Takes any server, as `tls_require_cert = no` says; what it signs must be right nevertheless.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
