//! Clients that behave badly, or ask for much. Each goes on until it is stopped, on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pdp_client::{Client, Permission, Resource, SubjectKinds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::drive::Connection;
use crate::frames::{beginning, promise_of_headers, request};
use crate::random::{Dice, Purpose};
use crate::wire::{BATCH_CHECK, Requests};

/// A client that others should not feel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guest {
    /// Sends batches and never reads an answer.
    NeverReads,
    /// Sends what is no HTTP/2, and HTTP/2 that is none.
    Garbage,
    /// Sends the largest batches that are allowed, one after the other.
    LargestBatches,
    /// Promises header fields and sends them a byte at a time, on many connections.
    SlowHeaders,
    /// Exports the policy, over and over.
    Export,
    /// Lists everybody who may use what most may use, over and over.
    Lists,
}

/// How many connections never read, how many batches each sends, and how long it stays.
const NEVER_READ: usize = 4;
const UNREAD_BATCHES: u32 = 100;
const STAYS: Duration = Duration::from_millis(500);

/// How many connections send garbage, how much, and how long each waits after it.
const GARBAGE: usize = 4;
const GARBAGE_BYTES: usize = 4_096;
const BETWEEN_GARBAGE: Duration = Duration::from_millis(10);

/// How many connections send header fields slowly, how many bytes they promise, and how long each takes
/// for one.
const SLOW: usize = 100;
const PROMISED_BYTES: u32 = 16_000;
const A_BYTE: Duration = Duration::from_millis(100);

/// How long a failed guest waits before it comes again.
const AGAIN: Duration = Duration::from_millis(20);

/// What most may use.
pub(super) type Popular = (Permission, Resource);

/// What guests need to know.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) endpoint: String,
    /// Batches of 100, and of as many questions as are allowed.
    pub(super) batches: Arc<Requests>,
    pub(super) largest: Arc<Requests>,
    pub(super) popular: Popular,
}

/// A guest at work. It stops when it is dropped.
#[derive(Debug)]
pub(super) struct AtWork {
    runtime: Option<Runtime>,
    done: Arc<AtomicU64>,
}

// === impl Guest ===

impl Guest {
    /// Every guest: those that are hostile first.
    pub const ALL: [Self; 6] = [
        Self::NeverReads,
        Self::Garbage,
        Self::LargestBatches,
        Self::SlowHeaders,
        Self::Export,
        Self::Lists,
    ];

    /// What it does.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NeverReads => "never reads",
            Self::Garbage => "garbage",
            Self::LargestBatches => "largest batches",
            Self::SlowHeaders => "slow header writers",
            Self::Export => "export",
            Self::Lists => "heavy ListSubjects",
        }
    }

    /// What is counted of it.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::NeverReads => "batches unread",
            Self::Garbage => "connections",
            Self::LargestBatches => "batches of 1,000",
            Self::SlowHeaders => "header bytes",
            Self::Export => "facts",
            Self::Lists => "people",
        }
    }

    /// How many times the p99 of the others may be.
    #[must_use]
    pub const fn bound(self) -> f64 {
        match self {
            Self::NeverReads | Self::Garbage | Self::LargestBatches | Self::SlowHeaders => 1.5,
            Self::Export | Self::Lists => 1.3,
        }
    }

    /// Puts it to work.
    pub(super) fn start(self, table: &Table) -> std::io::Result<AtWork> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("loadtest-guest")
            .enable_all()
            .build()?;
        let done = Arc::new(AtomicU64::new(0));
        let many = match self {
            Self::NeverReads => NEVER_READ,
            Self::Garbage => GARBAGE,
            Self::SlowHeaders => SLOW,
            Self::LargestBatches | Self::Export | Self::Lists => 1,
        };
        for n in 0..many as u64 {
            let (table, done) = (table.clone(), Arc::clone(&done));
            runtime.spawn(async move {
                let mut dice = Dice::at(n, Purpose::Question, n);
                loop {
                    if self.once(&table, &mut dice, &done).await.is_none() {
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            });
        }
        Ok(AtWork { runtime: Some(runtime), done })
    }

    /// Once more; `None` if it came to nothing.
    async fn once(self, table: &Table, dice: &mut Dice, done: &AtomicU64) -> Option<()> {
        match self {
            Self::NeverReads => never_reads(table, done).await,
            Self::Garbage => garbage(table, dice, done).await,
            Self::LargestBatches => largest_batches(table, done).await,
            Self::SlowHeaders => slow_headers(table, done).await,
            Self::Export => export(table, done).await,
            Self::Lists => lists(table, done).await,
        }
    }
}

async fn connect(table: &Table) -> Option<TcpStream> {
    TcpStream::connect(table.authority()).await.ok()
}

async fn never_reads(table: &Table, done: &AtomicU64) -> Option<()> {
    let mut socket = connect(table).await?;
    let sending = async {
        socket.write_all(&beginning()).await.ok()?;
        for n in 0..UNREAD_BATCHES {
            let batch = table.batches.at(u64::from(n))?;
            let request = request(2 * n + 1, table.authority(), BATCH_CHECK, &batch.body);
            socket.write_all(&request).await.ok()?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(STAYS).await;
        Some(())
    };
    // A server that takes no more is as good as one that has taken all.
    timeout(2 * STAYS, sending).await.unwrap_or(Some(()))
}

async fn garbage(table: &Table, dice: &mut Dice, done: &AtomicU64) -> Option<()> {
    let mut socket = connect(table).await?;
    let mut bytes = match dice.below(3) {
        0 => beginning(),
        1 => b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        _ => Vec::new(),
    };
    bytes.extend((0..GARBAGE_BYTES).map(|_| dice.number() as u8));
    // Whether it is all taken is up to the server.
    socket.write_all(&bytes).await.ok();
    done.fetch_add(1, Ordering::Relaxed);
    let mut answer = [0; 1_024];
    let reading = async { while socket.read(&mut answer).await.is_ok_and(|length| length > 0) {} };
    timeout(STAYS, reading).await.ok();
    tokio::time::sleep(BETWEEN_GARBAGE).await;
    Some(())
}

async fn largest_batches(table: &Table, done: &AtomicU64) -> Option<()> {
    let mut connection = Connection::open(&table.endpoint).await.ok()?;
    for n in 0.. {
        let batch = table.largest.at(n)?;
        connection.call(&table.largest.path, batch.body.clone()).await.ok()?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Some(())
}

async fn slow_headers(table: &Table, done: &AtomicU64) -> Option<()> {
    let mut socket = connect(table).await?;
    socket.write_all(&beginning()).await.ok()?;
    socket.write_all(&promise_of_headers(1, PROMISED_BYTES)).await.ok()?;
    for _ in 0..PROMISED_BYTES {
        socket.write_all(&[0x40]).await.ok()?;
        done.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(A_BYTE).await;
    }
    Some(())
}

async fn export(table: &Table, done: &AtomicU64) -> Option<()> {
    let client = Client::connect(table.endpoint.clone()).await.ok()?;
    loop {
        let mut export = client.export().await.ok()?;
        while let Some(facts) = export.next().await.ok()? {
            done.fetch_add(facts.len() as u64, Ordering::Relaxed);
        }
    }
}

async fn lists(table: &Table, done: &AtomicU64) -> Option<()> {
    let client = Client::connect(table.endpoint.clone()).await.ok()?;
    loop {
        let (permission, resource) = table.popular.clone();
        let mut people = client.list_subjects(permission, resource, SubjectKinds::People);
        while people.next().await.ok()?.is_some() {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Table ===

impl Table {
    fn authority(&self) -> &str {
        self.endpoint.strip_prefix("http://").unwrap_or(&self.endpoint)
    }
}

// === impl AtWork ===

impl AtWork {
    /// How much it has done.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
