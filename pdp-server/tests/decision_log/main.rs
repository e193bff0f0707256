//! The log of decisions, seen from outside: what each door writes, what is left out, and what happens
//! when there is too much of it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

mod doors;
mod failing;
mod logged;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;
mod settings;
