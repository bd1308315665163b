//! `postscreen_access_list`: clients that are let pass or refused whatever tests say.

use std::net::IpAddr;
use tables::lists::AddressList;
use tables::search;
use tables::{Lookup, Settings, Table};

/// What the list says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// It passes.
    Permit,
    /// It is refused, as `postscreen_denylist_action` says.
    Reject,
    /// Nothing: the tests decide.
    Dunno,
}

/// The list.
pub(super) struct AccessList {
    commands: Vec<Command>,
    mynetworks: AddressList,
}

enum Command {
    Say(Access),
    Mynetworks,
    Table(Table),
    Unknown(String),
}

impl AccessList {
    /// Reads the words; the errors are texts for the parameter.
    pub fn parse(words: &[String], mynetworks: AddressList, open: &Settings) -> Result<Self, Vec<String>> {
        let (mut commands, mut errors) = (Vec::new(), Vec::new());
        for word in words {
            match Table::open(word, open) {
                _ if !word.contains(':') => commands.push(command(word)),
                Ok(table) => commands.push(Command::Table(table)),
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() { Ok(AccessList { commands, mynetworks }) } else { Err(errors) }
    }

    /// What it says of a client; `warn` takes what makes no sense in it.
    pub async fn ask(&self, client: IpAddr, warn: &dyn Fn(String)) -> Access {
        const IGNORED: &str = "ignoring the remainder of this access list";
        for command in &self.commands {
            let table = match command {
                Command::Table(table) => table,
                simple => match self.simple(simple, client).await {
                    Ok(Some(access)) => return access,
                    Ok(None) => continue,
                    Err(word) => {
                        warn(format!("postscreen_access_list: unknown command: {word} -- {IGNORED}"));
                        return Access::Dunno;
                    }
                },
            };
            match table.lookup(&search::address(client).text).await {
                Lookup::NotFound => {}
                Lookup::TempFail(_) => {
                    let spec = table.spec();
                    warn(format!("postscreen_access_list: {spec}: table lookup error -- {IGNORED}"));
                    return Access::Dunno;
                }
                Lookup::Found(value) => {
                    for word in value.split([' ', '\t', ',', '\r', '\n']).filter(|w| !w.is_empty()) {
                        match self.simple(&self::command(word), client).await {
                            Ok(Some(Access::Dunno)) => break,
                            Ok(Some(access)) => return access,
                            Ok(None) => {}
                            Err(word) => {
                                warn(format!("{}: unknown command: {word} -- {IGNORED}", table.spec()));
                                break;
                            }
                        }
                    }
                }
            }
        }
        Access::Dunno
    }

    async fn simple<'a>(&self, command: &'a Command, client: IpAddr) -> Result<Option<Access>, &'a str> {
        match command {
            Command::Say(access) => Ok(Some(*access)),
            Command::Mynetworks => {
                let ours = matches!(self.mynetworks.matches(None, client).await, Ok(true));
                Ok(ours.then_some(Access::Permit))
            }
            Command::Unknown(word) => Err(word),
            Command::Table(table) => Err(table.spec()),
        }
    }
}

fn command(word: &str) -> Command {
    match word.to_ascii_lowercase().as_str() {
        "permit" => Command::Say(Access::Permit),
        "reject" => Command::Say(Access::Reject),
        "dunno" => Command::Say(Access::Dunno),
        "permit_mynetworks" => Command::Mynetworks,
        _ => Command::Unknown(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tables::search::Parents;

    #[test]
    fn the_first_command_that_says_something_decides() {
        let words = config::words::list;
        let (open, told) = (Settings::default(), RefCell::new(Vec::new()));
        let ours = AddressList::parse(&words("127.0.0.0/8"), Parents::Dotted, &open).unwrap();
        let list = "inline:{{192.0.2.1=reject},{192.0.2.2=Permit},{192.0.2.3=dunno},{192.0.2.4=foo}} \
                    permit_mynetworks cidr:{{192.0.2.0/24 REJECT really}} bar permit";
        let list = AccessList::parse(&words(list), ours, &open).unwrap();
        for (client, access) in [
            ("192.0.2.1", Access::Reject),
            ("192.0.2.2", Access::Permit),
            ("192.0.2.3", Access::Reject),
            ("192.0.2.4", Access::Reject),
            ("127.0.0.1", Access::Permit),
            ("198.51.100.1", Access::Dunno),
        ] {
            let warn = |text| told.borrow_mut().push(text);
            let found = tables::now(list.ask(client.parse().unwrap(), &warn)).unwrap();
            assert_eq!(found, access, "{client}");
        }
        let told = told.into_inner();
        assert!(told[0].ends_with(": unknown command: foo -- ignoring the remainder of this access list"));
        assert!(told[1].starts_with("postscreen_access_list: unknown command: bar -- "), "{told:?}");
    }
}
