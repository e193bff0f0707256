use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::*;
use crate::callers::Gate;
use crate::clock::Clock;
use crate::config::{PersonTypes, Settings};
use crate::decision_id::DecisionIds;
use crate::decision_log::DecisionLog;
use crate::http::{Ready, Routes, authzen};
use crate::rpc::{Door, ImportLimits, Limits, Noting};
use crate::telemetry::{Metrics, Spans};

/// The methods of every service in a descriptor set.
fn methods(set: &[u8]) -> Vec<String> {
    let set = FileDescriptorSet::decode(set).unwrap();
    let mut found = Vec::new();
    for file in &set.file {
        for service in &file.service {
            let path = |method: &str| format!("/{}.{}/{method}", file.package(), service.name());
            found.extend(service.method.iter().map(|method| path(method.name())));
        }
    }
    found
}

/// The methods of Envoy's API that are served, of which there is no descriptor set.
fn envoys() -> Vec<String> {
    let text = include_str!("../../../../proto/envoy/service/auth/v3/external_auth.proto");
    let after = |line: &str, word: &str| {
        let rest = line.trim().strip_prefix(word)?;
        Some(rest.trim().split([' ', '(', ';', '{']).next()?.to_owned())
    };
    let package = text.lines().find_map(|line| after(line, "package ")).unwrap();
    let service = text.lines().find_map(|line| after(line, "service ")).unwrap();
    let methods = text.lines().filter_map(|line| after(line, "rpc "));
    methods.map(|method| format!("/{package}.{service}/{method}")).collect()
}

#[test]
fn every_method_that_is_served_needs_something_and_nothing_else_is_in_the_table() {
    let sets: [&[u8]; 4] = [
        pdp_proto::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let served: BTreeSet<String> = sets.into_iter().flat_map(methods).chain(envoys()).collect();
    assert!(served.len() > 25 && served.contains("/envoy.service.auth.v3.Authorization/Check"));
    let table: BTreeSet<String> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
    let missing: Vec<_> = served.difference(&table).collect();
    assert!(missing.is_empty(), "methods that the table of roles lacks: {missing:#?}");
    let more: Vec<_> = table.difference(&served).collect();
    assert!(more.is_empty(), "the table of roles has what is not served: {more:#?}");
    assert_eq!(table.len(), METHODS.len(), "a method stands twice");
}

fn served_routes() -> BTreeSet<String> {
    let clock = Clock::fixed(pdp_engine::time::Timestamp::from_micros(0));
    let limits = Limits {
        max_message_bytes: 1 << 20,
        max_batch: crate::rpc::MAX_BATCH,
        max_changes: crate::rpc::MAX_CHANGES,
        max_running_lists: 1,
        pages: crate::rpc::PageSizes { plain: 10, explained: 10 },
        max_wait: Duration::from_secs(1),
        max_live_streams: 1,
        max_check_streams: 1,
        check_stream_idle: Duration::from_secs(60),
        max_health_streams: 1,
        max_connection_health_streams: 1,
        imports: ImportLimits { at_once: 1, bytes: 1 << 20, time: Duration::from_secs(1) },
    };
    let noting = Noting {
        decision_ids: DecisionIds::new().unwrap(),
        log: DecisionLog::default(),
        spans: Spans::default(),
    };
    let (metrics, load) = (Arc::new(Metrics::new()), crate::admission::tests::unlimited());
    let gate = Arc::new(Gate::new(None, clock.clone(), Arc::clone(&metrics), load.all()));
    let door = Door::new((clock, gate), metrics, noting, limits);
    let options = authzen::Options {
        public_url: None,
        access_request_url: None,
        person_types: PersonTypes::default(),
        max_evaluations: 10,
        max_body_bytes: 1 << 10,
        timeout: Duration::from_secs(60),
    };
    let threads = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let routes = Routes::new(Ready::default(), &door, Some(options), threads.handle());
    routes.paths().iter().cloned().collect()
}

#[test]
fn every_route_that_is_served_needs_something_and_nothing_else_is_in_the_table() {
    let served = served_routes();
    assert!(served.contains("/t/{tenant}/access/v1/evaluation") && served.contains("/metrics"));
    let missing: Vec<_> = served.iter().filter(|path| Need::of_route(path).is_none()).collect();
    assert!(missing.is_empty(), "routes that the table of roles lacks: {missing:#?}");
    let more: Vec<_> = ROUTES.iter().filter(|(path, _)| !served.contains(*path)).collect();
    assert!(more.is_empty(), "the table of roles has what is not served: {more:#?}");
}

#[test]
fn what_shows_the_access_of_others_is_never_under_check() {
    let revealing = [
        "Explain",
        "ListSubjects",
        "ListApprovers",
        "WatchPermissions",
        "Export",
        "Get",
        "List",
        "Watch",
    ];
    for (path, need) in METHODS.iter().chain(ROUTES) {
        let (service, name) = path.rsplit_once('/').unwrap();
        let policy = service.ends_with("PolicyService") || service.ends_with("DecisionService");
        let reveals = revealing.iter().any(|word| {
            let exact = ["Get", "List", "Watch"].contains(word);
            if exact { name == *word } else { name.starts_with(word) }
        });
        if (policy && reveals) || *path == "/access/v1/search/subject" {
            assert_eq!(*need, EXPLAIN, "{path}");
        }
    }
    let open = METHODS.iter().chain(ROUTES).filter(|(_, need)| *need == Need::Nothing);
    for (path, _) in open {
        let health = path.contains("Health/") || path.starts_with("/healthz/");
        assert!(health || path.starts_with("/.well-known/"), "{path} is open to everybody");
    }
}

#[test]
fn settings_name_no_secret() {
    // What a setting holds is printed by `pdp-server config`: a file's name, and never a key.
    for name in Settings::names() {
        let words = ["token", "password", "secret"];
        assert!(!words.iter().any(|word| name.contains(word)), "{name}");
    }
}
