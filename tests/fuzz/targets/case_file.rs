//! `case_file`: see `pdp_tests::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pdp_tests::fuzz::run("case_file", data));
