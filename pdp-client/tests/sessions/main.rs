//! The calls about sessions, against a server that answers as the test tells it to.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is a failed test"
)]

mod calls;
mod scripted;
mod watching;
