//! What a command is given: flags, variables and the name of a settings file. It remembers which of
//! them said what, so that a complaint names the place.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::{Config, ConfigError, Origin, Settings};

/// What a command is given.
#[derive(Debug, Clone)]
pub struct Given {
    line: Line,
    /// The settings that variables say.
    variables: BTreeSet<&'static str>,
}

#[derive(Debug, Clone, Args)]
struct Line {
    /// YAML file with any of the settings below, named with `_` in place of `-`
    #[arg(long, env = "PDP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

// === impl Given ===

impl Given {
    /// The settings, completed from the file, checked.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and where it stands.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        let Self { line: Line { config, settings }, variables } = self;
        let said = settings.said();
        settings.into_config(config.as_deref()).map_err(|problem| {
            problem.at(|name| match said.contains(&name) {
                true if variables.contains(name) => Some(Origin::Variable(name)),
                true => Some(Origin::Flag(name)),
                false => None,
            })
        })
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let line = Line::from_arg_matches(matches)?;
        Ok(Self { line, variables: variables(matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.line.update_from_arg_matches(matches)?;
        self.variables = variables(matches);
        Ok(())
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        Line::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Line::augment_args_for_update(command)
    }
}

fn variables(matches: &ArgMatches) -> BTreeSet<&'static str> {
    let by_variable = |name: &&str| matches.value_source(name) == Some(ValueSource::EnvVariable);
    Settings::names().into_iter().filter(by_variable).collect()
}
