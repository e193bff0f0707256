//! The server's command line. `main` parses; everything else is in the library.

#![forbid(unsafe_code)]

mod command;

use std::io::Write as _;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::Cli::given().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            writeln!(std::io::stderr(), "pdp-server: {}", told(&error)).ok();
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, but for those that it tells itself.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| match cause.to_string() {
        cause if said.is_empty() => cause,
        cause if said.contains(&cause) => said,
        cause => format!("{said}: {cause}"),
    })
}
