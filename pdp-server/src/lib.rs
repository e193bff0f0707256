//! The policy decision point: everything that touches the world.
