//! The gRPC and HTTP doors, asked over real sockets: every RPC, every error with its details, and
//! what happens when a server starts and ends.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::panic, reason = "an answer of the wrong kind is a failed test")]

mod audit;
mod decisions;
mod delegated;
mod errors;
mod ext_authz;
mod facts;
mod families;
#[path = "../callers/guarded.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod guarded;
mod imports;
mod lifecycle;
mod lists;
mod permissions;
mod policy;
mod refused_facts;
#[path = "../callers/secrets.rs"]
#[allow(clippy::indexing_slicing, reason = "as in the tests of callers, which it is of")]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod secrets;
#[path = "../callers/sent.rs"]
#[allow(dead_code, reason = "the tests of callers use the rest of it")]
mod sent;
mod served;
mod sessions;
mod standing;
mod streams;
mod tenants;
mod watch;
mod writes;
