//! The sockets of the services: made by master, which may, and kept over reloads.

use crate::plan::{Endpoint, ListenerPlan, Plan, is_missing_family};
use observe::Tag;
use rustix::fs::{Mode, chmod};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Connections that the kernel holds for us; it cuts this to net.core.somaxconn.
const LISTEN_BACKLOG: i32 = 65535;

/// Listens on what is planned, taking over sockets that are open already. Names of Unix sockets that are not planned any
/// more are removed.
pub(crate) fn listen(
    plan: &Plan,
    mut open: Vec<(ListenerPlan, OwnedFd)>,
    tag: &Tag,
) -> Result<Vec<(ListenerPlan, OwnedFd)>, String> {
    let mut listeners = Vec::new();
    for planned in &plan.listeners {
        if let Some(at) = open.iter().position(|(p, _)| p.endpoint == planned.endpoint) {
            // The line of master.cf may have another name now, or another process.
            listeners.push((planned.clone(), open.swap_remove(at).1));
            continue;
        }
        match &planned.endpoint {
            Endpoint::Tcp(address) => match net::listen(*address, LISTEN_BACKLOG) {
                Ok(listener) => listeners.push((planned.clone(), listener.into())),
                Err(e) if is_missing_family(address.ip(), &e) => {
                    observe::warn(tag, format_args!("{}: this host has no IPv6: {e}", planned.service));
                }
                Err(e) => {
                    let (ip, port, advice) = (address.ip(), address.port(), advice(&e, address.port()));
                    let ListenerPlan { origin, service, .. } = planned;
                    return Err(format!("{origin}: {service}: bind {ip} port {port}: {e}{advice}"));
                }
            },
            Endpoint::Unix(name) => {
                let path = plan.queue_directory.join(name);
                let owner = plan.identity.as_ref().map(|i| i.owners().mail_owner);
                let listener = listen_unix(&path, owner);
                let named = |e| format!("{}: bind {}: {e}", planned.service, path.display());
                listeners.push((planned.clone(), listener.map_err(named)?));
            }
        }
    }
    for (left, _) in open {
        if let Endpoint::Unix(name) = left.endpoint {
            // Who finds no name gets the same answer as from a name without a listener.
            let _ = std::fs::remove_file(plan.queue_directory.join(name));
        }
    }
    Ok(listeners)
}

/// What to do where a port cannot be taken.
fn advice(error: &io::Error, port: u16) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            ": another program listens there: `ss -ltnp sport = {port}` shows it; stop it or take another port"
        ),
        io::ErrorKind::AddrNotAvailable => {
            ": this host has no such address; see inet_interfaces in main.cf and master.cf".into()
        }
        io::ErrorKind::PermissionDenied => ": ports below 1024 are for root".into(),
        _ => String::new(),
    }
}

/// Makes a socket with Postfix's owner and mode. The name that an earlier instance left is replaced: our lock says that
/// none lives.
fn listen_unix(path: &Path, owner: Option<(u32, u32)>) -> io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Who may come is decided by the directory.
    chmod(path, Mode::from_raw_mode(0o666))?;
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}
