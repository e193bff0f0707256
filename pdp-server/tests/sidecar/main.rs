//! A sidecar, asked over its socket: what it decides itself, what it passes on and for whom, what becomes of it
//! when its server is gone, and how it starts and ends.
//!
//! Where it matters who has decided, the clocks of the two differ by more than a grant lasts: the server says no
//! where its sidecar says yes.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod beside;
#[path = "../rpc/child.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod child;
mod deciding;
mod gone;
#[path = "../callers/guarded.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod guarded;
mod passing;
mod process;
#[path = "../callers/secrets.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod secrets;
#[path = "../callers/sent.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod sent;
#[path = "../rpc/served.rs"]
#[allow(dead_code, reason = "the other tests of servers use the rest of it")]
mod served;
