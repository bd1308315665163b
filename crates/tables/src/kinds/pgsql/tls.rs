//! How connections to PostgreSQL are encrypted, and what is asked of the server's certificate.
//!
//! As libpq: TLS where the server offers it (sslmode=prefer), whoever it is; more where a URI says so.

use super::uri::{Check, TlsParameters};
use crate::table::Settings;
use crate::tls::{Authorities, Own, Takes, client};
use std::path::Path;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What encrypts connections as a URI (or, without one, libpq's defaults) says.
pub(super) fn connector(
    parameters: &TlsParameters,
    settings: &Settings,
) -> Result<MakeRustlsConnect, String> {
    let path = |path: &Path| settings.path(&path.to_string_lossy());
    let takes = match (&parameters.authorities, &parameters.check) {
        (None, _) => Takes::Anybody,
        (Some(file), Check::Name) => Takes::Named(Authorities::read(&[path(file)])?),
        (Some(file), _) => Takes::Vouched(Authorities::read(&[path(file)])?),
    };
    let own = match (&parameters.certificate, &parameters.key) {
        (Some(certificate), Some(key)) => Some(Own { certificate: path(certificate), key: path(key) }),
        (None, None) => None,
        _ => return Err("expected sslcert and sslkey together in the URI, found one of them".to_owned()),
    };
    Ok(MakeRustlsConnect::new(client(takes, own)?))
}
