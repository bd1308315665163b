//! What becomes of an address, step by step: each table and key that is asked, each answer, and where mail goes.

use crate::mapping::{Mapper, Step, Tables, Trouble, Witness};
use crate::resolve::{AddressClass, Resolved, Resolver};
use mail::{Address, Recipient};
use std::cell::RefCell;
use tables::search::{self, Key};
use tables::{Lookup, Maps};

/// Steps that are written down at most; a list of a million members has more.
const STEPS_MAX: usize = 10_000;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A table was asked.
    Asked {
        /// The parameter that names it.
        parameter: &'static str,
        /// The table.
        table: String,
        /// The key.
        key: String,
        /// The answer, or why there is none.
        answer: String,
    },
    /// An address became another.
    Became {
        /// What did it: a parameter, or `canonical form`.
        by: &'static str,
        /// The address before.
        from: String,
        /// The address after.
        to: String,
    },
    /// What the log would warn of.
    Warning(String),
}

/// A recipient that gets the message, and where its mail goes.
#[derive(Clone, Debug)]
pub struct End {
    /// The recipient.
    pub recipient: Recipient,
    /// What was asked on the way to the transport.
    pub steps: Vec<Told>,
    /// Where mail goes.
    pub resolved: Resolved,
}

/// All that becomes of a recipient.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The sender as it is queued, with the steps to it.
    pub sender: (Address, Vec<Told>),
    /// The steps from the recipient as it was given to those who get the message.
    pub steps: Vec<Told>,
    /// Who gets the message: the recipient or what aliases make of it, and copies; or why it is not taken.
    pub ends: Result<Vec<End>, Trouble>,
}

#[derive(Default)]
struct Notes(RefCell<Vec<Told>>);

impl Notes {
    fn add(&self, told: Told) {
        let mut all = self.0.borrow_mut();
        if all.len() < STEPS_MAX {
            all.push(told);
        }
    }

    fn take(&self) -> Vec<Told> {
        self.0.take()
    }

    fn table(&self, parameter: &'static str, table: &str, key: &str, answer: &Lookup) {
        let answer = match answer {
            Lookup::Found(value) => value.clone(),
            Lookup::NotFound => "not found".to_owned(),
            Lookup::TempFail(why) => format!("cannot be asked: {why}"),
        };
        self.add(Told::Asked { parameter, table: table.to_owned(), key: key.to_owned(), answer });
    }
}

impl Witness for Notes {
    fn warning(&self, text: &str) {
        self.add(Told::Warning(text.to_owned()));
    }

    fn asked(&self, parameter: &'static str, table: &str, key: &str, answer: &Lookup) {
        self.table(parameter, table, key, answer);
    }

    fn became(&self, step: Step, from: &[u8], to: &[u8]) {
        let by = match step {
            Step::CanonicalForm => "canonical form",
            Step::Tables(parameter) => parameter,
            Step::Masquerade => "masquerade_domains",
        };
        let text = |bytes: &[u8]| Address::new(bytes).to_string();
        self.add(Told::Became { by, from: text(from), to: text(to) });
    }
}

/// What becomes of mail from `sender` to `recipient`. All tables are really asked.
pub async fn explain(
    mapper: &Mapper,
    resolver: &Resolver,
    sender: &Address,
    recipient: &Address,
) -> Explanation {
    let notes = Notes::default();
    // A sender that no table can be asked about stays; the recipients tell the trouble.
    let mapped = mapper.sender(sender, Tables::Asked, &notes).await;
    let trouble = mapped.as_ref().err().copied();
    let sender = (mapped.unwrap_or_else(|_| sender.clone()), notes.take());
    let named = vec![Recipient::new(recipient.clone())];
    let mapped = mapper.recipients(&sender.0, named, Tables::Asked, &notes).await;
    let steps = notes.take();
    let ends = match (trouble, mapped) {
        (Some(trouble), _) | (None, Err(trouble)) => Err(trouble),
        (None, Ok(mapped)) => {
            let mut ends = Vec::with_capacity(mapped.recipients.len());
            for recipient in mapped.recipients {
                ends.push(end(resolver, &sender.0, recipient).await);
            }
            Ok(ends)
        }
    };
    Explanation { sender, steps, ends }
}

async fn end(resolver: &Resolver, sender: &Address, recipient: Recipient) -> End {
    let notes = Notes::default();
    let resolved = resolver.resolve(&recipient.address, sender).await;
    if let Resolved::Route(route) = &resolved {
        ask_again(resolver, sender, &route.recipient, route.class, &notes).await;
    }
    End { recipient, steps: notes.take(), resolved }
}

/// Asks the tables that decide on the transport in their order, to show what they say.
async fn ask_again(
    resolver: &Resolver,
    sender: &Address,
    recipient: &Address,
    class: AddressClass,
    notes: &Notes,
) {
    let settings = resolver.settings();
    let delimiters = &settings.view.recipient_delimiter;
    let text = |address: &Address| String::from_utf8_lossy(address.as_bytes()).into_owned();
    let (whole, domain) = (text(recipient), recipient.domain_lower());
    if matches!(class, AddressClass::Relay | AddressClass::Default) {
        let by_sender = [
            (
                "sender_dependent_default_transport_maps",
                &settings.sender_transports,
                &settings.view.empty_address_default_transport_maps_lookup_key,
                class == AddressClass::Default,
            ),
            (
                "sender_dependent_relayhost_maps",
                &settings.sender_relayhosts,
                &settings.view.empty_address_relayhost_maps_lookup_key,
                true,
            ),
        ];
        for (parameter, maps, null, _) in by_sender.into_iter().filter(|(.., counts)| *counts) {
            let key = if sender.is_null() { null.clone() } else { text(sender) };
            ask(notes, parameter, maps, search::mapping(&key, delimiters, false)).await;
        }
    }
    if class != AddressClass::VirtualAlias {
        let keys = search::transport(&whole, &domain, delimiters, settings.transport_parents);
        ask(notes, "transport_maps", &settings.transport_maps, keys).await;
    }
    let ours = class == AddressClass::Local;
    ask(notes, "relocated_maps", &settings.relocated_maps, search::mapping(&whole, delimiters, ours)).await;
}

async fn ask(notes: &Notes, parameter: &'static str, maps: &Maps, keys: Vec<Key>) {
    for key in keys {
        for table in maps.tables().iter().filter(|table| !key.part || table.takes_parts()) {
            let answer = table.lookup(&key.text).await;
            notes.table(parameter, table.spec(), &key.text, &answer);
            if answer != Lookup::NotFound {
                return;
            }
        }
    }
}

/// The parameter that a class of addresses is named by.
pub fn class_parameter(class: AddressClass) -> &'static str {
    match class {
        AddressClass::Local => "mydestination",
        AddressClass::VirtualAlias => "virtual_alias_domains",
        AddressClass::VirtualMailbox => "virtual_mailbox_domains",
        AddressClass::Relay => "relay_domains",
        AddressClass::Default => "default_transport",
    }
}
