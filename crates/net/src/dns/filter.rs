//! Filters of what name servers answer (Postfix: `smtpd_dns_reply_filter`, `smtp_dns_reply_filter`).

use super::Problem;
use hickory_proto::rr::{Name, RData, Record as WireRecord};
use observe::Tag;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// What a table says of a record: its result, or which table cannot be asked.
pub type Said<'a> = Pin<Box<dyn Future<Output = Result<Option<String>, String>> + 'a>>;

/// Knows what is to be done with records. Contract: waits no longer than the deadlines of the tables that it asks.
pub trait ReplyFilter {
    /// The result for a record, which is given as `NAME TTL IN TYPE [PREFERENCE] VALUE`; names end in a dot.
    fn result<'a>(&'a self, record: &'a str) -> Said<'a>;
}

/// A filter under the name of its parameter.
#[derive(Clone)]
pub struct Filter {
    /// The parameter.
    pub parameter: &'static str,
    /// Its tables.
    pub tables: Rc<dyn ReplyFilter>,
    /// For the log.
    pub tag: Tag,
}

impl Filter {
    /// Whether a record is to be believed; an error where the tables do not say that in words that mean something.
    pub(super) async fn keeps(&self, record: &WireRecord) -> Result<bool, Problem> {
        let Some(line) = line(record) else { return Ok(true) };
        let result = match self.tables.result(&line).await {
            Ok(None) => return Ok(true),
            Ok(Some(result)) => result,
            Err(table) => {
                observe::warn(&self.tag, format_args!("{table} lookup error for \"{line}\""));
                return Err(Problem::FilterFailed);
            }
        };
        let action = result.split_whitespace().next().unwrap_or_default();
        if action.eq_ignore_ascii_case("ignore") {
            observe::info(&self.tag, format_args!("ignoring DNS RR: {line}"));
            return Ok(false);
        }
        let name = self.parameter;
        observe::warn(&self.tag, format_args!("{name}: unknown DNS filter action: \"{result}\""));
        Err(Problem::FilterFailed)
    }
}

/// A record as tables see it; nothing where it is of a type that is not asked for, or says that there is no mail.
fn line(record: &WireRecord) -> Option<String> {
    let value = match &record.data {
        RData::A(a) => format!("A {}", a.0),
        RData::AAAA(a) => format!("AAAA {}", a.0),
        RData::MX(mx) if !mx.exchange.is_root() => format!("MX {} {}", mx.preference, dotted(&mx.exchange)),
        RData::SRV(srv) => {
            format!("SRV {} {} {} {}", srv.priority, srv.weight, srv.port, dotted(&srv.target))
        }
        RData::NS(name) => format!("NS {}", dotted(&name.0)),
        RData::PTR(name) => format!("PTR {}", dotted(&name.0)),
        RData::TXT(txt) => {
            let strings = txt.txt_data.iter().flat_map(|string| string.iter());
            format!("TXT {}", super::system::printable(strings))
        }
        _ => return None,
    };
    Some(format!("{} {} IN {value}", dotted(&record.name), record.ttl))
}

fn dotted(name: &Name) -> String {
    let text = name.to_ascii();
    format!("{}.", text.strip_suffix('.').unwrap_or(&text))
}
