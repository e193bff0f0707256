//! The deciding part of the policy decision point.
//!
//! Facts go in through [`facts::Facts::apply`], [`compile::compile`] turns them into an immutable
//! [`snapshot::Snapshot`], and [`check::check`] and [`explain::explain`] answer questions from
//! that snapshot alone. Everything here is a pure function of its arguments: time and revision
//! are passed in, and nothing reads a clock, the environment, a file or the network.
//!
//! Rule numbers (`A3`, `Q1` ...) are those of the project's semantics page, `docs/semantics.md`.

#![deny(unsafe_code)]

pub mod actor;
mod ahead;
mod arena;
pub mod batch;
pub mod check;
pub mod compile;
pub mod delegate;
pub mod explain;
pub mod facts;
pub mod id;
pub mod image;
pub mod level;
pub mod list;
pub mod permission;
pub mod psm;
pub mod query;
pub mod resource;
pub mod session;
pub mod share;
pub mod snapshot;
pub mod time;
pub mod vault;
mod walk;
