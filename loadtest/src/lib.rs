//! The load test: seeded organisations of any size with questions to go with them, load in open and
//! closed loops, floors, and the targets that the project holds itself to.
//!
//! Everything is reproducible: the same seed and shape make the same facts, bytes and questions.
//! Every figure that is a target is a ratio taken in one run, both sides by turns.

#![forbid(unsafe_code)]

pub mod cores;
pub mod drive;
pub mod embedded;
pub mod flood;
pub mod floor;
mod frames;
pub mod hostile;
pub mod matrix;
pub mod memory;
pub mod organisation;
pub mod overload;
pub mod pace;
pub mod questions;
pub mod random;
pub mod replicas;
pub mod report;
pub mod scale;
pub mod shape;
pub mod shards;
pub mod soak;
pub mod tally;
pub mod targets;
pub mod wire;
