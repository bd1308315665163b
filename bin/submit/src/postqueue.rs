//! postqueue: lists and flushes the queue.

use crate::postdrop::trigger;
use crate::settings::{Settings, os_text};
use crate::{Failure, UNAVAILABLE, tell};
use mail::{QueueId, QueueIdForm};
use queue::RealDisk;
use queue::listing::{self, Item, Table};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// Postfix's qmgr takes these bytes for: scan all, whatever its time; flush what is dead; scan deferred.
const FLUSH_ALL: &[u8] = b"AFD";

/// The longest silence of the mail system while it lists its queue.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs postqueue.
pub fn run(arguments: &[OsString], out: &mut dyn Write) -> Result<i32, Failure> {
    let (config, order) = parse(arguments)?;
    obey(&load(config.as_deref())?, &order, out)
}

/// Runs postqueue with the words of [`run`] and settings that are known already.
pub fn run_with(settings: &Settings, arguments: &[OsString], out: &mut dyn Write) -> Result<i32, Failure> {
    obey(settings, &parse(arguments)?.1, out)
}

fn load(config: Option<&OsStr>) -> Result<Settings, Failure> {
    Settings::load(config).map_err(|text| Failure::new(UNAVAILABLE, text))
}

/// What is wanted.
enum Order {
    List { json: bool },
    FlushAll,
    FlushOne(String),
    FlushSite(String),
}

fn parse(arguments: &[OsString]) -> Result<(Option<OsString>, Order), Failure> {
    let usage = || Failure::new(UNAVAILABLE, USAGE);
    let (mut config, mut orders) = (None, Vec::new());
    let mut words = arguments.iter().map(|word| word.as_bytes());
    while let Some(word) = words.next() {
        let Some(mut letters) = word.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            return Err(usage());
        };
        while let Some((&letter, rest)) = letters.split_first() {
            letters = rest;
            if matches!(letter, b'c' | b'i' | b's') {
                let value = if rest.is_empty() { words.next() } else { Some(rest) }.ok_or_else(|| {
                    let text = format!("option requires an argument -- '{}'", char::from(letter));
                    tell::tell("postqueue", &text);
                    usage()
                })?;
                let text = || String::from_utf8_lossy(value).into_owned();
                match letter {
                    b'c' => config = Some(OsStr::from_bytes(value).to_owned()),
                    b'i' => orders.push(Order::FlushOne(text())),
                    _ => orders.push(Order::FlushSite(text())),
                }
                break;
            }
            match letter {
                b'v' => {}
                b'p' => orders.push(Order::List { json: false }),
                b'j' => orders.push(Order::List { json: true }),
                b'f' => orders.push(Order::FlushAll),
                letter => {
                    tell::tell("postqueue", &format!("invalid option -- '{}'", tell::printable(&[letter])));
                    return Err(usage());
                }
            }
        }
    }
    match (orders.pop(), orders.is_empty()) {
        (Some(order), true) => Ok((config, order)),
        _ => Err(usage()),
    }
}

fn obey(settings: &Settings, order: &Order, out: &mut dyn Write) -> Result<i32, Failure> {
    match order {
        Order::List { .. } => settings.may_list()?,
        _ => settings.may_flush()?,
    }
    match order {
        Order::List { json } => list(settings, out, *json),
        Order::FlushAll => flush_all(settings),
        Order::FlushOne(id) => flush_one(settings, id),
        Order::FlushSite(site) => flush_site(site),
    }
}

/// `postqueue -f`.
fn flush_all(settings: &Settings) -> Result<i32, Failure> {
    order(settings, FLUSH_ALL)
}

/// `postqueue -i`: our queue manager takes `i`, the id and a newline.
fn flush_one(settings: &Settings, id: &str) -> Result<i32, Failure> {
    let id = QueueId::parse(id).ok_or_else(|| {
        Failure::new(UNAVAILABLE, format!("Cannot flush queue ID - invalid name: \"{id}\""))
    })?;
    order(settings, format!("i{id}\n").as_bytes())
}

/// `postqueue -s`: which mail waits for a site is not kept yet.
fn flush_site(site: &str) -> Result<i32, Failure> {
    let text = format!("Flush service is not configured for destination \"{site}\"");
    Err(Failure::new(UNAVAILABLE, text))
}

fn order(settings: &Settings, bytes: &[u8]) -> Result<i32, Failure> {
    match trigger(settings, "qmgr", bytes) {
        Ok(()) => Ok(0),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            Err(Failure::new(UNAVAILABLE, format!("public/qmgr: {}", os_text(&e))))
        }
        Err(_) => Err(Failure::new(UNAVAILABLE, "Cannot flush mail queue - mail system is down")),
    }
}

/// Lists the queue: from the running mail system, else from the disk.
fn list(settings: &Settings, out: &mut dyn Write, json: bool) -> Result<i32, Failure> {
    let mut printer = Printer { table: Table::new(settings.id_form == QueueIdForm::Long), json, out };
    let done = match UnixStream::connect(settings.queue_directory.join("public/showq")) {
        Ok(socket) => from_socket(socket, &mut printer),
        Err(error) => {
            let reason = format!("Connect to the Posthaste showq service: {}", os_text(&error));
            from_disk(settings, &reason, &mut printer)?
        }
    };
    match done.and_then(|()| printer.finish()) {
        Ok(()) => Ok(0),
        // `mailq | head`
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(e) => Err(Failure::new(UNAVAILABLE, format!("queue listing: {}", os_text(&e)))),
    }
}

fn from_socket(socket: UnixStream, printer: &mut Printer<'_>) -> io::Result<()> {
    socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let mut reader = BufReader::new(socket);
    while let Some(item) = listing::read_item(&mut reader)? {
        printer.item(&item)?;
    }
    Ok(())
}

fn from_disk(
    settings: &Settings,
    reason: &str,
    printer: &mut Printer<'_>,
) -> Result<io::Result<()>, Failure> {
    let down =
        || Failure::new(UNAVAILABLE, format!("Queue report unavailable - mail system is down ({reason})"));
    let incoming = settings.queue_directory.join("incoming");
    std::fs::read_dir(incoming).map_err(|_| down())?;
    tell::warn("postqueue", &format!("Mail system is down -- accessing queue directly ({reason})"));
    let disk = RealDisk::new(&settings.queue_directory).map_err(|_| down())?;
    let mut failed = None;
    let mut give = |item: Item| {
        if failed.is_none() {
            failed = printer.item(&item).err();
        }
    };
    let listed = listing::from_journal(&disk, &mut give)
        .and_then(|()| listing::from_disk(&disk, &settings.hashing, &mut give));
    Ok(failed.map_or(listed, Err))
}

struct Printer<'a> {
    table: Table,
    json: bool,
    out: &'a mut dyn Write,
}

impl Printer<'_> {
    fn item(&mut self, item: &Item) -> io::Result<()> {
        let text = if self.json { item.json() } else { self.table.item(item) };
        self.out.write_all(text.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        if !self.json {
            self.out.write_all(self.table.footer().as_bytes())?;
        }
        self.out.flush()
    }
}
