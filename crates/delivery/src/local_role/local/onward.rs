//! What is sent on: a new message for the recipients that are not delivered here and now.
//!
//! The process smtpd's cleanup takes it in and answers when it is on stable storage; only then is the old message done.
//! A kill between the two sends it on twice and loses nothing.

use super::context::Context;
use super::settings::has;
use super::{Delivery, Failure};
use crate::local_role::failure::words;
use crate::local_role::text::header;
use cleanup::submitted::{SOCKET, Submission, TAKEN, encode};
use mail::{Address, Dsn, Recipient};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;

/// One message to be made: recipients with the same sender go together.
pub(super) struct Onward {
    sender: Address,
    recipients: Vec<Recipient>,
    delivered: Address,
}

impl Delivery<'_> {
    /// Puts an address on a message that is sent on.
    pub(super) fn go_onward(&self, from: &Context, address: Address) {
        let key = format!("onward {}", String::from_utf8_lossy(address.as_bytes()).to_lowercase());
        if !self.is_new(key) {
            return;
        }
        if !self.delivers() {
            let to = Context { address: address.clone(), ..from.clone() };
            return self.sent(&to, format!("forwards to {address}"));
        }
        let of_queue = &self.job.head.recipients[self.place];
        let mut recipient = Recipient::new(address);
        if !from.owned {
            recipient.original = from.original.clone();
            recipient.dsn_orcpt.clone_from(&of_queue.dsn_orcpt);
            recipient.notify = of_queue.notify;
        }
        let delivered = self.delivered_to(from);
        let mut onward = self.onward.borrow_mut();
        match onward.iter_mut().find(|o| o.sender == from.sender && o.delivered == delivered) {
            Some(one) => one.recipients.push(recipient),
            None => {
                onward.push(Onward { sender: from.sender.clone(), recipients: vec![recipient], delivered })
            }
        }
    }

    /// Hands the messages over, one line in the log for each.
    pub(super) async fn send_onward(&self, top: &Context) {
        for onward in self.onward.take() {
            let mut headers = Vec::new();
            if has(&self.settings.view.prepend_delivered_header, "forward") {
                header(&mut headers, b"Delivered-To: ", &onward.delivered.to_external());
                headers.insert(headers.len() - 1, b'\r');
            }
            let head = &self.job.head;
            let submission = Submission {
                sender: onward.sender,
                recipients: onward.recipients,
                envid: head.envid.clone(),
                ret: head.ret,
                encoding: head.encoding,
                smtputf8: head.smtputf8,
                headers,
            };
            match submit(submission, &self.job.content).await {
                Ok(id) => self.sent(top, format!("forwarded as {id}")),
                Err(why) => {
                    self.failed(top, Failure::new(Dsn::new(4, 3, 0), format!("cannot forward mail: {why}")))
                }
            }
        }
    }
}

/// How long the answer is waited for: cleanup answers when the disk has the message.
const PATIENCE: Duration = Duration::from_secs(300);

/// An answer longer than this is none of cleanup's.
const ANSWER_MAX: u64 = 4096;

/// Hands a message to cleanup; gives its queue id.
async fn submit(submission: Submission, (content, start): &(File, u64)) -> Result<String, String> {
    let text = |e: io::Error| words(&e);
    let file = message(&submission, content, *start).map_err(text)?;
    let asked = async {
        let mut socket = UnixStream::connect(SOCKET).await?;
        let sent = socket
            .async_io(Interest::WRITABLE, || sys::send_with_fds(&socket, b"m", &[file.as_fd()]))
            .await?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut answer = String::new();
        (&mut socket).take(ANSWER_MAX).read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer.map_err(text)?,
        Err(_) => return Err("timeout while cleanup took the message in".into()),
    };
    match answer.trim_end().strip_prefix(TAKEN) {
        Some(id) => Ok(id.to_owned()),
        None if answer.is_empty() => Err("cleanup ended before it answered".into()),
        None => Err(answer.trim_end().to_owned()),
    }
}

/// The message in a file that nobody can change.
fn message(submission: &Submission, content: &File, start: u64) -> io::Result<File> {
    let mut bytes = vec![0; usize::try_from(content.metadata()?.len() - start).map_err(io::Error::other)?];
    content.read_exact_at(&mut bytes, start)?;
    sys::sealed_memory_file([&encode(submission)[..], &bytes])
}
