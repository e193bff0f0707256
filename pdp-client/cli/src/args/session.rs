//! The arguments of `session`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pdp_engine::time::Timestamp;

use super::{parse_duration, parse_instant};

const OPEN_JSON: &str = "\
JSON: {\"effect\"?: EFFECT, \"reason\"?: CODE, \"revision\"?: N, \"replayed\": BOOL,
       \"obligations\"?: OBLIGATIONS (as check has them), \"session\"?: SESSION (as get has it)};
      without EFFECT, the session that was opened with this key has ended
Exit status: 0 if the session is open; 1 for DENY, and for a session that has ended; 3 for
REQUIRES_APPROVAL.";

const RENEW_JSON: &str = "\
JSON: {\"effect\"?: EFFECT, \"reason\"?: CODE, \"revision\"?: N, \"session\": SESSION (as get has it)};
      without EFFECT, the session had ended before
Exit status: 0 if the session is open, 1 if it has ended.";

const CLOSE_JSON: &str = "JSON: {\"session\": SESSION (as get has it)}";

const GET_JSON: &str = "\
JSON: {\"session\": SESSION}
  SESSION     {\"id\": ID, \"state\": STATE, \"person\": ID, \"computer\": ID, \"level\"?: ID, \"group\"?: ID,
               \"account\"?: ID, \"account_mode\"?: MODE (as check has it), \"jit\": BOOL, \"delete_account\": BOOL, \"opened\": TIME,
               \"not_after\": TIME, \"ended\"?: TIME, \"end\"?: END, \"revoked_by\"?: CODE,
               \"request_key\": KEY, \"revocations\": [REVOCATION, ...]}
  STATE       \"OPEN\" or \"ENDED\"
  END         \"CLOSED\", \"EXPIRED\", \"FORCED\" or \"REVOKED\"
  REVOCATION  {\"id\": ID, \"state\": \"OUTSTANDING\", \"DONE\" or \"SUPERSEDED\", \"kind\": KIND,
               \"session\": ID, \"computer\": ID, \"account\": ID, \"group\"?: ID, \"due\": TIME,
               \"not_before\"?: TIME, \"settled\"?: TIME, \"failures\": N, \"last_failure\"?: TEXT}
  KIND        \"REMOVE_FROM_GROUP\" or \"DELETE_ACCOUNT\"";

const END_JSON: &str = "JSON: {\"ended\": N}";

const LIST_JSON: &str = "JSON: {\"sessions\": [SESSION (as get has it), ...]}";

const WATCH_HELP: &str = "\
What is printed belongs to this watch until its lease is over, and no broker gets it meanwhile. To look
only, use `pdpctl session list --outstanding` and `pdpctl session get`.

The command of --exec is run without arguments and without a shell, with these variables:
  PDP_REVOCATION, PDP_KIND (REMOVE_FROM_GROUP or DELETE_ACCOUNT), PDP_SESSION, PDP_COMPUTER,
  PDP_ACCOUNT, PDP_GROUP (only for REMOVE_FROM_GROUP), PDP_FAILURES, PDP_SERVER, PDP_TENANT
It has nine tenths of the lease. It has done the work if its exit status is 0; otherwise the last line
that it wrote to standard error says what went wrong. What it prints goes to standard error.

JSON: one value a line:
  {\"event\": \"work\", \"revocation\": REVOCATION (as get has it)}
  {\"event\": \"outcome\", \"revocation\": ID, \"outcome\": OUTCOME, \"message\"?: TEXT}
  {\"event\": \"lost\", \"message\": TEXT, \"pause_ms\": N}; the connection is made again
  OUTCOME  \"DONE\", \"FAILED\" or \"SUPERSEDED\"
Exit status, with --count: 1 if something failed.";

const HISTORY_JSON: &str = "\
JSON: {\"records\": [RECORD, ...]}
  RECORD  {\"sequence\": N, \"at\": TIME, \"revision\": N, \"person\": \"person:ID\",
           \"caller\"?: NAME, \"hash\": HEX, \"kind\": KIND, \"session\": ID, \"computer\": ID, \"level\"?: ID, \"account\"?: ID, ...}
          of session-opened: \"group\"?: ID, \"not_after\": TIME
          of session-renewed: \"not_after\": TIME
          of session-ended: \"ended\": TIME, \"end\": END, \"revoked_by\"?: CODE, \"note\"?: TEXT
          of revocation-due: \"work\": WORK
          of revocation-settled: \"work\": WORK, \"state\": \"DONE\" or \"SUPERSEDED\"
          of revocation-failed: \"work\": WORK, \"message\": TEXT
  END     \"CLOSED\", \"EXPIRED\", \"FORCED\" or \"REVOKED\"
  WORK    \"REMOVE_FROM_GROUP\" or \"DELETE_ACCOUNT\"";

#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    /// Decide whether a person may open a session, and open it if so.
    #[command(after_long_help = OPEN_JSON)]
    Open(Open),
    /// Decide anew whether a session may go on, and extend or end it.
    #[command(after_long_help = RENEW_JSON)]
    Renew(Renew),
    /// End a session.
    #[command(after_long_help = CLOSE_JSON)]
    Close(Close),
    /// End the sessions of a person, on a computer or with a level, whoever opened them.
    #[command(after_long_help = END_JSON)]
    End(End),
    /// Print one session.
    #[command(after_long_help = GET_JSON)]
    Get(Get),
    /// List sessions, in the order in which they were opened.
    #[command(after_long_help = LIST_JSON)]
    List(List),
    /// Wait for the work that ended sessions leave, and print it or have it done.
    #[command(after_long_help = WATCH_HELP)]
    Watch(Watch),
    /// Read in the audit what happened to sessions.
    #[command(after_long_help = HISTORY_JSON)]
    History(History),
}

#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Who: `person:ID`.
    #[arg(value_name = "PERSON")]
    pub(crate) person: String,
    /// With which permission level; `none`: without one.
    #[arg(value_name = "LEVEL")]
    pub(crate) level: String,
    /// Where: `Computer:ID`.
    #[arg(value_name = "COMPUTER")]
    pub(crate) computer: String,
    /// The key under which it can be asked again: the same key opens the session once, however often
    /// it is sent.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,
    /// Wait until the policy is at this revision or a later one.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    pub(crate) at_least: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The session's id.
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
    /// Wait until the policy is at this revision or a later one.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    pub(crate) at_least: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Close {
    /// The session's id.
    #[arg(value_name = "SESSION")]
    pub(crate) session: String,
}

#[derive(Debug, Args)]
pub(crate) struct End {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) note: String,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// Those of `person:ID`.
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    /// Those on `Computer:ID`.
    #[arg(long, value_name = "COMPUTER")]
    pub(crate) computer: Option<String>,
    /// Those with this permission level.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The session's id.
    #[arg(value_name = "SESSION", required_unless_present = "key")]
    pub(crate) session: Option<String>,
    /// The session that was opened with this key.
    #[arg(long, value_name = "KEY", conflicts_with = "session")]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of `person:ID`.
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    /// Only those on `Computer:ID`.
    #[arg(long, value_name = "COMPUTER")]
    pub(crate) computer: Option<String>,
    /// Only those that are open, or that have ended.
    #[arg(long, value_enum, value_name = "STATE")]
    pub(crate) state: Option<State>,
    /// Only those that left work which is not done yet.
    #[arg(long)]
    pub(crate) outstanding: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Open,
    Ended,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Only the work on `Computer:ID`; may be given several times.
    #[arg(long = "computer", value_name = "COMPUTER")]
    pub(crate) computers: Vec<String>,
    /// How long an item is this watch's before it may be handed to another: `1s` to `60m`.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1m")]
    pub(crate) lease: Duration,
    /// Run this program for each item.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) exec: Option<OsString>,
    /// Tell the server what became of each item, one after the other.
    #[arg(long, requires = "exec")]
    pub(crate) ack: bool,
    /// End after this many items.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Only the session of this id.
    #[arg(value_name = "SESSION")]
    pub(crate) session: Option<String>,
    /// Only those of `person:ID`.
    #[arg(long, value_name = "PERSON")]
    pub(crate) person: Option<String>,
    /// Only those on `Computer:ID`.
    #[arg(long, value_name = "COMPUTER")]
    pub(crate) computer: Option<String>,
    /// Only records of this instant or later, like `2026-01-31T09:30:00Z`.
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) from: Option<Timestamp>,
    /// Only records before this instant.
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) until: Option<Timestamp>,
    /// Stop after this many records.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}
