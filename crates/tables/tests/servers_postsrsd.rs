//! `tcp` against Debian's postsrsd, and beside it Debian's Postfix with the same server.

#![allow(clippy::unwrap_used)]

mod debian;

use debian::{Directory, Server};
use std::process::Command;
use tables::{Lookup, Settings, Table, wait};

/// postsrsd with both of its tables: addresses of senders at `port`, those of bounces at `back`.
fn postsrsd(directory: &Directory, port: u16, back: u16) -> Option<Command> {
    let mut command = debian::program("usr/sbin/postsrsd")?;
    let secret = directory.write("secret", "a secret of this test\n");
    command.arg(format!("-s{}", secret.display()));
    command.args(["-dexample.net", "-4", &format!("-f{port}"), &format!("-r{back}")]);
    if debian::is_root() {
        command.arg("-unobody");
    }
    Some(command)
}

#[test]
fn postsrsd_rewrites_addresses_there_and_back_as_it_does_for_postfix() {
    let directory = Directory::new("postsrsd");
    let back = testkit::free_port();
    if postsrsd(&directory, 0, back).is_none() {
        return;
    }
    let server = Server::start(|port| postsrsd(&directory, port, back).unwrap());
    let spec = format!("tcp:127.0.0.1:{}", server.port);
    let there = Table::open(&spec, &Settings::default()).unwrap();
    let keys = [
        "ann@example.org",
        "Ann@Example.ORG",
        "bob@example.net",
        "two words@example.org",
        "50%@a.example",
        "plain",
    ];
    let mut rewritten = Vec::new();
    for (key, answer) in keys.iter().map(|key| (*key, wait(there.lookup(key)))) {
        match answer {
            Lookup::Found(value) => rewritten.push((key.to_owned(), value)),
            Lookup::NotFound => {}
            Lookup::TempFail(text) => panic!("{text}"),
        }
    }
    assert_eq!(Some(&rewritten), debian::postmap(&directory, &keys, &spec).as_ref());
    let address = &rewritten.first().expect("postsrsd rewrites an address of another domain").1;
    assert!(address.starts_with("SRS0=") && address.ends_with("=example.org=ann@example.net"), "{address}");
    let bounces = Table::open(&format!("tcp:127.0.0.1:{back}"), &Settings::default()).unwrap();
    assert_eq!(wait(bounces.lookup(address)), Lookup::Found("ann@example.org".to_owned()));
    assert_eq!(wait(bounces.lookup("ann@example.net")), Lookup::NotFound);
}
