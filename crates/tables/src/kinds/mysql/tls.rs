//! How connections to MySQL are encrypted, and what is asked of the server's certificate.
//!
//! Where a setting names anything of TLS, TCP connections are encrypted. As MySQL's client library, the certificate has
//! to come from `tls_CAfile` where that is set, and has to be the server's own with `tls_verify_cert = yes` alone.

use super::options::Options;
use crate::table_config::TableConfig;
use mysql_async::{ClientIdentity, Error, IoError, Opts, OptsBuilder, SslOpts};
use rustls::CertificateError;
use std::path::Path;

/// How TCP connections are encrypted; nothing where no setting names anything of it. Files are read here, while they
/// are in reach.
pub(super) fn settings(config: &mut TableConfig<'_>, options: &Options) -> Option<SslOpts> {
    let verify = config.yes_no("tls_verify_cert", options.is_on("ssl_verify_server_cert"));
    let [cert, key, authorities, directory] = [
        ("tls_cert_file", "ssl_cert"),
        ("tls_key_file", "ssl_key"),
        ("tls_CAfile", "ssl_ca"),
        ("tls_CApath", "ssl_capath"),
    ]
    .map(|(name, option)| {
        let path = config.text(name).filter(|path| !path.is_empty()).or_else(|| options.text(option))?;
        Some(contents(config, name, &path))
    });
    if config.text("tls_ciphers").is_some_and(|ciphers| !ciphers.is_empty()) {
        config.warn("tls_ciphers", "the TLS library of this program chooses its ciphers; it is ignored");
    }
    if !verify && [&cert, &key, &authorities, &directory].iter().all(|setting| setting.is_none()) {
        return None;
    }
    let roots = authorities.or(directory).unwrap_or_default();
    let trusts_all = roots.is_empty() && !verify;
    let mut tls = SslOpts::default()
        .with_disable_built_in_roots(!roots.is_empty())
        .with_root_certs(roots.into_iter().map(Into::into).collect())
        .with_danger_skip_domain_validation(!verify)
        .with_danger_accept_invalid_certs(trusts_all);
    match (cert.and_then(only), key.and_then(only)) {
        (None, None) => {}
        (Some(cert), Some(key)) => {
            tls = tls.with_client_identity(Some(ClientIdentity::new(cert.into(), key.into())))
        }
        (Some(_), None) => config.wrong("tls_key_file", "expected the key of tls_cert_file, found nothing"),
        (None, Some(_)) => {
            config.wrong("tls_cert_file", "expected the certificate of tls_key_file, found nothing")
        }
    }
    Some(tls)
}

fn only(files: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    files.into_iter().next()
}

/// The content of the file that a setting names, or of all files where it names a directory; a mistake is noted.
fn contents(config: &mut TableConfig<'_>, name: &'static str, path: &str) -> Vec<Vec<u8>> {
    let path = config.settings().path(path);
    let content = match path.is_dir() {
        false => std::fs::read(&path).map(|content| vec![content]),
        true => certificates(&path),
    };
    let content =
        content.map_err(|error| config.wrong(name, format!("{} cannot be read: {error}", path.display())));
    content.unwrap_or_default()
}

/// The files of a directory with certificates; it may hold lists of revoked ones and notes, too.
fn certificates(directory: &Path) -> std::io::Result<Vec<Vec<u8>>> {
    let files =
        std::fs::read_dir(directory)?.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
    let contents = files.filter_map(|path| std::fs::read(path).ok());
    let has_one =
        |content: &Vec<u8>| String::from_utf8_lossy(content).contains("-----BEGIN CERTIFICATE-----");
    Ok(contents.filter(has_one).collect())
}

/// The same server under a name that its certificate has, where only the name kept it from being taken and no setting
/// asks for the name. The library checks the name in any case, so it is told the one to expect.
pub(super) fn under_its_own_name(options: &Opts, error: &Error) -> Option<Opts> {
    let tls = options.ssl_opts().filter(|tls| tls.skip_domain_validation())?;
    let Error::Io(IoError::Io(error)) = error else { return None };
    let rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) =
        error.get_ref()?.downcast_ref()?
    else {
        return None;
    };
    let name = presented.iter().find_map(|name| expected(name))?;
    let tls = tls.clone().with_danger_tls_hostname_override(Some(name));
    Some(OptsBuilder::from_opts(options.clone()).ssl_opts(Some(tls)).into())
}

/// A name that fits one of a certificate, which the library shows as `DnsName("a.example")` or `IpAddress(192.0.2.1)`.
fn expected(shown: &str) -> Option<String> {
    let (kind, rest) = shown.split_once('(')?;
    let name = rest.strip_suffix(')')?.trim_matches('"');
    matches!(kind, "DnsName" | "IpAddress").then(|| name.replacen("*.", "any.", 1))
}

#[cfg(test)]
mod tests {
    use super::expected;

    #[test]
    fn names_of_certificates_are_read_as_the_library_shows_them() {
        for (shown, name) in [
            ("DnsName(\"db.example.org\")", Some("db.example.org")),
            ("DnsName(\"*.example.org\")", Some("any.example.org")),
            ("IpAddress(192.0.2.1)", Some("192.0.2.1")),
            ("DirectoryName", None),
            ("UniformResourceIdentifier(\"x:y\")", None),
        ] {
            assert_eq!(expected(shown).as_deref(), name, "{shown}");
        }
    }
}
