//! A whole smtpd in a thread: real sockets, real journal in a directory of its own, scripted names.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "test support")]

use config::{Config, Host, ServiceType};
use net::dns::{Mx, Record, RecordType, ScriptedResolver};
use net::{Shutdown, ShutdownTrigger};
use observe::{Numbers, NumbersRange, Tag};
use queue::{Disk, Hooks, Intake, IntakeSettings, RealDisk, Role};
use smtpd::recent::Recent;
use smtpd::stress::{self, Machine, Memory};
use smtpd::{Anvil, Inputs, Readings, Service, Sessions, Stress, Surroundings};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Settings that every test starts from; a test's own come behind and win.
const GROUND: &str = "
compatibility_level = 3.6
myhostname = mx.example.org
mydestination = local.example
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{ann@example.org=ann/, bob@example.org=bob/}
virtual_alias_domains = alias.example
relay_domains = relay.example
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
alias_maps =
local_recipient_maps =
";

/// How long a transaction may go on when the server stops.
const GRACE: Duration = Duration::from_millis(500);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running server; dropping it stops it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its queue directory.
    pub directory: PathBuf,
    /// Whether it is under stress.
    pub stress: Stress,
    groups: Arc<AtomicU32>,
    trigger: Option<ShutdownTrigger>,
    thread: Option<JoinHandle<()>>,
}

/// Clients that may wait for a session.
pub const WAITING_MAX: usize = 32;

/// Sessions at once where a test does not say.
const SESSIONS_MAX: usize = 20_000;

/// The settings of `main_cf` over the ground.
pub fn settings(main_cf: &str) -> Result<Readings, String> {
    settings_of_line(main_cf, "")
}

/// The same as the line for `smtp inet` of `master_cf` has them, if there is one.
pub fn settings_of_line(main_cf: &str, master_cf: &str) -> Result<Readings, String> {
    let host = Host { name: "mx.example.org".into(), addresses: Vec::new() };
    // The last of two equal names wins.
    let text = format!("{GROUND}\n{main_cf}");
    let config =
        Config::parse(Path::new("/etc/postfix"), &text, master_cf, host).map_err(|e| e.to_string())?;
    let tables = tables::Settings::default();
    let resolver = rewrite::Settings::open(&config, &tables).map_err(|e| e.to_string())?;
    let verifier = verify::Client::new(desk(), verify::Asking::Looking);
    let around = Surroundings { verifier, ..Surroundings::of(&rewrite::Resolver::new(resolver), tables) };
    Readings::read(&config, config.service("smtp", ServiceType::Inet), &around).map_err(|e| e.to_string())
}

/// The socket of a desk that knows of each address what its first letter says: `y` can get mail, `n` cannot, of `l` it is
/// not known, and who asks about any other gets no answer.
fn desk() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let begin = || {
        let path = std::env::temp_dir().join(format!("posthaste-desk-{}", std::process::id()));
        // A killed run may have left one.
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (mut socket, mut line) = (socket.unwrap(), String::new());
                BufReader::new(&socket).read_line(&mut line).unwrap();
                let known: &[u8] = match line.strip_prefix("look ").and_then(|rest| rest.chars().next()) {
                    Some('y') => b"0:0:1:250 2.1.5 Ok",
                    Some('n') => b"2:0:1:nobody here",
                    Some('l') => b"1:0:1:come back later",
                    _ => b"",
                };
                // Who asked may be gone.
                let _ = socket.write_all(known);
            }
        });
        path
    };
    PATH.get_or_init(begin).clone()
}

impl Server {
    /// Starts a server with the settings of `main_cf` over the ground.
    pub fn start(main_cf: &str) -> Server {
        Server::start_small(main_cf, SESSIONS_MAX)
    }

    /// The same with so many sessions at once.
    pub fn start_small(main_cf: &str, sessions_max: usize) -> Server {
        Server::start_loops(main_cf, sessions_max, 1)
    }

    /// The same on so many event loops.
    pub fn start_loops(main_cf: &str, sessions_max: usize, loops: usize) -> Server {
        let settings = settings(main_cf).unwrap_or_else(|e| panic!("{e}"));
        Server::start_all(settings, sessions_max, loops, |disk| disk)
    }

    /// Starts a server whose queue sees its disk through `through`.
    pub fn start_on(
        settings: Readings,
        through: impl FnOnce(Arc<dyn Disk>) -> Arc<dyn Disk> + Send + 'static,
    ) -> Server {
        Server::start_all(settings, SESSIONS_MAX, 1, through)
    }

    fn start_all(
        settings: Readings,
        sessions_max: usize,
        loops: usize,
        through: impl FnOnce(Arc<dyn Disk>) -> Arc<dyn Disk> + Send + 'static,
    ) -> Server {
        let tag = Tag::new("postfix", "smtpd", 1);
        let stress = Stress::new("smtp".into(), tag, sessions_max, settings.calm_time);
        let service = Service {
            name: "smtp".into(),
            program: "postfix/smtpd".into(),
            listeners: Vec::new(),
            readings: settings,
            sessions: Sessions::new(stress.clone(), WAITING_MAX),
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("posthaste-smtpd-{}-{number}", std::process::id()));
        std::fs::create_dir_all(directory.join("journal/large")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = Shutdown::new();
        let groups = Arc::new(AtomicU32::new(0));
        let (queue, counter) = (directory.clone(), Arc::clone(&groups));
        let thread = std::thread::Builder::new().name("smtpd".into());
        let thread = thread
            .spawn(move || {
                let disk = through(Arc::new(RealDisk::new(&queue).unwrap()));
                serve(loops, service, listener, disk, counter, shutdown);
            })
            .unwrap();
        Server { address, directory, stress, groups, trigger: Some(trigger), thread: Some(thread) }
    }

    /// Orders the server to finish, without waiting for it.
    pub fn order_to_stop(&mut self) {
        drop(self.trigger.take());
    }

    /// Groups of messages that were made durable.
    pub fn groups(&self) -> u32 {
        // The first notice tells of the new segment.
        self.groups.load(Ordering::SeqCst).saturating_sub(1)
    }

    /// Connects from `client`; replies must come within 20 seconds.
    pub fn connect(&self, client: &str) -> TcpStream {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(client.parse().unwrap(), 0).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.trigger.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server's thread panicked");
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn serve(
    loops: usize,
    service: Service,
    listener: TcpListener,
    disk: Arc<dyn Disk>,
    groups: Arc<AtomicU32>,
    shutdown: Shutdown,
) {
    let queue = IntakeSettings { segment_bytes: 1 << 20, ..IntakeSettings::new(Role::Smtpd) };
    let notice = Box::new(move |_| {
        groups.fetch_add(1, Ordering::SeqCst);
    });
    let intake = Intake::open(queue, disk, Hooks { notice, ..Hooks::none() }).unwrap();
    let (numbers, anvil) = (Numbers::new(NumbersRange::of_slot(1)), Anvil::new(Duration::from_secs(60)));
    std::thread::scope(|scope| {
        for _ in 0..loops {
            let own = Service {
                name: Arc::clone(&service.name),
                program: Arc::clone(&service.program),
                listeners: vec![smtpd::Listener::Tcp(listener.try_clone().unwrap())],
                readings: service.readings.clone(),
                sessions: service.sessions.clone(),
            };
            let shared = (intake.clone(), numbers.clone(), anvil.clone(), shutdown.clone());
            scope.spawn(move || event_loop(own, shared));
        }
    });
    intake.close();
}

fn event_loop(service: Service, shared: (Intake, Numbers, Anvil, Shutdown)) {
    let (intake, numbers, anvil, shutdown) = shared;
    let stress = service.sessions.stress().clone();
    let inputs = Inputs {
        services: vec![service],
        screens: Vec::new(),
        intake,
        resolver: Rc::new(zone()),
        numbers,
        anvil,
        recent: Recent::new(1 << 20),
        shutdown,
        grace: GRACE,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        // What the machine has is none of a test's.
        let (memory, intake) = (Memory::default(), inputs.intake.clone());
        let machine = Machine { memory, descriptors: u64::MAX, intake };
        tokio::task::spawn_local(stress::watch(vec![stress], machine, inputs.shutdown.clone()));
        let ordered = inputs.shutdown.clone();
        let too_long = async {
            ordered.requested().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        };
        tokio::select! {
            _ = smtpd::run(inputs) => {}
            () = too_long => {}
        }
    });
}

/// What the golden dialogues know of names: a client and a domain of `known.example`, and lists that name them.
fn zone() -> ScriptedResolver {
    let exchanger = |preference, host: &str| Record::Mx(Mx { preference, host: host.into() });
    let mx = exchanger(10, "mx.known.example");
    ScriptedResolver::new()
        .with_address("client.known.example", "127.0.0.9")
        .with_address("mx.known.example", "192.0.2.7")
        .with_address("ns.known.example", "192.0.2.8")
        .with_mx("known.example", 10, "mx.known.example")
        .with_record("known.example", RecordType::Mx, mx.clone())
        .with_record("client.known.example", RecordType::Mx, mx)
        .with_record("client.known.example", RecordType::A, Record::Address([127, 0, 0, 9].into()))
        .with_record("backup.example", RecordType::Mx, exchanger(20, "127.0.0.1"))
        .with_record("backup.example", RecordType::Mx, exchanger(10, "mx.known.example"))
        .with_record("known.example", RecordType::Ns, Record::Name("ns.known.example".into()))
        .with_listing("9.0.0.127.bl.example", "127.0.0.2", 60)
        .with_text("9.0.0.127.bl.example", "see example.org")
        .with_listing("client.known.example.dbl.example", "127.0.0.2", 60)
        .with_listing("known.example.dbl.example", "127.0.0.2", 60)
}
