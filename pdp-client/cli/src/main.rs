//! The command line of the policy decision point.
//!
//! Arguments become one validated [`options::Options`]; each family of commands has a file; what
//! goes wrong is a [`problem::Problem`], told in a line or a few and never with the exit status of
//! an answer.

#![forbid(unsafe_code)]

mod apply;
mod args;
mod asked;
mod audit;
mod behalf;
mod cases;
mod completions;
mod connection;
mod diff;
mod exit;
mod explained;
mod fact;
mod gateway;
mod health;
mod import;
mod list;
mod options;
mod policy;
mod problem;
mod question;
mod replay;
mod screen;
mod session;
mod tenant;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let mut screen = screen::Screen::of(&args.global);
    let outcome = options::Options::new(args)
        .and_then(|options| connection::block_on(options.run(&mut screen)));
    match outcome {
        Ok(exit) => exit.into(),
        Err(problem) => {
            screen.complain(&problem);
            exit::Exit::Error.into()
        }
    }
}
