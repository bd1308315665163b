//! What tables make of addresses, and how much is asked for it.
#![allow(clippy::unwrap_used)]

use config::{Config, Host};
use mail::{Address, Notify, Recipient, RewriteContext};
use proptest::prelude::*;
use rewrite::{HeaderClass, Mapper, Step, Tables, Trouble, Witness};
use std::cell::{Cell, RefCell};
use std::path::Path;
use tables::{Lookup, wait};

#[derive(Default)]
struct Notes {
    asked: Cell<usize>,
    warnings: RefCell<Vec<String>>,
    steps: RefCell<Vec<String>>,
}

impl Witness for Notes {
    fn warning(&self, text: &str) {
        self.warnings.borrow_mut().push(text.to_owned());
    }

    fn asked(&self, _: &'static str, _: &str, _: &str, _: &Lookup) {
        self.asked.set(self.asked.get() + 1);
    }

    fn became(&self, step: Step, from: &[u8], to: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.steps.borrow_mut().push(format!("{step:?} {} {}", text(from), text(to)));
    }
}

fn mapper(main: &str) -> Mapper {
    let main = format!("compatibility_level = 3.6\nmyhostname = mail.example.com\n{main}");
    let config = Config::parse(Path::new("/etc/postfix"), &main, "", Host::default()).unwrap();
    Mapper::open(&config, None, &tables::Settings::default()).unwrap()
}

fn recipients(mapper: &Mapper, named: &[&str], notes: &Notes) -> Result<Vec<String>, Trouble> {
    let named = named.iter().map(|address| Recipient::new((*address).into())).collect();
    let mapped = wait(mapper.recipients(&"s@example.net".into(), named, Tables::Asked, notes))?;
    Ok(mapped.recipients.iter().map(|r| r.address.to_string()).collect())
}

#[test]
fn a_list_of_a_thousand_members_asks_for_each_member_once() {
    let members: Vec<String> = (0..1000).map(|n| format!("member{n}@far.example")).collect();
    let list = format!("virtual_alias_maps = inline:{{{{list@example.com = {}}}}}\n", members.join(", "));
    let notes = Notes::default();
    let found = recipients(&mapper(&list), &["list@example.com"], &notes).unwrap();
    assert_eq!(found, members);
    // The list; then each member by its address and by its domain.
    assert_eq!(notes.asked.get(), 1 + 2 * 1000);
}

#[test]
fn a_list_with_a_member_too_many_is_not_followed() {
    let members: Vec<String> = (0..1001).map(|n| format!("member{n}@far.example")).collect();
    let list = format!("virtual_alias_maps = inline:{{{{list@example.com = {}}}}}\n", members.join(", "));
    let notes = Notes::default();
    let found = recipients(&mapper(&list), &["list@example.com"], &notes);
    assert_eq!(found, Err(Trouble::Expansion));
    assert!(
        notes.warnings.borrow()[0].starts_with("unreasonable virtual_alias_maps map expansion size for ")
    );
}

#[test]
fn aliases_that_lead_in_circles_end_at_the_limits() {
    let notes = Notes::default();
    let circles = mapper("virtual_alias_maps = inline:{a@x=b@x, b@x=a@x}\n");
    assert_eq!(recipients(&circles, &["a@x"], &notes), Err(Trouble::Expansion));
    assert_eq!(notes.asked.get(), 1000);
}

#[test]
fn each_step_is_told_in_order() {
    let notes = Notes::default();
    let all = mapper(
        "canonical_maps = inline:{a@mail.example.com=b@h.dom.example}\nmasquerade_domains = dom.example\n\
         masquerade_classes = envelope_recipient\nvirtual_alias_maps = inline:{b@dom.example=c@x}\n",
    );
    assert_eq!(recipients(&all, &["a"], &notes), Ok(vec!["c@x".to_owned()]));
    assert_eq!(
        *notes.steps.borrow(),
        [
            "CanonicalForm a a@mail.example.com",
            "Tables(\"canonical_maps\") a@mail.example.com b@h.dom.example",
            "Masquerade b@h.dom.example b@dom.example",
            "Tables(\"virtual_alias_maps\") b@dom.example c@x",
        ]
    );
}

#[test]
fn where_tables_are_ignored_none_is_asked() {
    let notes = Notes::default();
    let all = mapper(
        "canonical_maps = inline:{a@x=b@x}\nvirtual_alias_maps = inline:{a@x=c@x}\nalways_bcc = d@x\n",
    );
    let named = vec![Recipient { notify: Notify::SUCCESS, ..Recipient::new("a@x".into()) }];
    let mapped = wait(all.recipients(&"a@x".into(), named, Tables::Ignored, &notes)).unwrap();
    assert_eq!((mapped.recipients.len(), mapped.expanded.len(), notes.asked.get()), (1, 0, 0));
    let sender = wait(all.sender(&"a@x".into(), Tables::Ignored, &notes)).unwrap();
    let class = HeaderClass::of(b"from").unwrap();
    let header = (&b"From"[..], &b" a@x"[..]);
    let header = wait(all.header(class, header, RewriteContext::Local, Tables::Ignored, &notes)).unwrap();
    assert_eq!((sender, header, notes.asked.get()), (Address::from("a@x"), None, 0));
}

proptest! {
    #[test]
    fn no_address_and_no_answer_makes_it_panic(address in "\\PC{0,20}", value in "[^{}=,\\PC]{1,20}", header in "\\PC{0,60}") {
        let all = format!(
            "recipient_delimiter = +-\nmydestination = example.com\nvirtual_alias_maps = static:{{{value}}}\n\
             canonical_maps = static:{{{value}}}\nmasquerade_domains = example.com\n",
        );
        let main = format!("compatibility_level = 3.6\nmyhostname = mail.example.com\n{all}");
        if let Ok(config) = Config::parse(Path::new("/etc/postfix"), &main, "", Host::default())
            && let Ok(mapper) = Mapper::open(&config, None, &tables::Settings::default())
        {
            let notes = Notes::default();
            let address = Address::new(&address);
            let _ = wait(mapper.sender(&address, Tables::Asked, &notes));
            let _ = wait(mapper.recipients(&address, vec![Recipient::new(address.clone())], Tables::Asked, &notes));
            let class = HeaderClass::of(b"To").unwrap();
            let header = (&b"To"[..], header.as_bytes());
            let written = wait(mapper.header(class, header, RewriteContext::Local, Tables::Asked, &notes));
            if let Ok(Some(written)) = written {
                prop_assert!(written.starts_with(b"To: ") && written.ends_with(b"\r\n"));
            }
        }
    }
}
