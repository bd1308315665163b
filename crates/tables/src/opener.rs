//! Opens what the parameters of one scope name, tables and lists, and keeps all that is wrong with them.

use crate::lists::{AddressList, DomainList, NameList};
use crate::search::Parents;
use crate::{Maps, Settings, TableError, Trust};
use config::{Error, Errors, Scope};

/// Gives something for each parameter, empty where it cannot be opened; [`Opener::finish`] tells every mistake.
pub struct Opener<'a> {
    scope: Scope<'a>,
    tables: &'a Settings,
    errors: Vec<Error>,
}

impl<'a> Opener<'a> {
    /// For the parameters of a scope.
    pub fn new(scope: Scope<'a>, tables: &'a Settings) -> Opener<'a> {
        Opener { scope, tables, errors: Vec::new() }
    }

    /// Whose parameters are opened.
    pub fn scope(&self) -> Scope<'a> {
        self.scope
    }

    /// How tables are opened.
    pub fn tables(&self) -> &'a Settings {
        self.tables
    }

    /// Where others add mistakes that they find.
    pub fn errors(&mut self) -> &mut Vec<Error> {
        &mut self.errors
    }

    /// The mistakes, if there are any.
    pub fn finish(self) -> Result<(), Errors> {
        Errors::check(self.errors)
    }

    /// Notes what is wrong with a parameter.
    pub fn wrong(&mut self, name: &str, text: impl Into<String>) {
        self.errors.push(self.scope.error(name, text));
    }

    /// What was made of a parameter; where it could not be, notes why.
    pub fn take<T>(&mut self, name: &str, made: Result<T, Vec<String>>) -> Option<T> {
        made.map_err(|texts| texts.into_iter().for_each(|text| self.wrong(name, text))).ok()
    }

    /// Tables.
    pub fn maps(&mut self, name: &str, specs: &[String]) -> Maps {
        let opened = Maps::open(specs, self.tables);
        self.take(name, opened.map_err(texts)).unwrap_or_default()
    }

    /// Tables that say where mail goes ([`Trust::NoSubstitution`]).
    pub fn routes(&mut self, name: &str, specs: &[String]) -> Maps {
        let opened = Maps::open(specs, &self.tables.with_trust(Trust::NoSubstitution));
        self.take(name, opened.map_err(texts)).unwrap_or_default()
    }

    /// A list of names.
    pub fn names(&mut self, name: &str, words: &[String]) -> NameList {
        let opened = NameList::parse(words, self.tables);
        self.take(name, opened).unwrap_or_default()
    }

    /// A list of domains.
    pub fn domains(&mut self, name: &str, words: &[String], parents: Parents) -> DomainList {
        let opened = DomainList::parse(words, parents, self.tables);
        self.take(name, opened).unwrap_or_else(|| DomainList::empty(parents))
    }

    /// A list of clients.
    pub fn clients(&mut self, name: &str, words: &[String], parents: Parents) -> AddressList {
        let opened = AddressList::parse(words, parents, self.tables);
        self.take(name, opened).unwrap_or_else(|| AddressList::empty(parents))
    }
}

fn texts(errors: Vec<TableError>) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{Config, Host};
    use std::path::Path;

    #[test]
    fn every_mistake_is_told_with_its_parameter_and_line() {
        let main = "relay_domains = nosuch:x\ncanonical_maps = nosuch:y, static:z\n";
        let config = Config::parse(Path::new("/etc/postfix"), main, "", Host::default()).unwrap();
        let tables = Settings::default();
        let mut opener = Opener::new(config.scope(None), &tables);
        let words = |text: &str| text.split(", ").map(str::to_owned).collect::<Vec<_>>();
        assert!(opener.domains("relay_domains", &words("nosuch:x"), Parents::Bare).is_empty());
        assert!(opener.maps("canonical_maps", &words("nosuch:y, static:z")).is_empty());
        assert_eq!(opener.maps("relocated_maps", &words("static:z")).tables().len(), 1);
        opener.wrong("mynetworks", "expected something else");
        let told = opener.finish().unwrap_err().to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].starts_with("mynetworks: expected something else"), "{told}");
        assert!(lines[1].starts_with("/etc/postfix/main.cf:1: relay_domains: nosuch:x: expected"), "{told}");
        assert!(lines[2].starts_with("/etc/postfix/main.cf:2: canonical_maps: nosuch:y: expected"), "{told}");
        assert_eq!(lines.len(), 3, "{told}");
    }
}
