//! `postscreen_reject_footer` and `postscreen_reject_footer_maps`: what replies that refuse something end with.

use mail::Reply;
use std::net::SocketAddr;

/// Whom a footer is for, for `$client_address` and the like in it.
#[derive(Clone, Debug)]
pub(super) struct Ends {
    /// The client.
    pub client: SocketAddr,
    /// `myhostname`.
    pub server_name: String,
    /// The time of now as `Jan  2 03:04:05`.
    pub local_time: String,
}

/// The reply with a footer behind it: `\c` in front keeps it in the same line.
pub(super) fn append(mut reply: Reply, footer: &str) -> Reply {
    match footer.strip_prefix("\\c") {
        Some(rest) => reply.text.push_str(rest),
        None => {
            // The two characters `\n` divide lines.
            let lines = footer.replace("\\n", "\n");
            reply.text = format!("{}\n{lines}", reply.text);
        }
    }
    reply
}

/// A footer with its names replaced; what `allowed` does not hold becomes `_` in their values. Names that mean nothing
/// here are empty and given to `unknown`.
pub(super) fn expand(text: &str, ends: &Ends, allowed: &[u8], unknown: &mut dyn FnMut(&str)) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let name;
        (name, rest) = match rest.strip_prefix(['{', '(']) {
            Some(inner) => inner.split_once(['}', ')']).unwrap_or((inner, "")),
            None => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let value = match name {
            "client_address" => ends.client.ip().to_canonical().to_string(),
            "client_port" => ends.client.port().to_string(),
            "server_name" => ends.server_name.clone(),
            "localtime" => ends.local_time.clone(),
            _ => {
                unknown(name);
                continue;
            }
        };
        out.extend(
            value.chars().map(|c| if u8::try_from(c).is_ok_and(|b| allowed.contains(&b)) { c } else { '_' }),
        );
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail::Dsn;

    #[test]
    fn a_footer_is_a_line_of_its_own_or_goes_on() {
        let reply = || Reply::new(550, Dsn::new(5, 5, 1), "Protocol error");
        assert_eq!(append(reply(), "call us").text, "Protocol error\ncall us");
        assert_eq!(append(reply(), "\\c call us").text, "Protocol error call us");
        assert_eq!(append(reply(), "a\\nb").text, "Protocol error\na\nb");
    }

    #[test]
    fn names_are_replaced_and_unknown_ones_told() {
        let ends = Ends {
            client: "192.0.2.1:7".parse().unwrap(),
            server_name: "mx.example".into(),
            local_time: "Jan  2 03:04:05".into(),
        };
        let mut told = Vec::new();
        let text = "$client_address;${client_port};$(server_name) $$5 $nosuch.";
        let made = expand(text, &ends, b"0123456789.mxeapl", &mut |name| told.push(name.to_owned()));
        assert_eq!(made, "192.0.2.1;7;mx.example $5 .");
        assert_eq!(told, ["nosuch"]);
        assert_eq!(expand("$client_address", &ends, b"0123456789", &mut |_| {}), "192_0_2_1");
    }
}
