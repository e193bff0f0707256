//! The formats people write: policy bundles ([`bundle`]), their export ([`mod@export`]), case files
//! ([`case`]), the mappings of gateways ([`gateway`]), callers and their roles ([`callers`]), the default
//! library, and the words of an explanation ([`render`]).
//!
//! Text comes in, the engine's facts and questions go out, and the other way round. Nothing here
//! reads a clock or keeps anything.

#![forbid(unsafe_code)]

pub mod bundle;
pub mod callers;
pub mod case;
pub mod diagnostic;
pub mod duration;
pub mod export;
pub mod gateway;
mod library;
mod locate;
mod plain;
mod policy;
pub mod question;
mod read;
pub mod render;
mod scalar;
pub mod time;
mod yaml;

pub use bundle::{Bundle, parse};
pub use diagnostic::BundleError;
pub use yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
