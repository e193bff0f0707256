//! Texts made to harm: each is refused with a clear message, soon, and within bounds.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::time::{Duration, Instant};

use pdp_bundle::case::CaseFile;
use pdp_bundle::{BundleError, MAX_BYTES, MAX_DEPTH, parse};
use proptest::prelude::*;

/// Long for what it bounds, so that a busy machine does not fail the test: what grows with the
/// square of these texts takes hours.
const SOON: Duration = Duration::from_secs(60);

fn refused(text: &str) -> BundleError {
    let begun = Instant::now();
    let error = parse("evil.yaml", text).map(|bundle| bundle.facts().len()).unwrap_err();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(error.to_string().len() < 100_000);
    error
}

#[track_caller]
fn says(text: &str, expected: &str) {
    let message = refused(text).to_string();
    assert!(message.contains(expected), "{message}");
}

#[test]
fn anchors_aliases_merge_keys_and_tags_are_refused() {
    let laughs: String = ('b'..='z')
        .map(|c| {
            let before = char::from_u32(u32::from(c) - 1).unwrap();
            format!("{c}: &{c} [{}]\n", vec![format!("*{before}"); 9].join(", "))
        })
        .collect();
    const REFUSED: &str = "anchors, aliases and merge keys are not accepted; write the value out";
    says(&format!("a: &a [lol]\n{laughs}"), &format!("evil.yaml:1:7: {REFUSED}"));
    says("people: &x [*x]", REFUSED);
    says("people: &x\n- *x\n", REFUSED);
    says("people: [*nobody]", &format!("evil.yaml:1:10: {REFUSED}"));
    says("people:\n- &x {id: a}\n- {<<: *x}\n", REFUSED);
    says("people:\n- {<<: {id: a}}\n", "people[0].<<: unknown key");
    says("people: !!set {a}", "evil.yaml:1:15: tags (`!`) are not accepted");
    says("people: [{id: !!binary aGk=}]", "tags (`!`) are not accepted");
    says("people: [{id: !secret x}]", "tags (`!`) are not accepted");
}

#[test]
fn deep_nesting_is_refused() {
    let limit = format!("the limit is {MAX_DEPTH}");
    for depth in [MAX_DEPTH + 1, 1_000, 1_000_000] {
        says(&"[".repeat(depth), &limit);
        says(&"{a: ".repeat(depth), &limit);
        says(&format!("people: {}{}", "[".repeat(depth), "]".repeat(depth)), &limit);
    }
    let block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    says(&block, &limit);
    says(&"- ".repeat(1_000), &limit);
    says(&format!("people: {}x{}", "[".repeat(30), "]".repeat(30)), "expected a map");
}

#[test]
fn large_texts_are_read_in_time_and_refused_beyond_the_limit() {
    // One huge scalar in each style.
    let huge = "x".repeat(10 << 20);
    for (open, close) in [("", ""), ("'", "'"), ("\"", "\""), ("|\n    ", "\n"), (">\n    ", "\n")]
    {
        says(&format!("people:\n- id: {open}{huge}{close}\n"), "a person id of 1048576");
    }
    says(&format!("{huge}: 1"), "");
    // Ten megabytes of flow, of keys, of blanks, of comments, of brackets.
    says(&format!("people: [{}]", "{}, ".repeat(2_500_000)), "and 2499950 more");
    says(&format!("{{{}}}", "a, ".repeat(3_400_000)), "stands twice");
    let keys: String = (0..200_000).map(|n| format!("k{n}: 1\n")).collect();
    says(&keys, "unknown key");
    says(&format!("people:{}[a]", " ".repeat(10 << 20)), "expected a map");
    says(&format!("{}people: [a]", "#\n".repeat(5 << 20)), "expected a map");
    says(&format!("people: [{}a]", "\n".repeat(10 << 20)), "expected a map");
    says(&format!("people: [{}]", "[], ".repeat(500_000)), "expected a map");
    says(&format!("people: [{}]", "\"\\u0041\", ".repeat(250_000)), "expected a map");
    says(&"? ".repeat(2_000_000), "");
    says(&"a: ".repeat(2_000_000), "not valid YAML");
    says(&"--- \n".repeat(2_000_000), "a second document");
    says(&"%".repeat(10 << 20), "not valid YAML");
    says(
        &" ".repeat(MAX_BYTES + 1),
        &format!("the text has {} bytes; the limit is {MAX_BYTES}", MAX_BYTES + 1),
    );
}

#[test]
fn malformed_yaml_is_told_by_place() {
    for (text, place) in [
        ("people: [{id: ana}", "evil.yaml:"),
        ("people: [{id: ana]", "evil.yaml:1:10: not valid YAML: "),
        ("people:\n\t- {id: ana}", "evil.yaml:2:"),
        ("people:\n- {id: \"ana}\n", "evil.yaml:"),
        ("people:\n- {id: ana}\n  x: y\n", "evil.yaml:"),
        ("people: []\n  groups: []\n", "evil.yaml:"),
        ("people: @x", "evil.yaml:1:9: not valid YAML: "),
        ("people: `x`", "evil.yaml:1:9: not valid YAML: "),
        ("access_levels: [{type: T, name: N, operations: {*: allowed}}]", "evil.yaml:1:"),
        ("people: [\"\\q\"]", "evil.yaml:1:"),
        ("people: [\"\\uD800\"]", "evil.yaml:1:"),
        ("a: b\0c", "evil.yaml:1:"),
        ("? [people]\n: []", "evil.yaml:1:3: a list or a map stands where a key was expected"),
        ("{[a]: b}", "evil.yaml:1:2: a list or a map stands where a key was expected"),
        (
            "people: []\n---\npeople: []",
            "evil.yaml:2:1: a second document; the file holds exactly one",
        ),
    ] {
        let message = refused(text).to_string();
        assert!(message.starts_with(place), "{text:?}: {message}");
    }
}

/// Pieces of YAML and of the formats, in any order.
const PIECES: [&str; 52] = [
    "people",
    "groups",
    "assignments",
    "access_levels",
    "resource_types",
    "library",
    "shares",
    "psm",
    "levels",
    "eligibilities",
    "bundle",
    "checks",
    "open_sessions",
    "session",
    "grant",
    "obligations",
    "expect",
    "id",
    "members",
    "operations",
    ":",
    ": ",
    ":\n",
    "\n",
    "\n  ",
    "\n- ",
    "- ",
    "? ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "'",
    "\"",
    "|",
    ">",
    "|2-\n",
    "#",
    " #",
    "&a ",
    "*a",
    "!t ",
    "%",
    "---\n",
    "...\n",
    "\t",
    "\u{feff}",
    "\\",
    "\u{85}",
    "null",
    "person:a",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..40)
    ) {
        let text = pieces.concat();
        if let Err(error) = parse("any.yaml", &text) {
            prop_assert!(!error.problems.is_empty());
        }
        if let Err(error) = CaseFile::parse("any.yaml", &text, |_| Err("none".to_owned())) {
            prop_assert!(!error.problems.is_empty());
        }
    }
}
