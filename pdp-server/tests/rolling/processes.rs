//! The same with the program itself, told to end by a signal.

use std::path::PathBuf;

use crate::Clients;
use crate::balancer::Balancer;
use crate::child::Child;
use crate::served::folder;

/// An instance in this folder, which goes on for a while after it has said that it goes.
async fn instance(folder: PathBuf) -> Child {
    let settings = ["--load", "policy.yaml", "--grace-ms", "200"];
    let started = tokio::task::spawn_blocking(move || Child::start(&folder, &settings));
    started.await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_end_at_sigterm_one_after_the_other_and_no_call_fails() {
    let folders = [folder(), folder()];
    let mut instances = Vec::new();
    for folder in &folders {
        instances.push(instance(folder.path().to_owned()).await);
    }
    let addresses = |it: &Child| (it.grpc, it.http);
    let balancer = Balancer::start(instances.iter().map(addresses).collect()).await;
    let clients = Clients::start(&balancer.endpoint());
    for (at, folder) in folders.iter().enumerate() {
        clients.more().await;
        let gone = instances.remove(0);
        gone.signal("TERM");
        let ended = tokio::task::spawn_blocking(|| gone.ended()).await.unwrap();
        assert!(ended.success(), "{ended}");
        let new = instance(folder.path().to_owned()).await;
        balancer.replace(at, addresses(&new));
        instances.push(new);
    }
    clients.more().await;
    clients.end().await;
}
