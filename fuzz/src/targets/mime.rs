//! The structure of a message, whatever comes: no panic, the pieces change nothing, nothing is lost and little is kept.

use crate::Target;
use crate::input::Random;
use bytes::Bytes;
use mail::mime::{Event, Mime, Reading};

pub(super) const TARGET: Target = Target {
    name: "mime",
    dictionary: &[
        b"\r\n",
        b"\r\n\r\n",
        b"\n ",
        b"Content-Type: ",
        b"multipart/mixed; boundary=a\r\n",
        b"multipart/digest; boundary=\"a b\"\r\n",
        b"message/rfc822\r\n",
        b"message/partial\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"--a\r\n",
        b"--a--\r\n",
        b"--a b\r\n",
        b"\r\n--",
        b"-",
        b"; boundary=",
        b"(comment",
        b"\\\"",
        b"Subject : x\r\n",
        b"From a\r\n",
        b">From a\r\n",
        b"\xe4",
        b"\0",
    ],
    run,
};

const READING: Reading = Reading {
    header_bytes_max: 64,
    boundary_bytes_max: 8,
    nesting_max: 2,
    flat: false,
    watches_bodies: true,
    narrows: false,
};

/// What is told, with the stretches of a body in one.
fn told(input: &[u8], reading: Reading, mut step: impl FnMut() -> usize) -> Vec<Event> {
    let mut mime = Mime::new(reading);
    let (mut events, mut rest) = (Vec::new(), input);
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(step().clamp(1, rest.len()));
        mime.feed(Bytes::copy_from_slice(head), &mut events);
        rest = tail;
    }
    mime.finish(&mut events);
    let mut out: Vec<Event> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(Event::Body(before)), Event::Body(piece)) => {
                *before = Bytes::from([&before[..], &piece[..]].concat());
            }
            (Some(Event::Boundary(before, _)), Event::Boundary(piece, _)) if !before.ends_with(b"\n") => {
                *before = Bytes::from([&before[..], &piece[..]].concat());
            }
            (_, event) => out.push(event),
        }
    }
    out
}

fn run(input: &[u8]) {
    // Of a longer line a fault shows what was there of it.
    let watching = Reading { watches_bodies: input.len() < mail::LINE_RECORD_MAX, ..READING };
    for reading in [
        watching,
        Reading { watches_bodies: false, ..READING },
        Reading { flat: true, ..watching },
        Reading { narrows: true, ..watching },
    ] {
        let whole = told(input, reading, || usize::MAX);
        let mut random = Random::new(input.len() as u64);
        assert_eq!(whole, told(input, reading, || 1 + random.below(40)), "in pieces");
        if input.len() < 4096 {
            assert_eq!(whole, told(input, reading, || 1), "byte by byte");
        }
        for event in &whole {
            match event {
                // A header ends with the line that makes it long enough.
                Event::Header(header) => {
                    let longest = reading.header_bytes_max + mail::LINE_RECORD_MAX + 16;
                    assert!(header.text.len() <= longest, "a header of {} bytes", header.text.len());
                }
                Event::Body(piece) | Event::Boundary(piece, _) => {
                    assert!(input.windows(piece.len()).any(|w| w == &piece[..]), "a body is as it came");
                }
                Event::HeaderEnd(_) | Event::Fault(_) => {}
            }
        }
        let bodies = whole.iter().map(|event| match event {
            Event::Body(piece) | Event::Boundary(piece, _) => piece.len(),
            _ => 0,
        });
        assert!(bodies.sum::<usize>() <= input.len(), "nothing is told twice");
    }
}
