//! What an operator starts from is held to the server: manifests, units and files of settings name what
//! there is, dashboards and alerts use metrics that there are, and the threat model and the page of
//! guarantees name tests that there are.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code: a panic is a failed test"
)]

mod files;
mod kubernetes;
mod metrics;
mod replicas;
mod run;
mod settings;
mod supply;
mod threats;
mod unit;
mod yaml;
