//! What master and its roles say to each other, over one socket pair a role.
//!
//! Whole messages (SOCK_SEQPACKET), descriptors along with them. When either side is gone the other reads the end:
//! a role then finishes by itself.

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// From master to a role. What stands before `Go` is what the role starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToRole {
    /// Comes with a descriptor: the log file that master opened.
    Log,
    /// Comes with a descriptor: a listening socket.
    Listener {
        /// `smtp/inet`: the line of master.cf.
        service: String,
        /// Where it listens.
        address: String,
    },
    /// That was all: start.
    Go,
    /// Read the configuration again.
    Reload,
    /// Take nothing new, let sessions end in their own time, then exit: another process has taken over.
    Retire,
    /// Finish what is under way, for at most 5 s, then exit.
    Stop,
}

/// From a role to master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToMaster {
    /// The role serves.
    Ready,
    /// The role cannot start, or not take the new configuration; why.
    Failed(String),
    /// The new configuration is in force.
    Reloaded,
}

/// Longer texts are cut; a message of this size always fits the socket's buffer.
const MESSAGE_BYTES_MAX: usize = 8192;

impl ToRole {
    fn encode(&self) -> Vec<u8> {
        match self {
            ToRole::Log => b"L".to_vec(),
            ToRole::Listener { service, address } => format!("I{service}\0{address}").into_bytes(),
            ToRole::Go => b"G".to_vec(),
            ToRole::Reload => b"R".to_vec(),
            ToRole::Retire => b"T".to_vec(),
            ToRole::Stop => b"S".to_vec(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        match (text.get(..1)?, text.get(1..)?) {
            ("L", "") => Some(ToRole::Log),
            ("G", "") => Some(ToRole::Go),
            ("R", "") => Some(ToRole::Reload),
            ("T", "") => Some(ToRole::Retire),
            ("S", "") => Some(ToRole::Stop),
            ("I", rest) => {
                let (service, address) = rest.split_once('\0')?;
                Some(ToRole::Listener { service: service.into(), address: address.into() })
            }
            _ => None,
        }
    }
}

impl ToMaster {
    fn encode(&self) -> Vec<u8> {
        match self {
            ToMaster::Ready => b"r".to_vec(),
            ToMaster::Reloaded => b"l".to_vec(),
            ToMaster::Failed(text) => {
                let mut bytes = format!("f{text}").into_bytes();
                bytes.truncate(MESSAGE_BYTES_MAX);
                bytes
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (b'r', []) => Some(ToMaster::Ready),
            (b'l', []) => Some(ToMaster::Reloaded),
            (b'f', text) => Some(ToMaster::Failed(String::from_utf8_lossy(text).into_owned())),
            _ => None,
        }
    }
}

/// The two ends of a new link: master's and the role's.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Master's end.
#[derive(Debug)]
pub struct MasterEnd(UnixStream);

impl MasterEnd {
    /// Takes master's end into the event loop.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(MasterEnd(in_loop(fd)?))
    }

    /// Sends a message; an error when the role is gone, or so stuck that it has not read dozens before.
    pub fn send(&self, message: &ToRole, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        sys::send_with_fds(&self.0, &message.encode(), fd.as_slice()).map(|_| ())
    }

    /// The next message; `None` when the role is gone.
    pub async fn receive(&self) -> io::Result<Option<ToMaster>> {
        let (bytes, _) = receive(&self.0).await?;
        if bytes.is_empty() {
            Ok(None)
        } else {
            ToMaster::decode(&bytes).map(Some).ok_or_else(not_understood)
        }
    }
}

/// A role's end, before its event loop runs.
#[derive(Debug)]
pub struct RoleEnd(OwnedFd);

impl RoleEnd {
    /// The role's end, as it was inherited.
    pub fn new(fd: OwnedFd) -> Self {
        RoleEnd(fd)
    }

    /// Waits for the next message and the descriptor that came with it; `None` when master is gone.
    pub fn receive(&self) -> io::Result<Option<(ToRole, Option<OwnedFd>)>> {
        let (mut bytes, mut fds) = (vec![0; MESSAGE_BYTES_MAX], Vec::new());
        let n = sys::receive_with_fds(&self.0, &mut bytes, &mut fds)?;
        if n == 0 {
            return Ok(None);
        }
        let message = ToRole::decode(&bytes[..n]).ok_or_else(not_understood)?;
        Ok(Some((message, fds.pop())))
    }

    /// Tells master something.
    pub fn send(&self, message: &ToMaster) -> io::Result<()> {
        sys::send_with_fds(&self.0, &message.encode(), &[]).map(|_| ())
    }

    /// Takes the end into the event loop.
    pub fn into_async(self) -> io::Result<RoleLink> {
        Ok(RoleLink(in_loop(self.0)?))
    }
}

/// A role's end, in its event loop.
#[derive(Debug)]
pub struct RoleLink(UnixStream);

impl RoleLink {
    /// The next message; `None` when master is gone.
    pub async fn receive(&self) -> io::Result<Option<(ToRole, Option<OwnedFd>)>> {
        let (bytes, mut fds) = receive(&self.0).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let message = ToRole::decode(&bytes).ok_or_else(not_understood)?;
        Ok(Some((message, fds.pop())))
    }

    /// Tells master something.
    pub fn send(&self, message: &ToMaster) -> io::Result<()> {
        sys::send_with_fds(&self.0, &message.encode(), &[]).map(|_| ())
    }
}

/// The event loop knows stream sockets; that ours keeps messages apart changes nothing for it.
fn in_loop(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

async fn receive(socket: &UnixStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    socket
        .async_io(Interest::READABLE, || {
            let (mut bytes, mut fds) = (vec![0; MESSAGE_BYTES_MAX], Vec::new());
            match sys::receive_with_fds(socket, &mut bytes, &mut fds) {
                Ok(n) => bytes.truncate(n),
                // The other side went without reading what we sent.
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => bytes.clear(),
                Err(e) => return Err(e),
            }
            Ok((bytes, fds))
        })
        .await
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message between master and a role was not understood")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;

    #[test]
    fn messages_survive_the_way() {
        let listener = ToRole::Listener { service: "smtp/inet".into(), address: "[::1]:25".into() };
        for message in [ToRole::Log, listener, ToRole::Go, ToRole::Reload, ToRole::Retire, ToRole::Stop] {
            assert_eq!(ToRole::decode(&message.encode()), Some(message));
        }
        for message in [ToMaster::Ready, ToMaster::Failed("no".into()), ToMaster::Reloaded] {
            assert_eq!(ToMaster::decode(&message.encode()), Some(message));
        }
        assert_eq!(ToRole::decode(b"Ix"), None);
    }

    #[test]
    fn a_listener_reaches_the_role_and_the_end_reaches_master() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = pair().unwrap();
            let (master, role) = (MasterEnd::new(ours).unwrap(), RoleEnd::new(theirs));
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let message = ToRole::Listener { service: "smtp/inet".into(), address: "x".into() };
            master.send(&message, Some(listener.as_fd())).unwrap();

            let (got, fd) = role.receive().unwrap().unwrap();
            assert_eq!(got, message);
            let passed = TcpListener::from(fd.unwrap());
            assert_eq!(passed.local_addr().unwrap(), listener.local_addr().unwrap());

            role.send(&ToMaster::Ready).unwrap();
            assert_eq!(master.receive().await.unwrap(), Some(ToMaster::Ready));
            let link = role.into_async().unwrap();
            master.send(&ToRole::Stop, None).unwrap();
            assert_eq!(link.receive().await.unwrap().unwrap().0, ToRole::Stop);
            drop(link);
            assert_eq!(master.receive().await.unwrap(), None);
        });
    }
}
