//! What one local(8) of master.cf is told by the configuration.

use super::super::mbox::Locking;
use super::super::writing::Writing;
use config::parameters::{Global, Local};
use config::{Config, Errors, ServiceLine};
use mail::Dsn;
use rewrite::{Resolver, Rules};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sys::User;
use tables::{Maps, Opener, Settings as TableSettings};

/// Part of the default of alias_maps on every system, although few have NIS: nobody is told that it is not there.
const DEFAULT_NIS: &str = "nis:mail.aliases";

/// Settings of one local(8).
pub struct LocalSettings {
    /// The service's name: addresses that resolve to it are delivered at once.
    pub service: String,
    /// The typed parameters.
    pub view: Local,
    /// `myhostname`.
    pub myhostname: String,
    /// The tables of `alias_maps`, each by itself: whose file it is decides whose rights its commands have.
    pub aliases: Vec<AliasTable>,
    /// `mailbox_command_maps`.
    pub mailbox_command_maps: Maps,
    /// `mailbox_transport_maps`.
    pub mailbox_transport_maps: Maps,
    /// `fallback_transport_maps`.
    pub fallback_transport_maps: Maps,
    /// How mailboxes are written.
    pub writing: Arc<Writing>,
    /// Where addresses of aliases go.
    pub resolver: Resolver,
    /// How they are completed.
    pub rules: Rules,
    /// The account of `default_privs`, where it exists.
    pub default_user: Option<Arc<User>>,
    /// What `export_environment` passes on.
    pub environment: Vec<(OsString, OsString)>,
}

/// One table of aliases.
pub struct AliasTable {
    /// The table.
    pub maps: Maps,
    /// The file of a table that is one.
    pub file: Option<PathBuf>,
}

/// Which deliveries an allow_mail_to_… or prepend_delivered_header is about.
pub fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|w| w.eq_ignore_ascii_case(word))
}

impl LocalSettings {
    /// Reads them as the service sees them, opens the tables, finds the account of `default_privs`.
    pub fn read(
        config: &Config,
        service: &ServiceLine,
        tables: &TableSettings,
        as_caller: bool,
    ) -> Result<LocalSettings, Errors> {
        let (view, global) = (Local::read(config, Some(service))?, Global::read(config, Some(service))?);
        let mut opener = Opener::new(config.scope(Some(service)), tables);
        let mut open = |name: &str, specs: &[String]| opener.maps(name, specs);
        let specs = view.alias_maps.iter().filter(|spec| *spec != DEFAULT_NIS);
        let aliases = specs
            .map(|spec| AliasTable {
                maps: open("alias_maps", std::slice::from_ref(spec)),
                file: file_of(spec),
            })
            .collect();
        let mailbox_command_maps = open("mailbox_command_maps", &view.mailbox_command_maps);
        let mailbox_transport_maps = open("mailbox_transport_maps", &view.mailbox_transport_maps);
        let fallback_transport_maps = open("fallback_transport_maps", &view.fallback_transport_maps);
        opener.finish()?;
        let resolver = Resolver::new(rewrite::Settings::open(config, tables)?);
        let default_user = sys::user_by_name(&view.default_privs).ok().flatten().map(Arc::new);
        Ok(LocalSettings {
            service: service.name.clone(),
            aliases,
            mailbox_command_maps,
            mailbox_transport_maps,
            fallback_transport_maps,
            writing: Arc::new(writing(&view, &global, as_caller)),
            resolver,
            rules: Rules::read(config)?,
            default_user,
            environment: environment(&view.export_environment, config),
            myhostname: global.myhostname,
            view,
        })
    }

    /// A mailbox that cannot be written bounces, unless its error says that it may be otherwise later.
    pub const OTHERWISE: Dsn = Dsn::new(5, 2, 0);
}

fn writing(view: &Local, global: &Global, as_caller: bool) -> Writing {
    Writing {
        hostname: global.myhostname.clone(),
        size_max: view.mailbox_size_limit,
        locking: Locking::of(
            &view.mailbox_delivery_lock,
            view.deliver_lock_attempts,
            view.deliver_lock_delay,
            view.stale_lock_time,
        ),
        strict_ownership: view.strict_mailbox_ownership,
        as_caller,
    }
}

/// The file of a table; an index stands beside its source, and its owner is the one who wrote it.
fn file_of(spec: &str) -> Option<PathBuf> {
    let spec = spec.strip_prefix("proxy:").unwrap_or(spec);
    let (kind, name) = spec.split_once(':')?;
    let suffix = match kind {
        "hash" | "btree" => ".db",
        "cdb" => ".cdb",
        "lmdb" => ".lmdb",
        "texthash" | "regexp" | "pcre" | "cidr" => "",
        _ => return None,
    };
    Some(PathBuf::from(format!("{name}{suffix}")))
}

/// `NAME`, passed on where we have it, and `NAME=VALUE`.
fn environment(names: &[String], config: &Config) -> Vec<(OsString, OsString)> {
    let directory = || Some(config.directory().as_os_str().to_owned());
    let value = |word: &String| match word.split_once('=') {
        Some((name, value)) => Some((name.into(), value.into())),
        None if word == "MAIL_CONFIG" => Some((word.into(), std::env::var_os(word).or_else(directory)?)),
        None => Some((word.into(), std::env::var_os(word)?)),
    };
    names.iter().filter_map(value).collect()
}

impl AliasTable {
    /// Who wrote the table; root also where that cannot be told.
    pub fn owner(&self) -> u32 {
        use std::os::unix::fs::MetadataExt as _;
        let stat = |path: &Path| std::fs::metadata(path).map(|m| m.uid()).unwrap_or(0);
        self.file.as_deref().map_or(0, stat)
    }
}
