//! The policy decision point: everything that touches the world.

pub mod publish;
pub mod receipt;
pub mod store;
