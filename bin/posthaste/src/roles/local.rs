//! The process `local`: deliveries with the recipients' rights.

use super::{Start, agents, routing, sockets};
use config::Config;
use delivery::local_role::spawn::{self, Listener, Spawner};
use delivery::local_role::{Inputs, Services};
use net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::watch;

/// Threads that write mailboxes. Each waits for its own sync, so there are more than cores; at 1,000 deliveries into
/// mailbox files a second and 10 ms a sync these are as many as are busy.
const WORKERS: usize = 16;

/// Runs the role. It keeps root, where it has it, since each delivery takes its recipient's identity.
pub fn run(mut start: Start) -> Result<(), String> {
    start.open_log()?;
    let as_caller = start.plan.identity.is_none() && !rustix::process::geteuid().is_root();
    let tables = routing::table_settings(&start.config, &start.tag).map_err(|why| start.fail(why))?;
    let settings =
        Services::read(&start.config, &tables, as_caller).map_err(|e| start.fail(e.to_string()))?;
    let spawned =
        spawn::Settings::read_all(&start.config, as_caller).map_err(|e| start.fail(e.to_string()))?;
    let passed = std::mem::take(&mut start.inherited.listeners);
    let passed = passed.into_iter().map(|(service, socket)| Listener { service, socket }).collect();
    let socket = sockets::listen(agents::LOCAL_SOCKET).map_err(|why| start.fail(why))?;
    if let Some(identity) = &start.plan.identity {
        // The queue manager comes as mail_owner.
        sockets::give(agents::LOCAL_SOCKET, &identity.mail_owner).map_err(|why| start.fail(why))?;
    }
    let runtime = super::runtime(observe::flush).map_err(|e| start.fail(e.to_string()))?;
    let local = tokio::task::LocalSet::new();
    let Start { arguments, inherited, tag, .. } = start;
    local.block_on(&runtime, async move {
        let io = |e: std::io::Error| e.to_string();
        let (trigger, shutdown) = Shutdown::new();
        let (newest, settings) = watch::channel(Arc::new(settings));
        let own_tag = tag.clone();
        let spawner = Spawner::default();
        spawner.set(passed, spawned).map_err(io)?;
        let next = spawner.clone();
        let reload = move |sockets: Vec<(String, OwnedFd)>| {
            let config = Config::load(&arguments.config_directory).map_err(|e| e.to_string())?;
            let tables = routing::table_settings(&config, &own_tag)?;
            let settings = Services::read(&config, &tables, as_caller).map_err(|e| e.to_string())?;
            let spawned = spawn::Settings::read_all(&config, as_caller).map_err(|e| e.to_string())?;
            newest.send_replace(Arc::new(settings));
            let sockets = sockets.into_iter().map(|(service, socket)| Listener { service, socket });
            next.set(sockets.collect(), spawned).map_err(io)
        };
        let listener = tokio::net::UnixListener::from_std(socket).map_err(io)?;
        let link = inherited.link.into_async().map_err(io)?;
        let following = tokio::task::spawn_local(super::follow_master_with(link, trigger, tag, reload));
        let inputs = Inputs { listener, settings, spawner, workers: WORKERS, shutdown };
        let result = delivery::local_role::run(inputs).await.map_err(io);
        following.abort();
        result
    })
}
