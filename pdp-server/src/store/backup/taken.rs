//! Taking a checkpoint of a log over: a copy that is too far behind becomes what another copy was.

use std::io::{ErrorKind, Read};
use std::path::Path;

use redb::{Key, TableDefinition, Value, WriteTransaction};

use super::super::{COPY_FORMAT, Place, Store, StoreError, log};
use super::{BackupError, END, EachTable, Fill, Rows, each};
use crate::audit::Chain;

/// Takes every table away.
struct Empty<'a>(&'a WriteTransaction);

impl EachTable for Empty<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &mut self,
        _: u8,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), BackupError> {
        self.0.delete_table(table).map_err(StoreError::from)?;
        Ok(())
    }
}

// === impl Store ===

impl Store {
    /// Makes the copy what the checkpoint says, all of it or nothing. In the log of the chain it has to go further
    /// than `at`.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a newer one took its place while it was read; [`StoreError::Checkpoint`] if it is
    /// not whole, goes no further, or no copy was written down in it.
    pub(crate) fn take_over(
        &self,
        checkpoint: &mut impl Read,
        chain: &Chain,
        at: &Place,
    ) -> Result<(), StoreError> {
        self.transaction(|txn| {
            replace(txn, checkpoint).map_err(|error| match error {
                BackupError::Store(error) => error,
                BackupError::Read { source, .. } if source.kind() == ErrorKind::NotFound => {
                    StoreError::Superseded
                }
                other => StoreError::Checkpoint(other.to_string()),
            })?;
            if log::goes_beyond(txn, chain, at)? {
                return Ok(());
            }
            let here = at.entries;
            Err(StoreError::Checkpoint(format!(
                "of the log of {chain} it has no more than the {here} entries that are here"
            )))
        })
    }
}

fn replace(txn: &WriteTransaction, checkpoint: &mut impl Read) -> Result<(), BackupError> {
    let mut rows = Rows::begin(Path::new("checkpoint"), checkpoint)?;
    if rows.format != COPY_FORMAT {
        return Err(rows.damaged("it is not of a copy"));
    }
    rows.next()?;
    each(&mut Empty(txn))?;
    each(&mut Fill { txn, rows: &mut rows })?;
    match rows.table {
        END => Ok(()),
        _ => Err(rows.damaged("it has a table that there is none of")),
    }
}
