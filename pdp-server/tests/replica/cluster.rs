//! Three members of etcd, whose leader is killed again and again while both servers are written to: nothing
//! that was acknowledged is lost, and both have the same history.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pdp_proto::v1::{self, fact::Fact};
use tokio_stream::StreamExt as _;

use crate::etcd::Etcd;
use crate::served::{Served, put_person};
use crate::{agree, inner, reason, replicas};

/// How often the leader is killed.
const KILLS: usize = 3;

/// How many writes are acknowledged between two of them, at least.
const BETWEEN: usize = 10;

/// Writes until it is told that it is enough, and says what was acknowledged. Whatever was not is sent again
/// with the same request id.
async fn write(
    served: Arc<Served>,
    of: &'static str,
    enough: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut names = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let name = format!("{of}-{}", names.len());
        let request = v1::ApplyRequest {
            changes: vec![put_person(&name)],
            request_id: name.clone(),
            ..Default::default()
        };
        loop {
            match served.policy().apply(request.clone()).await {
                Ok(_) => break,
                Err(error) => assert_eq!(reason(&error).1, "LOG_UNAVAILABLE", "{error}"),
            }
        }
        acknowledged.fetch_add(1, Ordering::Relaxed);
        names.push(name);
    }
    names
}

async fn people(served: &Served) -> BTreeSet<String> {
    let stream = inner(served.policy().export(v1::ExportRequest::default()).await.unwrap());
    let parts: Vec<v1::ExportResponse> = stream.map(Result::unwrap).collect().await;
    let facts = parts.into_iter().flat_map(|part| part.facts);
    let people = facts.filter_map(|fact| match fact.fact {
        Some(Fact::Person(person)) => Some(person.id),
        _ => None,
    });
    people.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_killed_takes_nothing_with_it() {
    let mut etcd = Etcd::start(3).await;
    let [(_one_folder, one), (_other_folder, other)] = replicas(&etcd).await;
    let (one, other) = (Arc::new(one), Arc::new(other));
    let (enough, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let begin = |served: &Arc<Served>, of| {
        let (enough, acknowledged) = (Arc::clone(&enough), Arc::clone(&acknowledged));
        tokio::spawn(write(Arc::clone(served), of, enough, acknowledged))
    };
    let writers = [begin(&one, "a"), begin(&other, "b")];
    let more = async || {
        let before = acknowledged.load(Ordering::Relaxed);
        while acknowledged.load(Ordering::Relaxed) < before + BETWEEN {
            assert!(writers.iter().all(|writer| !writer.is_finished()));
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..KILLS {
        more().await;
        let leader = etcd.leader().await;
        etcd.kill(leader);
        more().await;
        etcd.begin(leader);
    }
    more().await;
    enough.store(true, Ordering::Relaxed);
    let mut expected = BTreeSet::new();
    for writer in writers {
        expected.extend(writer.await.unwrap());
    }
    // The policy began at revision 1, and each name made one.
    let revision = u64::try_from(expected.len()).unwrap() + 1;
    agree(&one, &other, revision).await;
    for served in [&one, &other] {
        let people = people(served).await;
        let lost: Vec<_> = expected.difference(&people).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    for served in [one, other] {
        Arc::into_inner(served).unwrap().stop().await;
    }
}
