//! What a server leaves to the next start, and when that decides upon it.

use std::fs;
use std::path::Path;

use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::{self, Effect};
use tempfile::TempDir;

use crate::child::Child;
use crate::kept::pdp_server;
use crate::served::{POLICY, delete, question};

/// So many people are worth an image.
const PEOPLE: usize = 1 << 14;

const DECIDING: &str = "deciding; the rest of the policy is being loaded";

fn large() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let people: String = (0..PEOPLE).map(|number| format!("{{id: p-{number}}}, ")).collect();
    let policy = POLICY.replace("people: [", &format!("people: [{people}"));
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    folder
}

async fn start(folder: &Path) -> Child {
    let folder = folder.to_owned();
    let started = move || Child::start(&folder, &["--load", "policy.yaml"]);
    tokio::task::spawn_blocking(started).await.unwrap().unwrap()
}

async fn stop(server: Child) {
    server.signal("TERM");
    let ended = tokio::task::spawn_blocking(|| server.ended()).await.unwrap();
    assert!(ended.success(), "{ended}");
}

/// What may be done with the report, at which revision; and whether that is explained, too.
async fn decided(server: &Child) -> (Effect, u64) {
    let asked = Some(question("ana", "View", "absence"));
    let mut decisions = DecisionServiceClient::new(server.channel());
    let check = v1::CheckRequest { question: asked.clone(), ..Default::default() };
    let checked = decisions.check(check).await.unwrap().into_inner().decision.unwrap();
    let explain = v1::ExplainRequest { question: asked, ..Default::default() };
    let explained = decisions.explain(explain).await.unwrap().into_inner().explanation.unwrap();
    assert_eq!(explained.decision.unwrap().effect(), checked.effect());
    (checked.effect(), checked.revision)
}

async fn revoke(server: &Child) {
    let assignment = v1::fact_key::Key::Assignment("a-1".to_owned());
    let changes = vec![delete(assignment, false)];
    let request = v1::ApplyRequest { changes, ..Default::default() };
    PolicyServiceClient::new(server.channel()).apply(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_decides_upon_what_a_stop_left_and_upon_nothing_older() {
    let folder = large();
    let image = folder.path().join("data").join("pdp.redb.image");
    let server = start(folder.path()).await;
    assert!(!server.said.contains(DECIDING) && !image.exists(), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Allow, 1));
    stop(server).await;
    assert!(image.is_file());

    let server = start(folder.path()).await;
    assert!(server.said.contains(DECIDING) && !image.exists(), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Allow, 1));
    stop(server).await;
    let before = fs::read(&image).unwrap();

    // What is revoked stays revoked, where the server has no last word, and whatever somebody puts there.
    let server = start(folder.path()).await;
    revoke(&server).await;
    assert_eq!(decided(&server).await, (Effect::Deny, 2));
    drop(server);
    assert!(!image.exists());
    fs::write(&image, before).unwrap();
    let server = start(folder.path()).await;
    assert!(!server.said.contains(DECIDING), "{}", server.said);
    assert!(server.said.contains("it is of another state"), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Deny, 2));
    stop(server).await;

    let server = start(folder.path()).await;
    assert!(server.said.contains(DECIDING), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Deny, 2));
    stop(server).await;

    let mut damaged = fs::read(&image).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&image, damaged).unwrap();
    let server = start(folder.path()).await;
    assert!(!server.said.contains(DECIDING), "{}", server.said);
    assert!(server.said.contains("it is damaged"), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Deny, 2));
    stop(server).await;
    let server = start(folder.path()).await;
    assert!(server.said.contains(DECIDING), "{}", server.said);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_restored_is_decided_upon_and_not_what_was_there() {
    let folder = large();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let server = start(folder.path()).await;
    let door = format!("http://{}", server.http);
    let taken = pdp_server(&["backup", "--server", &door, &text("backup")]).await;
    assert!(taken.status.success());
    revoke(&server).await;
    stop(server).await;
    let restored =
        pdp_server(&["restore", "--replace", "--data", &text("data"), &text("backup")]).await;
    assert!(restored.status.success());
    let server = start(folder.path()).await;
    assert!(!server.said.contains(DECIDING), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Allow, 1));
    stop(server).await;
    let server = start(folder.path()).await;
    assert!(server.said.contains(DECIDING), "{}", server.said);
    assert_eq!(decided(&server).await, (Effect::Allow, 1));
    stop(server).await;
}
