//! XFORWARD: where a message came from first, told to a server that asks for it, in two commands before MAIL.
//!
//! Postfix: XFORWARD_README, `smtp_send_xforward_command`. What is not known is not told.

use super::Stage;
use crate::smtp::xtext::encode_xtext;
use mail::{Origin, RewriteContext};

/// The attributes that a server offers to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Xforward {
    name: bool,
    address: bool,
    port: bool,
    protocol: bool,
    helo: bool,
    ident: bool,
    source: bool,
}

impl Xforward {
    /// Reads the words behind the keyword.
    pub(super) fn offered<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut offered = Xforward::default();
        for word in words {
            match word.to_ascii_uppercase().as_str() {
                "NAME" => offered.name = true,
                "ADDR" => offered.address = true,
                "PORT" => offered.port = true,
                "PROTO" => offered.protocol = true,
                "HELO" => offered.helo = true,
                "IDENT" => offered.ident = true,
                "SOURCE" => offered.source = true,
                _ => {}
            }
        }
        offered
    }

    /// The commands that tell of `origin`, at most two.
    pub(super) fn commands(self, origin: &Origin) -> Vec<(Stage, Vec<u8>)> {
        let source = match origin.context {
            RewriteContext::Local => "LOCAL",
            RewriteContext::Remote => "REMOTE",
        };
        let client = [
            (self.name, "NAME", origin.name.as_str()),
            (self.address, "ADDR", &origin.address),
            (self.port, "PORT", &origin.port),
        ];
        let rest = [
            (self.protocol, "PROTO", origin.protocol.as_str()),
            (self.helo, "HELO", &origin.helo),
            (self.ident, "IDENT", &origin.ident),
            (self.source, "SOURCE", source),
        ];
        let client = command(&client).map(|command| (Stage::ForwardClient, command));
        let rest = command(&rest).map(|command| (Stage::ForwardRest, command));
        client.into_iter().chain(rest).collect()
    }
}

/// One command with those attributes that the server takes and that are known.
fn command(attributes: &[(bool, &str, &str)]) -> Option<Vec<u8>> {
    let mut line = String::from("XFORWARD");
    for (_, name, value) in attributes.iter().filter(|(taken, _, value)| *taken && !value.is_empty()) {
        line += &format!(" {name}={}", encode_xtext(value.as_bytes()));
    }
    line += "\r\n";
    line.contains('=').then(|| line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(offer: &str, origin: &Origin) -> Vec<String> {
        let commands = Xforward::offered(offer.split(' ')).commands(origin);
        commands.into_iter().map(|(_, line)| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn only_what_is_offered_and_known_is_told() {
        let origin = Origin {
            name: "a.example".into(),
            address: "IPv6:2001:db8::1".into(),
            helo: "x+y\r\nDATA".into(),
            ident: "4X".into(),
            ..Origin::default()
        };
        assert_eq!(
            told("NAME ADDR PORT PROTO HELO IDENT SOURCE NEW", &origin),
            [
                "XFORWARD NAME=a.example ADDR=IPv6:2001:db8::1\r\n",
                "XFORWARD HELO=x+2By+0D+0ADATA IDENT=4X SOURCE=REMOTE\r\n"
            ]
        );
        assert_eq!(told("PORT ident", &origin), ["XFORWARD IDENT=4X\r\n"]);
        assert!(told("PORT PROTO", &origin).is_empty());
    }
}
