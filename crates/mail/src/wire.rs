//! Records between processes of one instance: numbers are little-endian, texts stand behind their length.
//!
//! Reading takes from the front of the bytes and gives nothing where they are cut short or are no such record; what it
//! gives borrows from them. Both sides are of one version, so no record carries one.

use crate::{Address, Encoding, Notify, Recipient, Ret};

/// Bytes of a length.
pub const LENGTH_BYTES: usize = 4;

/// The least bytes of a recipient: three empty texts and what `NOTIFY=` said.
pub const RECIPIENT_BYTES_MIN: usize = 3 * LENGTH_BYTES + 1;

/// Appends bytes behind their length.
pub fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Appends what `write` writes, behind its length.
pub fn put_framed(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    write(out);
    let length = u32::try_from(out.len() - start - LENGTH_BYTES).unwrap_or(u32::MAX);
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// Appends how many records follow.
pub fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// Appends what MAIL declared: `RET=`, the encoding of the content, and `SMTPUTF8`.
pub fn put_declared(out: &mut Vec<u8>, ret: Option<Ret>, encoding: Encoding, smtputf8: bool) {
    out.push(match ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Hdrs) => 2,
    });
    out.push(match encoding {
        Encoding::Unknown => 0,
        Encoding::SevenBit => 1,
        Encoding::EightBit => 2,
    });
    out.push(smtputf8.into());
}

/// Appends a recipient.
pub fn put_recipient(out: &mut Vec<u8>, recipient: &Recipient) {
    put(out, recipient.address.as_bytes());
    put(out, recipient.original.as_bytes());
    put(out, recipient.dsn_orcpt.as_bytes());
    out.push(recipient.notify.0);
}

/// Takes that many bytes.
pub fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*array)
}

/// Takes bytes that stand behind their length.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut rest = *bytes;
    let length = u32::from_le_bytes(take_array(&mut rest)?) as usize;
    let (taken, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a text behind its length; nothing where it is not UTF-8.
pub fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take(bytes)?).ok()
}

/// Takes what [`put_count`] wrote. It is no reason yet to reserve memory for so many.
pub fn take_count(bytes: &mut &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(take_array(bytes)?) as usize)
}

/// Takes what [`put_declared`] wrote.
pub fn take_declared(bytes: &mut &[u8]) -> Option<(Option<Ret>, Encoding, bool)> {
    let [ret, encoding, smtputf8] = take_array(bytes)?;
    let ret = match ret {
        0 => None,
        1 => Some(Ret::Full),
        2 => Some(Ret::Hdrs),
        _ => return None,
    };
    let encoding = match encoding {
        0 => Encoding::Unknown,
        1 => Encoding::SevenBit,
        2 => Encoding::EightBit,
        _ => return None,
    };
    let smtputf8 = match smtputf8 {
        0 => false,
        1 => true,
        _ => return None,
    };
    Some((ret, encoding, smtputf8))
}

/// Takes a recipient.
pub fn take_recipient(bytes: &mut &[u8]) -> Option<Recipient> {
    let (address, original) = (Address::new(take(bytes)?), Address::new(take(bytes)?));
    let dsn_orcpt = take_text(bytes)?.to_owned();
    let [notify] = take_array(bytes)?;
    Some(Recipient { address, original, dsn_orcpt, notify: Notify(notify) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_taken_and_nothing_that_is_cut_short() {
        let recipient = Recipient {
            address: Address::from("ann@example.org"),
            original: Address::from("a@example.org"),
            dsn_orcpt: "rfc822;a".into(),
            notify: Notify(3),
        };
        let mut out = Vec::new();
        put_framed(&mut out, |out| {
            put(out, b"\xff");
            put_count(out, 7);
            put_declared(out, Some(Ret::Hdrs), Encoding::EightBit, true);
            put_recipient(out, &recipient);
        });
        let read = |mut bytes: &[u8]| {
            let from = &mut take(&mut bytes)?;
            let first = take(from)?.to_vec();
            Some((first, take_count(from)?, take_declared(from)?, take_recipient(from)?, from.is_empty()))
        };
        let declared = (Some(Ret::Hdrs), Encoding::EightBit, true);
        assert_eq!(read(&out), Some((b"\xff".to_vec(), 7, declared, recipient, true)));
        for end in 0..out.len() {
            assert_eq!(read(&out[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn strange_values_are_no_record() {
        assert_eq!(take_text(&mut &[1, 0, 0, 0, 0xff][..]), None);
        assert_eq!(take_declared(&mut &[3, 0][..]), None);
        assert_eq!(take_declared(&mut &[0, 3][..]), None);
    }
}
