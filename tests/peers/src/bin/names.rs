//! A name server of a world: reads the zone on standard input and serves it on 127.0.0.1 port 53 until it is ended.

use std::net::{Ipv4Addr, SocketAddr};
use testkit::dns::Zone;

fn main() -> Result<(), String> {
    let text = std::io::read_to_string(std::io::stdin()).map_err(|e| format!("the zone: {e}"))?;
    Zone::parse(&text)?.serve(SocketAddr::from((Ipv4Addr::LOCALHOST, 53)))?;
    println!("serving");
    loop {
        std::thread::park();
    }
}
