//! Segments of the journal: what is believed was written, and nothing that is read panics or runs on.

use crate::Target;
use queue::journal::{
    DATA_START, Found, Header, MessageHead, RECORD_HEAD_BYTES, Seal, SubRecords, Walk, decode_event, kind,
};

pub(super) const TARGET: Target = Target {
    name: "journal",
    dictionary: &[
        b"PHjourn\n",
        b"\0\0\0\0",
        b"\x01\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x08\0\0\0\0\0\0\0",
        b"T\x101800000000 000001",
        b"S\x12ann@example.org",
        b"R\x12bob@example.org",
        b"M\0",
        b"12345ABC",
    ],
    run,
};

fn run(input: &[u8]) {
    let _ = Header::decode(input);
    let _ = MessageHead::decode(input);
    for kind in 0..=u8::MAX {
        let _ = decode_event(kind, input);
    }
    // Every sub-record is behind the one before it.
    assert!(SubRecords::new(input).count() <= input.len() / 8 + 1);
    damaged_segment(input);
}

/// The input's halves are payloads of real records; its last bytes say what is damaged afterwards.
fn damaged_segment(input: &[u8]) {
    let secret = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
    let seal = Seal::new(queue::SegmentId(7), secret);
    let (damage, payloads) = input.split_at(input.len().min(24));
    let mut bytes = Vec::new();
    let mut written = Vec::new();
    for (n, payload) in payloads.chunks(payloads.len().max(1).div_ceil(3)).enumerate() {
        let offset = DATA_START + bytes.len() as u64;
        let kind = 1 + (n as u8 % kind::LAST);
        bytes.extend_from_slice(&seal.head(offset, kind, DATA_START, std::iter::once(payload)));
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        written.push((offset, kind, payload));
    }
    for change in damage.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]]));
        if !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] = change[2];
        }
    }
    if let Some(&cut) = damage.first() {
        bytes.truncate(bytes.len() - usize::from(cut).min(bytes.len()) / 4);
    }
    let mut walk = Walk::new(seal, &bytes, DATA_START);
    let mut at = DATA_START;
    for found in walk.by_ref() {
        match found {
            Found::Record(record) => {
                let same = |(offset, kind, payload): &(u64, u8, &[u8])| {
                    *offset == record.offset && *kind == record.kind && *payload == record.payload
                };
                assert!(written.iter().any(same), "a record at {} that nobody wrote", record.offset);
                assert!(record.offset >= at, "the walk goes back");
                at = record.offset + RECORD_HEAD_BYTES as u64;
            }
            Found::Gap(range) => {
                assert!(range.start >= at && range.end > range.start, "a gap {range:?} behind {at}");
                at = range.end;
            }
        }
    }
    assert!(walk.end() <= DATA_START + bytes.len() as u64);
}
