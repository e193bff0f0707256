//! The built `pdpctl` against a real server, and by itself.

#![expect(clippy::unwrap_used, reason = "a panic is a failed test")]

mod applying;
mod asking;
mod audit;
mod behalf;
mod callers;
mod cases;
mod families;
mod gateway;
mod importing;
mod lists;
mod replaying;
mod served;
mod sessions;
mod tenants;
mod watching;
