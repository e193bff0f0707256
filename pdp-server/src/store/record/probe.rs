//! Bytes as records, whoever wrote them: for fuzzing, and for the tests that go through its corpora.

use pdp_engine::id::RecentNames;

use super::{
    FactRecord, Head, RecordError, Remembered, TenantRecord, decode, decode_account, decode_any,
    decode_entry, decode_logged, decode_session, encode, encode_account, encode_entry,
    encode_session, fact, kind_number, place, quick, read,
};
use crate::store::Place;

/// Reads bytes as a record of every kind that the store or a shared log keeps. Whatever can be read is written and
/// read again as the same; and a fact is the same for the reader that is quick and the one that takes
/// its time.
///
/// # Errors
/// What is not so.
pub fn read_back(bytes: &[u8]) -> Result<(), String> {
    fact_back(bytes)?;
    if let Ok((sequence, entry)) = decode_entry(bytes) {
        let again = decode_entry(&encode_entry(sequence, &entry));
        same("record of the audit", again, (sequence, entry))?;
    }
    if let Ok(head) = Head::from_bytes(bytes) {
        same("head of an audit", Head::from_bytes(&head.to_bytes()), head)?;
    }
    if let Ok(remembered) = Remembered::from_bytes(bytes) {
        let again = Remembered::from_bytes(&remembered.to_bytes());
        same("remembered request", again, remembered)?;
    }
    if let Ok(tenant) = TenantRecord::from_bytes(bytes) {
        let again = TenantRecord::from_bytes(&prost::Message::encode_to_vec(&tenant));
        same("tenant", again, tenant)?;
    }
    // The number is the key's; a record that has another one is refused.
    if let Ok(session) = decode_session(1, bytes) {
        same("session", decode_session(1, &encode_session(&session)), session)?;
    }
    if let Ok(account) = decode_account("computer/login_000000000001", bytes) {
        let again = decode_account(account.id.as_str(), &encode_account(&account));
        same("account", again, account)?;
    }
    if let Ok(place) = Place::from_bytes(bytes) {
        same("place in a log", Place::from_bytes(&place.to_bytes()), place)?;
    }
    // What an entry of a shared log says is written from what a writer decided, and not from what was read: any
    // bytes are to be an entry or an error.
    drop(decode_logged(bytes));
    Ok(())
}

fn fact_back(bytes: &[u8]) -> Result<(), String> {
    let Ok(FactRecord { body: Some(body) }) = read::<FactRecord>(bytes) else { return Ok(()) };
    let Ok(found) = fact(body) else { return Ok(()) };
    let key = found.key();
    let (kind, name) = (kind_number(key.kind()), place::name(&key));
    let slow = decode_any(kind, &name, bytes);
    if let Some(quick) = quick::fact(kind, &name, bytes, &mut RecentNames::default()) {
        same("fact, read quickly,", Ok::<_, RecordError>(quick), found.clone())?;
    }
    same("fact", slow, found.clone())?;
    let again = decode(kind, &name, &encode(&found), &mut RecentNames::default());
    same("fact", again, found)
}

fn same<T, E>(what: &str, again: Result<T, E>, first: T) -> Result<(), String>
where
    T: PartialEq + std::fmt::Debug,
    E: std::fmt::Debug,
{
    match again {
        Ok(again) if again == first => Ok(()),
        other => Err(format!("the {what} {first:?} becomes {other:?}")),
    }
}
