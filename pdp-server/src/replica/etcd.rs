//! etcd, asked: one of its members after the other until one answers. Whatever is asked here can be asked
//! twice: whether an entry was put is told by the entry.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pdp_proto::etcd::etcdserverpb as wire;
use prost::bytes::Bytes;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};
use wire::compare::{CompareResult, CompareTarget, TargetUnion};
use wire::kv_client::KvClient;
use wire::lease_client::LeaseClient;
use wire::maintenance_client::MaintenanceClient;
use wire::request_op::Request;
use wire::watch_client::WatchClient;

use crate::config;
use crate::connector::{Connect, ConnectError, Trust, connect};
use crate::publish::LogError;

/// How long a member may take to answer.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long members are asked one after the other: etcd chooses a new leader within one or two seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits after all of them were asked in vain.
const PAUSE: Duration = Duration::from_millis(100);

/// What etcd says where its database is as large as its quota, or the alarm of that is still on.
const NO_ROOM: &str = "database space exceeded";

/// How large an answer may be, in bytes: many entries of the largest size.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// The members of a cluster.
pub(super) struct Etcd {
    members: Vec<Member>,
    /// Who answered last.
    first: AtomicUsize,
    /// How often that, or a connection, was given up for another.
    given_up: AtomicU64,
}

struct Member {
    endpoint: String,
    connect: Connect,
    channel: Mutex<Channel>,
    /// Whether it has said that it is of a version to rely on, since it last failed to answer.
    accepted: AtomicBool,
}

/// Keys from one on to another, which is not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Bytes,
    pub(super) to: Bytes,
}

/// What happens to keys.
pub(super) type Events = Streaming<wire::WatchResponse>;

// === impl Range ===

impl Range {
    /// Everything that begins with a text, which ends with a `/`.
    pub(super) fn below(prefix: &str) -> Self {
        let after = format!("{}0", prefix.trim_end_matches('/'));
        Self { from: prefix.to_owned().into(), to: after.into() }
    }

    pub(super) fn to_request(&self) -> wire::RangeRequest {
        let (key, range_end) = (self.from.clone(), self.to.clone());
        wire::RangeRequest { key, range_end, ..Default::default() }
    }
}

// === impl Etcd ===

impl Etcd {
    /// Nothing is connected before something is asked. Call it inside of a tokio runtime.
    pub(super) fn new(settings: &config::Etcd) -> Result<Self, ConnectError> {
        let client = settings.client.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let trust = Trust { ca: settings.ca.as_deref(), client };
        let members = settings.endpoints.iter().map(|endpoint| {
            let connect = connect(("etcd_endpoints", endpoint), trust)?;
            let (endpoint, channel) = (endpoint.clone(), Mutex::new(connect()));
            let accepted = AtomicBool::new(false);
            Ok::<_, ConnectError>(Member { endpoint, connect, channel, accepted })
        });
        let members = members.collect::<Result<_, _>>()?;
        Ok(Self { members, first: AtomicUsize::new(0), given_up: AtomicU64::new(0) })
    }

    /// Another number once another member answers, or over another connection: what was begun over the one
    /// before may have come to nothing without a word.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(super) async fn txn(&self, ask: wire::TxnRequest) -> Result<wire::TxnResponse, LogError> {
        self.ask(|channel| {
            let ask = ask.clone();
            async move { kv(channel).txn(ask).await }
        })
        .await
    }

    pub(super) async fn range(
        &self,
        ask: wire::RangeRequest,
    ) -> Result<wire::RangeResponse, LogError> {
        self.ask(|channel| {
            let ask = ask.clone();
            async move { kv(channel).range(ask).await }
        })
        .await
    }

    pub(super) async fn put(&self, key: &str, value: Bytes, lease: i64) -> Result<(), LogError> {
        let ask = wire::PutRequest { key: key.to_owned().into(), value, lease };
        self.ask(|channel| {
            let ask = ask.clone();
            async move { kv(channel).put(ask).await }
        })
        .await
        .map(|_| ())
    }

    /// Forgets what was before a revision. That it is forgotten already is no failure.
    pub(super) async fn compact(&self, revision: i64) -> Result<(), LogError> {
        self.ask(|channel| async move {
            match kv(channel).compact(wire::CompactionRequest { revision, physical: false }).await {
                Err(status) if status.code() == Code::OutOfRange => Ok(Response::new(())),
                other => other.map(|_| Response::new(())),
            }
        })
        .await
    }

    /// A lease of so long.
    pub(super) async fn grant(&self, time: Duration) -> Result<i64, LogError> {
        let ttl = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let granted = self.ask(|channel| async move {
            LeaseClient::new(channel).lease_grant(wire::LeaseGrantRequest { ttl, id: 0 }).await
        });
        Ok(granted.await?.id)
    }

    /// Ends a lease, and with it what goes with it.
    pub(super) async fn revoke(&self, id: i64) -> Result<(), LogError> {
        let revoked = self.ask(|channel| async move {
            LeaseClient::new(channel).lease_revoke(wire::LeaseRevokeRequest { id }).await
        });
        revoked.await.map(|_| ())
    }

    /// What happens to the keys of a range from a revision on.
    pub(super) async fn watch(&self, range: &Range, from: i64) -> Result<Events, LogError> {
        let create = wire::WatchCreateRequest {
            key: range.from.clone(),
            range_end: range.to.clone(),
            start_revision: from,
        };
        let union = wire::watch_request::RequestUnion::CreateRequest(create);
        let ask = wire::WatchRequest { request_union: Some(union) };
        self.ask(|channel| {
            // The stream of requests stays open: its end would end the watch.
            let first = futures_util::stream::iter([ask.clone()]);
            let asked = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            async move { WatchClient::new(channel).watch(asked).await }
        })
        .await
    }

    /// Asks one member after the other.
    async fn ask<T, F>(&self, ask: impl Fn(Channel) -> F) -> Result<T, LogError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (until, first) = (Instant::now() + PATIENCE, self.first.load(Ordering::Relaxed));
        let mut why = "no member".to_owned();
        loop {
            for (at, member) in
                self.members.iter().enumerate().cycle().skip(first).take(self.members.len())
            {
                let asked = async {
                    member.accept().await?;
                    ask(member.channel()).await.map_err(|status| refused(&member.endpoint, &status))
                };
                let answered = tokio::time::timeout(ATTEMPT, asked).await;
                match answered {
                    Ok(Ok(answer)) => {
                        if self.first.swap(at, Ordering::Relaxed) != at {
                            self.given_up.fetch_add(1, Ordering::Relaxed);
                        }
                        return Ok(answer.into_inner());
                    }
                    Ok(Err(LogError::Unavailable(detail))) => why = detail,
                    Ok(Err(error)) => return Err(error),
                    Err(_) => {
                        why = format!("{} does not answer", member.endpoint);
                        member.connect_anew();
                        self.given_up.fetch_add(1, Ordering::Relaxed);
                    }
                }
                member.accepted.store(false, Ordering::Relaxed);
            }
            if Instant::now() >= until {
                return Err(LogError::Unavailable(why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

// === impl Member ===

impl Member {
    fn channel(&self) -> Channel {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a connection up over which no answer comes: somebody between may have forgotten it, and then
    /// nobody says so. Call it inside of a tokio runtime.
    fn connect_anew(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = (self.connect)();
    }

    /// Holds that it is of a version to rely on.
    async fn accept(&self) -> Result<(), LogError> {
        if self.accepted.load(Ordering::Relaxed) {
            return Ok(());
        }
        let status = MaintenanceClient::new(self.channel()).status(wire::StatusRequest {}).await;
        let status = status.map_err(|status| refused(&self.endpoint, &status))?.into_inner();
        if !is_reliable(&status.version) {
            let (endpoint, version) = (&self.endpoint, status.version);
            return Err(LogError::Unusable(format!(
                "{endpoint} is etcd {version}; it has to be 3.4.x, or 3.5.6 and later: 3.5.0 to 3.5.5 lose what they acknowledged when they are killed"
            )));
        }
        self.accepted.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether etcd of a version keeps what it acknowledged.
fn is_reliable(version: &str) -> bool {
    let mut numbers = version.split(['.', '-', '+']).map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    match (next(), next(), next()) {
        (Some(3), Some(5), Some(patch)) => patch > 5_u32,
        (Some(3), Some(minor), _) => minor >= 4,
        (Some(major), _, _) => major > 3,
        _ => false,
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)
}

fn refused(endpoint: &str, status: &Status) -> LogError {
    let told = format!("{endpoint}: {}", status.message());
    match status.code() {
        Code::ResourceExhausted if status.message().ends_with(NO_ROOM) => LogError::Full(told),
        Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented => {
            LogError::Unusable(told)
        }
        _ => LogError::Unavailable(told),
    }
}

/// That a key has a value.
pub(super) fn has(key: &str, value: &[u8]) -> wire::Compare {
    wire::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Value.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::Value(Bytes::copy_from_slice(value))),
    }
}

/// That a key is there, or is not.
pub(super) fn exists(key: &str, there: bool) -> wire::Compare {
    let result = if there { CompareResult::Greater } else { CompareResult::Equal };
    wire::Compare {
        result: result.into(),
        target: CompareTarget::Create.into(),
        key: key.to_owned().into(),
        target_union: Some(TargetUnion::CreateRevision(0)),
    }
}

pub(super) fn putting(key: &str, value: impl Into<Bytes>, lease: i64) -> wire::RequestOp {
    let put = wire::PutRequest { key: key.to_owned().into(), value: value.into(), lease };
    wire::RequestOp { request: Some(Request::RequestPut(put)) }
}

pub(super) fn deleting(range: &Range) -> wire::RequestOp {
    let (key, range_end) = (range.from.clone(), range.to.clone());
    let delete = wire::DeleteRangeRequest { key, range_end };
    wire::RequestOp { request: Some(Request::RequestDeleteRange(delete)) }
}

pub(super) fn deleting_key(key: &str) -> wire::RequestOp {
    deleting(&Range { from: key.to_owned().into(), to: Bytes::new() })
}

pub(super) fn getting(ask: wire::RangeRequest) -> wire::RequestOp {
    wire::RequestOp { request: Some(Request::RequestRange(ask)) }
}

pub(super) fn getting_key(key: &str) -> wire::RangeRequest {
    wire::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_what_they_acknowledged_are_refused() {
        for good in ["3.4.23", "3.5.6", "3.5.21", "3.6.0", "4.0.0", "3.4.0-rc.1"] {
            assert!(is_reliable(good), "{good}");
        }
        for bad in ["3.5.0", "3.5.5", "3.3.27", "2.3.8", "", "latest"] {
            assert!(!is_reliable(bad), "{bad}");
        }
    }

    #[test]
    fn an_etcd_without_room_is_told_from_one_that_has_too_much_to_do() {
        let refused = |message| refused("m0", &Status::resource_exhausted(message));
        let full = refused("etcdserver: mvcc: database space exceeded");
        assert!(matches!(full, LogError::Full(_)), "{full}");
        let busy = refused("etcdserver: too many requests");
        assert!(matches!(busy, LogError::Unavailable(_)), "{busy}");
    }

    #[test]
    fn a_range_has_what_begins_with_its_prefix() {
        let Range { from, to } = Range::below("pdp/head/");
        let within = |key: &str| from <= key.as_bytes() && key.as_bytes() < &to[..];
        assert!(within("pdp/head/0") && within("pdp/head/ffff") && within("pdp/head/~"));
        assert!(!within("pdp/head") && !within("pdp/headless") && !within("pdp/kept/0"));
    }
}
