//! Tables that say what is to be done with answers of name servers (`smtpd_dns_reply_filter` and its like).

use crate::{Lookup, Maps};
use net::dns::{ReplyFilter, Said};

impl ReplyFilter for Maps {
    fn result<'a>(&'a self, record: &'a str) -> Said<'a> {
        Box::pin(async move {
            for table in self.tables() {
                match table.lookup(record).await {
                    Lookup::NotFound => {}
                    Lookup::Found(result) if table.found_nothing_in(record, &result) => {
                        return Err(table.spec().to_owned());
                    }
                    Lookup::Found(result) => return Ok(Some(result.to_string())),
                    Lookup::TempFail(_) => return Err(table.spec().to_owned()),
                }
            }
            Ok(None)
        })
    }
}
