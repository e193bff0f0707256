//! `completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Args;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::screen::Screen;

/// Prints the completions of a shell, whatever the output format.
pub(crate) fn print(shell: Shell, screen: &mut Screen) -> Result<Exit, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "pdpctl", &mut script);
    screen.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
