//! Passing open descriptors over a Unix socket (SCM_RIGHTS).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Descriptors in one message; Linux takes 253.
pub const PASSED_FDS_MAX: usize = 8;

/// Sends `bytes` with `fds`; answers how many bytes went. On a stream at least one byte must go with descriptors.
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > PASSED_FDS_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors in one message"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives into `bytes` and appends descriptors that came along to `fds`; 0 bytes mean the end. The descriptors
/// close on exec. Ones beyond [`PASSED_FDS_MAX`] are an error, so that none is lost unnoticed.
pub fn receive_with_fds(socket: impl AsFd, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    if received.flags.intersects(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "descriptors were cut off"));
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives_open_with_its_bytes() {
        let (a, b) = UnixStream::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        assert_eq!(send_with_fds(&a, b"job", &[far.as_fd()]).unwrap(), 3);
        drop(far);

        let (mut bytes, mut fds) = ([0; 10], Vec::new());
        assert_eq!(receive_with_fds(&b, &mut bytes, &mut fds).unwrap(), 3);
        let mut passed = UnixStream::from(fds.pop().unwrap());
        passed.write_all(b"through").unwrap();
        drop(passed);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!((&bytes[..3], text.as_str(), fds.len()), (&b"job"[..], "through", 0));
    }

    #[test]
    fn the_end_is_zero_bytes_and_too_many_descriptors_are_refused() {
        let (a, b) = UnixStream::pair().unwrap();
        let many = vec![a.as_fd(); PASSED_FDS_MAX + 1];
        assert!(send_with_fds(&a, b"x", &many).is_err());
        drop(a);
        assert_eq!(receive_with_fds(&b, &mut [0; 10], &mut Vec::new()).unwrap(), 0);
    }
}
