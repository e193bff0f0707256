//! The corpora of the fuzz targets, put through the same functions without a fuzzer, as they are and
//! changed at random; found crashes are files of them. `PDP_TEST_MUTATIONS` is how many changed inputs
//! each target gets.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pdp_tests::fuzz::{HTTP_PATHS, METHODS, TARGETS, answer, run};
use pdp_tests::history::Draws;
use pdp_tests::tree::{root, text};

/// A corpus of fewer files begins from too little.
const SEEDS: usize = 6;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn run_all(target: &str) {
    let files = corpus(target);
    assert!(files.len() >= SEEDS, "only {} files for {target}", files.len());
    for file in &files {
        println!("{}", file.display());
        run(target, &fs::read(file).unwrap());
    }
}

#[test]
fn bundles() {
    run_all("bundle");
}

#[test]
fn case_files() {
    run_all("case_file");
    // Every scenario is one, too.
    for file in pdp_tests::scenario::yaml_files(&pdp_tests::scenario::folder()) {
        run("case_file", &fs::read(file).unwrap());
    }
}

#[test]
fn decision_logs() {
    run_all("decision_log");
}

#[test]
fn external_authorization() {
    run_all("ext_authz");
}

#[test]
fn records() {
    run_all("record");
}

#[test]
fn tokens() {
    run_all("token");
}

#[test]
fn grpc_messages() {
    run_all("grpc");
    // The seeds are messages, and of every method.
    let (mut asked, mut well) = (BTreeSet::new(), BTreeSet::new());
    for file in corpus("grpc") {
        let data = fs::read(file).unwrap();
        let Some(told) = answer("grpc", &data) else { continue };
        asked.insert(told.of);
        if told.good {
            well.insert(told.of);
        }
    }
    let missing: Vec<_> = METHODS.iter().filter(|it| !asked.contains(*it)).collect();
    assert!(missing.is_empty(), "no seed asks {missing:?}");
    println!("answered well: {well:?}");
    assert!(well.len() >= 20, "only {} methods answer a seed well", well.len());
}

#[test]
fn authzen_bodies() {
    run_all("authzen");
    let good: BTreeSet<&str> = corpus("authzen")
        .into_iter()
        .filter_map(|file| answer("authzen", &fs::read(file).unwrap()))
        .filter(|told| told.good)
        .map(|told| told.of)
        .collect();
    assert_eq!(good, HTTP_PATHS.into_iter().collect(), "paths that answer a seed well");
}

/// How many changed inputs each target gets where nothing says so.
const MUTATIONS: usize = 500;

/// The changes that an input goes through at most.
const CHANGES: usize = 4;

/// Bytes that begin or end something somewhere.
const TELLING: &[u8] = b"\x00\x01\x7f\x80\xff\n {}[]\":,*&%/.;@-";

/// An input with a few bytes changed, left out, repeated, or taken from another.
fn changed(draws: &mut Draws, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[draws.below(seeds.len())].clone();
    for _ in 0..=draws.below(CHANGES) {
        let at = draws.below(input.len());
        let end = (at + draws.below(16)).min(input.len());
        match draws.below(6) {
            0 if at < input.len() => input[at] ^= 1 << draws.below(8),
            1 if at < input.len() => input[at] = TELLING[draws.below(TELLING.len())],
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => input.insert(at, TELLING[draws.below(TELLING.len())]),
            _ => {
                let other = &seeds[draws.below(seeds.len())];
                let from = draws.below(other.len());
                let to = (from + draws.below(64)).min(other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    input
}

#[test]
fn whatever_is_made_of_the_corpora_is_taken() {
    let mutations = std::env::var("PDP_TEST_MUTATIONS");
    let mutations = mutations.map_or(MUTATIONS, |count| count.parse().unwrap());
    std::thread::scope(|scope| {
        for (target, _) in TARGETS {
            scope.spawn(move || {
                let seeds: Vec<Vec<u8>> =
                    corpus(target).iter().map(|file| fs::read(file).unwrap()).collect();
                let mut draws = Draws::new(target.len() as u64);
                for n in 0..mutations {
                    let input = changed(&mut draws, &seeds);
                    if std::panic::catch_unwind(|| run(target, &input)).is_err() {
                        let text = String::from_utf8_lossy(&input);
                        panic!("{target} fails on input {n}: {text:?}, bytes {input:?}");
                    }
                }
                println!("{target}: {mutations} inputs");
            });
        }
    });
}

#[test]
fn every_target_is_a_program_with_a_corpus() {
    let manifest = text(Path::new("tests/fuzz/Cargo.toml"));
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no program");
        let program = text(&PathBuf::from(format!("tests/fuzz/targets/{name}.rs")));
        assert!(program.contains(&format!("run(\"{name}\", data)")), "{name} runs something else");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    let corpora = fs::read_dir(root().join("tests/fuzz/corpus")).unwrap().count();
    assert_eq!(corpora, TARGETS.len());
}
