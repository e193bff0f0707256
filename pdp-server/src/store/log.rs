//! A store that is a copy: of a log that several servers share. What a commit writes is an entry of the log
//! first, and in the copy afterwards; the copy says in the same transaction how far in the log it is.
//!
//! Each audit chain has a log of its own. The place in it holds the hash of the chain's end, which covers
//! all of its history: whoever is at the same place has the same history.

use pdp_engine::facts::Change;
use pdp_engine::id::TenantId;
use pdp_engine::query::Revision;
use pdp_engine::time::Timestamp;
use redb::{
    ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition, TableError,
    WriteTransaction,
};

use super::audit::{AUDIT_HEADS, genesis, link_all, of_server, read_head, tenant_of};
use super::record::{Head, Link, Remembered, Say, encode_logged};
use super::rows::{FORMAT_KEY, META, TENANTS};
use super::session::turn_entries;
use super::{COPY_FORMAT, FORMAT, Store, StoreError};
use crate::audit::{Chain, Digest, Entry, Event, Stamp};
use crate::receipt::RequestId;
use crate::session::Turn;

/// Chain to how far a copy is in its log: a [`Place`].
pub(super) const PLACES: TableDefinition<&str, &[u8]> = TableDefinition::new("log_places");

/// The number of the log of the server's own chain. That of a tenant has the number of the entry in this
/// one that created the tenant, so that a tenant of the same name that comes later has another.
pub(crate) const SERVER_LOG: u64 = 0;

/// How far in a log somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The number of the log.
    pub log: u64,
    /// How many entries of it.
    pub entries: u64,
    /// How many bytes these have.
    pub bytes: u64,
    /// The hash of the end of the audit chain.
    pub mark: Digest,
}

/// An entry that is to be put behind a place.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What it builds upon.
    pub at: Place,
    /// Where one is with it.
    pub then: Place,
    /// Its bytes.
    pub entry: Vec<u8>,
    /// What else it does to logs.
    pub with: With,
    /// What the audit says with it.
    pub(crate) audit: Vec<Entry>,
}

/// What an entry does to other logs than its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// One begins.
    Begin(Place),
    /// One ends, which is there.
    End(Place),
}

/// What an entry says.
#[derive(Debug)]
pub(crate) enum Logged {
    /// A change set, or a request without effect that is remembered.
    Policy(PolicyEntry),
    /// A step of sessions.
    Sessions(Turn),
    /// A tenant came.
    TenantCreated(TenantId),
    /// A tenant went.
    TenantDeleted(TenantId),
}

/// A change set, as an entry says it.
#[derive(Debug)]
pub(crate) struct PolicyEntry {
    pub(crate) from: Revision,
    pub(crate) to: Revision,
    pub(crate) changes: Vec<Change>,
    pub(crate) request: Option<(RequestId, Remembered)>,
}

/// Notes how far a copy is with what a transaction wrote, whose chain ends with `mark`.
pub(super) fn note(
    txn: &WriteTransaction,
    chain: &Chain,
    mark: Digest,
    then: &Place,
) -> Result<(), StoreError> {
    let mut places = txn.open_table(PLACES)?;
    let before = places.get(chain.name())?.map(|bytes| read_place(chain, bytes.value()));
    let before = before.transpose()?.unwrap_or(Place::beginning(then.log, genesis(chain)));
    if before.log != then.log || before.entries + 1 != then.entries || mark != then.mark {
        return Err(StoreError::Unchained { chain: chain.clone(), entry: then.entries });
    }
    places.insert(chain.name(), then.to_bytes().as_slice())?;
    Ok(())
}

/// Whether what a transaction wrote of the log of a chain goes further than `at`.
pub(super) fn goes_beyond(
    txn: &WriteTransaction,
    chain: &Chain,
    at: &Place,
) -> Result<bool, StoreError> {
    let places = txn.open_table(PLACES)?;
    let place = places.get(chain.name())?.map(|bytes| read_place(chain, bytes.value()));
    Ok(place.transpose()?.is_some_and(|it| it.log == at.log && it.entries > at.entries))
}

/// Notes the place in a log that begins.
pub(super) fn begin(
    txn: &WriteTransaction,
    chain: &Chain,
    mark: Digest,
    log: u64,
) -> Result<(), StoreError> {
    let place = Place::beginning(log, mark);
    txn.open_table(PLACES)?.insert(chain.name(), place.to_bytes().as_slice())?;
    Ok(())
}

/// Forgets a log that ended.
pub(super) fn end(txn: &WriteTransaction, chain: &Chain) -> Result<(), StoreError> {
    txn.open_table(PLACES)?.remove(chain.name())?;
    Ok(())
}

fn read_place(chain: &Chain, bytes: &[u8]) -> Result<Place, StoreError> {
    Place::from_bytes(bytes).map_err(|source| {
        let place = format!("the place in the log of {chain}");
        StoreError::Record { place, source }
    })
}

fn head_of(txn: &ReadTransaction, chain: &Chain) -> Result<Head, StoreError> {
    match txn.open_table(AUDIT_HEADS)?.get(chain.name())? {
        Some(bytes) => read_head(chain, bytes.value()),
        None => Ok(Head { records: 0, at: Timestamp::MIN, hash: genesis(chain) }),
    }
}

// === impl Place ===

impl Place {
    /// Before the first entry of a log, whose chain ends with `mark`.
    pub(crate) const fn beginning(log: u64, mark: Digest) -> Self {
        Self { log, entries: 0, bytes: 0, mark }
    }
}

// === impl Store ===

impl Store {
    /// Makes a new store a copy; one that is a copy stays one.
    ///
    /// # Errors
    /// [`StoreError::NotACopy`] if it holds a policy of its own.
    pub(crate) fn copy(&self) -> Result<(), StoreError> {
        if self.format()? == Some(COPY_FORMAT) {
            return Ok(());
        }
        if !self.begin_read()?.open_table(TENANTS)?.is_empty()? {
            return Err(StoreError::NotACopy);
        }
        self.transaction(|txn| {
            txn.open_table(META)?.insert(FORMAT_KEY, COPY_FORMAT)?;
            txn.open_table(PLACES)?;
            Ok(())
        })
    }

    /// Makes a store of its own the copy of a log that begins with everything it has. `false` if it is a copy.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn begin_log(&self) -> Result<bool, StoreError> {
        if self.format()? == Some(COPY_FORMAT) {
            return Ok(false);
        }
        let read = self.begin_read()?;
        let mut places = Vec::new();
        for (row, log) in read.open_table(TENANTS)?.iter()?.zip(SERVER_LOG + 1..) {
            let (name, record) = row?;
            let (chain, _) = tenant_of(name.value(), record.value())?;
            let mark = head_of(&read, &chain)?.hash;
            places.push((chain, Place::beginning(log, mark)));
        }
        // As if its entries had created the tenants: those that come have numbers of their own.
        let entries = u64::try_from(places.len()).unwrap_or(u64::MAX).max(1);
        let mark = head_of(&read, &Chain::Server)?.hash;
        let own = Place { entries, ..Place::beginning(SERVER_LOG, mark) };
        places.push((Chain::Server, own));
        drop(read);
        self.transaction(|txn| {
            txn.open_table(META)?.insert(FORMAT_KEY, COPY_FORMAT)?;
            let mut table = txn.open_table(PLACES)?;
            for (chain, place) in &places {
                table.insert(chain.name(), place.to_bytes().as_slice())?;
            }
            Ok(())
        })?;
        Ok(true)
    }

    /// Makes a copy a store of its own, which follows no log any more.
    ///
    /// # Errors
    /// [`StoreError::NoCopy`] if it is none.
    pub fn leave_log(&self) -> Result<(), StoreError> {
        if self.format()? != Some(COPY_FORMAT) {
            return Err(StoreError::NoCopy);
        }
        self.transaction(|txn| {
            txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            txn.delete_table(PLACES)?;
            Ok(())
        })
    }

    /// Holds that the store is one of its own.
    ///
    /// # Errors
    /// [`StoreError::Copy`] if it is a copy.
    pub(crate) fn own(&self) -> Result<(), StoreError> {
        match self.format()? {
            Some(COPY_FORMAT) => Err(StoreError::Copy),
            _ => Ok(()),
        }
    }

    /// How far the copy is in the log of a chain; `None` if there is no such chain.
    ///
    /// # Errors
    /// A record that cannot be read, or a database that does not answer.
    pub(crate) fn place(&self, chain: &Chain) -> Result<Option<Place>, StoreError> {
        let txn = self.begin_read()?;
        place_in(&txn, chain)
    }

    /// How far the copy is in every log; none if it is no copy.
    ///
    /// # Errors
    /// As [`Store::place`].
    pub(crate) fn places(&self) -> Result<Vec<Place>, StoreError> {
        let txn = self.begin_read()?;
        let mut places = Vec::new();
        let table = match txn.open_table(PLACES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(places),
            Err(error) => return Err(error.into()),
        };
        for row in table.iter()? {
            let (name, bytes) = row?;
            let unreadable = |source| {
                let place = format!("the place in the log of `{}`", name.value().escape_debug());
                StoreError::Record { place, source }
            };
            places.push(Place::from_bytes(bytes.value()).map_err(unreadable)?);
        }
        Ok(places)
    }

    /// The entry that says this, behind where the copy is; `None` if there is no such chain. `entries` are
    /// what the audit is to say; of sessions it is in their turn, and of tenants in `say`.
    ///
    /// # Errors
    /// As [`Store::place`].
    pub(crate) fn draft(
        &self,
        chain: &Chain,
        say: Say<'_>,
        stamp: Stamp<'_>,
        entries: Vec<Entry>,
    ) -> Result<Option<Draft>, StoreError> {
        let txn = self.begin_read()?;
        let Some(at) = place_in(&txn, chain)? else { return Ok(None) };
        let (head, mut with) = (head_of(&txn, chain)?, With::Nothing);
        let mut entries = match (say, chain) {
            (Say::Sessions(turn), Chain::Tenant(tenant)) => {
                turn_entries(&txn, tenant, turn, stamp)?
            }
            (Say::TenantCreated(tenant), _) => {
                vec![of_server(stamp, Event::TenantCreated(tenant.clone()))]
            }
            (Say::TenantDeleted(tenant), _) => {
                let own = Chain::Tenant(tenant.clone());
                let Some(place) = place_in(&txn, &own)? else { return Ok(None) };
                with = With::End(place);
                let Head { records, at: _, hash: head } = head_of(&txn, &own)?;
                vec![of_server(
                    stamp,
                    Event::TenantDeleted { tenant: tenant.clone(), records, head },
                )]
            }
            (Say::Policy { .. } | Say::Sessions(_), _) => entries,
        };
        for entry in &mut entries {
            entry.at = entry.at.max(head.at);
        }
        let after = link_all(&head, &entries);
        let audit = (head.records + 1, entries.as_slice());
        let link = Link { before: head.hash, after: after.hash, audit };
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|source| StoreError::Random(source.to_string()))?;
        let entry = encode_logged(nonce, &link, say);
        let bytes = at.bytes + u64::try_from(entry.len()).unwrap_or(u64::MAX);
        let then = Place { log: at.log, entries: at.entries + 1, bytes, mark: after.hash };
        if let Say::TenantCreated(tenant) = say {
            let own = Chain::Tenant(tenant.clone());
            let none = Head { records: 0, at: Timestamp::MIN, hash: genesis(&own) };
            with = With::Begin(Place::beginning(then.entries, link_all(&none, &entries).hash));
        }
        Ok(Some(Draft { at, then, entry, with, audit: entries }))
    }
}

fn place_in(txn: &ReadTransaction, chain: &Chain) -> Result<Option<Place>, StoreError> {
    let places = match txn.open_table(PLACES) {
        Ok(places) => places,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let place = places.get(chain.name())?.map(|bytes| read_place(chain, bytes.value()));
    Ok(match (place.transpose()?, chain) {
        (Some(place), _) => Some(place),
        (None, Chain::Server) => Some(Place::beginning(SERVER_LOG, genesis(chain))),
        (None, Chain::Tenant(_)) => None,
    })
}
