//! Looks up the name that the client's address leads to in an access table. Nobody has verified the name, so the table must
//! not permit.

use super::{Checked, Kind, Make, Restriction};
use crate::about::About;
use crate::access;
use crate::servers::forbid_permit;
use tables::Table;

pub(super) const KIND: Kind =
    Kind { name: NAME, make: Make::WithTable(|table| Box::new(This(table))), guards_relaying: false };

const NAME: &str = "check_reverse_client_hostname_access";

struct This(Table);

impl Restriction for This {
    fn check<'a>(&'a self, about: &'a About<'a>) -> Checked<'a> {
        Checked::Later(Box::pin(async {
            let verdict = access::reverse_name(&self.0, about).await;
            forbid_permit(verdict, NAME, &about.client.reverse_name)
        }))
    }
}
