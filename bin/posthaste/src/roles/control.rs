//! The process `control`: lists of the queue, and tables for processes below another root. It reads the queue and changes
//! nothing; orders go to the queue manager.

use super::{Reach, Start, agents, queue, routing, sockets};
use ::queue::paths::Hashing;
use config::{Config, ServiceType};
use control::{Proxied, Showq};
use net::Shutdown;
use observe::Tag;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the role.
pub fn run(mut start: Start) -> Result<(), String> {
    let tables = proxied(&start.config, &start.tag).map_err(|why| start.fail(why))?;
    let written = written(&start.config).map_err(|why| start.fail(why))?;
    start.confine(&Reach {
        // Tables lie anywhere.
        read: &["/".into()],
        write: &["public", "private"],
        tables: &written,
        opened: &[],
        configuration: true,
    })?;
    let lists = sockets::listen("public/showq").map_err(|why| start.fail(why))?;
    let questions = sockets::listen(sockets::PROXYMAP).map_err(|why| start.fail(why))?;
    let disk = Arc::new(queue::disk(&start.plan).map_err(|why| start.fail(why))?);
    let hashing = queue::hashing(&start.config).map_err(|why| start.fail(why))?;
    let name = agents::syslog_name(&start.config, start.config.service("showq", ServiceType::Unix))
        .map_err(|why| start.fail(why))?;
    let runtime = super::runtime(observe::flush).map_err(|e| start.fail(e.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let Start { arguments, inherited, tag, .. } = start;
    local.block_on(&runtime, async move {
        let (trigger, shutdown) = Shutdown::new();
        let (newest, in_force) = watch::channel(hashing);
        let (newest_tables, tables) = watch::channel(tables);
        let lists = tokio::net::UnixListener::from_std(lists).map_err(|e| e.to_string())?;
        let showq = move || Showq {
            disk: disk.clone(),
            hashing: Hashing::clone(&in_force.borrow()),
            live: "private/showq".into(),
        };
        let showq_tag = Tag::new(&name, "showq", tag.number);
        let questions = tokio::net::UnixListener::from_std(questions).map_err(|e| e.to_string())?;
        let (proxymap_tag, own_tag) = (Tag::new(&name, "proxymap", tag.number), tag.clone());
        let tables = move || Arc::clone(&tables.borrow());
        let link = inherited.link.into_async().map_err(|e| e.to_string())?;
        let reload = move || {
            let config = Config::load(&arguments.config_directory).map_err(|e| e.to_string())?;
            newest.send_replace(queue::hashing(&config)?);
            newest_tables.send_replace(proxied(&config, &own_tag)?);
            Ok(())
        };
        tokio::select! {
            () = control::serve_showq(lists, showq, showq_tag, shutdown.clone()) => Ok(()),
            () = control::serve_tables(questions, tables, proxymap_tag, shutdown) => Ok(()),
            followed = super::follow_master(link, trigger, tag, reload) => followed.map_err(|e| e.to_string()),
        }
    })
}

/// The directories in which tables that may be asked for make files of their own. The tables themselves are opened
/// when somebody asks, which is too late to reach there.
fn written(config: &Config) -> Result<Vec<PathBuf>, String> {
    let settings = tables::Settings::of(config).map_err(|e| e.to_string())?;
    for spec in tables::proxied(config).iter().filter(|spec| spec.starts_with("sqlite:")) {
        // What is wrong with it is told when somebody asks.
        let _ = tables::Table::open(spec, &settings);
    }
    Ok(settings.written.all())
}

/// The tables that processes below another root may ask for.
fn proxied(config: &Config, tag: &Tag) -> Result<Arc<Proxied>, String> {
    Ok(Arc::new(Proxied::new(tables::proxied(config), routing::table_settings(config, tag)?)))
}
