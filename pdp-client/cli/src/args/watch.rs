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
The first line, and one every 10 seconds without a change set, says where the policy is.

With --subject or --resource it tells effective permissions: those that are held, and then who gains and who
loses what, by change sets, by sessions and by the passing of time.

JSON: one value a line:
  {\"event\": \"state\", \"revision\": N, \"at\": TIME, \"held\": [HELD, ...]}, once
  {\"event\": \"changed\", \"revision\": N, \"at\": TIME, \"changes\": [CHANGED, ...]}
  {\"event\": \"current\", \"revision\": N, \"at\": TIME}
  {\"event\": \"lost\", \"message\": TEXT, \"pause_ms\": N}
  HELD     {\"subject\": \"person:ID\" or \"account:ID\", \"kind\": KIND, \"name\": NAME, \"resource\": \"Type:id\",
            \"effect\": \"ALLOW\" or \"REQUIRES_APPROVAL\"}
  CHANGED  as HELD, with \"before\" and \"after\" in place of \"effect\": these, or \"DENY\" for what is not held
  KIND     \"operation\", \"right\", \"vault\" or \"session\"";

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Begin behind this position; 0 is the empty policy [default: the current one].
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<Position>,
    /// End after this many change sets, or changes of permissions.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) effective: Effective,
}

/// Whose effective permissions are watched, or those on what.
#[derive(Debug, Args)]
pub(crate) struct Effective {
    /// Watch what this subject may do, and not the policy: `person:ID` or `account:ID`.
    #[arg(long, value_name = "SUBJECT", conflicts_with_all = ["after", "resource"])]
    pub(crate) subject: Option<String>,
    /// With --subject: only on resources of this type; `resource_group` for resource groups.
    #[arg(long = "type", value_name = "TYPE", requires = "subject")]
    pub(crate) type_name: Option<String>,
    /// Watch what everybody may do on this resource, and not the policy: `Type:id`, or
    /// `resource_group:id`.
    #[arg(long, value_name = "RESOURCE", conflicts_with = "after")]
    pub(crate) resource: Option<String>,
    /// With --resource: tell accounts too, after the people.
    #[arg(long, requires = "resource")]
    pub(crate) accounts: bool,
    /// With --subject or --resource: only this; may be given several times. An operation, `right:NAME`,
    /// `vault:ACTION`, `session:LEVEL` or `session:none`.
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
}
