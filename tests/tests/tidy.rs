//! The house rules that a machine can hold: directions, sizes, names, and that every rule of the
//! semantics is shown by a scenario.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pdp_tests::scenario::{cases, rejected};
use pdp_tests::tree::{
    code, dependencies, files, first_word, is_for_tests, room, rooms_used, root, rust_files, text,
};

/// What each crate of ours may depend on. Development dependencies are free, but for the engine.
const DIRECTIONS: [(&str, &str, &[&str]); 8] = [
    ("pdp-engine", "pdp-server/engine", &[]),
    ("pdp-proto", "proto", &[]),
    ("pdp-bundle", "pdp-server/bundle", &["pdp-engine"]),
    ("pdp-server", "pdp-server", &["pdp-bundle", "pdp-engine", "pdp-proto"]),
    ("pdp-client", "pdp-client", &["pdp-engine", "pdp-proto"]),
    ("pdpctl", "pdp-client/cli", &["pdp-bundle", "pdp-client", "pdp-engine"]),
    (
        "pdp-loadtest",
        "loadtest",
        &["pdp-bundle", "pdp-client", "pdp-engine", "pdp-proto", "pdp-server"],
    ),
    ("pdp-tests", "tests", &["pdp-bundle", "pdp-client", "pdp-engine", "pdp-proto", "pdp-server"]),
];

/// What may stand at the top of the tree.
const TOP: [&str; 14] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "deploy",
    "docs",
    "loadtest",
    "pdp-client",
    "pdp-server",
    "proto",
    "tests",
];

/// Files at the top that tools look for there and that no dotfile can replace.
const TOP_FOR_TOOLS: [&str; 2] = ["clippy.toml", "rustfmt.toml"];

const MAX_LINES: usize = 500;

const FORBIDDEN_NAMES: [&str; 8] = [
    "mod.rs",
    "utils.rs",
    "util.rs",
    "common.rs",
    "helpers.rs",
    "manager.rs",
    "error.rs",
    "traits.rs",
];

/// The rules that this version decides by, a family with its numbers.
const RULES: [(char, std::ops::RangeInclusive<u32>); 6] =
    [('A', 1..=9), ('C', 0..=3), ('D', 0..=7), ('P', 1..=12), ('Q', 1..=8), ('V', 1..=7)];

/// Rules that no case file can show, as they are not about questions, and the tests that show them:
/// the file, and a test in it.
const SHOWN_ELSEWHERE: [(&str, &str, &[&str]); 1] = [(
    "D7",
    "pdp-server/tests/rpc/delegated.rs",
    &[
        "what_the_person_may_hand_out_is_applied_once",
        "a_refusal_says_which_change_why_and_who_could",
        "nobody_and_the_disabled_are_refused",
        "a_person_without_a_name_is_malformed_and_not_nobody",
        "an_approval_cannot_be_written_on_behalf_of_a_person",
    ],
)];

/// The crates that are no members of the workspace, and what of ours they may depend on.
const APART: [(&str, &str, &[&str]); 3] = [
    ("pdp-fuzz", "tests/fuzz", &["pdp-tests"]),
    ("pdp-mutants", "tests/mutants", &[]),
    ("pdp-peers", "loadtest/peers", &["pdp-bundle", "pdp-engine", "pdp-loadtest"]),
];

fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn crates_depend_in_one_direction() {
    let ours: BTreeSet<&str> = DIRECTIONS.iter().map(|(name, ..)| *name).collect();
    let mut wrong = Vec::new();
    for (name, folder, allowed) in DIRECTIONS.into_iter().chain(APART) {
        let manifest = text(&Path::new(folder).join("Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{folder} is not {name}");
        let mut sections = vec!["dependencies", "build-dependencies"];
        if name == "pdp-engine" {
            sections.push("dev-dependencies");
        }
        for dependency in dependencies(&manifest, &sections) {
            if ours.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} -> {dependency}"));
            }
        }
    }
    none("dependencies against the direction", &wrong);
    let members = text(Path::new("Cargo.toml"));
    let listed = members.lines().filter(|line| line.starts_with("    \"")).count();
    assert_eq!(listed, DIRECTIONS.len(), "the workspace has members without a direction");
}

#[test]
fn the_engine_is_pure() {
    let manifest = text(Path::new("pdp-server/engine/Cargo.toml"));
    let used = dependencies(&manifest, &["dependencies", "build-dependencies"]);
    let allowed =
        BTreeSet::from(["foldhash", "rpds", "sha2", "siphasher", "thiserror"].map(str::to_owned));
    let more: Vec<String> = used.difference(&allowed).cloned().collect();
    none("the engine depends on more than it may", &more);
    let impure = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "SystemTime",
        "Instant::now",
        "println!",
        "eprintln!",
    ];
    let mut wrong = Vec::new();
    for path in rust_files("pdp-server/engine/src") {
        let code = code(&path);
        for word in impure.iter().filter(|word| code.contains(**word)) {
            wrong.push(format!("{}: {word}", path.display()));
        }
    }
    none("the engine touches the world", &wrong);
}

fn rooms_that_use(under: &str, from: &[&str], forbidden: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut looked_at = BTreeSet::new();
    for path in rust_files(under) {
        let room = room(&path);
        if !from.contains(&room.as_str()) {
            continue;
        }
        looked_at.insert(room);
        for used in rooms_used(&path) {
            if forbidden.contains(&used.as_str()) {
                wrong.push(format!("{} uses `{used}`", path.display()));
            }
        }
    }
    let looked_at: Vec<&str> = looked_at.iter().map(String::as_str).collect();
    let missing: Vec<&&str> = from.iter().filter(|room| !looked_at.contains(room)).collect();
    assert!(missing.is_empty(), "{under} has no room {missing:?}");
    wrong
}

#[test]
fn the_read_side_never_sees_facts_or_compile() {
    let read_side = [
        "ahead", "arena", "batch", "image", "snapshot", "walk", "query", "check", "explain",
        "delegate", "vault", "session", "list",
    ];
    let wrong = rooms_that_use("pdp-server/engine/src", &read_side, &["facts", "compile"]);
    none("the read side looks behind the snapshot", &wrong);
    // The scan sees what it looks for where it is allowed.
    assert!(rooms_used(Path::new("pdp-server/engine/src/compile.rs")).contains("facts"));
    assert!(rooms_used(Path::new("pdp-server/src/publish.rs")).contains("store"));
    // Every room of the engine is on a side, so that a new one is thought about.
    let other = [
        "actor",
        "compile",
        "facts",
        "id",
        "level",
        "lib",
        "permission",
        "psm",
        "resource",
        "share",
        "time",
    ];
    let rooms: BTreeSet<String> =
        rust_files("pdp-server/engine/src").iter().map(|path| room(path)).collect();
    let unknown: Vec<String> = rooms
        .into_iter()
        .filter(|room| !read_side.contains(&room.as_str()) && !other.contains(&room.as_str()))
        .collect();
    none("rooms of the engine that are on no side", &unknown);
}

#[test]
fn what_builds_hand_to_programs_is_no_setting() {
    // `cargo run` puts it into the program's environment, which is told of variables that name no setting.
    for build in ["pdp-server/build.rs", "proto/build.rs"] {
        assert!(!text(Path::new(build)).contains("rustc-env=PDP_"), "{build}");
    }
}

#[test]
fn doors_never_see_the_store() {
    let doors = ["rpc", "http"];
    none("a door uses the store", &rooms_that_use("pdp-server/src", &doors, &["store"]));
    let behind = ["publish", "store", "audit", "receipt", "clock"];
    let wrong = rooms_that_use("pdp-server/src", &behind, &["rpc", "http"]);
    none("what is behind the doors knows of one", &wrong);
    // Wire types end in the doors, disk types in the store.
    let mut leaks = Vec::new();
    for path in rust_files("pdp-server/src").iter().filter(|path| !is_for_tests(path)) {
        let (room, code) = (room(path), code(path));
        // What etcd is asked ends in the replica's room, which knows no other wire.
        let wire = if room == "replica" { "pdp_proto::v1" } else { "pdp_proto" };
        if code.contains(wire) && !["rpc", "http", "lib"].contains(&room.as_str()) {
            leaks.push(format!("{} names wire types", path.display()));
        }
        if code.contains("redb::") && room != "store" {
            leaks.push(format!("{} names the database", path.display()));
        }
    }
    none("types beyond their room", &leaks);
}

#[test]
fn the_oracle_knows_only_plain_facts() {
    let plain = [
        "actor",
        "facts",
        "id",
        "level",
        "permission",
        "psm",
        "query",
        "resource",
        "share",
        "time",
    ];
    // Of the rooms that decide it may have the questions and what answers are made of.
    let words = [
        ("delegate", &["DelegationAction", "DelegationQuestion", "RecipientRef", "ScopeRef"][..]),
        ("list", &["AnyPermission", "ApprovalQuestion", "ListedPermission", "SubjectKinds"]),
        (
            "session",
            &[
                "AccountMode",
                "JitAccount",
                "Obligations",
                "OpenSession",
                "Privileged",
                "SessionQuestion",
            ],
        ),
        ("vault", &["VaultQuestion"]),
    ];
    let mut wrong = Vec::new();
    for path in rust_files("tests/src").into_iter().filter(|path| room(path) == "oracle") {
        let code = code(&path);
        for (at, _) in code.match_indices("pdp_engine") {
            let rest = code[at + "pdp_engine".len()..].trim_start_matches(':');
            let module = first_word(rest);
            let used = rest[module.len()..].trim_start_matches(':');
            let used = match used.strip_prefix('{').and_then(|group| group.split('}').next()) {
                Some(group) => group.split(',').map(first_word).collect(),
                None => vec![first_word(used)],
            };
            let has_words = words.iter().any(|(room, words)| {
                let is_one = |word: &String| word.is_empty() || words.contains(&word.as_str());
                *room == module && used.iter().all(is_one)
            });
            if !plain.contains(&module.as_str()) && !has_words {
                wrong.push(format!("{} uses pdp_engine::{module}", path.display()));
            }
        }
        let tools = ["pdp_bundle", "pdp_server", "pdp_client", "crate::world", "crate::verify"];
        let found = tools.iter().filter(|tool| code.contains(**tool));
        wrong.extend(found.map(|tool| format!("{} uses {tool}", path.display())));
        // It may read facts, and ask nothing of them that is a rule.
        let rules = [
            ".contains(self.now)",
            ".apply(",
            ".validate(",
            ".gives(",
            ".denies(",
            "is_ordered",
            "REMOTE_APP_PLATFORMS",
        ];
        let found = rules.iter().filter(|rule| code.contains(**rule));
        wrong.extend(found.map(|rule| format!("{} calls {rule}", path.display())));
    }
    none("the oracle is not independent", &wrong);
}

#[test]
fn files_are_short_and_well_named() {
    let mut wrong = Vec::new();
    for path in rust_files("") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if FORBIDDEN_NAMES.contains(&name.as_str()) {
            wrong.push(format!("{}: not a name for a room", path.display()));
        }
        let text = text(&path);
        let lines = text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.starts_with("//!") && !is_for_tests(&path) {
            wrong.push(format!("{}: no module doc at its top", path.display()));
        }
    }
    none("files against the house rules", &wrong);
}

#[test]
fn nothing_is_skipped_or_left_for_later() {
    // Taken apart here, so that this file does not hold what it looks for.
    let marks: Vec<String> = [
        ["#[ign", "ore"],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["XX", "X"],
        ["unimpl", "emented!("],
        ["to", "do!("],
        ["thread::sl", "eep"],
    ]
    .iter()
    .map(|halves| halves.concat())
    .collect();
    let mut wrong = Vec::new();
    for path in files().iter().filter(|path| !path.ends_with("Cargo.lock")) {
        for (number, line) in text(path).lines().enumerate() {
            for mark in marks.iter().filter(|mark| line.contains(mark.as_str())) {
                wrong.push(format!("{}:{}: {mark}", path.display(), number + 1));
            }
        }
    }
    none("something is skipped or left for later", &wrong);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let places: Vec<String> = [["/wo", "rk/"], ["/ho", "me/"], ["/ro", "ot/"], ["/Us", "ers/"]]
        .iter()
        .map(|halves| halves.concat())
        .collect();
    let mut wrong = Vec::new();
    for path in files() {
        for (number, line) in text(&path).lines().enumerate() {
            for place in places.iter().filter(|place| line.contains(place.as_str())) {
                wrong.push(format!("{}:{}: {place}", path.display(), number + 1));
            }
        }
    }
    none("places on a machine", &wrong);
}

#[test]
fn the_top_of_the_tree_is_as_agreed() {
    let mut more = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let known = [&TOP[..], &TOP_FOR_TOOLS[..], &["target"]].concat();
        if !name.starts_with('.') && !known.contains(&name.as_str()) {
            more.push(name);
        }
    }
    none("more at the top of the tree than was agreed", &more);
}

#[test]
fn every_rule_is_shown_by_a_scenario() {
    let mut shown: BTreeMap<String, usize> = BTreeMap::new();
    let accepted = cases();
    let refused = rejected();
    let all = accepted.iter().chain(refused.iter().map(|file| &file.case));
    for case in all {
        for rule in &case.rules {
            *shown.entry(rule.clone()).or_default() += 1;
        }
    }
    let rules: Vec<String> = RULES
        .iter()
        .flat_map(|(family, numbers)| numbers.clone().map(move |n| format!("{family}{n}")))
        .collect();
    for (rule, file, tests) in SHOWN_ELSEWHERE {
        let code = code(Path::new(file));
        for test in tests {
            assert!(code.contains(&format!("fn {test}()")), "{rule}: {file} has no test `{test}`");
        }
        assert!(!shown.contains_key(rule), "{rule} is shown by a scenario");
        shown.insert(rule.to_owned(), 0);
    }
    let missing: Vec<String> =
        rules.iter().filter(|rule| !shown.contains_key(*rule)).cloned().collect();
    none("rules without a scenario", &missing);
    // Sections are named `S1`; whatever else is named must be a rule that is decided by.
    let unknown: Vec<String> = shown
        .keys()
        .filter(|rule| !rules.contains(rule) && !rule.starts_with('S'))
        .cloned()
        .collect();
    none("scenarios name what is no rule", &unknown);
    let counts: Vec<String> =
        shown.iter().map(|(rule, count)| format!("{rule}: {count}")).collect();
    println!("scenario files a rule: {}", counts.join(", "));
}

#[test]
fn the_page_of_rules_has_the_rules_that_are_tested() {
    // A rule that is added to the page must be added here, and with it to a scenario.
    let page = text(Path::new("docs/semantics.md"));
    for (family, numbers) in RULES {
        let written: BTreeSet<u32> = page
            .lines()
            .filter_map(|line| line.strip_prefix("### ")?.strip_prefix(family))
            .filter_map(|rest| rest.split(' ').next()?.parse().ok())
            .collect();
        assert_eq!(written, numbers.collect(), "rules of family {family}");
    }
}
