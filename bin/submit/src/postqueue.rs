//! postqueue: lists and flushes the queue.

use crate::postdrop::trigger;
use crate::settings::{Settings, os_text};
use crate::{Failure, UNAVAILABLE};
use mail::{QueueId, QueueIdForm};
use queue::RealDisk;
use queue::listing::{self, Item, Table};
use std::io::{self, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const USAGE: &str =
    "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site";

/// Postfix's qmgr takes these bytes for: scan all, whatever its time; flush what is dead; scan deferred.
const FLUSH_ALL: &[u8] = b"AFD";

/// The longest silence of the mail system while it lists its queue.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs postqueue.
pub fn run(arguments: &[String], out: &mut dyn Write) -> Result<i32, Failure> {
    let usage = || Failure::new(UNAVAILABLE, USAGE);
    let (mut config, mut order) = (None, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let Some(letter) = word.strip_prefix('-').and_then(|w| w.chars().next()) else { return Err(usage()) };
        let mut value = || match &word[1 + letter.len_utf8()..] {
            "" => words.next().cloned(),
            rest => Some(rest.to_string()),
        };
        let given = match letter {
            'c' => {
                config = Some(value().ok_or_else(usage)?);
                continue;
            }
            'v' => continue,
            'p' | 'j' | 'f' => None,
            'i' | 's' => Some(value().ok_or_else(usage)?),
            _ => {
                eprintln!("postqueue: invalid option -- '{letter}'");
                return Err(usage());
            }
        };
        if order.replace((letter, given)).is_some() {
            return Err(usage());
        }
    }
    let (letter, value) = order.ok_or_else(usage)?;
    let settings = Settings::load(config.as_deref()).map_err(|text| Failure::new(UNAVAILABLE, text))?;
    let value = value.unwrap_or_default();
    match letter {
        'p' => list(&settings, out, false),
        'j' => list(&settings, out, true),
        'i' => flush_one(&settings, &value),
        's' => flush_site(&settings, &value),
        _ => flush_all(&settings),
    }
}

/// `postqueue -f`.
pub fn flush_all(settings: &Settings) -> Result<i32, Failure> {
    order(settings, FLUSH_ALL)
}

/// `postqueue -i`: our queue manager takes `i`, the id and a newline.
pub fn flush_one(settings: &Settings, id: &str) -> Result<i32, Failure> {
    let id = QueueId::parse(id)
        .ok_or_else(|| Failure::new(UNAVAILABLE, format!("malformed request: \"{id}\"")))?;
    order(settings, format!("i{id}\n").as_bytes())
}

/// `postqueue -s`: which mail waits for a site is not kept yet.
pub fn flush_site(_: &Settings, site: &str) -> Result<i32, Failure> {
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
pub fn list(settings: &Settings, out: &mut dyn Write, json: bool) -> Result<i32, Failure> {
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
    let down = || Failure::new(UNAVAILABLE, "Queue report unavailable - mail system is down");
    let incoming = settings.queue_directory.join("incoming");
    std::fs::read_dir(incoming).map_err(|_| down())?;
    eprintln!("postqueue: warning: Mail system is down -- accessing queue directly ({reason})");
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
