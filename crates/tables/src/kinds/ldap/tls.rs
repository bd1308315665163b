//! How connections are opened: in clear, with STARTTLS, or over TLS at once.

use crate::table_config::TableConfig;
use crate::tls::{Authorities, Own, Takes, client};
use ldap3::LdapConnSettings;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Reads `start_tls` and `tls_…`; nothing where they are wrong, which is noted. `ldaps` says whether a server may want
/// TLS at once.
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
    let takes = if verify { named(config, authorities)? } else { Takes::Anybody };
    let own = match own {
        // One file may hold both.
        (Some(certificate), key) => {
            Some(Own { key: key.unwrap_or_else(|| certificate.clone()), certificate })
        }
        (None, _) => None,
    };
    let client = client(takes, own).map_err(|text| config.wrong("tls_cert", text)).ok()?;
    Some(plain.set_starttls(start_tls).set_no_tls_verify(!verify).set_config(Arc::new(client)))
}

/// Takes servers that are who the authorities of the table say they are.
fn named(
    config: &mut TableConfig<'_>,
    (file, directory): (Option<PathBuf>, Option<PathBuf>),
) -> Option<Takes> {
    // The file counts where both are set, as in Postfix.
    let (name, files) = match (file, directory) {
        (Some(file), _) => ("tls_ca_cert_file", Ok(vec![file])),
        (None, Some(directory)) => ("tls_ca_cert_dir", files(&directory)),
        (None, None) => {
            ("tls_require_cert", Err("expected tls_ca_cert_file or tls_ca_cert_dir with it".into()))
        }
    };
    let authorities = files.and_then(|files| Authorities::read(&files));
    authorities.map(Takes::Named).map_err(|text| config.wrong(name, text)).ok()
}

/// The files of a directory of authorities.
fn files(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", directory.display());
    let entries = std::fs::read_dir(directory).map_err(told)?;
    let paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path()).map_err(told)).collect::<Result<_, _>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}
