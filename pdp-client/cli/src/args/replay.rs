//! The arguments of `replay`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

pub(super) const HELP: &str = "\
Records are asked of the tenant that they name, or with --tenant those of this tenant only. A bundle is
the policy of one tenant: `default` without --tenant. It decides each record for the instant of the
record; a server decides for now. Masked and cut records are counted and not asked.

JSON: one value a line:
  {\"event\": \"changed\", \"id\": ID, \"time\": TIME, \"rpc\": RPC, \"tenant\": ID, \"question\": TEXT,
   \"was\": DECISION, \"now\": DECISION}
  {\"event\": \"unreadable\", \"file\": PATH, \"line\": N, \"message\": TEXT}
  {\"event\": \"summary\", \"replayed\": N, \"same\": N, \"changed\": N, \"masked\": N, \"cut\": N,
   \"no_subject\": N, \"other_tenant\": N, \"unreadable\": N}
  DECISION  {\"effect\": EFFECT, \"reason\": CODE, \"revision\"?: N}, or {\"error\": TEXT}
Exit status: 0 if no decision differs, 1 if some do, 2 if a line cannot be read or nothing was replayed.";

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Logs of decisions, each the lines of a server; `-` reads standard input.
    #[arg(value_name = "LOG", required = true, action = ArgAction::Append)]
    pub(crate) logs: Vec<PathBuf>,
    /// Ask this policy, here, and no server.
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
}
