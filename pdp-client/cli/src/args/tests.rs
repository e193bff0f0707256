use super::*;
use clap::CommandFactory as _;

#[test]
fn the_arguments_are_well_defined() {
    Args::command().debug_assert();
}

#[test]
fn times_have_units() {
    for (text, millis) in [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("7", 7_000)] {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
    }
    for text in ["", "s", "1h", "1 s", "-1s", "1.5s", "0", "0ms", "99999999999999999999s"] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
