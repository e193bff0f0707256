//! Backups of a server that runs and of one that is stopped, and what becomes of them.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pdp_proto::v1::{self, Effect};
use pdp_server::config::Settings;

use crate::served::{Served, delete, folder, put_person, question, settings};

/// Runs the command of the server, away from the threads that serve.
pub(crate) async fn pdp_server(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pdp-server"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PDP_")) {
        command.env_remove(name);
    }
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

/// A server on a data folder that is there already.
async fn on(data: &Path, folder: &Path) -> Served {
    let restored = Settings { data: Some(data.to_owned()), load: None, ..settings(folder) };
    Served::with(restored).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_backed_up_while_it_goes_on() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let served = Served::start(&folder).await;
    served.apply(vec![put_person("dee")]).await.unwrap();
    let door = format!("http://{}", served.http);
    let (backup, restored) = (text("backup"), text("restored"));
    let taken = pdp_server(&["backup", "--server", &door, &backup]).await;
    assert!(taken.status.success(), "{}", said(&taken));
    // Not a row of what comes after it is in it.
    served.apply(vec![put_person("eve")]).await.unwrap();
    let again = pdp_server(&["backup", "--server", &door, &backup]).await;
    assert!(!again.status.success() && said(&again).contains("exists"), "{}", said(&again));
    let running = pdp_server(&["backup", "--data", &text("data"), &text("other")]).await;
    assert!(said(&running).contains("another pdp-server has"), "{}", said(&running));
    served.stop().await;

    let output = pdp_server(&["restore", "--data", &restored, &backup]).await;
    assert!(output.status.success(), "{}", said(&output));
    let twice = pdp_server(&["restore", "--data", &restored, &backup]).await;
    assert!(said(&twice).contains("is not empty"), "{}", said(&twice));
    let served = on(&path("restored"), folder.path()).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 2));
    served.stop().await;

    // Of the same server, once it is stopped: the same rows.
    let output = pdp_server(&["backup", "--data", &restored, &text("other")]).await;
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(std::fs::read(path("other")).unwrap(), std::fs::read(path("backup")).unwrap());
    let output = pdp_server(&["compact", "--data", &restored]).await;
    assert!(output.status.success() && said(&output).contains("shorter"), "{}", said(&output));
    let served = on(&path("restored"), folder.path()).await;
    assert_eq!(served.check(question("ana", "View", "absence")).await.revision, 2);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_server_has_is_replaced_with_its_next_start() {
    let folder = folder();
    let text = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let served = Served::start(&folder).await;
    let (backup, data) = (text("backup"), text("data"));
    let door = format!("http://{}", served.http);
    let taken = pdp_server(&["backup", "--server", &door, &backup]).await;
    assert!(taken.status.success(), "{}", said(&taken));
    served.apply(vec![put_person("mistaken")]).await.unwrap();
    let unsaid = pdp_server(&["restore", "--data", &data, &backup]).await;
    assert!(said(&unsaid).contains("say `--replace`"), "{}", said(&unsaid));
    let restored = pdp_server(&["restore", "--replace", "--data", &data, &backup]).await;
    assert!(restored.status.success(), "{}", said(&restored));
    assert!(said(&restored).contains("restart a server that runs"), "{}", said(&restored));
    // It goes on meanwhile, with what it has.
    served.apply(vec![put_person("late")]).await.unwrap();
    assert_eq!(served.check(question("ana", "View", "absence")).await.revision, 3);
    served.stop().await;
    let served = on(&folder.path().join("data"), folder.path()).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 1));
    served.stop().await;
    // And once more: what was put aside is a store with all that had come.
    let data = folder.path().join("data");
    std::fs::rename(data.join("pdp.redb.replaced"), data.join("pdp.redb")).unwrap();
    let served = on(&data, folder.path()).await;
    assert_eq!(served.check(question("ana", "View", "absence")).await.revision, 3);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_compacted_while_it_decides() {
    let folder = folder();
    let served = Arc::new(Served::start(&folder).await);
    let people = || (0..2_000).map(|number| format!("p-{number}"));
    served.apply(people().map(|id| put_person(&id)).collect()).await.unwrap();
    let gone = people().map(|id| delete(v1::fact_key::Key::Person(id), false));
    served.apply(gone.collect()).await.unwrap();
    let bytes = || std::fs::metadata(folder.path().join("data/pdp.redb")).unwrap().len();
    let (before, done) = (bytes(), Arc::new(AtomicBool::new(false)));
    let deciding = tokio::spawn({
        let (served, done) = (Arc::clone(&served), Arc::clone(&done));
        async move {
            let mut asked = 0;
            while !done.load(Ordering::SeqCst) || asked == 0 {
                let decision = served.check(question("ana", "View", "absence")).await;
                assert_eq!(decision.effect(), Effect::Allow);
                asked += 1;
            }
        }
    });
    let door = format!("http://{}", served.http);
    let compacted = pdp_server(&["compact", "--server", &door]).await;
    assert!(compacted.status.success(), "{}", said(&compacted));
    let given = said(&compacted);
    let given = given.strip_prefix("the store is ").unwrap().split(' ').next().unwrap();
    let given: u64 = given.parse().unwrap();
    assert!(given > 0 && bytes() == before - given, "{given} of {before}");
    served.apply(vec![put_person("late")]).await.unwrap();
    done.store(true, Ordering::SeqCst);
    deciding.await.unwrap();
    let Some(served) = Arc::into_inner(served) else { panic!("it is still asked") };
    served.stop().await;
    // What was there is there at the next start.
    let served = on(&folder.path().join("data"), folder.path()).await;
    let decision = served.check(question("ana", "View", "absence")).await;
    assert_eq!((decision.effect(), decision.revision), (Effect::Allow, 4));
    let elsewhere = pdp_server(&["compact", "--server", "ftp://127.0.0.1:1"]).await;
    assert!(said(&elsewhere).contains("is not the address of"), "{}", said(&elsewhere));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_and_nothing_is_made() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let served = Served::start(&folder).await;
    let door = format!("http://{}", served.http);
    let taken = pdp_server(&["backup", "--server", &door, &text("backup")]).await;
    assert!(taken.status.success(), "{}", said(&taken));
    let nobody = pdp_server(&["backup", "--server", "http://127.0.0.1:1", &text("none")]).await;
    assert!(!nobody.status.success() && !path("none").exists(), "{}", said(&nobody));
    served.stop().await;
    let mut bytes = std::fs::read(path("backup")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path("backup"), &bytes).unwrap();
    let refused = pdp_server(&["restore", "--data", &text("restored"), &text("backup")]).await;
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("nothing was restored"), "{}", said(&refused));
    assert!(!path("restored").exists());
}
