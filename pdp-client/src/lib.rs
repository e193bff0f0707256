//! The client of the policy decision point.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use pdp_client::{Client, Effect, Permission, Question, Resource, Subject};
//!
//! # async fn doc() -> Result<(), pdp_client::Error> {
//! let client = Client::builder("http://127.0.0.1:7070")
//!     .tenant("acme")
//!     .deadline(Duration::from_secs(2))
//!     .connect()
//!     .await?;
//!
//! let question = Question::new(
//!     Subject::person("ana"),
//!     Permission::operation("View"),
//!     Resource::new("Report", "absence"),
//! );
//! let decision = client.check(&question).await?;
//! match decision.effect {
//!     Effect::Allow => { /* go ahead */ }
//!     Effect::Deny => { /* do not; decision.reason says why */ }
//!     Effect::RequiresApproval => { /* somebody else has to agree first */ }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Three things hold for every call:
//!
//! - An error is never a decision. What this client cannot make sense of, such as an effect that
//!   it does not know, is an [`Error`] and not an `ALLOW`.
//! - A call has a deadline ([`Builder::deadline`], [`Client::with_deadline`]), which the server is
//!   told and which covers the retries.
//! - Only what is safe to send twice is retried, and only on `UNAVAILABLE`: reads, change sets, which
//!   carry a request id unless told otherwise ([`ChangeSet::without_request_id`]), and what is done
//!   with sessions, which are opened under a request key ([`OpenRequest`]). Retries are a share of the calls
//!   ([`RetryBudget`]), so that an outage is not multiplied.
//!
//! **Several servers** that share one policy are named with [`Builder::endpoint`]. A call goes to one that can be
//! reached: of two that are drawn, to the one with fewer calls in flight. A server that cannot be reached, or says
//! that it drains, is left out for a while ([`Ejection`]); a retry goes to another one; streams and the pages of a
//! list stay where they began. Reads may be hedged ([`Builder::hedge_after`]).
//!
//! **It fails closed**. What may go on where no server can be reached is named, permission by permission
//! ([`FailOpen`]), concerns [`Client::check_or_fail_open`] alone, and is no decision ([`Answer::FailedOpen`]).
//!
//! The other families are asked the same way: an action on a vault entity is
//! [`Permission::vault_action`], a privileged session [`Permission::session`] (its `ALLOW` carries
//! [`Obligations`]), and whether somebody may hand out an Access Level is
//! [`Client::check_delegation`]. The lists, such as [`Client::list_subjects`], ask backwards.
//!
//! Who asks much, such as a sidecar, opens a stream of checks with [`Client::check_stream`].
//!
//! Brokers open, renew and end privileged sessions with [`Client::sessions`], and watch there for the
//! work that is due when they end.
//!
//! To read what was just written, take the revision of [`Applied`] or of a [`Decision`] along:
//! `client.at_least(applied.revision).check(&question)`.
//!
//! This crate knows the wire and nothing of policies. Facts travel as the messages in [`v1`]; with
//! the feature `engine`, the module `engine` turns them into the types of `pdp-engine` and back.

#![forbid(unsafe_code)]

mod apply;
mod attempt;
mod audit;
mod balance;
mod behalf;
mod builder;
mod call;
mod client;
mod credentials;
mod decision;
mod delegation;
#[cfg(feature = "engine")]
pub mod engine;
mod fail_open;
mod health;
mod import;
mod list;
#[cfg(feature = "local")]
mod local;
mod obligation;
mod permissions;
mod policy;
mod question;
mod reason;
mod reconnect;
mod refusal;
mod retry;
mod session;
mod stream;
mod tenant;
mod watch;

pub use apply::{Applied, ChangeSet};
pub use audit::{
    AuditBreak, AuditEvent, AuditHash, AuditKind, AuditQuery, AuditRecord, AuditRecords,
    AuditVerified, AuditedChangeSet, AuditedSession, SessionEvent,
};
pub use balance::{Ejection, MAX_ENDPOINTS};
pub use behalf::{DelegationRefusal, FactChange, RefusedChange};
pub use builder::Builder;
pub use call::Error;
pub use client::{Client, DEFAULT_DEADLINE, MAX_DEADLINE, MAX_RESPONSE_BYTES};
pub use decision::{Batch, Decision, Effect, Explanation, Revision};
pub use delegation::{
    DelegationAction, DelegationExplanation, DelegationQuestion, Level, Recipient, Relative, Scope,
};
pub use fail_open::{Answer, FailOpen, MAX_FAIL_OPEN};
pub use health::Health;
pub use import::{Import, Imported};
pub use list::{ApprovalQuestion, Because, Item, Items, Listing, SubjectKinds};
#[cfg(feature = "local")]
pub use local::{LocalClient, LocalOptions};
pub use obligation::{AccountMode, Obligations, OnEnd, Privileged};
pub use pdp_proto::v1;
pub use permissions::{
    Held, PermissionChange, PermissionEvent, PermissionQuery, PermissionWatch, Seen,
};
pub use policy::{Export, Exported, Found, Listed, Pages};
pub use question::{Permission, Question, Resource, Subject};
pub use reason::Reason;
pub use refusal::{FieldViolation, PreconditionViolation, Refusal};
pub use retry::{Retries, RetryBudget};
pub use session::{
    ForceEnd, MAX_FAILURE_BYTES, OpenRequest, Opened, Outcome, Privileges, Renewed, Revocation,
    RevocationState, Session, SessionEnd, SessionPages, SessionState, Sessions, Task, Watch,
    WatchEvent, Watched,
};
pub use stream::{CheckAnswers, CheckQuestions};
pub use tenant::{Tenant, Tenants};
pub use tonic::Code;
pub use watch::{CommittedSet, PolicyEvent, PolicyWatch, Position, PositionError};
