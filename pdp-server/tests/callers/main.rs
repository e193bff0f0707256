//! Who may call, seen from outside: keys, tokens and certificates of every kind of goodness, roles by
//! method and tenant, and all of it replaced while callers go on calling.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test, and printing is how it reports"
)]

mod audited;
mod backed_up;
mod certificates;
#[path = "../rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;
mod guarded;
mod http;
mod keys;
mod logs;
mod roles;
mod rotation;
mod secrets;
mod sent;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;
mod tokens;
