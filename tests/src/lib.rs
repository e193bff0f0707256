//! End-to-end proof: scenarios through every door, the oracle, crashes, the tidy test.
//!
//! Nothing here ships. The [`oracle`] decides slowly and straight from the semantics; [`world`]
//! makes random policies and questions; [`door`] is a whole server.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code only: a panic is a failed test, and printing is how it reports"
)]

pub mod asked;
#[cfg(feature = "doors")]
pub mod differential;
#[cfg(feature = "doors")]
pub mod door;
#[cfg(feature = "doors")]
pub mod fuzz;
pub mod history;
#[cfg(feature = "doors")]
pub mod http;
#[cfg(feature = "doors")]
pub mod matrix;
pub mod oracle;
pub mod proof;
pub mod scenario;
pub mod situation;
pub mod tally;
pub mod tree;
pub mod verify;
pub mod world;
