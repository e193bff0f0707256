//! A disk for tests: in memory, it keeps every operation in order, so that a crash can be cut in
//! anywhere, and it can be told to fail.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// The unit that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One operation on the disk, or a mark that the test set between two.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Write {
        offset: usize,
        data: Vec<u8>,
    },
    SetLen(usize),
    Sync,
    /// The test was told that this many steps are done.
    Acknowledged(usize),
}

#[derive(Debug, Default)]
struct State {
    live: Vec<u8>,
    log: Vec<Op>,
    /// How many changing operations still succeed; `None` for all.
    good: Option<usize>,
    /// Whether only syncs fail, rather than every changing operation.
    only_syncs_fail: bool,
}

/// The disk; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

// === impl Op ===

impl Op {
    /// The length that it gives the file.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::SetLen(len) => Some(*len),
            Self::Write { .. } | Self::Sync | Self::Acknowledged(_) => None,
        }
    }
}

// === impl Disk ===

impl Disk {
    /// A disk that holds these bytes, all of them durable.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State { live: bytes, ..State::default() })))
    }

    pub(crate) fn mark(&self, steps: usize) {
        self.state().log.push(Op::Acknowledged(steps));
    }

    pub(crate) fn log(&self) -> Vec<Op> {
        self.state().log.clone()
    }

    /// What a reader sees now, durable or not.
    pub(crate) fn live(&self) -> Vec<u8> {
        self.state().live.clone()
    }

    /// From now on, changing operations after this many fail; with `only_syncs`, only syncs count.
    pub(crate) fn fail_after(&self, good: usize, only_syncs: bool) {
        let mut state = self.state();
        state.good = Some(good);
        state.only_syncs_fail = only_syncs;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn change(&self, op: Op) -> io::Result<()> {
        let mut state = self.state();
        if !state.only_syncs_fail || matches!(op, Op::Sync) {
            match &mut state.good {
                Some(0) => return Err(io::ErrorKind::StorageFull.into()),
                Some(good) => *good -= 1,
                None => {}
            }
        }
        perform(&mut state.live, &op);
        state.log.push(op);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        let state = self.state();
        let bytes = state.live.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Op::SetLen(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Op::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.change(Op::Write { offset, data: data.to_vec() })
    }
}

/// Performs an operation on an image of the disk.
pub(crate) fn perform(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Write { offset, data } => {
            let end = offset + data.len();
            image.resize(image.len().max(end), 0);
            image[*offset..end].copy_from_slice(data);
        }
        Op::SetLen(len) => image.resize(*len, 0),
        Op::Sync | Op::Acknowledged(_) => {}
    }
}

/// Performs a write as far as a crash let it: some of its sectors, as the bits of `kept` say.
pub(crate) fn tear(image: &mut Vec<u8>, op: &Op, kept: u64) {
    let Op::Write { offset, data } = op else { return perform(image, op) };
    for (at, sector) in data.chunks(SECTOR).enumerate() {
        if kept >> (at % 64) & 1 == 1 {
            let offset = offset + at * SECTOR;
            perform(image, &Op::Write { offset, data: sector.to_vec() });
        }
    }
}
