//! The manifests for Kubernetes: the settings that they mount are taken, and ports, labels, mounts and
//! times go together.

use std::path::Path;
use std::time::Duration;

use pdp_server::config::{Config, Settings};
use pdp_tests::tree::{root, text};
use serde_json::Value;

use crate::files::yaml;
use crate::run;
use crate::yaml::{documents, list, text as at, texts};

struct Manifests {
    service: Value,
    set: Value,
}

impl Manifests {
    fn read() -> Self {
        let text = text(Path::new("deploy/kubernetes/server.yaml"));
        let mut all = documents("server.yaml", &text).into_iter();
        let kinds = ["ServiceAccount", "Service", "StatefulSet"];
        let [account, service, set] = kinds.map(|kind| {
            let next = all.next().unwrap();
            assert_eq!(at(&next, "/kind"), kind);
            next
        });
        assert_eq!(at(&account, "/automountServiceAccountToken"), "false");
        Self { service, set }
    }

    fn pod(&self) -> &Value {
        &self.set["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        let [container] = list(self.pod(), "/containers") else { panic!("one container") };
        container
    }
}

/// The settings that the ConfigMap holds.
fn config() -> Config {
    let (config, file) = settings("kubernetes/settings.yaml");
    // The command line is one of the server's, too.
    let line = texts(Manifests::read().container(), "/args");
    assert_eq!(run::config(&run::with(&line, &[("--config", &*file)])), config);
    config
}

/// The settings that a ConfigMap holds, with the files that only a cluster has put in their place; and the file.
pub(crate) fn settings(path: &str) -> (Config, tempfile::TempPath) {
    let map = yaml(path);
    let callers = root().join("deploy/envoy/callers.yaml");
    let settings = at(&map, "/data/pdp.yaml");
    let named = "/etc/pdp/callers/callers.yaml";
    assert!(settings.contains(named), "{settings}");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap().into_temp_path();
    std::fs::write(&file, settings.replace(named, callers.to_str().unwrap())).unwrap();
    let config = Settings::default().into_config(Some(&*file)).unwrap_or_else(|e| panic!("{e}"));
    (config, file)
}

#[test]
fn the_settings_are_taken_without_being_told_insecure() {
    let config = config();
    assert!(!config.insecure && config.callers.is_some(), "{config}");
    assert!(config.grpc.ip().is_unspecified() && config.http.ip().is_unspecified(), "{config}");
    let tls = config.tls.unwrap();
    let (_, auth) = tls.client_ca.unwrap();
    assert_eq!(auth, pdp_server::config::ClientAuth::Optional, "probes have no certificates");
}

#[test]
fn ports_and_probes_are_those_of_the_settings() {
    let (config, manifests) = (config(), Manifests::read());
    let doors =
        [("grpc", config.grpc.port().to_string()), ("http", config.http.port().to_string())];
    let ports = list(manifests.container(), "/ports");
    let ports = ports.iter().map(|port| (at(port, "/name"), at(port, "/containerPort").to_owned()));
    assert_eq!(ports.collect::<Vec<_>>(), doors);
    let ports = list(&manifests.service, "/spec/ports").iter();
    let ports = ports.map(|port| (at(port, "/targetPort"), at(port, "/port").to_owned()));
    assert_eq!(ports.collect::<Vec<_>>(), doors);
    for (probe, path) in [("livenessProbe", "live"), ("readinessProbe", "ready")] {
        let get = &manifests.container()[probe]["httpGet"];
        assert_eq!(at(get, "/path"), format!("/healthz/{path}"));
        assert_eq!((at(get, "/port"), at(get, "/scheme")), ("http", "HTTPS"));
    }
    let allowed = yaml("kubernetes/network.yaml");
    let allowed = list(&allowed, "/spec/ingress").iter().flat_map(|rule| list(rule, "/ports"));
    let allowed: Vec<_> = allowed.map(|port| at(port, "/port").to_owned()).collect();
    let [(_, grpc), (_, http)] = doors;
    assert_eq!(allowed, [grpc, http.clone(), http]);
}

#[test]
fn whatever_is_named_in_the_settings_is_mounted() {
    let (config, manifests) = (config(), Manifests::read());
    let mounts = list(manifests.container(), "/volumeMounts").iter();
    let mounts: Vec<_> = mounts.map(|it| (at(it, "/name"), at(it, "/mountPath"))).collect();
    let volumes = list(manifests.pod(), "/volumes").iter();
    let claims = list(&manifests.set, "/spec/volumeClaimTemplates").iter();
    let volumes: Vec<_> = volumes
        .map(|it| at(it, "/name"))
        .chain(claims.map(|it| at(it, "/metadata/name")))
        .collect();
    for (name, path) in &mounts {
        assert!(volumes.contains(name), "{name} at {path} is no volume");
    }
    let tls = config.tls.unwrap();
    let named = [config.data, tls.cert, tls.key, tls.client_ca.unwrap().0];
    let named = named.iter().map(|path| path.to_str().unwrap().to_owned());
    let line = texts(manifests.container(), "/args");
    for path in named.chain([line[2].clone(), "/etc/pdp/callers/callers.yaml".to_owned()]) {
        let inside = |(_, mount): &(&str, &str)| Path::new(&path).starts_with(mount);
        assert!(mounts.iter().any(inside), "{path} lies in no volume");
    }
    for mount in list(manifests.container(), "/volumeMounts") {
        let writable = mount.get("readOnly").is_none();
        assert_eq!(writable, at(mount, "/name") == "data", "{mount}");
    }
}

#[test]
fn labels_times_and_privileges_are_as_they_should() {
    let (config, manifests) = (config(), Manifests::read());
    let labels = &manifests.set["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&manifests.service["spec"]["selector"], labels);
    assert_eq!(&manifests.set["spec"]["selector"]["matchLabels"], labels);
    let budget = yaml("kubernetes/disruption.yaml");
    assert_eq!(&budget["spec"]["selector"]["matchLabels"], labels);
    let network = yaml("kubernetes/network.yaml");
    assert_eq!(&network["spec"]["podSelector"]["matchLabels"], labels);
    assert_eq!(at(&manifests.set, "/spec/replicas"), "1", "one server owns one data folder");
    assert_eq!(at(&manifests.set, "/spec/serviceName"), at(&manifests.service, "/metadata/name"));

    let pod = manifests.pod();
    let stop = at(pod, "/terminationGracePeriodSeconds").parse().unwrap();
    assert!(Duration::from_secs(stop) > config.grace + config.drain);
    for (path, is) in [
        ("/automountServiceAccountToken", "false"),
        ("/enableServiceLinks", "false"),
        ("/securityContext/runAsNonRoot", "true"),
        ("/securityContext/runAsUser", "65532"),
        ("/securityContext/fsGroup", "65532"),
        ("/securityContext/seccompProfile/type", "RuntimeDefault"),
        ("/containers/0/securityContext/allowPrivilegeEscalation", "false"),
        ("/containers/0/securityContext/readOnlyRootFilesystem", "true"),
        ("/containers/0/securityContext/capabilities/drop/0", "ALL"),
    ] {
        assert_eq!(at(pod, path), is, "{path}");
    }
    let kept = list(&yaml("kubernetes/kustomization.yaml"), "/resources").len();
    assert_eq!(kept, 4, "a manifest that no list names is not applied");
}
