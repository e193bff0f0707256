//! Clients that ask for too much, or behave as no library does: what they run into, and that the
//! others do not notice. Whatever ends a connection, its end is what the tests wait for.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

mod connected;
mod crowded;
mod floods;
mod frames;
#[path = "../callers/guarded.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod guarded;
mod held;
mod overload;
#[path = "../callers/secrets.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod secrets;
#[path = "../callers/sent.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod sent;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;
mod slow;
mod standing;
