//! The tables of the file, and the rows of one tenant in them.

use pdp_engine::facts::Delta;
use prost::Message;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::audit::{Start, append};
use super::record::{self, TenantRecord};
use super::{Commit, RETAINED_REQUESTS, StoreError, journal};
use crate::audit::{Chain, Digest};

pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Tenant to its [`TenantRecord`].
pub(super) const TENANTS: TableDefinition<&str, &[u8]> = TableDefinition::new("tenants");
/// Tenant, number of the kind and name to the fact.
pub(super) const FACTS: TableDefinition<(&str, u8, &str), &[u8]> = TableDefinition::new("facts");
/// Tenant and request id to what was answered.
pub(super) const REQUESTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("requests");
/// Tenant and number of the request to its id: the order in which they are forgotten.
pub(super) const REQUEST_ORDER: TableDefinition<(&str, u64), &str> =
    TableDefinition::new("request_order");
pub(super) const FORMAT_KEY: &str = "format";

/// Writes what a change set changed, and says with which hash the audit ends if it tells of it.
pub(super) fn write_commit(
    txn: &WriteTransaction,
    commit: &Commit<'_>,
    retained_changes: u64,
) -> Result<Option<Digest>, StoreError> {
    let Commit { tenant, from, to, deltas, request, audit } = commit;
    let name = tenant.as_str();
    let mut tenants = txn.open_table(TENANTS)?;
    let mut record = match tenants.get(name)? {
        Some(bytes) => TenantRecord::from_bytes(bytes.value())
            .map_err(|source| StoreError::Record { place: format!("tenant `{tenant}`"), source })?,
        None => return Err(StoreError::NoTenant((*tenant).clone())),
    };
    if record.revision != from.get() {
        let (stored, expected) = (record.revision, *from);
        return Err(StoreError::Diverged { tenant: (*tenant).clone(), stored, expected });
    }
    record.revision = to.get();

    let mut facts = txn.open_table(FACTS)?;
    for Delta { key, before: _, after } in *deltas {
        let (kind, id) = (record::kind_number(key.kind()), record::name(key));
        let row = (name, kind, id.as_str());
        let existed = match after {
            Some(fact) => facts.insert(row, record::encode(fact).as_slice())?.is_some(),
            None => facts.remove(row)?.is_some(),
        };
        record.facts += u64::from(after.is_some());
        record.facts = record.facts.saturating_sub(u64::from(existed));
    }

    if let Some((id, remembered)) = request {
        let mut requests = txn.open_table(REQUESTS)?;
        let mut order = txn.open_table(REQUEST_ORDER)?;
        requests.insert((name, id.as_str()), remembered.to_bytes().as_slice())?;
        order.insert((name, record.requests), id.as_str())?;
        if let Some(oldest) = record.requests.checked_sub(RETAINED_REQUESTS)
            && let Some(forgotten) = order.remove((name, oldest))?
        {
            requests.remove((name, forgotten.value()))?;
        }
        record.requests += 1;
    }
    let mut mark = None;
    if !audit.is_empty() {
        let head = append(txn, &Chain::Tenant((*tenant).clone()), Start::Exists, audit)?;
        if to > from {
            journal::append(txn, &mut record, commit, &head, retained_changes)?;
        }
        mark = Some(head.hash);
    }
    tenants.insert(name, record.encode_to_vec().as_slice())?;
    Ok(mark)
}
