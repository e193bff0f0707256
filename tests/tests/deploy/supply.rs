//! What the server is made of: dependencies from one place, each pinned, and the list of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pdp_tests::tree::{root, text};
use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The packages of the lock file, each with its lines.
fn locked() -> Vec<String> {
    let lock = text(Path::new("Cargo.lock"));
    lock.split("[[package]]\n").skip(1).map(str::to_owned).collect()
}

fn field<'p>(package: &'p str, name: &str) -> Option<&'p str> {
    let start = format!("{name} = \"");
    package.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('"'))
}

#[test]
fn every_dependency_comes_from_one_registry_and_is_pinned() {
    let mut foreign = 0;
    for package in locked() {
        match field(&package, "source") {
            None => assert!(field(&package, "name").unwrap().starts_with("pdp"), "{package}"),
            Some(source) => {
                assert_eq!(source, REGISTRY, "{package}");
                assert_eq!(field(&package, "checksum").map(str::len), Some(64), "{package}");
                foreign += 1;
            }
        }
    }
    assert!(foreign > 100, "only {foreign} dependencies found");
}

/// What is linked into the server on Linux, with its version, as cargo tells it.
fn linked() -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["tree", "--locked", "--package", "pdp-server"]);
    cargo.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    cargo.args(["--target", "x86_64-unknown-linux-gnu"]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let named = |line: &str| Some(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    let linked: BTreeSet<_> = text.lines().filter_map(named).collect();
    assert!(linked.len() > 100, "only {} packages", linked.len());
    linked
}

#[test]
fn the_bill_of_materials_lists_what_is_locked() {
    let output = Command::new("python3").arg(root().join("deploy/sbom")).output();
    let output =
        output.unwrap_or_else(|error| panic!("`python3` does not run: {error}; install it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(bill["bomFormat"], "CycloneDX");
    let locked: BTreeSet<_> = locked()
        .iter()
        .map(|it| format!("{} {}", field(it, "name").unwrap(), field(it, "version").unwrap()))
        .collect();
    let components = bill["components"].as_array().unwrap();
    assert!(components.len() > 100, "only {} components", components.len());
    for component in components {
        let (name, version) = (component["name"].as_str(), component["version"].as_str());
        let named = format!("{} {}", name.unwrap(), version.unwrap());
        assert!(locked.contains(&named), "{named} is not locked");
        let is_ours = name.unwrap().starts_with("pdp-");
        assert_eq!(component["hashes"][0]["content"].is_string(), !is_ours, "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
    }
    // What the bill is of is told beside them.
    for linked in linked().into_iter().filter(|it| !it.starts_with("pdp-server ")) {
        let of =
            |it: &Value| Some(format!("{} v{}", it["name"].as_str()?, it["version"].as_str()?));
        assert!(components.iter().filter_map(of).any(|it| it == linked), "no {linked} in the bill");
    }
    let has = |name: &str| components.iter().any(|component| component["name"] == name);
    assert!(has("redb") && has("rustls") && has("pdp-engine"));
    // What only tests use is in no binary.
    assert!(!has("proptest") && !has("rcgen"));
}
