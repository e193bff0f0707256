//! The manifests of several servers: what they change of those of one goes together with that.

use std::path::Path;

use crate::files::yaml;
use crate::kubernetes::settings;
use crate::yaml::{list, text};

const FOLDER: &str = "kubernetes-replicas";

fn patch(name: &str) -> serde_json::Value {
    yaml(&format!("{FOLDER}/{name}.yaml"))
}

#[test]
fn a_patch_is_of_what_there_is_and_all_are_listed() {
    let patches = ["settings", "server", "disruption", "network"];
    let listed = patch("kustomization");
    let listed: Vec<_> = list(&listed, "/patches").iter().map(|it| text(it, "/path")).collect();
    assert_eq!(listed, patches.map(|name| format!("{name}.yaml")));
    for name in patches {
        let base = Path::new("deploy/kubernetes").join(format!("{name}.yaml"));
        let base = crate::yaml::documents(name, &pdp_tests::tree::text(&base));
        let patch = patch(name);
        let of = |it: &serde_json::Value| {
            ["/apiVersion", "/kind", "/metadata/name"].map(|path| text(it, path).to_owned())
        };
        assert!(base.iter().any(|it| of(it) == of(&patch)), "{name} patches nothing");
    }
}

#[test]
fn the_settings_are_those_of_one_server_with_a_log() {
    let (one, _file) = settings("kubernetes/settings.yaml");
    let (mut config, _file) = settings(&format!("{FOLDER}/settings.yaml"));
    let etcd = std::mem::replace(&mut config.etcd, one.etcd.clone());
    // The file of callers lies in one place for both.
    assert_eq!(config, one);
    assert_eq!(etcd.endpoints.len(), 3);
    let port = |endpoint: &String| endpoint.rsplit(':').next().unwrap().to_owned();
    let network = patch("network");
    for endpoint in &etcd.endpoints {
        assert!(endpoint.starts_with("https://"), "{endpoint}");
        assert_eq!(port(endpoint), text(&network, "/spec/egress/0/ports/0/port"));
    }
    let server = patch("server");
    let mounted = text(&server, "/spec/template/spec/containers/0/volumeMounts/0/mountPath");
    let (cert, key) = etcd.client.unwrap();
    for path in [etcd.ca.unwrap(), cert, key] {
        assert!(path.starts_with(mounted), "{}", path.display());
    }
    let name = "/spec/template/spec/volumes/0/name";
    let mount = "/spec/template/spec/containers/0/volumeMounts/0/name";
    assert_eq!(text(&server, name), text(&server, mount));
}

#[test]
fn one_may_be_away_and_they_are_on_machines_of_their_own() {
    let (server, disruption) = (patch("server"), patch("disruption"));
    let replicas: u32 = text(&server, "/spec/replicas").parse().unwrap();
    let available: u32 = text(&disruption, "/spec/minAvailable").parse().unwrap();
    assert_eq!(available, replicas - 1);
    let spread = "/spec/template/spec/topologySpreadConstraints/0";
    assert_eq!(text(&server, &format!("{spread}/topologyKey")), "kubernetes.io/hostname");
    assert_eq!(text(&server, &format!("{spread}/whenUnsatisfiable")), "DoNotSchedule");
    let base = crate::yaml::documents(
        "server",
        &pdp_tests::tree::text(Path::new("deploy/kubernetes/server.yaml")),
    );
    let labels = &base[2]["spec"]["template"]["metadata"]["labels"];
    for constraint in list(&server, "/spec/template/spec/topologySpreadConstraints") {
        assert_eq!(&constraint["labelSelector"]["matchLabels"], labels);
    }
}
