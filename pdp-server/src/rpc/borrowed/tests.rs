//! What is read from bytes is what `prost` reads from them, or the same refusal.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::*;

/// How much is more than one asks.
const MOST: usize = 8;

/// Keys and values as they may lie on the wire: of known fields and others, of the right kind and
/// others, whole and cut off.
fn pieces(depth: u32) -> BoxedStrategy<Vec<u8>> {
    vec(piece(depth), 0..6).prop_map(|pieces| pieces.concat()).boxed()
}

fn piece(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let tag = prop_oneof![8 => 1_u64..10, 1 => Just(0), 1 => any::<u64>()];
    let text = prop_oneof![
        4 => "[a-z]{0,4}".prop_map(String::into_bytes),
        1 => "\\PC{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
    ];
    let texts =
        (tag.clone(), text).prop_map(|(tag, text)| [key(tag, 2), delimited(&text)].concat());
    let number = prop_oneof![Just(0), Just(1), any::<u64>()];
    let numbers = (tag.clone(), number).prop_map(|(tag, n)| [key(tag, 0), varint(n)].concat());
    let fixed = (tag.clone(), prop_oneof![Just((1_u8, 8)), Just((5, 4))], any::<[u8; 8]>())
        .prop_map(|(tag, (kind, size), bytes)| [&key(tag, kind)[..], &bytes[..size]].concat());
    let broken = (tag.clone(), 0_u8..8, vec(any::<u8>(), 0..12))
        .prop_map(|(tag, kind, bytes)| [key(tag, kind), bytes].concat());
    let mut all =
        vec![(8, texts.boxed()), (4, numbers.boxed()), (1, fixed.boxed()), (1, broken.boxed())];
    if depth > 0 {
        let inner = (tag.clone(), pieces(depth - 1))
            .prop_map(|(tag, inner)| [key(tag, 2), delimited(&inner)].concat());
        let group = (tag.clone(), pieces(depth - 1), prop_oneof![9 => Just(0), 1 => Just(1)])
            .prop_map(|(tag, inner, off)| [key(tag, 3), inner, key(tag ^ off, 4)].concat());
        all.extend([(16, inner.boxed()), (1, group.boxed())]);
    }
    Union::new_weighted(all).boxed()
}

fn key(tag: u64, kind: u8) -> Vec<u8> {
    varint(tag << 3 | u64::from(kind))
}

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(number, &mut bytes);
    bytes
}

fn delimited(bytes: &[u8]) -> Vec<u8> {
    [&varint(bytes.len() as u64)[..], bytes].concat()
}

fn question() -> impl Strategy<Value = v1::Question> {
    use v1::question::Permission as Wire;
    let text = || "\\PC{0,12}";
    let subject = prop_oneof![
        text().prop_map(v1::subject::Subject::Person),
        text().prop_map(v1::subject::Subject::Account),
    ];
    let subject = proptest::option::of(proptest::option::of(subject))
        .prop_map(|it| it.map(|subject| v1::Subject { subject }));
    let permission = prop_oneof![
        text().prop_map(Wire::Operation),
        text().prop_map(Wire::Right),
        text().prop_map(Wire::VaultAction),
        proptest::option::of(text())
            .prop_map(|level| Wire::Session(v1::SessionPermission { level })),
    ];
    let object = || (text(), text()).prop_map(|(r#type, id)| v1::ResourceRef { r#type, id });
    let objects = (proptest::option::of(object()), proptest::option::of(object()));
    (subject, proptest::option::of(permission), objects, any::<bool>()).prop_map(
        |(subject, permission, (resource, counterpart), no_routing)| v1::Question {
            subject,
            permission,
            resource,
            counterpart,
            no_routing,
        },
    )
}

/// The same bytes, read both ways.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let said = |refused: Malformed| {
        assert_eq!(refused.path, "");
        refused.message
    };
    let wire = v1::CheckRequest::decode(bytes).map_err(|error| error.to_string());
    let read = CheckRequest::read(bytes).map_err(said);
    prop_assert_eq!(read, wire.as_ref().map(CheckRequest::from).map_err(Clone::clone));
    let wire = v1::CheckStreamRequest::decode(bytes).map_err(|error| error.to_string());
    let read = CheckStreamRequest::read(bytes).map_err(said);
    prop_assert_eq!(read, wire.as_ref().map(CheckStreamRequest::from).map_err(Clone::clone));
    let wire = v1::BatchCheckRequest::decode(bytes).map_err(|error| error.to_string());
    let read = BatchCheckRequest::read(bytes, MOST).map_err(said);
    let expected = wire.as_ref().map(BatchCheckRequest::from).map_err(Clone::clone);
    let expected = expected.map(|mut expected| {
        expected.questions.truncate(MOST);
        expected
    });
    prop_assert_eq!(read, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_of_messages_are_read_alike(bytes in pieces(4)) {
        agree(&bytes)?;
    }

    #[test]
    fn messages_are_read_alike_whole_cut_joined_and_damaged(
        tenant in "\\PC{0,8}",
        questions in vec(question(), 0..12),
        at_least in prop_oneof![Just(0), any::<u64>()],
        cut in any::<prop::sample::Index>(),
        damage in any::<u8>(),
    ) {
        let first = questions.first().cloned();
        let one = v1::CheckRequest { tenant: tenant.clone(), question: first, at_least };
        let next = v1::CheckStreamRequest {
            number: at_least.rotate_left(7),
            tenant: tenant.clone(),
            question: questions.last().cloned(),
            at_least,
        };
        let (one, next) = (one.encode_to_vec(), next.encode_to_vec());
        let many = v1::BatchCheckRequest { tenant, questions, at_least }.encode_to_vec();
        for bytes in [one.clone(), many.clone(), next.clone(), [&next[..], &next].concat(), [&one[..], &many].concat(), [&many[..], &one].concat()] {
            agree(&bytes)?;
            let at = cut.index(bytes.len() + 1);
            agree(bytes.get(..at).unwrap())?;
            let mut damaged = bytes.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte = damage;
            }
            agree(&damaged)?;
        }
    }

    #[test]
    fn bytes_that_mean_nothing_are_read_alike(bytes in vec(any::<u8>(), 0..64)) {
        agree(&bytes)?;
    }
}

#[test]
fn nesting_ends_where_it_ends_in_prost() {
    for depth in [1, 99, 100, 101, 10_000] {
        let groups = [vec![0x53; depth], vec![0x54; depth]].concat();
        agree(&groups).unwrap();
        let question = [vec![0x12], delimited(&groups)].concat();
        agree(&question).unwrap();
    }
}

#[test]
fn more_questions_than_may_be_asked_are_counted_and_not_kept() {
    let questions = vec![v1::Question::default(); 100_000];
    let wire = v1::BatchCheckRequest { questions, ..Default::default() }.encode_to_vec();
    let read = BatchCheckRequest::read(&wire, MOST).unwrap();
    assert_eq!((read.questions.len(), read.count), (MOST, 100_000));
}
