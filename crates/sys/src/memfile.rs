//! A file in memory that nobody can change any more: one message on its way to another process.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{pwritev, retry_on_intr};
use std::fs::File;
use std::io::{self, IoSlice};

/// A memory file with these pieces as content, sealed against every change, positioned at its start.
pub fn sealed_memory_file<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> io::Result<File> {
    let file =
        File::from(memfd_create("posthaste-message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    let mut pieces: Vec<IoSlice<'_>> = pieces.into_iter().map(IoSlice::new).collect();
    let (mut pieces, mut at) = (&mut pieces[..], 0);
    IoSlice::advance_slices(&mut pieces, 0);
    while !pieces.is_empty() {
        // Written by position, so that the file is read from its start on.
        let written = retry_on_intr(|| pwritev(&file, pieces, at))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += written as u64;
        IoSlice::advance_slices(&mut pieces, written);
    }
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_sealed_file_can_be_read_and_not_written() {
        let mut file = sealed_memory_file([&b"Subject: x\r\n"[..], b"\r\nbody"]).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "Subject: x\r\n\r\nbody");
        assert!(file.write_all(b"more").is_err());
        assert!(file.set_len(0).is_err());
    }
}
