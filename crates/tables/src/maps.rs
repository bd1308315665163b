//! Several tables searched one after another, as Postfix's `maps`.

use crate::lookup::{Lookup, now};
use crate::search::Key;
use crate::table::{Settings, Table, TableError};

/// Tables in the order in which they are asked; the first that knows a key answers for it.
#[derive(Clone, Debug, Default)]
pub struct Maps(Vec<Table>);

impl Maps {
    /// Opens the tables; the errors of all that cannot be used.
    pub fn open(specs: &[String], settings: &Settings) -> Result<Maps, Vec<TableError>> {
        let (mut tables, mut errors) = (Vec::new(), Vec::new());
        for spec in specs {
            match Table::open(spec, settings) {
                Ok(table) => tables.push(table),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Maps(tables)) } else { Err(errors) }
    }

    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tables.
    pub fn tables(&self) -> &[Table] {
        &self.0
    }

    /// Asks each table for `key`; a table that fails ends the search.
    pub async fn lookup(&self, key: &Key) -> Lookup {
        self.lookup_noting(key, &mut |_, _, _| {}).await
    }

    /// `lookup` that tells `note` of each table, key and answer.
    pub async fn lookup_noting(&self, key: &Key, note: &mut impl FnMut(&Table, &str, &Lookup)) -> Lookup {
        for table in &self.0 {
            if key.part && !table.takes_parts() {
                continue;
            }
            let answer = table.lookup(&key.text).await;
            note(table, &key.text, &answer);
            match answer {
                Lookup::NotFound => {}
                Lookup::Found(value) if table.found_nothing_in(&key.text, &value) => {
                    return Lookup::TempFail(format!("{}: an empty result", table.spec()));
                }
                answer => return answer,
            }
        }
        Lookup::NotFound
    }

    /// Asks all tables for the first key, then for the second …: Postfix's order for addresses.
    pub async fn find(&self, keys: impl IntoIterator<Item = Key>) -> Lookup {
        self.find_noting(keys, &mut |_, _, _| {}).await
    }

    /// `find` that tells `note` of each table, key and answer.
    pub async fn find_noting(
        &self,
        keys: impl IntoIterator<Item = Key>,
        note: &mut impl FnMut(&Table, &str, &Lookup),
    ) -> Lookup {
        if self.is_empty() {
            return Lookup::NotFound;
        }
        for key in keys {
            match self.lookup_noting(&key, note).await {
                Lookup::NotFound => {}
                answer => return answer,
            }
        }
        Lookup::NotFound
    }

    /// `find` for tables that hold their content in memory; others fail for the time being.
    pub fn find_now(&self, keys: impl IntoIterator<Item = Key>) -> Lookup {
        now(self.find(keys)).unwrap_or_else(|| Lookup::TempFail("a table has to be waited for".to_owned()))
    }
}
