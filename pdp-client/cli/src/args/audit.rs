//! The arguments of `audit`.

use clap::{Args, Subcommand, ValueEnum};
use pdp_engine::time::Timestamp;

use super::parse_instant;

const LIST_JSON: &str = "\
JSON: {\"records\": [RECORD, ...]}
  RECORD  {\"sequence\": N, \"at\": TIME, \"revision\": N, \"person\"?: \"person:ID\",
           \"caller\"?: NAME, \"hash\": HEX, \"kind\": KIND, ...}
          of tenant-created and tenant-deleted: \"tenant\": ID
          of tenant-deleted: \"records\": N, \"head\": HEX
          of policy-changed: \"created\": N, \"changed\": N, \"removed\": N, \"digest\": HEX,
          \"request_id\"?: ID, \"changes\": [CHANGE, ...]
          of sessions: as `pdpctl session history` has them
  KIND    \"began\", \"tenant-created\", \"tenant-deleted\", \"policy-changed\", or one of sessions
  CHANGE  {\"kind\": KIND, \"name\": NAME, \"change\": WHAT}; of change sets on behalf of a person
  WHAT    \"created\", \"changed\" or \"removed\"";

const VERIFY_JSON: &str = "\
JSON: {\"records\": N, \"head\": HEX, \"broken\"?: {\"sequence\": N, \"problem\": TEXT}}
Exit status 1 if it is broken.";

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List what was changed, when, by which caller, and on whose behalf.
    #[command(after_long_help = LIST_JSON)]
    List(List),
    /// Have the server read the whole audit and say whether it is as it was written.
    #[command(after_long_help = VERIFY_JSON)]
    Verify(Verify),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only records of this instant or later, like `2026-01-31T09:30:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) from: Option<Timestamp>,
    /// Only records before this instant.
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) until: Option<Timestamp>,
    /// Only what was done on behalf of `person:ID`, and what happened to their sessions.
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    /// Only what the caller of this name sent.
    #[arg(long, value_name = "NAME")]
    pub(crate) caller: Option<String>,
    /// Only records of this kind.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) kind: Option<Kind>,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    #[command(flatten)]
    pub(crate) chain: Chain,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    pub(crate) chain: Chain,
}

#[derive(Debug, Args)]
pub(crate) struct Chain {
    /// The server's own audit instead of the tenant's: which tenants were created and deleted.
    #[arg(long)]
    pub(crate) of_server: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Began,
    TenantCreated,
    TenantDeleted,
    PolicyChanged,
    SessionOpened,
    SessionRenewed,
    SessionEnded,
    RevocationDue,
    RevocationSettled,
    RevocationFailed,
}
