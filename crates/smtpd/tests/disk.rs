//! What a client is told when the disk is full or broken: a refusal for now, and never a `250`.

#![allow(clippy::unwrap_used, reason = "test support")]

mod server;

use mail::Timestamp;
use queue::{Disk, DiskFile, Entry, Lock, Space, Stat};
use server::{Server, settings};
use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

/// What goes wrong, switched while the server runs.
#[derive(Default)]
struct Trouble {
    /// The error of each write, and of making a file; 0 is none.
    write: AtomicI32,
    /// The error of each sync; 0 is none.
    sync: AtomicI32,
}

impl Trouble {
    fn of(error: &AtomicI32) -> io::Result<()> {
        match error.load(Ordering::SeqCst) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

struct Failing(Arc<dyn Disk>, Arc<Trouble>);

struct FailingFile(Arc<dyn DiskFile>, Arc<Trouble>);

impl Failing {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FailingFile(file, self.1.clone()))
    }
}

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Trouble::of(&self.1.write)?;
        self.0.create(path).map(|file| self.file(file))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open(path).map(|file| self.file(file))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.0.open_read(path)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename_new(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.0.unlink(path)
    }
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.make_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Trouble::of(&self.1.sync)?;
        self.0.sync_dir(dir)
    }
    fn sync_everything(&self) -> io::Result<()> {
        self.0.sync_everything()
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.0.stat(path)
    }
    fn set_modified(&self, path: &Path, at: Timestamp) -> io::Result<()> {
        self.0.set_modified(path, at)
    }
    fn space(&self) -> io::Result<Space> {
        self.0.space()
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Trouble::of(&self.1.write)?;
        self.0.write_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        Trouble::of(&self.1.sync)?;
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        Trouble::of(&self.1.sync)?;
        self.0.sync_all()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        Trouble::of(&self.1.write)?;
        self.0.allocate(len)
    }
    fn stat(&self) -> io::Result<Stat> {
        self.0.stat()
    }
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.0.set_mode(mode)
    }
    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.0.set_modified(at)
    }
    fn try_lock(&self) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.try_lock()
    }
}

fn start(main_cf: &str) -> (Server, Arc<Trouble>) {
    let trouble = Arc::new(Trouble::default());
    let seen = trouble.clone();
    let server = Server::start_on(settings(main_cf).unwrap(), |disk| Arc::new(Failing(disk, seen)));
    (server, trouble)
}

struct Client(TcpStream, BufReader<TcpStream>);

impl Client {
    fn of(server: &Server) -> Client {
        let stream = server.connect("127.0.0.1");
        let mut client = Client(stream.try_clone().unwrap(), BufReader::new(stream));
        assert!(client.ask("").starts_with("220 "));
        assert!(client.ask("EHLO x\r\n").starts_with("250 "));
        client
    }

    fn ask(&mut self, text: &str) -> String {
        self.0.write_all(text.as_bytes()).unwrap();
        loop {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).unwrap() > 0, "the server closed");
            if line.as_bytes()[3] == b' ' {
                return line.trim_end().to_owned();
            }
        }
    }

    /// The reply to a message of about so many bytes.
    fn send(&mut self, bytes: usize) -> String {
        assert_eq!(self.ask("MAIL FROM:<a@example.net>\r\n"), "250 2.1.0 Ok");
        assert_eq!(self.ask("RCPT TO:<ann@example.org>\r\n"), "250 2.1.5 Ok");
        assert!(self.ask("DATA\r\n").starts_with("354 "));
        let body = "0123456789012345678901234567890123456789012345678901234567890123\r\n".repeat(bytes / 66);
        self.ask(&format!("Subject: x\r\n\r\n{body}.\r\n"))
    }
}

/// Numbers of errors on Linux.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const SMALL: usize = 1_000;
/// Written to a file of its own while it comes.
const LARGE: usize = 6_000_000;

#[test]
fn a_failed_sync_gives_451_and_the_next_message_is_taken() {
    let (server, trouble) = start("");
    let mut client = Client::of(&server);
    for size in [SMALL, LARGE] {
        assert!(client.send(size).starts_with("250 2.0.0 Ok: queued as "), "{size}");
        trouble.sync.store(EIO, Ordering::SeqCst);
        assert_eq!(client.send(size), "451 4.3.0 Error: queue file write error", "{size}");
        trouble.sync.store(0, Ordering::SeqCst);
        assert!(client.send(size).starts_with("250 2.0.0 Ok: queued as "), "{size}");
    }
}

#[test]
fn a_failed_write_gives_451_and_a_full_disk_452() {
    let (server, trouble) = start("smtpd_error_sleep_time = 0s\nsmtpd_hard_error_limit = 1000\n");
    let mut client = Client::of(&server);
    for (error, reply) in
        [(EIO, "451 4.3.0 Error: queue file write error"), (ENOSPC, "452 4.3.1 Insufficient system storage")]
    {
        for size in [SMALL, LARGE] {
            trouble.write.store(error, Ordering::SeqCst);
            assert_eq!(client.send(size), reply, "{size}");
            trouble.write.store(0, Ordering::SeqCst);
            // A full journal is believed full for a second, or until a commit finds room.
            let begun = std::time::Instant::now();
            while client.ask("MAIL FROM:<a@example.net>\r\n").starts_with("452 4.3.1 ") {
                assert!(begun.elapsed().as_secs() < 10, "the disk has room again");
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            assert_eq!(client.ask("RSET\r\n"), "250 2.0.0 Ok");
            assert!(client.send(size).starts_with("250 2.0.0 Ok: queued as "), "{size}");
        }
    }
}
