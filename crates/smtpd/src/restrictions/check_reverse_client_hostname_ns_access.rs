//! Looks up the name servers behind the name that the client's address leads to in an access table.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;
use crate::servers::{self, Of, Whose};
use tables::Table;

pub(super) const KIND: Kind =
    Kind { name: NAME, make: Make::WithTable(|table| Box::new(This(table))), guards_relaying: false };

const NAME: &str = "check_reverse_client_hostname_ns_access";

struct This(Table);

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(servers::check(&self.0, about, Of::Ns, Whose::ReverseClient, NAME)))
    }
}
