//! Connection URIs, `postgresql://user:password@host:port/database?sslmode=require`, as libpq reads them.
//!
//! The library knows most of their parameters; those of TLS that name files or checks are taken out here.

use std::path::PathBuf;
use std::str::FromStr;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// What a server's certificate must show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing, unless authorities are named: then as [`Check::Authority`].
    #[default]
    Nothing,
    /// That an authority has signed it (verify-ca).
    Authority,
    /// The name of the host, too (verify-full).
    Name,
}

/// The parameters of a URI that are about TLS and name files or checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsParameters {
    pub(super) check: Check,
    /// The authorities' certificates.
    pub(super) authorities: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Whether an entry of `hosts` is a URI.
pub(super) fn is_uri(text: &str) -> bool {
    text.starts_with("postgresql://") || text.starts_with("postgres://")
}

/// Parses a URI; the error quotes nothing that may be secret.
pub(super) fn parse(uri: &str) -> Result<(Config, TlsParameters), String> {
    let (place, query) = uri.split_once('?').unwrap_or((uri, ""));
    let (mut tls, mut mode, mut rest) = (TlsParameters::default(), None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value =
            decoded(value).ok_or_else(|| format!("expected %xx in the parameter `{name}` of the URI"))?;
        match name {
            "sslmode" => mode = Some(ssl_mode(&value, &mut tls.check)?),
            "sslrootcert" => tls.authorities = Some(value.into()),
            "sslcert" => tls.certificate = Some(value.into()),
            "sslkey" => tls.key = Some(value.into()),
            _ => rest.push(pair),
        }
    }
    if tls.check != Check::Nothing && tls.authorities.is_none() {
        return Err("expected sslrootcert with this sslmode in the URI, found none".to_owned());
    }
    let plain = if rest.is_empty() { place.to_owned() } else { format!("{place}?{}", rest.join("&")) };
    let mut config = Config::from_str(&plain).map_err(|error| super::detailed(&error))?;
    if let Some(mode) = mode {
        config.ssl_mode(mode);
    }
    Ok((config, tls))
}

fn ssl_mode(value: &str, check: &mut Check) -> Result<SslMode, String> {
    Ok(match value {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" => SslMode::Require,
        "verify-ca" => {
            *check = Check::Authority;
            SslMode::Require
        }
        "verify-full" => {
            *check = Check::Name;
            SslMode::Require
        }
        _ => {
            return Err(format!(
                "expected sslmode to be disable, allow, prefer, require, verify-ca or verify-full, found `{value}`"
            ));
        }
    })
}

/// A value with each `%xx` replaced; nothing where one is no byte, or the whole no UTF-8.
fn decoded(value: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::with_capacity(value.len()), value.bytes());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(out).ok()
}

/// A URI as it may stand in the log.
pub(super) fn without_password(uri: &str) -> String {
    let end = uri.find('?').unwrap_or(uri.len());
    let (scheme, rest) = uri[..end].split_once("://").unwrap_or_default();
    match rest.rsplit_once('@') {
        Some((user, place)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{place}")
        }
        None => uri[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_tls_are_taken_out_and_the_rest_stays() {
        let uri =
            "postgresql://u@h/d?sslmode=verify-ca&connect_timeout=3&sslrootcert=%2Fetc%2Fca.pem&sslkey=/k";
        let (config, tls) = parse(uri).unwrap();
        assert_eq!(config.get_connect_timeout(), Some(&std::time::Duration::from_secs(3)));
        assert_eq!(config.get_ssl_mode(), SslMode::Require);
        let authorities = Some("/etc/ca.pem".into());
        assert_eq!(
            tls,
            TlsParameters { check: Check::Authority, authorities, certificate: None, key: Some("/k".into()) }
        );
        assert_eq!(parse("postgres://h/d").unwrap().0.get_ssl_mode(), SslMode::Prefer);
    }

    #[test]
    fn a_uri_that_is_wrong_is_refused_without_its_secrets() {
        for uri in
            ["?sslmode=maybe", "?sslmode=verify-full", "?sslcert=%2", "?sslkey=%ff", "?no_such=1", ":x/d"]
        {
            let error = parse(&format!("postgresql://u:s3cret@h{uri}")).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_uri_stands_in_the_log_without_its_password() {
        for (uri, shown) in [
            ("postgresql://a:s3cret@h:1/d?password=s3cret", "postgresql://a@h:1/d"),
            ("postgres://a:p@ss@h/d", "postgres://a@h/d"),
            ("postgresql:///d?host=/run&password=x", "postgresql:///d"),
            ("postgresql://h", "postgresql://h"),
        ] {
            assert_eq!(without_password(uri), shown);
        }
    }
}
