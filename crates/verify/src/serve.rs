//! The desk's socket: a line for each question, `ask MILLISECONDS ADDRESS` or `look ADDRESS`; the answer is an entry as
//! the cache has it.

use crate::Entry;
use crate::desk::{Answer, Desk};
use mail::Address;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tables::keeper::seconds;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

/// Questions at once: each is a session of smtpd that waits. Beyond it sessions wait to be heard.
const QUESTIONS_MAX: usize = 1_000;

/// Bytes of a question; an address has at most some hundred.
const QUESTION_BYTES_MAX: u64 = 16 * 1024;

/// A question is there at once; this is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest wait that is granted; main.cf could ask for hours.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Answers until it is dropped; `probes` takes the addresses that are to be asked about. It wants a `LocalSet` around it.
pub async fn serve(listener: UnixListener, desk: Desk, probes: mpsc::Sender<Address>) {
    let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((socket, _)) => {
                let (desk, probes) = (desk.clone(), probes.clone());
                tokio::task::spawn_local(async move {
                    let _place = place;
                    // Who asked and is gone needs no answer.
                    let _ = answer(socket, &desk, &probes).await;
                });
            }
            // Out of descriptors: some come back soon.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(socket: UnixStream, desk: &Desk, probes: &mpsc::Sender<Address>) -> io::Result<()> {
    let (mut socket, mut line) = (BufReader::new(socket), String::new());
    let question = (&mut socket).take(QUESTION_BYTES_MAX);
    let read = async { BufReader::new(question).read_line(&mut line).await };
    tokio::time::timeout(PATIENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let (word, rest) = line.trim_end_matches('\n').split_once(' ').ok_or_else(invalid)?;
    let entry = match word {
        "look" => desk.look(rest, seconds()),
        "ask" => {
            let (wait, address) = rest.split_once(' ').ok_or_else(invalid)?;
            let wait = Duration::from_millis(wait.parse().map_err(|_| invalid())?).min(WAIT_MAX);
            asked(desk, address, wait, probes).await
        }
        _ => return Err(invalid()),
    };
    socket.get_mut().write_all(entry.to_string().as_bytes()).await
}

/// What is known of an address, or becomes known within the time.
async fn asked(desk: &Desk, address: &str, wait: Duration, probes: &mpsc::Sender<Address>) -> Entry {
    let Answer { entry, wants_probe, waits } = desk.ask(address, seconds());
    if wants_probe && probes.send(Address::from(address)).await.is_err() {
        // The queue manager ends.
        desk.lost(address);
    }
    let Some(waits) = waits.filter(|_| !wait.is_zero()) else { return entry };
    let until = tokio::time::Instant::now() + wait;
    // It ends with an error, since nothing is ever sent.
    let _ = tokio::time::timeout_at(until, waits).await;
    let found = desk.look(address, seconds());
    if found.finding == crate::Finding::Unknown {
        // The probe came to nothing that is remembered: who asked is to ask again, and not at once.
        tokio::time::sleep_until(until).await;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::tests::settings;
    use crate::{Asking, Cache, Client, Finding};

    #[test]
    fn a_question_waits_for_the_probes_result() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let path = std::env::temp_dir().join(format!("verify-{}", std::process::id()));
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let desk = Desk::new(Arc::new(settings()), Arc::new(Cache::default()));
            let (sender, mut probes) = mpsc::channel(1);
            let listener = UnixListener::bind(&path).expect("a socket");
            let serving = tokio::task::spawn_local(serve(listener, desk.clone(), sender));
            let asks = Client::new(&path, Asking::Probing);
            let looks = Client::new(&path, Asking::Looking);
            let address = Address::from("a b@x.example");
            let unknown = looks.ask(&address, Duration::ZERO).await.expect("an answer");
            assert_eq!(unknown.finding, Finding::Unknown);
            let (found, ()) = tokio::join!(asks.ask(&address, Duration::from_secs(60)), async {
                assert_eq!(probes.recv().await.as_ref(), Some(&address));
                desk.found("a b@x.example", Finding::Deliverable, "yes: really", seconds());
            });
            let found = found.expect("an answer");
            assert_eq!((found.finding, found.text.as_str()), (Finding::Deliverable, "yes: really"));
            assert_eq!(looks.ask(&address, Duration::ZERO).await.expect("an answer"), found);
            serving.abort();
            std::fs::remove_file(&path).expect("its socket");
            assert!(asks.ask(&address, Duration::ZERO).await.is_err(), "nobody answers");
        });
    }
}
