//! The files of `deploy`, and what every one of them has to be.

use std::path::{Path, PathBuf};

use pdp_tests::tree::{files, text};
use serde_json::Value;

use crate::yaml;

/// The files below `deploy`, with their text.
pub(crate) fn deployed() -> Vec<(PathBuf, String)> {
    let files = files().into_iter().filter(|path| path.starts_with("deploy"));
    let files: Vec<_> = files.map(|path| (path.clone(), text(&path))).collect();
    assert!(files.len() > 15, "only {} files found", files.len());
    files
}

/// The only document of a file, by its path below `deploy`.
pub(crate) fn yaml(path: &str) -> Value {
    let text = text(&Path::new("deploy").join(path));
    yaml::document(path, &text)
}

#[test]
fn every_file_of_data_can_be_read() {
    let mut read = 0;
    for (path, text) in deployed() {
        let name = path.display().to_string();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("yaml") => assert!(!yaml::documents(&name, &text).is_empty(), "{name} is empty"),
            Some("json") => drop(serde_json::from_str::<Value>(&text).unwrap()),
            _ => continue,
        }
        read += 1;
    }
    assert!(read >= 15, "only {read} files of data found");
}

#[test]
fn files_that_files_name_are_there() {
    for (file, folder, paths) in [
        ("kubernetes/kustomization.yaml", "kubernetes", vec!["/resources"]),
        ("kubernetes-replicas/kustomization.yaml", "kubernetes-replicas", vec!["/patches"]),
        ("monitoring/prometheus.yaml", "monitoring", vec!["/rule_files"]),
    ] {
        for path in paths {
            for named in yaml::list(&yaml(file), path) {
                // A patch names its file.
                let named = named.get("path").unwrap_or(named).as_str().unwrap();
                let named = Path::new("deploy").join(folder).join(named);
                assert!(!text(&named).is_empty(), "{file} names {}", named.display());
            }
        }
    }
    let compose = yaml("container/compose.yaml");
    for (service, what) in compose["services"].as_object().unwrap() {
        for volume in what.get("volumes").into_iter().flat_map(|it| it.as_array().unwrap()) {
            let source = yaml::text(volume, "").split(':').next().unwrap();
            let there = match source.strip_prefix("../") {
                Some(path) => pdp_tests::tree::root().join("deploy").join(path).exists(),
                None => compose["volumes"].get(source).is_some(),
            };
            assert!(there, "{service} mounts {source}");
        }
    }
    let build = &compose["services"]["pdp"]["build"]["dockerfile"];
    assert!(!text(Path::new(build.as_str().unwrap())).is_empty(), "{build}");
}
