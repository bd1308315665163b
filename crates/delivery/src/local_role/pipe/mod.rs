//! The agent `pipe`: a message becomes the standard input of an external command. Postfix: pipe(8).
//!
//! One command takes all recipients of a job; its exit status, or a code that it prints, is the result of each.

mod arguments;
mod settings;
mod stream;

pub use settings::Settings;

use super::command::{self, What};
use super::exit_status::{End, Ran};
use super::failure::{CONFIGURATION_ERROR, Failure, Note};
use super::mbox;
use super::pool::{Job, failed};
use super::text::{Text, has_delivered_to, header};
use super::wire::{Answer, Recipient};
use arguments::Values;
use mail::{Dsn, Status};
use std::io;
use stream::Stream;
use sys::RunAs;

/// So much of what a command that succeeded printed stands in the log.
const SHOWN_OUTPUT_MAX: usize = 100;

/// Runs the command of a job to its end, and blocks as long; gives each recipient's result.
pub fn deliver(job: &Job, settings: &Settings) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(job.head.recipients.len());
    match run(job, settings) {
        Ok(reason) => answers.extend(job.head.recipients.iter().map(|recipient| {
            Answer::plain(job.head.job, recipient.index, Status::Sent, Dsn::new(2, 0, 0), reason.clone())
        })),
        Err(mut failure) => {
            for recipient in &job.head.recipients {
                answers.push(failed(job.head.job, recipient.index, failure.clone()));
                // What the administrator is told stands once in the log.
                failure.notes.clear();
            }
        }
    }
    answers
}

/// The words of a success, or why there is none.
fn run(job: &Job, settings: &Settings) -> Result<String, Failure> {
    let head = &job.head;
    if settings.size_max > 0 && head.size > settings.size_max {
        return Err(Failure::new(Dsn::new(5, 2, 3), "message too large"));
    }
    if !head.purpose.delivers() {
        return Ok(format!("delivers to command: {}", settings.argv.command()));
    }
    let recipient = match &head.recipients[..] {
        [recipient] => Some(recipient),
        _ if settings.needs_one_recipient() => {
            let notes = vec![Note::Warning(settings.one_recipient_advice())];
            return Err(Failure { notes, ..Failure::new(Dsn::new(4, 3, 5), CONFIGURATION_ERROR) });
        }
        _ => None,
    };
    if let Some(recipient) = recipient.filter(|_| settings.delivered_to) {
        let again = was_here(&job.text, recipient).map_err(|e| unreadable(&e))?;
        if again {
            let address = String::from_utf8_lossy(recipient.address.as_bytes());
            let text = format!("mail forwarding loop for {address}");
            return Err(Failure::new(Dsn::new(5, 4, 6), text));
        }
    }
    let values = Values {
        head,
        flags: settings.address_flags,
        null_sender: &settings.null_sender,
        delimiters: &settings.recipient_delimiter,
    };
    let argv = settings.argv.fill(&values).map_err(|why| {
        let text = format!("file master.cf: service {}: {why}", head.transport);
        Failure::configuration(text)
    })?;
    let identity = settings.identity.clone().map_err(|why| {
        let text = format!("file master.cf: service {}: {why}", head.transport);
        Failure::configuration(text)
    })?;
    let command = command::Command {
        what: What::Arguments(&argv),
        run_as: RunAs {
            identity,
            chroot: settings.chroot.as_deref(),
            directory: settings.directory.as_deref(),
            file_size_max: None,
        },
        environment: &settings.environment,
        time_limit: settings.time_limit,
        halt: Some(&job.halt),
        agent: "pipe",
    };
    let mut message = Stream::new(lines(job, settings, recipient), job.text.pieces(), &settings.lines);
    let ran = command::run(&command, &mut || message.next_piece()).map_err(|e| unreadable(&e))?;
    ran.judge(settings.argv.command())?;
    Ok(success(&head.transport, &ran))
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(Dsn::new(4, 3, 0), format!("command execution failed: {}", super::failure::words(error)))
}

/// `delivered via SERVICE service (what it printed)`.
fn success(transport: &str, ran: &Ran) -> String {
    debug_assert_eq!(ran.end, End::Exited(0), "others are failures");
    let text = ran.output_text();
    let end = (0..=text.len().min(SHOWN_OUTPUT_MAX)).rev().find(|&at| text.is_char_boundary(at));
    let shown = text[..end.unwrap_or(0)].trim_end();
    let output = if shown.is_empty() { String::new() } else { format!(" ({shown})") };
    format!("delivered via {transport} service{output}")
}

/// The lines in front of the content, in Postfix's order.
fn lines(job: &Job, settings: &Settings, recipient: Option<&Recipient>) -> Vec<u8> {
    let head = &job.head;
    let sender = match head.sender.is_null() {
        true => mail::Address::from(settings.null_sender.as_str()),
        false => head.sender.clone(),
    };
    let mut out = Vec::new();
    if settings.from_line {
        out.extend(mbox::from_line(&sender, net::clock::now()));
    }
    if settings.return_path {
        out.extend_from_slice(b"Return-Path: <");
        header(&mut out, b"", &sender.to_external());
        out.insert(out.len() - 1, b'>');
    }
    if let Some(recipient) = recipient.filter(|_| settings.original_to) {
        header(&mut out, b"X-Original-To: ", &recipient.original.to_external());
    }
    if let Some(recipient) = recipient.filter(|_| settings.delivered_to) {
        header(&mut out, b"Delivered-To: ", &recipient.address.to_external());
    }
    out
}

/// Headers longer than this are not looked at for the mark of an earlier delivery.
const HEADERS_MAX: usize = 1 << 20;

/// Whether the headers have a Delivered-To with this recipient: it went out from here already and came back.
fn was_here(text: &Text, recipient: &Recipient) -> io::Result<bool> {
    let (mut pieces, mut headers) = (text.pieces(), Vec::new());
    while let Some(piece) = pieces.next_piece()? {
        headers.extend_from_slice(&piece);
        if headers.len() > HEADERS_MAX || memchr::memmem::find(&headers, b"\n\n").is_some() {
            break;
        }
    }
    Ok(has_delivered_to(&headers, &recipient.address))
}

#[cfg(test)]
mod tests;
