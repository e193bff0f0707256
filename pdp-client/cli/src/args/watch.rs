//! The arguments of `watch`.

use clap::Args;
use pdp_client::Position;

pub(super) const HELP: &str = "\
Goes on until it is told to end, through lost connections and restarts of the server. A position is a
revision, or what `watch` and `export --output json` tell as one. A server keeps the last 100,000 changes:
behind an older position, and one of another history such as that of a restored backup, there is no going
on, which is an error.

JSON: one value a line:
  {\"event\": \"committed\", \"revision\": N, \"position\": POSITION, \"committed_at\": TIME,
   \"changes\": [CHANGE, ...]}
  {\"event\": \"current\", \"revision\": N, \"position\": POSITION}
  {\"event\": \"lost\", \"message\": TEXT, \"pause_ms\": N}
  CHANGE  {\"kind\": KIND, \"name\": NAME, \"change\": \"put\" or \"deleted\", \"fact\"?: FACT}
  FACT    as in a bundle
The first line, and one every 10 seconds without a change set, says where the policy is.";

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Begin behind this position; 0 is the empty policy [default: the current one].
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<Position>,
    /// End after this many change sets.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}
