//! Items on the socket `public/showq`: one frame an item, a length and records; an empty frame ends the list.

use super::{Item, ItemRecipient};
use crate::record::{Damaged, Records, put, put_attribute};
use mail::{Address, QueueId, Timestamp};
use std::io::{self, Read};

/// The largest item: a message with a million recipients and a reason for each.
const ITEM_BYTES_MAX: u32 = 256 << 20;

/// Appends the frame of an item; `None` is the end of the list.
pub fn put_item(item: Option<&Item>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    if let Some(item) = item {
        put_attribute(out, "queue", item.queue.as_bytes());
        put_attribute(out, "id", item.queue_id.as_str().as_bytes());
        put_attribute(out, "arrival", item.arrival.micros().to_string().as_bytes());
        put_attribute(out, "size", item.size.to_string().as_bytes());
        if item.forced_expire {
            put_attribute(out, "expire", b"1");
        }
        put(out, b'S', item.sender.as_bytes());
        for recipient in &item.recipients {
            if let Some(reason) = &recipient.reason {
                put_attribute(out, "reason", reason.as_bytes());
            }
            put(out, b'R', recipient.address.as_bytes());
        }
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Reads the next item; `None` at the end of the list. A connection that ends before that is an error.
pub fn read_item(input: &mut impl Read) -> io::Result<Option<Item>> {
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == 0 {
        return Ok(None);
    }
    if length > ITEM_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "an item of the list is too large"));
    }
    let mut bytes = Vec::new();
    input.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    parse(&bytes).map(Some).map_err(|damaged| io::Error::new(io::ErrorKind::InvalidData, damaged))
}

fn parse(bytes: &[u8]) -> Result<Item, Damaged> {
    let mut item = Item {
        queue: String::new(),
        queue_id: QueueId::parse("0").expect("a digit is a valid id"),
        arrival: Timestamp::default(),
        size: 0,
        forced_expire: false,
        sender: Address::null(),
        recipients: Vec::new(),
    };
    let mut reason = None;
    for record in Records::new(bytes) {
        let record = record?;
        let text = || String::from_utf8_lossy(record.data).into_owned();
        match record.kind {
            b'S' => item.sender = Address::new(record.data),
            b'R' => item
                .recipients
                .push(ItemRecipient { address: Address::new(record.data), reason: reason.take() }),
            _ => match text().split_once('=') {
                Some(("queue", v)) => item.queue = v.to_string(),
                Some(("id", v)) => {
                    item.queue_id =
                        QueueId::parse(v).ok_or_else(|| Damaged::new(record.offset, "no queue id"))?;
                }
                Some(("arrival", v)) => item.arrival = Timestamp::from_micros(v.parse().unwrap_or(0)),
                Some(("size", v)) => item.size = v.parse().unwrap_or(0),
                Some(("expire", _)) => item.forced_expire = true,
                Some(("reason", v)) => reason = Some(v.to_string()),
                _ => {}
            },
        }
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_item_comes_back_as_it_was(
            size in any::<u64>(), arrival in any::<i64>(), forced_expire in any::<bool>(), sender in vec(any::<u8>(), 0..30),
            recipients in vec((vec(any::<u8>(), 0..30), proptest::option::of("[ -~ä]{0,30}")), 0..5),
        ) {
            let recipients = recipients.into_iter().map(|(address, reason)| ItemRecipient { address: Address::new(address), reason });
            let item = Item {
                queue: "deferred".into(),
                queue_id: QueueId::parse("98D8998C008").unwrap(),
                arrival: Timestamp::from_micros(arrival),
                size,
                forced_expire,
                sender: Address::new(sender),
                recipients: recipients.collect(),
            };
            let mut bytes = Vec::new();
            put_item(Some(&item), &mut bytes);
            put_item(None, &mut bytes);
            let mut input = &bytes[..];
            prop_assert_eq!(read_item(&mut input).unwrap(), Some(item));
            prop_assert_eq!(read_item(&mut input).unwrap(), None);
        }

        #[test]
        fn any_bytes_are_items_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let mut input = &bytes[..];
            while let Ok(Some(_)) = read_item(&mut input) {}
        }
    }
}
