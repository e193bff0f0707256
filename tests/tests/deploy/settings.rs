//! Variables, flags, ports and paths that files of `deploy` and pages name.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pdp_server::config::Settings;
use pdp_tests::door::Server;
use pdp_tests::http::Protocol;
use pdp_tests::tree::{files, root, text};

use crate::files::{deployed, yaml};
use crate::run;
use crate::yaml::{list, text as at, texts};

/// What begins with `PDP_` in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let starts = text.match_indices("PDP_").map(|(start, _)| start);
    let names = starts.map(|start| text[start..].chars().take_while(|c| is_part(*c)).collect());
    names.collect()
}

/// The flags of each `pdp-server serve` and `pdp-server config` in a text; lines that end in a backslash go on.
fn flags(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let mut flags = Vec::new();
    for line in text.lines() {
        for command in ["pdp-server serve", "pdp-server config"] {
            let Some((_, rest)) = line.split_once(command) else { continue };
            let own = rest.split(['&', '`', '|']).next().unwrap_or_default();
            let words = own.split_whitespace().filter(|word| word.starts_with("--"));
            flags.extend(words.map(|word| {
                let end = |c: char| !c.is_ascii_lowercase() && c != '-';
                word.split(end).next().unwrap_or_default().to_owned()
            }));
        }
    }
    flags
}

#[test]
fn variables_and_flags_that_are_named_are_settings() {
    let mut named = 0;
    for (path, text) in deployed() {
        for variable in variables(&text) {
            assert!(run::is_variable(&variable), "{}: {variable}", path.display());
            named += 1;
        }
    }
    let pages = files().into_iter().filter(|path| path.extension().is_some_and(|it| it == "md"));
    let read = pages.map(|path| (path.clone(), text(&path)));
    for (path, text) in read.chain(deployed()) {
        for flag in flags(&text) {
            assert!(run::is_flag(&flag), "{}: {flag}", path.display());
            named += 1;
        }
    }
    assert!(named > 20, "only {named} variables and flags found");
    // The scan sees what it looks for.
    assert_eq!(flags("pdp-server serve --a b \\\n --c=d & envoy --e"), ["--a", "--c"]);
}

#[test]
fn the_image_starts_the_server_where_its_ports_and_folder_are() {
    let file = text(Path::new("deploy/container/Containerfile"));
    let lines = |keyword: &str| {
        let lines = file.lines().filter_map(|line| line.strip_prefix(keyword));
        lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines("EXPOSE"), [["grpc", "http"].map(run::default_port).join(" ")]);
    assert_eq!(lines("VOLUME"), ["/var/lib/pdp"]);
    assert!(lines("ENV").contains(&"PDP_DATA=/var/lib/pdp".to_owned()));
    assert_eq!(lines("USER"), ["65532:65532"]);
    let [last_stage] = &lines("FROM")[1..] else { panic!("{file}") };
    assert_eq!(last_stage, "scratch");
    let command: Vec<String> = serde_json::from_str(&lines("CMD").concat()).unwrap();
    run::config(&command);
    // The newest version of Rust that is needed is the one that builds it.
    let manifest = text(Path::new("Cargo.toml"));
    let version = manifest.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(lines("FROM")[0].starts_with(&format!("docker.io/library/rust:{version}-")), "{file}");
    let root = text(Path::new("deploy/container/root"));
    assert!(root.contains("-o 65532 -g 65532 \"$image/var/lib/pdp\""), "{root}");
    assert!(root.contains("\"$image/usr/bin/$binary\""), "{root}");
    assert_eq!(lines("ENTRYPOINT"), [r#"["/usr/bin/pdp-server"]"#]);
}

#[test]
fn the_composed_server_listens_where_the_others_look() {
    let compose = yaml("container/compose.yaml");
    let pdp = &compose["services"]["pdp"];
    let line = run::with(
        &texts(pdp, "/command"),
        &[
            ("--load", &root().join("deploy/envoy/demo/policy.yaml")),
            ("--gateway", &root().join("deploy/envoy/gateway.yaml")),
        ],
    );
    let variables = pdp["environment"].as_object().unwrap();
    let mut settings = line;
    for (variable, value) in variables {
        assert!(run::is_variable(variable), "{variable}");
        settings.push(format!("--{}", variable["PDP_".len()..].to_lowercase().replace('_', "-")));
        settings.push(at(value, "").to_owned());
    }
    let config = run::config(&settings);
    assert!(config.grpc.ip().is_loopback() && config.http.ip().is_loopback(), "{config}");
    let envoy = text(Path::new("deploy/envoy/envoy.yaml"));
    assert!(envoy.contains(&format!("port_value: {}}}", config.grpc.port())), "{}", config.grpc);
    let stop = at(pdp, "/stop_grace_period").strip_suffix('s').unwrap().parse().unwrap();
    assert!(Duration::from_secs(stop) > config.grace + config.drain);

    let prometheus = yaml("monitoring/prometheus.yaml");
    let targets: Vec<_> = list(&prometheus, "/scrape_configs")
        .iter()
        .map(|job| (at(job, "/job_name"), at(job, "/static_configs/0/targets/0")))
        .collect();
    let admin = "port_value: 9901}";
    assert!(envoy.contains(admin), "{targets:?}");
    assert_eq!(targets, [("pdp", config.http.to_string().as_str()), ("envoy", "127.0.0.1:9901")]);
    let alerts = text(Path::new("deploy/monitoring/alerts.yaml"));
    assert!(alerts.contains("up{job=\"pdp\"}"), "the alerts are about another job");
}

#[test]
fn what_probes_and_prometheus_ask_is_answered() {
    let server = Server::start();
    let http = server.http(Protocol::Http1);
    let manifest = text(Path::new("deploy/kubernetes/server.yaml"));
    let probes: Vec<_> = manifest.split("httpGet: {path: ").skip(1).collect();
    let probes = probes.iter().map(|probe| probe.split(',').next().unwrap().to_owned());
    let metrics = yaml("monitoring/prometheus.yaml");
    let asked: Vec<_> =
        probes.chain([at(&metrics, "/scrape_configs/0/metrics_path").to_owned()]).collect();
    assert_eq!(asked, ["/healthz/live", "/healthz/ready", "/metrics"]);
    for path in asked {
        assert_eq!(http.get(&path).status, 200, "{path}");
    }
    drop(http);
    server.stop();
}

#[test]
fn settings_files_on_pages_hold_settings() {
    // The page of settings shows a file; whoever copies it is not told that something is wrong.
    let page = text(Path::new("docs/configuration.md"));
    let shown = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pdp.yaml");
    std::fs::write(&file, shown).unwrap();
    Settings::default().into_config(Some(&file)).unwrap();
}
