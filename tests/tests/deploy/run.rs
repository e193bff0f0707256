//! Command lines as they stand in manifests, read as the server reads them.

use clap::{Args as _, Command, FromArgMatches as _};
use pdp_server::config::{Config, Given, described};

/// What a command line of `pdp-server serve` or `config` comes to. The first word is the command.
pub(crate) fn config(line: &[String]) -> Config {
    let [command, ..] = line else { panic!("there is no command") };
    assert!(["serve", "config"].contains(&command.as_str()), "{line:?}");
    let parser = Given::augment_args(Command::new("pdp-server"));
    let matches = parser.try_get_matches_from(line).unwrap_or_else(|error| panic!("{error}"));
    let given = Given::from_arg_matches(&matches).unwrap();
    given.into_config().unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// A command line with the value of each of some flags replaced.
pub(crate) fn with(line: &[String], replaced: &[(&str, &std::path::Path)]) -> Vec<String> {
    let mut line = line.to_vec();
    for (flag, value) in replaced {
        let at = line.iter().position(|word| word == flag);
        let at = at.unwrap_or_else(|| panic!("{line:?} has no {flag}")) + 1;
        line[at] = value.to_str().unwrap().to_owned();
    }
    line
}

/// Whether there is a setting of this flag.
pub(crate) fn is_flag(flag: &str) -> bool {
    described().iter().any(|setting| setting.flag == flag)
}

/// Whether there is a setting of this variable.
pub(crate) fn is_variable(variable: &str) -> bool {
    described().iter().any(|setting| setting.variable == variable)
}

/// The port of a setting that is an address, unless told otherwise.
pub(crate) fn default_port(name: &str) -> String {
    let described = described();
    let setting = described.iter().find(|setting| setting.name == Some(name)).unwrap();
    setting.default.as_ref().unwrap().rsplit(':').next().unwrap().to_owned()
}
