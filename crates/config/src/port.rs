//! Ports by number or by name.

/// A port by number, or by the name that /etc/services or every mail administrator knows.
pub fn port_number(text: &str) -> Option<u16> {
    if let Ok(port) = text.parse() {
        return Some(port);
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    let known = services.lines().find_map(|line| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let (name, port) = (words.next()?, words.next()?);
        let number = port.strip_suffix("/tcp")?.parse().ok()?;
        (name == text || words.any(|alias| alias == text)).then_some(number)
    });
    known.or(match text {
        "smtp" => Some(25),
        "submission" => Some(587),
        "submissions" | "smtps" => Some(465),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_known_by_number_and_by_name() {
        assert_eq!(
            (port_number("2525"), port_number("smtp"), port_number("submission")),
            (Some(2525), Some(25), Some(587))
        );
        assert_eq!(port_number("no-such-service"), None);
    }
}
