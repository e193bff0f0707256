//! `decision_log`: see `pdp_tests::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pdp_tests::fuzz::run("decision_log", data));
