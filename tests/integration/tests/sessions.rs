//! How many sessions there are at once: an explicit limit keeps clients waiting, without one ten thousand are served.

use integration::client::Client;
use integration::{Instance, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufReader, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Long enough for a greeting that should not come.
const SILENCE: Duration = Duration::from_millis(400);

/// Sessions that are open at once.
const MANY: usize = 10_000;

/// Sessions from one address: below the 28,232 ports that Linux gives out, and many addresses are more like the world.
const FROM_ONE_ADDRESS: usize = 1_000;

/// Connections that wait for their greeting at once; the queue of the listener holds as many as somaxconn.
const AT_ONCE: usize = 500;

/// Each side of a connection is another process's descriptor: this process's limit, which the server inherits, has to
/// hold one side, with room for what else is open.
const DESCRIPTORS: u64 = 12_000;

fn is_silent(client: &Client) -> bool {
    let mut stream = client.reader.get_ref();
    stream.set_read_timeout(Some(SILENCE)).expect("a time limit");
    let kind = stream.read(&mut [0; 1]).map_err(|e| e.kind());
    stream.set_read_timeout(Some(integration::PATIENCE)).expect("a time limit");
    matches!(kind, Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

#[test]
fn the_client_beyond_an_explicit_limit_waits_for_its_greeting_until_another_leaves() {
    let instance = Instance::new("");
    instance.write_master_cf(&format!("127.0.0.1:{} inet n - n - 2 smtpd\n", instance.port));
    instance.start();
    let mut first = Client::greeted(instance.port);
    let mut second = Client::greeted(instance.port);
    let mut third = Client::connect(instance.port);
    assert!(is_silent(&third), "a third session of two");
    second.say("NOOP", "250");

    first.say("QUIT", "221");

    assert!(third.reply().starts_with("220 "));
    third.say("EHLO third.example.net", "250");
    second.say("NOOP", "250");
    let words = format!("127.0.0.1:{}/inet: at most 2 sessions (master.cf)", instance.port);
    assert!(instance.log().contains(&words), "{}", instance.log());
    assert!(instance.log().contains("has reached its session limit \"2\""), "{}", instance.log());
}

#[test]
fn at_the_limit_a_client_of_mynetworks_takes_the_place_of_an_idle_stranger() {
    let instance = Instance::new("mynetworks = 127.0.0.1/32\n");
    instance.write_master_cf(&format!("127.0.0.1:{} inet n - n - 2 smtpd\n", instance.port));
    instance.start();
    // Strangers come from 127.0.0.2; one of them is inside a transaction.
    let mut sending = connect(instance.port, 0);
    assert!(sending.reply().starts_with("220 "));
    sending.say("EHLO one.example.net", "250");
    sending.say("MAIL FROM:<a@example.net>", "250");
    let mut idle = connect(instance.port, 1);
    assert!(idle.reply().starts_with("220 "));

    let mut ours = Client::greeted(instance.port);

    assert_eq!(idle.reply().trim_end(), "421 4.3.2 All server ports are busy");
    ours.say("QUIT", "221");
    sending.say("RSET", "250");
    let line = "unknown[127.0.0.2] makes room for a client of mynetworks at service";
    eventually("the log", || {
        instance.log().contains(line) && instance.log().contains("disconnect from unknown[127.0.0.2]")
    });
}

#[test]
fn the_ones_of_a_stock_master_cf_limit_nothing_and_warn_of_nothing() {
    // A fresh host may have no index of aliases, which is a warning.
    let instance = Instance::new("alias_maps =\n");
    // The lines of Postfix's own master.cf that every installation has; smtp on our port.
    let stock = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
        tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
        defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
        flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
        smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n        -o syslog_name=${multi_instance_name?{$multi_instance_name}:{postfix}}/$service_name\n\
        showq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n\
        discard unix - - n - - discard\nlmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\n\
        scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";
    instance.write_master_cf(&format!("127.0.0.1:{} inet n - n - - smtpd\n{stock}", instance.port));
    let check = instance.posthaste(&["postfix", "check"]);
    assert_eq!((check.status.code(), integration::said(&check).as_str()), (Some(0), ""));
    instance.start();
    let mut sessions: Vec<Client> = (0..20).map(|_| Client::greeted(instance.port)).collect();
    sessions.iter_mut().for_each(|client| drop(client.say("NOOP", "250")));
    let log = instance.log();
    assert!(!log.contains("warning") && !log.contains("limit"), "{log}");
}

#[test]
fn ten_thousand_sessions_are_open_at_once_and_mail_goes_through_the_first_and_the_last() {
    if !raise_descriptors() {
        eprintln!("skipped: the limit of descriptors cannot be raised to {DESCRIPTORS}");
        return;
    }
    let instance = Instance::new(
        "smtpd_client_connection_count_limit = 0\nvirtual_mailbox_domains = many.example\n\
         virtual_transport = discard:\n",
    );
    let master =
        format!("127.0.0.1:{} inet n - n - - smtpd\ndiscard unix - - n - - discard\n", instance.port);
    instance.write_master_cf(&master);
    instance.start();

    let mut clients = Vec::with_capacity(MANY);
    while clients.len() < MANY {
        let from = clients.len();
        clients.extend((from..from + AT_ONCE).map(|number| connect(instance.port, number)));
        for client in &mut clients[from..] {
            assert!(client.reply().starts_with("220 "));
        }
    }

    let last = clients.len() - 1;
    for at in [last, 0] {
        clients[at].say("EHLO client.example.net", "250");
        let id = clients[at].send("ann@many.example", "Subject: one of many\r\n\r\ntext");
        eventually("delivery", || {
            let log = instance.log();
            let sent = |line: &str| line.contains(&format!(" {id}: to=")) && line.contains("status=sent");
            log.lines().any(sent)
        });
    }
    clients[MANY / 2].say("QUIT", "221");
    drop(clients);
}

/// Raises the limit for this process and what it starts.
fn raise_descriptors() -> bool {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= DESCRIPTORS) {
        return true;
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(DESCRIPTORS));
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), maximum }).is_ok()
}

/// A connection from one of several addresses of this host.
fn connect(port: u16, number: usize) -> Client {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let host = u8::try_from(2 + number / FROM_ONE_ADDRESS).expect("few addresses");
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, host], 0))).expect("a free port");
    connect(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).expect("smtpd listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(integration::PATIENCE)).expect("a time limit");
    Client { reader: BufReader::with_capacity(512, stream) }
}
