//! What reads bytes that somebody else wrote, each as a function of any bytes: for the fuzz targets in
//! `tests/fuzz`, and for `tests/corpora.rs`, which puts their corpora through the same functions.
//!
//! A function returns where the bytes were refused or answered as they should be, and panics where not:
//! an internal error, something that does not read back as it was written, a path that passes and should
//! not.

mod inside;
mod replayed;

use pdp_bundle::case::{CaseFile, run_in_process};
use pdp_bundle::export::export;
use pdp_engine::facts::Facts;

use crate::world::NOON;
pub use inside::{Answered, HTTP_PATHS, METHODS};

/// A function that any bytes may be given.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 8] = [
    ("authzen", inside::authzen),
    ("bundle", bundle),
    ("case_file", case_file),
    ("decision_log", replayed::decision_log),
    ("ext_authz", inside::ext_authz),
    ("grpc", inside::grpc),
    ("record", record),
    ("token", token),
];

/// Puts bytes through the target of this name.
///
/// # Panics
/// If something is not as it should be, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.unwrap_or_else(|| panic!("there is no target `{name}`"));
    target(data);
}

/// How a server answers the bytes of `grpc` or `authzen`; `None` where they ask nothing.
#[must_use]
pub fn answer(name: &str, data: &[u8]) -> Option<Answered> {
    match name {
        "grpc" => inside::asked_over_grpc(data),
        "authzen" => inside::asked_over_http(data),
        _ => None,
    }
}

/// A policy bundle: what is accepted is exported, and the export is the same policy.
fn bundle(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(bundle) = pdp_bundle::parse("bundle", text) else { return };
    let mut facts = Facts::default();
    match facts.apply(&bundle.changes()) {
        Ok(_) => {
            let written = export(&facts);
            let again = pdp_bundle::parse("export", &written);
            let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
            let mut read = Facts::default();
            read.apply(&again.changes()).unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(read, facts, "{written}");
        }
        Err(rejected) => drop(bundle.explain_rejection(&rejected).to_string()),
    }
}

/// A case file, run against the engine.
fn case_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let case = CaseFile::parse("case", text, |_| Err("there are no other files".to_owned()));
    let Ok(case) = case else { return };
    if let Ok(report) = run_in_process(&case, NOON) {
        assert_eq!(report.outcomes.len(), case.checks.len());
        drop(report.to_string());
    }
}

/// A record of the store, of whichever kind.
fn record(data: &[u8]) {
    if let Err(why) = pdp_server::store::read_back(data) {
        panic!("{why}");
    }
}

/// A page token. (What a caller holds of a revision is a number, and is part of `grpc` and `authzen`.)
fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(why) = pdp_server::rpc::read_back(text) {
        panic!("{why}");
    }
}
