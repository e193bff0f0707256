//! Taking a checkpoint of a log over: a copy that is too far behind becomes what another copy was.

use std::io::Read;
use std::path::Path;

use redb::{Key, TableDefinition, Value, WriteTransaction};

use super::super::{COPY_FORMAT, Store, StoreError};
use super::{BackupError, END, EachTable, Fill, Rows, each};

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
    /// Makes the copy what the checkpoint says, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Checkpoint`] if it is not whole, or no copy was written down in it.
    pub(crate) fn take_over(&self, checkpoint: &mut impl Read) -> Result<(), StoreError> {
        self.transaction(|txn| {
            replace(txn, checkpoint).map_err(|error| match error {
                BackupError::Store(error) => error,
                other => StoreError::Checkpoint(other.to_string()),
            })
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
