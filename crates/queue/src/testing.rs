//! Helpers of the unit tests.

use crate::disk::{Disk, DiskFile, Entry, Lock, Space, Stat};
use mail::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A directory of the test's own below the target directory, empty, removed when the value is dropped.
pub(crate) fn dir(name: &str) -> TestDir {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("posthaste-{name}-{}-{number}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    TestDir(path)
}

pub(crate) struct TestDir(PathBuf);

impl std::ops::Deref for TestDir {
    type Target = std::path::Path;

    fn deref(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The real disk, on which writes to files that are there already fail while `broken` is set, and calls on files made
/// since as `failures` says.
pub(crate) struct Stubborn {
    pub(crate) disk: crate::RealDisk,
    pub(crate) broken: Arc<AtomicBool>,
    pub(crate) failures: Arc<Failures>,
}

/// Which call fails, counted from now: 1 is the next, 0 none.
#[derive(Default)]
pub(crate) struct Failures {
    pub(crate) write: AtomicU32,
    pub(crate) sync: AtomicU32,
}

impl Stubborn {
    pub(crate) fn new(dir: &Path) -> Stubborn {
        let disk = crate::RealDisk::new(dir).unwrap();
        Stubborn { disk, broken: Arc::default(), failures: Arc::default() }
    }
}

struct StubbornFile {
    file: Arc<dyn DiskFile>,
    broken: Arc<AtomicBool>,
    failures: Arc<Failures>,
}

fn broken() -> io::Error {
    io::Error::other("broken on purpose")
}

fn count_down(left: &AtomicU32) -> io::Result<()> {
    let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    if before == Ok(1) { Err(broken()) } else { Ok(()) }
}

impl Disk for Stubborn {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let (broken, failures) = (Arc::default(), self.failures.clone());
        Ok(Arc::new(StubbornFile { file: self.disk.create(path)?, broken, failures }))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let (broken, failures) = (self.broken.clone(), Arc::default());
        Ok(Arc::new(StubbornFile { file: self.disk.open(path)?, broken, failures }))
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read(path)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.make_dir(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn sync_everything(&self) -> io::Result<()> {
        self.disk.sync_everything()
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.disk.stat(path)
    }
    fn set_modified(&self, path: &Path, at: Timestamp) -> io::Result<()> {
        self.disk.set_modified(path, at)
    }
    fn space(&self) -> io::Result<Space> {
        self.disk.space()
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl DiskFile for StubbornFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, slices: &[io::IoSlice<'_>], offset: u64) -> io::Result<usize> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(broken());
        }
        count_down(&self.failures.write)?;
        self.file.write_at(slices, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        count_down(&self.failures.sync)?;
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn stat(&self) -> io::Result<Stat> {
        self.file.stat()
    }
    fn set_mode(&self, mode: u32) -> io::Result<()> {
        self.file.set_mode(mode)
    }
    fn set_modified(&self, at: Timestamp) -> io::Result<()> {
        self.file.set_modified(at)
    }
    fn try_lock(&self) -> io::Result<Option<Box<dyn Lock>>> {
        self.file.try_lock()
    }
}
