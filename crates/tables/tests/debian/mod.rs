//! Servers of Debian's packages, unpacked below target/oracle, run as a private user on loopback in a directory of
//! their own. A test without its program is passed over, but fails where CI is set: `./test` unpacks them.

#![allow(dead_code)]

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use testkit::free_port;

/// Debian's user for nobody's programs, whom the servers run as when the tests run as root.
pub const NOBODY: u32 = 65_534;

/// The tree of the unpacked packages: `$POSTHASTE_ORACLE`, or `target/oracle`.
pub fn root() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/oracle");
    std::env::var_os("POSTHASTE_ORACLE").map_or_else(beside, PathBuf::from).join("root")
}

/// A program of the packages with their libraries; nothing where it is not there and that is no mistake.
pub fn program(path: &str) -> Option<Command> {
    let program = root().join(path);
    if !program.exists() {
        return missing(&program.display().to_string());
    }
    let mut command = Command::new(program);
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"].map(|lib| root().join(lib));
    let libraries = std::env::join_paths(libraries).unwrap();
    command.env("LD_LIBRARY_PATH", libraries).stdin(Stdio::null());
    Some(command)
}

/// Says that a test cannot run for want of a program; with CI set that is a failure.
pub fn missing<T>(program: &str) -> Option<T> {
    let ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!ci, "{program} is missing: install it, or run tests/testkit/world/fetch target/oracle");
    eprintln!("passed over: {program} is missing");
    None
}

/// Whether the tests run as root, so that the servers have to change to [`NOBODY`].
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A directory that the server may write to and that goes with the value.
pub struct Directory(PathBuf);

impl Directory {
    /// A new directory.
    pub fn new(name: &str) -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Directory(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives a file to the private user.
    pub fn own(&self, name: &str) {
        if is_root() {
            chown(self.0.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Writes a file that the server may read, an hour old: Postfix waits until a file lies still for a second.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes `NAME.key` and `NAME.pem` with these extensions, signed by the authority of another name or by itself, and gives
/// their paths. Nothing where there is no openssl.
pub fn certificate(
    directory: &Directory,
    name: &str,
    extensions: &[&str],
    authority: Option<&str>,
) -> Option<(PathBuf, PathBuf)> {
    let path = |name: &str, suffix: &str| directory.path().join(format!("{name}.{suffix}"));
    let (key, certificate) = (path(name, "key"), path(name, "pem"));
    let mut make = Command::new("openssl");
    make.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    make.args(["-subj", &format!("/CN={name}")]).args(extensions.iter().flat_map(|one| ["-addext", one]));
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    if let Some(authority) = authority {
        make.arg("-CA").arg(path(authority, "pem")).arg("-CAkey").arg(path(authority, "key"));
    }
    match make.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => return missing("openssl"),
    }
    directory.own(&format!("{name}.key"));
    Some((key, certificate))
}

/// A server that ends with the value.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
}

impl Server {
    /// Starts what `command` makes for a free port, and waits until it listens there.
    pub fn start(command: impl Fn(u16) -> Command) -> Server {
        // Between finding a port and listening there, somebody else may take it.
        for _ in 0..10 {
            let port = free_port();
            if let Some(server) = Server::start_at(port, command(port)) {
                return server;
            }
        }
        panic!("the server does not start: {:?}", command(0));
    }

    /// Starts a server again at a port where one was.
    pub fn start_at(port: u16, mut command: Command) -> Option<Server> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Server { child, port };
        for _ in 0..3000 {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Debian's Postfix answers for each key (without line feeds in it): `postmap -q -`, found values by key. Nothing where
/// that program is not there.
pub fn postmap(directory: &Directory, keys: &[&str], spec: &str) -> Option<Vec<(String, String)>> {
    let here = directory.path().display();
    let library = root().join("usr/lib/postfix");
    let main_cf = format!(
        "compatibility_level = 3.6\nmyhostname = mail.example.com\nmail_owner = daemon\nsetgid_group = mail\n\
         shlib_directory = {}\nmeta_directory = {here}\ndata_directory = {here}\nqueue_directory = {here}\n",
        library.display()
    );
    let mut command = program("usr/sbin/postmap")?;
    directory.write("main.cf", &main_cf);
    std::fs::copy(root().join("usr/share/postfix/dynamicmaps.cf"), directory.path().join("dynamicmaps.cf"))
        .unwrap();
    let keys_file = directory.write("keys", &format!("{}\n", keys.join("\n")));
    let libraries = std::iter::once(library).chain([root().join("usr/lib/x86_64-linux-gnu")]);
    let output = command
        .env("LD_LIBRARY_PATH", std::env::join_paths(libraries).unwrap())
        .stdin(File::open(keys_file).unwrap())
        .args(["-c", &here.to_string(), "-q", "-", spec])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    // A server that refuses us is an answer, too.
    let fatal = errors.contains("fatal: ") && !errors.contains(": query error: ");
    assert!(!fatal, "Postfix's postmap -q - {spec}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    Some(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}
