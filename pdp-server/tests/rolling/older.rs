//! Files that earlier versions wrote, as they wrote them (`formats/README.md`): they open, and nothing of
//! what is in them is lost.

use std::path::{Path, PathBuf};
use std::process::Command;

use pdp_engine::time::Timestamp;
use pdp_proto::v1::session_service_get_request::By;
use pdp_proto::v1::{self, Effect, Reason, SessionState};
use pdp_server::clock::Clock;
use pdp_server::config::Settings;
use redb::TableDefinition;
use tempfile::TempDir;

use crate::kept::{pdp_server, said};
use crate::served::{Served, folder, put_person, question, settings};

/// What is in a file.
struct Older {
    name: &'static str,
    /// How many facts the default tenant has.
    facts: usize,
    /// How many records its audit has once a server of this version has started on it.
    records: u64,
    /// It has a session that is open, and one that has ended.
    sessions: bool,
    /// Soon after it was written, in microseconds.
    soon_after: i64,
}

/// 2026-11-28T23:59:00Z.
const LATE: i64 = 1_795_910_340_000_000;

/// 2026-11-29T00:30:00Z.
const LATER: i64 = 1_795_912_200_000_000;

/// 2026-11-30T16:30:00Z.
const LAST: i64 = 1_796_056_200_000_000;

const OLDER: [Older; 4] = [
    // Its audit begins with the first start, with one record.
    Older { name: "format-1", facts: 174, records: 1, sessions: false, soon_after: LATE },
    Older { name: "format-2", facts: 176, records: 8, sessions: true, soon_after: LATE },
    Older { name: "format-3", facts: 176, records: 8, sessions: true, soon_after: LATER },
    // What this version writes, so that its successors read it.
    Older { name: "format-4", facts: 176, records: 8, sessions: true, soon_after: LAST },
];

/// A data folder with such a file.
fn unpacked(name: &str, folder: &Path) -> PathBuf {
    let packed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rolling/formats/{name}.redb.gz"));
    let output = Command::new("gzip").arg("-dc").arg(packed).output();
    let output = output.unwrap_or_else(|error| panic!("`gzip` does not run: {error}; install it"));
    assert!(output.status.success(), "{}", said(&output));
    let data = folder.join(name);
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("pdp.redb"), output.stdout).unwrap();
    data
}

/// A server on it whose clock has said so from its start: at another time its sessions might not stand.
async fn started(data: &Path, folder: &TempDir, now: i64) -> Served {
    let settings = Settings { data: Some(data.to_owned()), load: None, ..settings(folder.path()) };
    Served::with_clock(settings, Clock::fixed(Timestamp::from_micros(now))).await
}

/// How many facts a tenant has, and its revision.
async fn exported(served: &Served, tenant: &str) -> (usize, u64) {
    let request = v1::ExportRequest { tenant: tenant.to_owned() };
    let mut parts = served.policy().export(request).await.unwrap().into_inner();
    let (mut facts, mut revision) = (0, 0);
    while let Some(part) = parts.message().await.unwrap() {
        facts += part.facts.len();
        revision = part.revision;
    }
    (facts, revision)
}

async fn decides_as_before(served: &Served) {
    for (who, what, on, effect, reason) in [
        ("lea", "Edit", "client-portfolio", Effect::Allow, Reason::Granted),
        ("lea", "View", "london-ledger", Effect::Deny, Reason::NotGranted),
        ("yara", "Export", "payroll", Effect::Deny, Reason::ExplicitDeny),
        ("marco", "Publish", "client-portfolio", Effect::Allow, Reason::Granted),
        ("late", "View", "payroll", Effect::Deny, Reason::NotGranted),
    ] {
        let decision = served.check(question(who, what, on)).await;
        assert_eq!((decision.effect(), decision.reason()), (effect, reason), "{who} {what} {on}");
    }
}

async fn session(served: &Served, key: &str) -> v1::Session {
    let by = Some(By::RequestKey(key.to_owned()));
    let request = v1::SessionServiceGetRequest { by, ..Default::default() };
    served.sessions().get(request).await.unwrap().into_inner().session.unwrap()
}

/// How many records the audit of the default tenant has, if it holds.
async fn audited(served: &Served) -> u64 {
    let request = v1::AuditServiceVerifyRequest::default();
    let verified = served.audit().verify(request).await.unwrap().into_inner();
    assert!(verified.broken.is_none(), "{verified:?}");
    verified.records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_wrote_is_opened_and_whole() {
    assert_eq!(OLDER.len() as u64, pdp_server::store::FORMAT, "there is a file of each format");
    for Older { name, facts, records, sessions, soon_after } in OLDER {
        let folder = folder();
        let data = unpacked(name, folder.path());
        let served = started(&data, &folder, soon_after).await;
        assert_eq!(exported(&served, "").await, (facts, 2), "{name}");
        assert_eq!(exported(&served, "acme").await, (2, 1), "{name}");
        decides_as_before(&served).await;
        // What was answered to a request is remembered.
        let again = v1::ApplyRequest {
            changes: vec![put_person("late")],
            request_id: "r-1".to_owned(),
            ..Default::default()
        };
        let again = served.policy().apply(again).await.unwrap().into_inner();
        assert!(again.replayed && again.revision == 2, "{name}: {again:?}");
        assert_eq!(audited(&served).await, records, "{name}");
        if sessions {
            let open = session(&served, "k-1").await;
            assert_eq!((open.state(), open.person.as_str()), (SessionState::Open, "dario"));
            assert_eq!(session(&served, "k-2").await.state(), SessionState::Ended);
        }
        served.apply(vec![put_person("new")]).await.unwrap();
        served.stop().await;

        // Once more, now that it has this version's format.
        let verified = pdp_server(&["audit", "verify", "--data", data.to_str().unwrap()]).await;
        assert!(verified.status.success(), "{name}: {}", said(&verified));
        let served = started(&data, &folder, soon_after).await;
        assert_eq!(exported(&served, "").await, (facts + 1, 3), "{name}");
        assert_eq!(audited(&served).await, records + 1, "{name}");
        decides_as_before(&served).await;
        served.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_wrote_is_refused_with_what_to_do() {
    const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
    let folder = folder();
    let data = unpacked("format-2", folder.path());
    let file = data.join("pdp.redb");
    {
        let db = redb::Database::open(&file).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(META).unwrap().insert("format", pdp_server::store::FORMAT + 1).unwrap();
        txn.commit().unwrap();
    }
    let serve = ["serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"];
    let refused = pdp_server(&[&serve[..], &[data.to_str().unwrap()]].concat()).await;
    let told = said(&refused);
    assert!(!refused.status.success(), "{told}");
    let format = pdp_server::store::FORMAT;
    let newer = format!("has format {} and this server reads up to {format}", format + 1);
    for words in [file.to_str().unwrap(), &newer, "start the newer server that wrote it"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(told.contains("or restore a backup"), "{told}");
}
