//! Where a value stands that a command cannot take, and what it has to be. The parser of the command
//! line names the flag, also where a variable says it.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error};
use pdp_server::config::described;

/// The complaint, with the variable that it is about if it is about one, and what was expected.
pub(crate) fn told(mut error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = invalid.split(' ').next().unwrap_or_default().to_owned();
    let mut hints = Vec::new();
    let is_it = |argument: &std::ffi::OsString| {
        let argument = argument.to_string_lossy();
        argument.strip_prefix(&flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    if !std::env::args_os().any(|argument| is_it(&argument))
        && let Some(variable) = variable(command, &flag)
    {
        hints.push(format!("it is the variable {variable} that says so"));
    }
    let expected = described().into_iter().find(|setting| setting.flag == flag);
    if let Some(expected) = expected.and_then(|setting| setting.expected()) {
        hints.push(format!("it must be {expected}"));
    }
    if !hints.is_empty() {
        let hints = hints.into_iter().map(Into::into).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(hints));
    }
    error
}

/// The variable beside a flag of any command.
fn variable(command: &Command, flag: &str) -> Option<String> {
    let name = flag.trim_start_matches('-');
    let mut own = command.get_arguments().filter(|argument| argument.get_long() == Some(name));
    let variable = own.find_map(|argument| argument.get_env());
    let variable = variable.map(|variable| variable.to_string_lossy().into_owned());
    variable.or_else(|| command.get_subcommands().find_map(|below| self::variable(below, flag)))
}
