//! The table of `postqueue -p` and the lines of `postqueue -j`, to the column as Postfix prints them.

use super::Item;
use mail::{Address, Timestamp};

/// Prints items as a table.
#[derive(Debug)]
pub struct Table {
    long_ids: bool,
    messages: u64,
    bytes: u64,
}

/// Reasons end at this column.
const REASON_COLUMN: usize = 76;

impl Table {
    /// A table whose columns have the widths for long ids or short ones (`enable_long_queue_ids`).
    pub fn new(long_ids: bool) -> Table {
        Table { long_ids, messages: 0, bytes: 0 }
    }

    /// The lines of one message, with the heading before the first.
    pub fn item(&mut self, item: &Item) -> String {
        let mut out = String::new();
        if self.messages == 0 {
            out.push_str(&match self.long_ids {
                true => row(
                    &self.widths(),
                    "----Queue ID-----",
                    "--Size--",
                    "---Arrival Time----",
                    "--Sender/Recipient------",
                ),
                false => row(
                    &self.widths(),
                    "-Queue ID-",
                    "--Size--",
                    "----Arrival Time----",
                    "-Sender/Recipient-------",
                ),
            });
        } else {
            out.push('\n');
        }
        self.messages += 1;
        self.bytes += item.size;
        let mark = match item.queue.as_str() {
            "active" => "*",
            "hold" => "!",
            _ => "",
        };
        let expire = if item.forced_expire { "#" } else { "" };
        let id = format!("{}{mark}{expire}", item.queue_id);
        out.push_str(&row(
            &self.widths(),
            &id,
            &item.size.to_string(),
            &asctime(item.arrival),
            &shown(&item.sender),
        ));
        let mut last = "";
        for recipient in &item.recipients {
            let reason = recipient.reason.as_deref().unwrap_or_default();
            if reason != last {
                let text = if reason.is_empty() { "reason unavailable".into() } else { printable(reason) };
                let width = text.chars().count();
                out.push_str(&format!(
                    "{:blanks$}({text})\n",
                    "",
                    blanks = REASON_COLUMN.saturating_sub(width)
                ));
                last = reason;
            }
            out.push_str(&row(&self.widths(), "", "", "", &shown(&recipient.address)));
        }
        out
    }

    /// What stands below the last message.
    pub fn footer(&self) -> String {
        match self.messages {
            0 => "Mail queue is empty\n".to_string(),
            n => format!(
                "\n-- {} Kbytes in {n} Request{}.\n",
                self.bytes / 1024,
                if n == 1 { "" } else { "s" }
            ),
        }
    }

    fn widths(&self) -> [usize; 3] {
        if self.long_ids { [17, 8, 19] } else { [11, 7, 20] }
    }
}

fn row(
    [id_width, size_width, time_width]: &[usize; 3],
    id: &str,
    size: &str,
    time: &str,
    address: &str,
) -> String {
    let time: String =
        if time.starts_with('-') { time.to_string() } else { time.chars().take(*time_width).collect() };
    format!("{id:<id_width$} {size:>size_width$} {time:<time_width$} {address}\n")
}

/// `Sun Nov 22 16:33:27 2026`, in local time.
pub fn asctime(at: Timestamp) -> String {
    match sys::local_time(at.secs()) {
        Ok(t) => t.asctime(),
        Err(_) => "?".to_string(),
    }
}

fn shown(address: &Address) -> String {
    if address.is_null() { "MAILER-DAEMON".to_string() } else { printable(&address.to_string()) }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == char::REPLACEMENT_CHARACTER { '?' } else { c }).collect()
}

impl Item {
    /// The line of `postqueue -j`.
    pub fn json(&self) -> String {
        let mut out = format!(
            "{{\"queue_name\": {}, \"queue_id\": {}, \"arrival_time\": {}, \"message_size\": {}, \"forced_expire\": {}, \"sender\": {}, \"recipients\": [",
            json(&self.queue),
            json(self.queue_id.as_str()),
            self.arrival.secs(),
            self.size,
            self.forced_expire,
            json(&shown(&self.sender)),
        );
        for (n, recipient) in self.recipients.iter().enumerate() {
            out.push_str(if n == 0 { "{\"address\": " } else { ", {\"address\": " });
            out.push_str(&json(&shown(&recipient.address)));
            if let Some(reason) = recipient.reason.as_deref().filter(|r| !r.is_empty()) {
                out.push_str(", \"delay_reason\": ");
                out.push_str(&json(reason));
            }
            out.push('}');
        }
        out.push_str("]}\n");
        out
    }
}

fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::ItemRecipient;
    use super::*;
    use mail::QueueId;

    fn item(queue: &str, id: &str, reasons: &[(&str, Option<&str>)]) -> Item {
        let recipient = |(address, reason): &(&str, Option<&str>)| ItemRecipient {
            address: Address::from(*address),
            reason: reason.map(String::from),
        };
        Item {
            queue: queue.into(),
            queue_id: QueueId::parse(id).unwrap(),
            arrival: Timestamp::from_secs(1_795_365_207),
            size: 1024,
            forced_expire: false,
            sender: Address::from("a b@example.org"),
            recipients: reasons.iter().map(recipient).collect(),
        }
    }

    fn at() -> String {
        asctime(Timestamp::from_secs(1_795_365_207))[..19].to_string()
    }

    #[test]
    fn the_table_is_that_of_postfix() {
        let refused = "connect to 127.0.0.1[127.0.0.1]:2526: Connection refused";
        let long = format!("delivery temporarily suspended: {refused}");
        let mut table = Table::new(false);
        let first = item(
            "deferred",
            "98D8998C008",
            &[("dave@example.org", Some(refused)), ("eve@example.org", Some(refused))],
        );
        let mut text = table.item(&first);
        text += &table.item(&item("hold", "94BA998C006", &[("bob@example.org", None)]));
        text += &table.item(&item("deferred", "4E93998C008", &[("c@d", Some(&long)), ("e@f", None)]));
        text += &table.footer();
        let expected = format!(
            "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n\
             98D8998C008    1024 {at}  \"a b\"@example.org\n\
             {b20}(connect to 127.0.0.1[127.0.0.1]:2526: Connection refused)\n\
             {b41}dave@example.org\n\
             {b41}eve@example.org\n\
             \n\
             94BA998C006!    1024 {at}  \"a b\"@example.org\n\
             {b41}bob@example.org\n\
             \n\
             4E93998C008    1024 {at}  \"a b\"@example.org\n\
             (delivery temporarily suspended: connect to 127.0.0.1[127.0.0.1]:2526: Connection refused)\n\
             {b41}c@d\n\
             {b58}(reason unavailable)\n\
             {b41}e@f\n\
             \n\
             -- 3 Kbytes in 3 Requests.\n",
            at = at(),
            b20 = " ".repeat(20),
            b41 = " ".repeat(41),
            b58 = " ".repeat(58),
        );
        assert_eq!(text, expected);
        assert_eq!(Table::new(false).footer(), "Mail queue is empty\n");
    }

    #[test]
    fn long_ids_have_columns_of_their_own() {
        let mut table = Table::new(true);
        let text = table.item(&item("active", "4gXyZ00ABCz1234", &[]));
        let expected = format!(
            "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n\
             4gXyZ00ABCz1234*      1024 {} \"a b\"@example.org\n",
            at()
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn json_lines_have_postfixs_blanks_and_order() {
        let text =
            item("deferred", "98D8998C008", &[("dave@example.org", Some("said \"no\"\r\n")), ("c@d", None)])
                .json();
        assert_eq!(
            text,
            "{\"queue_name\": \"deferred\", \"queue_id\": \"98D8998C008\", \"arrival_time\": 1795365207, \
             \"message_size\": 1024, \"forced_expire\": false, \"sender\": \"\\\"a b\\\"@example.org\", \"recipients\": \
             [{\"address\": \"dave@example.org\", \"delay_reason\": \"said \\\"no\\\"\\r\\n\"}, {\"address\": \"c@d\"}]}\n"
        );
    }
}
