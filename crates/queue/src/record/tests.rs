//! Tests of the record stream and of envelopes in it.

use super::*;
use mail::{Address, Client, Encoding, Envelope, Notify, Recipient, Ret, RewriteContext, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn lengths_take_one_byte_for_each_seven_bits() {
    for (length, head) in [(0, 2), (127, 2), (128, 3), (16_383, 3), (16_384, 4)] {
        let mut out = Vec::new();
        put(&mut out, b'N', &vec![b'x'; length]);
        assert_eq!(out.len(), head + length, "{length}");
        let records: Vec<_> = Records::new(&out).collect::<Result<_, _>>().unwrap();
        assert_eq!(records, [Record { offset: 0, kind: b'N', data: &out[head..] }]);
    }
}

#[test]
fn damage_is_told_by_its_offset() {
    let mut good = Vec::new();
    put(&mut good, b'S', b"ann@example.org");
    for (tail, what) in [
        (&b"R"[..], "cut off"),
        (b"R\x05abc", "5 bytes of data expected, 3 found"),
        (b"R\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "63 bits"),
    ] {
        let error = Records::new(&[&good, tail].concat()).find_map(Result::err).unwrap();
        assert_eq!(error.offset, good.len() as u64);
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn an_envelope_without_sender_or_time_is_damaged() {
    let mut stream = Vec::new();
    put(&mut stream, b'T', b"1764000000 42");
    assert_eq!(decode_envelope(&stream).unwrap_err().what, "no sender");
    let mut stream = Vec::new();
    put(&mut stream, b'S', b"");
    assert_eq!(decode_envelope(&stream).unwrap_err().what, "no arrival time");
}

#[test]
fn what_we_do_not_understand_is_kept() {
    let mut stream = Vec::new();
    put(&mut stream, b'T', b"1764000000 42");
    put(&mut stream, b'L', b"smtp:[127.0.0.1]:10025");
    put(&mut stream, b'A', b"sasl_username=ann");
    put(&mut stream, b'A', b"L=not a record");
    put(&mut stream, b'S', b"ann@example.org");
    let envelope = decode_envelope(&stream).unwrap();
    assert_eq!(envelope.attribute("L"), Some(&b"smtp:[127.0.0.1]:10025"[..]));
    assert_eq!(envelope.attribute("sasl_username"), Some(&b"ann"[..]));
    let mut again = Vec::new();
    encode_envelope(&envelope, &mut again);
    assert_eq!(decode_envelope(&again).unwrap(), envelope);
}

#[test]
fn what_we_keep_is_the_same_after_another_writing_whatever_its_order() {
    let mut stream = Vec::new();
    put(&mut stream, b'T', b"1764000000 42");
    put(&mut stream, b'A', b"sasl_username=ann");
    put(&mut stream, b'L', b"smtp:[127.0.0.1]:10025");
    put(&mut stream, b'S', b"ann@example.org");
    let envelope = decode_envelope(&stream).unwrap();
    let mut again = Vec::new();
    encode_envelope(&envelope, &mut again);
    assert_eq!(decode_envelope(&again).unwrap(), envelope);
}

#[test]
fn what_xforward_said_of_the_client_survives() {
    let mut envelope = Envelope::new(Address::from("ann@example.org"), Timestamp::from_secs(1_764_000_000));
    envelope.client = Client { name: "relay".into(), address: "192.0.2.1".into(), ..Client::default() };
    envelope.attributes = vec![("log_client_name".into(), b"client.example.net".to_vec())];
    let mut stream = Vec::new();
    encode_envelope(&envelope, &mut stream);
    assert_eq!(decode_envelope(&stream).unwrap(), envelope);
}

fn words() -> impl Strategy<Value = String> {
    "[ -~äλ]{0,40}"
}

fn address() -> impl Strategy<Value = Address> {
    vec(any::<u8>(), 0..60).prop_map(Address::new)
}

fn client() -> impl Strategy<Value = Client> {
    vec(words(), 8).prop_map(|w| Client {
        name: w[0].clone(),
        reverse_name: w[1].clone(),
        address: w[2].clone(),
        port: w[3].clone(),
        helo: w[4].clone(),
        protocol: w[5].clone(),
        server_address: w[6].clone(),
        server_port: w[7].clone(),
    })
}

fn recipient() -> impl Strategy<Value = Recipient> {
    (address(), address(), words(), any::<u8>()).prop_map(|(address, original, dsn_orcpt, notify)| {
        Recipient { address, original, dsn_orcpt, notify: Notify(notify) }
    })
}

/// Any envelope that can be; what is kept without understanding comes in the order in which it is written.
pub(crate) fn envelope() -> impl Strategy<Value = Envelope> {
    let times = (
        0i64..4_000_000_000_000_000,
        proptest::option::of(0i64..4_000_000_000),
        proptest::option::of(1i64..4_000_000_000),
    );
    let ret = prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Hdrs))];
    let encoding = prop_oneof![Just(Encoding::Unknown), Just(Encoding::SevenBit), Just(Encoding::EightBit)];
    let kept = vec(("x_[a-z]{1,8}", vec(any::<u8>(), 0..20)), 0..3);
    let ours = (any::<u32>(), proptest::option::of(words()), any::<bool>(), any::<bool>(), words());
    (times, address(), vec(recipient(), 0..5), words(), ret, encoding, client(), kept, ours).prop_map(
        |((arrival, created, warn), sender, recipients, envid, ret, encoding, client, attributes, ours)| {
            let arrival = Timestamp::from_micros(arrival);
            Envelope {
                created: created
                    .map(Timestamp::from_secs)
                    .filter(|c| c.secs() != arrival.secs())
                    .unwrap_or(arrival),
                warn_at: warn.map(Timestamp::from_secs),
                recipients,
                envid,
                ret,
                encoding,
                smtputf8: ours.0,
                client,
                rewrite_context: if ours.2 { RewriteContext::Local } else { RewriteContext::Remote },
                full_name: ours.4,
                hold: ours.1,
                force_expire: ours.3,
                attributes,
                ..Envelope::new(sender, arrival)
            }
        },
    )
}

proptest! {
    #[test]
    fn an_envelope_comes_back_as_it_was(envelope in envelope()) {
        let mut stream = Vec::new();
        encode_envelope(&envelope, &mut stream);
        prop_assert_eq!(decode_envelope(&stream).unwrap(), envelope);
    }

    #[test]
    fn any_bytes_give_an_envelope_or_an_error(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode_envelope(&bytes);
    }

    #[test]
    fn any_records_give_an_envelope_or_an_error(records in vec(("[ -~]", vec(any::<u8>(), 0..40)), 0..30)) {
        let mut stream = Vec::new();
        for (kind, data) in &records {
            put(&mut stream, kind.as_bytes()[0], data);
        }
        if let Ok(envelope) = decode_envelope(&stream) {
            let mut again = Vec::new();
            encode_envelope(&envelope, &mut again);
            let mut third = Vec::new();
            encode_envelope(&decode_envelope(&again).unwrap(), &mut third);
            prop_assert_eq!(again, third);
        }
    }
}
