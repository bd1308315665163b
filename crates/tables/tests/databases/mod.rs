//! Database servers that a test starts on loopback, as a private user, below a directory that goes with the test.
//!
//! The programs are the host's, or those of Debian's packages that `tests/testkit/world/fetch` unpacked. Where there
//! are none the test says so and ends; with CI set it fails.

#![allow(dead_code, unused_macros)]

#[macro_use]
pub mod scenarios;

use crate::debian::{Directory, is_root, missing, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tables::{Lookup, Settings, Table, wait};
use testkit::free_port;

/// Waits of a tenth of a second for a server to come up.
const STARTS_MAX: u32 = 600;

/// A program as the private user; it ends with the thread that starts it.
fn as_nobody(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL"]).arg(program).current_dir(directory).stdin(Stdio::null());
    // A server clears up its temporary directory when it starts, so each has its own.
    command.env("TMPDIR", directory);
    let libraries = root().join("usr/lib/x86_64-linux-gnu");
    if program.starts_with(root()) {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A server that runs, or is stopped for a while.
struct Process(Option<Child>);

impl Process {
    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// PostgreSQL: user `mail` with the password `secret`, database `mail`.
pub struct Postgres {
    programs: PathBuf,
    pub directory: Directory,
    pub port: u16,
    /// More arguments of the server.
    pub more: Vec<String>,
    process: Process,
}

impl Postgres {
    /// A server with an empty database; nothing where there is no program.
    pub fn start() -> Option<Postgres> {
        let Some(programs) = Postgres::programs() else { return missing("postgres") };
        let directory = Directory::new("pgsql");
        let password = directory.write("password", "secret\n");
        let mut initdb = as_nobody(&programs.join("initdb"), directory.path());
        initdb
            .args(["-D", "data", "-U", "mail", "-E", "UTF8", "--no-locale", "-N", "--pwfile"])
            .arg(password);
        succeeds(initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]));
        let mut server =
            Postgres { programs, directory, port: free_port(), more: Vec::new(), process: Process(None) };
        server.run();
        server.sql_in("postgres", "CREATE DATABASE mail");
        Some(server)
    }

    fn programs() -> Option<PathBuf> {
        let versions = ["/usr/lib/postgresql".into(), root().join("usr/lib/postgresql")];
        let found = versions.iter().filter_map(|path| fs::read_dir(path).ok()).flatten().flatten();
        found.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists())
    }

    /// Starts it (again) and waits until it takes connections.
    pub fn run(&mut self) {
        let mut command = as_nobody(&self.programs.join("postgres"), self.directory.path());
        let port = self.port.to_string();
        command
            .args(["-D", "data", "-F", "-c", "jit=off", "-h", "127.0.0.1", "-p", &port, "-k"])
            .arg(self.directory.path());
        command.args(&self.more);
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        self.process.0 = Some(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
        let ready = || self.psql("postgres", "SELECT 1").output().unwrap().status.success();
        assert!(comes(ready), "{}", fs::read_to_string(self.directory.path().join("log")).unwrap());
    }

    /// Kills it without a word to its clients.
    pub fn kill(&mut self) {
        self.process.kill();
        let _ = fs::remove_file(self.directory.path().join("data/postmaster.pid"));
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut command = as_nobody(&self.programs.join("psql"), self.directory.path());
        let port = self.port.to_string();
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "mail", "-p", &port, "-h"]);
        command.arg(self.directory.path()).args(["-d", database, "-c", sql]);
        command
    }

    fn sql_in(&self, database: &str, sql: &str) -> String {
        String::from_utf8(succeeds(&mut self.psql(database, sql)).stdout).unwrap().trim_end().to_owned()
    }

    /// Runs SQL in the database and gives what it prints.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("mail", sql)
    }

    /// The settings that log in, `hosts` first.
    pub fn login(&self) -> String {
        format!("hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\n", self.port)
    }
}

/// MariaDB: user `mail` with the password `secret`, database `mail`.
pub struct Mariadb {
    programs: PathBuf,
    pub directory: Directory,
    pub port: u16,
    /// More arguments of the server.
    pub more: Vec<String>,
    process: Process,
}

impl Mariadb {
    /// A server with an empty database; nothing where there is no program.
    pub fn start() -> Option<Mariadb> {
        let Some(programs) = Mariadb::programs() else { return missing("mariadbd") };
        let directory = Directory::new("mysql");
        let mut install = as_nobody(&programs.join("bin/mariadb-install-db"), directory.path());
        install.arg("--no-defaults").arg(format!("--basedir={}", programs.display()));
        install.arg(format!("--datadir={}", directory.path().join("data").display()));
        succeeds(install.args([
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]));
        let mut server =
            Mariadb { programs, directory, port: free_port(), more: Vec::new(), process: Process(None) };
        server.run();
        server.sql_in(
            "mysql",
            "CREATE DATABASE mail CHARACTER SET utf8mb4; CREATE USER mail@'%' IDENTIFIED BY 'secret';
             CREATE USER mail@localhost IDENTIFIED BY 'secret'; GRANT ALL ON mail.* TO mail@'%', mail@localhost",
        );
        Some(server)
    }

    fn programs() -> Option<PathBuf> {
        let places = [PathBuf::from("/usr"), root().join("usr")];
        places.into_iter().find(|usr| usr.join("sbin/mariadbd").exists() && usr.join("bin/mariadb").exists())
    }

    /// Starts it (again) and waits until it takes connections.
    pub fn run(&mut self) {
        let mut command = as_nobody(&self.programs.join("sbin/mariadbd"), self.directory.path());
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
        command.arg(format!("--basedir={}", self.programs.display()));
        command.arg(format!("--lc-messages-dir={}", self.programs.join("share/mysql").display()));
        command.args([format!("--datadir={}", path("data")), format!("--socket={}", path("socket"))]);
        command
            .args([format!("--pid-file={}", path("pid")), format!("--port={}", self.port)])
            .args(&self.more);
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        self.process.0 = Some(command.stderr(log).stdout(Stdio::null()).spawn().unwrap());
        let ready = || self.client("mysql", "SELECT 1").output().unwrap().status.success();
        assert!(comes(ready), "{}", fs::read_to_string(self.directory.path().join("log")).unwrap());
    }

    /// Kills it without a word to its clients.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn client(&self, database: &str, sql: &str) -> Command {
        let mut command = as_nobody(&self.programs.join("bin/mariadb"), self.directory.path());
        let socket = format!("--socket={}", self.directory.path().join("socket").display());
        command.args(["--no-defaults", "--default-character-set=utf8mb4", "-N", "-B", "-uroot", &socket]);
        command.args([database, "-e", sql]);
        command
    }

    fn sql_in(&self, database: &str, sql: &str) -> String {
        String::from_utf8(succeeds(&mut self.client(database, sql)).stdout).unwrap().trim_end().to_owned()
    }

    /// Runs SQL in the database and gives what it prints.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_in("mail", sql)
    }

    /// The settings that log in, `hosts` first.
    pub fn login(&self) -> String {
        format!("hosts = 127.0.0.1:{}\nuser = mail\npassword = secret\ndbname = mail\n", self.port)
    }
}

/// A key and a certificate for db.example.org and 127.0.0.1, owned by the private user.
pub fn certificate(directory: &Directory) -> Option<(PathBuf, PathBuf)> {
    let extensions = ["subjectAltName=DNS:db.example.org,IP:127.0.0.1", "basicConstraints=critical,CA:FALSE"];
    crate::debian::certificate(directory, "db.example.org", &extensions, None)
}

/// Whether a condition comes true within a minute.
pub fn comes(mut condition: impl FnMut() -> bool) -> bool {
    (0..STARTS_MAX).any(|_| {
        condition() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    })
}

/// An open table, its file and its warnings.
pub struct Asked {
    pub table: Table,
    pub file: PathBuf,
    pub warnings: Arc<Mutex<Vec<String>>>,
}

impl Asked {
    /// Opens the table of a kind whose settings are these.
    pub fn open(kind: &str, directory: &Directory, settings: &str) -> Asked {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let file = directory.write(&format!("{}.cf", NEXT.fetch_add(1, Ordering::Relaxed)), settings);
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = warnings.clone();
        let warn = Arc::new(move |text: &str| sink.lock().unwrap().push(text.to_owned()));
        let spec = format!("{kind}:{}", file.display());
        let table = Table::open(&spec, &Settings { warn, ..Settings::default() }).unwrap();
        Asked { table, file, warnings }
    }

    pub fn look(&self, key: &str) -> Lookup {
        wait(self.table.lookup(key))
    }

    /// Why the lookup failed for the time being; the log has the same text.
    pub fn fails(&self, key: &str) -> String {
        match self.look(key) {
            Lookup::TempFail(text) => {
                assert_eq!(self.warnings.lock().unwrap().last(), Some(&text));
                assert!(text.starts_with(self.table.spec()), "{text}");
                text
            }
            other => panic!("{key}: {other:?}"),
        }
    }
}

pub fn found(text: impl Into<String>) -> Lookup {
    Lookup::Found(text.into())
}
