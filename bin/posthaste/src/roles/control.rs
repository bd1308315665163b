//! The process `control`: lists of the queue. It reads the queue and changes nothing; orders go to the queue manager.

use super::{Reach, Start, agents, queue, sockets};
use ::queue::paths::Hashing;
use config::{Config, ServiceType};
use control::Showq;
use net::Shutdown;
use observe::Tag;
use std::sync::Arc;
use tokio::sync::watch;

/// Runs the role.
pub fn run(mut start: Start) -> Result<(), String> {
    start.confine(&Reach { read: &[".".into()], write: &["public", "private"], configuration: true })?;
    let lists = sockets::listen("public/showq").map_err(|why| start.fail(why))?;
    let disk = Arc::new(queue::disk(&start.plan).map_err(|why| start.fail(why))?);
    let hashing = queue::hashing(&start.config).map_err(|why| start.fail(why))?;
    let name = agents::syslog_name(&start.config, start.config.service("showq", ServiceType::Unix))
        .map_err(|why| start.fail(why))?;
    let runtime = super::runtime().map_err(|e| start.fail(e.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let Start { arguments, inherited, tag, .. } = start;
    local.block_on(&runtime, async move {
        let (trigger, shutdown) = Shutdown::new();
        let (newest, in_force) = watch::channel(hashing);
        let lists = tokio::net::UnixListener::from_std(lists).map_err(|e| e.to_string())?;
        let showq = move || Showq {
            disk: disk.clone(),
            hashing: Hashing::clone(&in_force.borrow()),
            live: "private/showq".into(),
        };
        let showq_tag = Tag::new(&name, "showq", tag.number);
        let link = inherited.link.into_async().map_err(|e| e.to_string())?;
        let reload = move || {
            let config = Config::load(&arguments.config_directory).map_err(|e| e.to_string())?;
            newest.send_replace(queue::hashing(&config)?);
            Ok(())
        };
        tokio::select! {
            () = control::serve_showq(lists, showq, showq_tag, shutdown) => Ok(()),
            followed = super::follow_master(link, trigger, tag, reload) => followed.map_err(|e| e.to_string()),
        }
    })
}
