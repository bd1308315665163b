//! What the reader believes, whatever lies in a segment.

use super::*;
use crate::journal::DATA_START;
use crate::segment::put_record;
use proptest::prelude::*;

const SEAL: Seal = Seal { segment: SegmentId(7), secret: [0x1234_5678_9abc_def0, 0x0fed_cba9_8765_4321] };

fn segment(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for payload in payloads {
        offsets.push(DATA_START + bytes.len() as u64);
        put_record(&mut bytes, &SEAL, DATA_START, DATA_START, kind::MESSAGE, |out| out.extend(payload));
    }
    (bytes, offsets)
}

fn believed(bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let records = Walk::new(SEAL, bytes, DATA_START).filter_map(|found| match found {
        Found::Record(record) => Some((record.offset, record.payload.to_vec())),
        Found::Gap(_) => None,
    });
    records.collect()
}

#[test]
fn a_body_that_holds_a_record_is_not_a_record() {
    // Even one with the right secret, as if a sender had guessed it, for another place.
    let (inner, _) = segment(&[b"forged".to_vec()]);
    let (mut bytes, offsets) = segment(&[inner.clone(), b"second".to_vec()]);
    // Damage the first record's head, so that the reader has to search through its payload.
    bytes[9] ^= 1;
    assert_eq!(believed(&bytes), [(offsets[1], b"second".to_vec())]);
}

#[test]
fn records_of_a_former_life_are_not_believed() {
    let (bytes, _) = segment(&[b"old".to_vec()]);
    let later = Seal { segment: SegmentId(8), secret: [1, 2] };
    assert_eq!(Walk::new(later, &bytes, DATA_START).count(), 0);
}

#[test]
fn a_damaged_payload_costs_that_record_only() {
    let (mut bytes, offsets) = segment(&[vec![b'a'; 100], vec![b'b'; 100], vec![b'c'; 100]]);
    let second = (offsets[1] - DATA_START) as usize;
    bytes[second + RECORD_HEAD_BYTES + 50] ^= 0x80;
    let found: Vec<_> = Walk::new(SEAL, &bytes, DATA_START).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[1], Found::Gap(offsets[1]..offsets[2]));
}

proptest! {
    #[test]
    fn arbitrary_bytes_hold_no_record_and_end(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let mut walk = Walk::new(SEAL, &bytes, DATA_START);
        prop_assert!(walk.by_ref().next().is_none());
        prop_assert!(walk.end() <= DATA_START + bytes.len() as u64);
    }

    #[test]
    fn what_is_believed_was_written(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (whole, offsets) = segment(&payloads);
        let mut bytes = whole.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        for (offset, payload) in believed(&bytes) {
            let n = offsets.iter().position(|&o| o == offset);
            prop_assert_eq!(n.map(|n| &payloads[n]), Some(&payload));
        }
        // Whatever was not touched is found.
        for (n, &offset) in offsets.iter().enumerate() {
            let start = (offset - DATA_START) as usize;
            let end = start + RECORD_HEAD_BYTES + payloads[n].len();
            if bytes.get(start..end) == Some(&whole[start..end]) {
                let found = believed(&bytes).iter().any(|(o, _)| *o == offset);
                let hidden = believed(&bytes).iter().all(|(o, _)| *o != offset)
                    && offsets[..n].iter().any(|&before| {
                        let s = (before - DATA_START) as usize;
                        bytes.get(s..s + RECORD_HEAD_BYTES) == Some(&whole[s..s + RECORD_HEAD_BYTES])
                    });
                prop_assert!(found || hidden);
            }
        }
    }

    #[test]
    fn payloads_of_any_bytes_never_panic(kind in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = crate::journal::decode_event(kind, &payload);
        let _ = crate::journal::MessageHead::decode(&payload);
        for sub in crate::journal::SubRecords::new(&payload) {
            let _ = sub;
        }
        let _ = crate::journal::Header::decode(&payload);
    }
}
