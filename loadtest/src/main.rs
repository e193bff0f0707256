//! `loadtest`: makes organisations, loads a server, measures floors, holds targets.

#![forbid(unsafe_code)]

mod command;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::Cli::parse().run() {
        Ok(exit) => exit,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            writeln!(std::io::stderr(), "loadtest: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}
