//! `posthaste quickstart`: an instance in ./var that takes one real message all the way, then goes on serving.

use super::Call;
use super::instance::{Closed, load_as};
use master::Options;
use rustix::process::{Signal, kill_process};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where the instance listens, unless `--port` says otherwise.
const PORT: u16 = 2525;

/// How long the message may take; it takes milliseconds.
const DELIVERY_TIME_MAX: Duration = Duration::from_secs(30);

/// How long one reply may take.
const REPLY_TIME_MAX: Duration = Duration::from_secs(10);

/// The recipient; example domains belong to nobody.
const RECIPIENT: &str = "you@example.org";

/// Runs the quick start.
pub fn run(call: Call) -> ExitCode {
    match port(&call.arguments).and_then(|port| serve(port, &PathBuf::from("var"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("quickstart: {why}");
            ExitCode::FAILURE
        }
    }
}

fn port(arguments: &[String]) -> Result<u16, String> {
    match arguments {
        [] => Ok(PORT),
        [option, port] if option == "--port" => match port.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("--port: expected a number from 1 to 65535, found `{port}`")),
        },
        [option] if option == "--port" => Err("--port: expected a number from 1 to 65535 behind it".into()),
        [other, ..] => Err(format!("expected --port NUMBER or nothing, found `{other}`")),
    }
}

fn serve(port: u16, directory: &Path) -> Result<(), String> {
    let directory = std::path::absolute(directory).map_err(|e| e.to_string())?;
    if let Err(e) = std::net::TcpListener::bind(("127.0.0.1", port)) {
        return Err(format!(
            "127.0.0.1 port {port} cannot be used: {e}; is another quick start running? \
             `cargo run --release -- quickstart --port 2526` takes another port"
        ));
    }
    let paths = Paths::make(&directory, port)?;
    println!("An instance in {}, listening on 127.0.0.1 port {port}.", directory.display());
    if rustix::process::geteuid().is_root() {
        println!(
            "Started by root: all processes stay root here (only the mailbox belongs to nobody). An instance"
        );
        println!(
            "that `posthaste start` runs gives up root for mail_owner in all processes that read from the network."
        );
    }
    let configuration = paths.configuration.clone();
    let load = move || load_as(&configuration, true, Closed::Refused);
    let plan = load()?;
    let failed = Arc::new(AtomicBool::new(false));
    let shown = Arc::clone(&failed);
    let mut started = move |result: Result<(), String>| {
        if result.is_ok() {
            let (paths, shown) = (paths.clone(), Arc::clone(&shown));
            std::thread::spawn(move || show(port, &paths, &shown));
        }
    };
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    master::run(plan, Options { as_caller: true, console: false, load: &load, started: &mut started })?;
    if failed.load(Ordering::Acquire) { Err("the message did not arrive".into()) } else { Ok(()) }
}

/// Where the instance has its things.
#[derive(Clone)]
struct Paths {
    configuration: PathBuf,
    log: PathBuf,
    mail: PathBuf,
}

impl Paths {
    /// Makes directories and configuration.
    fn make(directory: &Path, port: u16) -> Result<Paths, String> {
        let paths = Paths {
            configuration: directory.join("etc"),
            log: directory.join("mail.log"),
            mail: directory.join("mail"),
        };
        let named = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
        for made in [directory, &paths.configuration, &paths.mail] {
            std::fs::create_dir_all(made).map_err(|e| named(made, e))?;
        }
        let (uid, gid) = mailbox_owner()?;
        // Whoever the mailbox belongs to needs the way to it.
        let open = |path: &Path, mode| rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode));
        open(directory, 0o755).map_err(|e| named(directory, e.into()))?;
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&paths.mail, Some(uid), Some(gid)).map_err(|e| named(&paths.mail, e))?;
        }
        for (name, text) in
            [("main.cf", main_cf(directory, &paths, uid, gid)), ("master.cf", master_cf(port))]
        {
            let path = paths.configuration.join(name);
            std::fs::write(&path, text).map_err(|e| named(&path, e))?;
        }
        Ok(paths)
    }
}

/// The caller, or nobody: no mailbox is delivered to as root.
fn mailbox_owner() -> Result<(u32, u32), String> {
    let uid = rustix::process::geteuid();
    if !uid.is_root() {
        return Ok((uid.as_raw(), rustix::process::getegid().as_raw()));
    }
    let nobody = sys::user_by_name("nobody").map_err(|e| e.to_string())?;
    nobody.map(|n| (n.uid, n.gid)).ok_or_else(|| "there is no user `nobody` for the mailbox".into())
}

fn main_cf(directory: &Path, paths: &Paths, uid: u32, gid: u32) -> String {
    let (directory, mail, log) = (directory.display(), paths.mail.display(), paths.log.display());
    let domain = RECIPIENT.split('@').nth(1).unwrap_or_default();
    format!(
        "# Written anew by each `posthaste quickstart`.\n\
         compatibility_level = 3.6\n\
         queue_directory = {directory}/spool\n\
         data_directory = {directory}/lib\n\
         maillog_file_prefixes = {directory}\n\
         maillog_file = {log}\n\
         myhostname = quickstart.example.org\n\
         mydestination =\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mynetworks = 127.0.0.0/8\n\
         # Nothing leaves this machine: mail for other domains is refused.\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         default_transport = error:the quick start sends no mail elsewhere\n\
         # Any address of {domain} is delivered into one Maildir.\n\
         virtual_mailbox_domains = {domain}\n\
         virtual_mailbox_base = {mail}\n\
         virtual_mailbox_maps = static:you/\n\
         virtual_minimum_uid = 1\n\
         virtual_uid_maps = static:{uid}\n\
         virtual_gid_maps = static:{gid}\n"
    )
}

fn master_cf(port: u16) -> String {
    format!(
        "# Written anew by each `posthaste quickstart`.\n\
         127.0.0.1:{port} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         virtual unix - n n - - virtual\n"
    )
}

/// Sends the message, waits for its end and shows what happened; runs beside master.
fn show(port: u16, paths: &Paths, failed: &AtomicBool) {
    let result = (|| -> Result<(), String> {
        let begin = Instant::now();
        let queue_id = send(port)?;
        let lines = wait_for_removal(&paths.log, &queue_id)?;
        let file = delivered(&paths.mail, &queue_id)
            .ok_or_else(|| format!("no file below {} has the message:\n{lines}", paths.mail.display()))?;
        println!(
            "\nOne message went through SMTP, the queue and delivery in {} ms:\n",
            begin.elapsed().as_millis()
        );
        println!("{lines}");
        println!("It lies in {}", file.display());
        println!("\nThe log is {}.", paths.log.display());
        println!("Serving until Ctrl-C; more mail: swaks --server 127.0.0.1:{port} --to {RECIPIENT}");
        Ok(())
    })();
    if let Err(why) = result {
        eprintln!("quickstart: {why}");
        eprintln!("quickstart: the log is {}", paths.log.display());
        failed.store(true, Ordering::Release);
        // Ourselves: master stops its processes in order. It cannot fail.
        let _ = kill_process(rustix::process::getpid(), Signal::TERM);
    }
}

/// Sends one message as any client would; answers its queue id.
fn send(port: u16) -> Result<String, String> {
    let network = |e: std::io::Error| format!("127.0.0.1 port {port}: {e}");
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(network)?;
    stream.set_read_timeout(Some(REPLY_TIME_MAX)).map_err(network)?;
    let mut writer = stream.try_clone().map_err(network)?;
    let mut reader = BufReader::new(stream);
    let mut say = |command: &str, expected: char| -> Result<String, String> {
        writer.write_all(command.as_bytes()).map_err(network)?;
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            // A reply line is at most 512 bytes (RFC 5321 4.5.3.1.5); a peer that is ourselves sends no endless one.
            if reader.read_line(&mut line).map_err(network)? == 0 {
                return Err("the server closed the connection".into());
            }
            reply.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        let command = command.lines().next().unwrap_or("the greeting");
        if reply.starts_with(expected) {
            Ok(reply)
        } else {
            Err(format!("{command} was answered with {reply}"))
        }
    };
    say("", '2')?;
    say("EHLO quickstart.example.org\r\n", '2')?;
    say("MAIL FROM:<quickstart@example.org>\r\n", '2')?;
    say(&format!("RCPT TO:<{RECIPIENT}>\r\n"), '2')?;
    say("DATA\r\n", '3')?;
    let reply = say(
        &format!(
            "From: Quick start <quickstart@example.org>\r\nTo: <{RECIPIENT}>\r\nSubject: the first message\r\n\r\n\
             It came by SMTP, was on stable storage before the server said so,\r\nand was delivered from the queue.\r\n.\r\n"
        ),
        '2',
    )?;
    say("QUIT\r\n", '2')?;
    let id = reply.trim_end().rsplit(' ').next().unwrap_or_default().to_owned();
    if id.is_empty() { Err(format!("no queue id in {reply}")) } else { Ok(id) }
}

/// Waits until the log says that the message left the queue; answers its lines.
fn wait_for_removal(log: &Path, queue_id: &str) -> Result<String, String> {
    let deadline = Instant::now() + DELIVERY_TIME_MAX;
    let (word, end) = (format!(" {queue_id}: "), format!(" {queue_id}: removed"));
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut lines = String::new();
        for line in text.lines().filter(|l| l.contains(&word)) {
            let _ = writeln!(lines, "{line}");
        }
        if lines.lines().any(|l| l.ends_with(&end)) {
            return Ok(lines);
        }
        if Instant::now() > deadline {
            return Err(format!(
                "message {queue_id} did not leave the queue in {} s:\n{lines}",
                DELIVERY_TIME_MAX.as_secs()
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The file in the Maildir that holds the message: its Received line has the queue id.
fn delivered(mail: &Path, queue_id: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(mail.join("you/new")).ok()?;
    entries
        .filter_map(|e| Some(e.ok()?.path()))
        .find(|path| std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("id {queue_id}"))))
}
