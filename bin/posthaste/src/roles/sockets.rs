//! Stream sockets below queue_directory.

use rustix::fs::{Mode, chmod};
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Where processes below another root ask for tables, below queue_directory.
pub const PROXYMAP: &str = "private/proxymap";

/// Listens on `private/NAME` or `public/NAME`, relative to the working directory (queue_directory). A socket that an
/// earlier process left is replaced: only one process of an instance has each role.
pub fn listen(name: &str) -> Result<UnixListener, String> {
    let listen = || -> io::Result<UnixListener> {
        match std::fs::remove_file(name) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(name)?;
        // As Postfix's: who may come is decided by the directory.
        chmod(Path::new(name), Mode::from_raw_mode(0o666))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|e| format!("{name}: {e}"))
}

/// Makes a socket a user's, as Postfix's sockets belong to mail_owner.
pub fn give(name: &str, user: &sys::User) -> Result<(), String> {
    std::os::unix::fs::lchown(name, Some(user.uid), Some(user.gid)).map_err(|e| format!("{name}: {e}"))
}
