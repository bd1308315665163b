//! Whatever a server says, the client ends, never panics, and never tells the same recipient's fate twice.
#![allow(clippy::unwrap_used)]

use mail::{Address, Encoding, Recipient};
use proptest::prelude::*;
use protocol::smtp::client::{Client, Event, Outputs, Protocol, Settings, Transaction};
use std::rc::Rc;
use std::sync::Arc;

/// Pieces of what servers say, sense and nonsense.
fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let line = prop_oneof![
        4 => prop::sample::select(vec![
            "220 mx ESMTP", "250-mx", "250-PIPELINING", "250-XFORWARD NAME IDENT", "250 SIZE 1000", "250 2.1.0 Ok", "250 2.0.0 Ok", "354 go",
            "421 bye", "450 4.2.0 later", "550-5.1.1 no", "550 5.1.1 no", "503 what", "250",
        ])
        .prop_map(|text| format!("{text}\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => "[0-9]{0,4}[ -]?[a-z .0-9]{0,10}\r?\n".prop_map(String::into_bytes),
    ];
    prop::collection::vec(line, 0..60)
}

fn transaction(recipients: usize) -> Transaction {
    Transaction {
        sender: Address::from("ann@example.com"),
        recipients: vec![Recipient::new(Address::from("bob@example.org")); recipients],
        size: Some(10),
        encoding: Encoding::Unknown,
        smtputf8: 0,
        envid: String::new(),
        ret: None,
        probe: None,
        origin: Some(Arc::new(mail::Origin { ident: "4X".into(), ..mail::Origin::default() })),
    }
}

/// Plays a driver's part; gives each transaction's deliveries and whether the dialogue broke.
fn drive(input: &[Vec<u8>], lmtp: bool, recipients: usize) {
    let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
    let mut client = Client::new(Rc::new(Settings { protocol, ..Settings::default() }));
    let (mut out, mut fates, mut messages) = (Outputs::default(), vec![false; recipients], 0);
    for piece in input {
        client.receive(piece, &mut out);
        while let Some(event) = out.events.pop_front() {
            match event {
                Event::SendContent => client.content_sent(),
                Event::Delivered { place, .. } | Event::RecipientFailed { place, .. } => {
                    assert!(!fates[place], "one fate for each recipient");
                    fates[place] = true;
                }
                Event::Refused { .. } | Event::OutOfStep => return,
                Event::MessageFailed { .. }
                | Event::TransactionOver
                | Event::Ready
                | Event::NotForwarded { .. }
                | Event::Garbage { .. } => {}
            }
        }
        assert!(out.bytes.is_empty() || out.bytes.ends_with(b"\r\n"), "commands are whole lines");
        out.bytes.clear();
        if client.is_ready() && messages < 5 {
            messages += 1;
            fates.fill(false);
            client.begin(transaction(recipients), &mut out);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_server_says_nothing_breaks(input in pieces(), lmtp: bool, recipients in 1usize..6) {
        drive(&input, lmtp, recipients);
        let joined: Vec<Vec<u8>> = vec![input.concat()];
        drive(&joined, lmtp, recipients);
    }
}
