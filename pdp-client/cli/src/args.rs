//! Arguments as they are written. What they mean is for [`crate::options`].

mod audit;
mod gateway;
mod import;
mod proof;
mod replay;
mod session;
mod shape;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args as ClapArgs, Parser, Subcommand, ValueEnum};
use pdp_bundle::time::parse_time;
use pdp_engine::level::Relative;
use pdp_engine::time::Timestamp;

pub(crate) use audit::{Audit, Chain, Kind, List as ListAudit, Verify};
pub(crate) use gateway::{Gateway, GatewayExplain};
pub(crate) use import::Import;
pub(crate) use proof::Proof;
pub(crate) use replay::Replay;
pub(crate) use session::{
    Close, End, Get as GetSession, History, List as ListSessions, Open, Renew, Session, State,
    Watch as WatchWork, Which,
};
use shape::{
    APPLY_JSON, APPROVERS_JSON, CHECK_JSON, DELEGATION_JSON, EXPLAIN_JSON, EXPORT_JSON, FACTS_JSON,
    GET_JSON, HEALTH_JSON, PERMISSIONS_JSON, RESOURCES_JSON, SUBJECTS_JSON, TEST_JSON,
};
pub(crate) use watch::{Effective, Watch};

const STATUSES: &str = "\
Exit status:
  0  done, or ALLOW
  1  DENY; checks that do not hold; replayed decisions that differ; a server that does not
     serve; a broken audit
  2  an error: there is no answer (wrong usage included)
  3  REQUIRES_APPROVAL";

const STATUSES_AND_ERRORS: &str = "\
Exit status:
  0  done, or ALLOW
  1  DENY; checks that do not hold; replayed decisions that differ; a server that does not
     serve; a broken audit
  2  an error: there is no answer (wrong usage included)
  3  REQUIRES_APPROVAL

Errors with --output json, on standard error:
  {\"error\": {\"code\": CODE, \"message\": TEXT, \"argument\"?: NAME,
             \"reason\"?: CODE, \"metadata\"?: {...}, \"problems\"?: [TEXT, ...],
             \"fields\"?: [{\"field\": PATH, \"description\": TEXT}, ...],
             \"retry_after_ms\"?: N, \"refused\"?: [REFUSED, ...],
             \"decision\"?: {\"effect\": EFFECT, \"reason\": CODE}}}
  REFUSED  {\"kind\": KIND, \"name\": NAME, \"change\": WHAT, \"effect\"?: EFFECT, \"reason\"?: CODE,
            \"approvers\": [\"person:ID\", ...], \"total_approvers\": N}
            of apply --on-behalf-of; or a decision, where the person cannot change anything
The JSON of each command's answer is in its own --help.";

/// Ask a policy decision point, and change its policy.
#[derive(Debug, Parser)]
#[command(name = "pdpctl", version, after_help = STATUSES, after_long_help = STATUSES_AND_ERRORS, max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The server to ask.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "PDP_SERVER",
        default_value = "http://127.0.0.1:7070"
    )]
    pub(crate) server: String,
    /// The tenant whose policy is meant [default: default].
    #[arg(
        long,
        global = true,
        value_name = "ID",
        env = "PDP_TENANT",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) tenant: String,
    /// How long to wait for the server, like `500ms`, `10s` or `2m` [default: 10s; 60s to apply, export and list].
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) proof: Proof,
    /// How to print the answer.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Human)]
    pub(crate) output: Output,
    /// When to use colours; `auto`: on a terminal, unless `NO_COLOR` is set.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, value_name = "WHEN")]
    pub(crate) color: Colour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    Human,
    /// One JSON value; errors go to standard error as JSON too.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// May this subject do this to that?
    #[command(override_usage = CHECK_USAGE, after_long_help = CHECK_JSON)]
    Check(Question),
    /// The same, with everything that led to the decision.
    #[command(override_usage = EXPLAIN_USAGE, after_long_help = EXPLAIN_JSON)]
    Explain(Question),
    /// May this person or account hand out this Access Level, or take it back?
    #[command(override_usage = DELEGATION_USAGE, after_long_help = DELEGATION_JSON)]
    Delegation(Delegation),
    /// Ask backwards: who may, what may they, where, and who could agree. And list facts.
    #[command(subcommand)]
    List(List),
    /// Make the policy hold what a bundle names, and show what changed.
    #[command(after_long_help = APPLY_JSON)]
    Apply(Apply),
    /// Apply bundles of any size as one change set.
    #[command(after_long_help = import::JSON)]
    Import(Import),
    /// Print the whole policy as a bundle.
    #[command(after_long_help = EXPORT_JSON)]
    Export,
    /// Print one fact.
    #[command(after_long_help = GET_JSON)]
    Get(Get),
    /// Print change sets as they are committed.
    #[command(after_long_help = watch::HELP)]
    Watch(Watch),
    /// Run case files: unit tests for a policy. Needs no server.
    #[command(after_long_help = TEST_JSON)]
    Test(Test),
    /// Ask again what a log of decisions says, and tell what is decided otherwise now.
    #[command(after_long_help = replay::HELP)]
    Replay(Replay),
    /// Create, delete and list tenants.
    #[command(subcommand)]
    Tenant(Tenant),
    /// Open, renew and end privileged sessions, and see to the work that they leave.
    #[command(subcommand)]
    Session(Session),
    /// Look at what was changed, and verify that nothing of it was changed since.
    #[command(subcommand)]
    Audit(Audit),
    /// What requests at a gateway ask.
    #[command(subcommand)]
    Gateway(Gateway),
    /// Ask whether the server serves.
    #[command(after_long_help = HEALTH_JSON)]
    Health(Health),
    /// Print the completions of a shell.
    Completions(Completions),
}

const CHECK_USAGE: &str = "\
pdpctl check [OPTIONS] SUBJECT PERMISSION RESOURCE
       pdpctl check [OPTIONS] SUBJECT --right NAME RESOURCE
       pdpctl check [OPTIONS] SUBJECT --vault ACTION RESOURCE
       pdpctl check [OPTIONS] SUBJECT --session LEVEL RESOURCE";

const EXPLAIN_USAGE: &str = "\
pdpctl explain [OPTIONS] SUBJECT PERMISSION RESOURCE
       pdpctl explain [OPTIONS] SUBJECT --right NAME RESOURCE
       pdpctl explain [OPTIONS] SUBJECT --vault ACTION RESOURCE
       pdpctl explain [OPTIONS] SUBJECT --session LEVEL RESOURCE";

const DELEGATION_USAGE: &str = "\
pdpctl delegation [OPTIONS] grant LEVEL --as SUBJECT --to ACTOR SCOPE
       pdpctl delegation [OPTIONS] revoke LEVEL --as SUBJECT --from ACTOR SCOPE
       where SCOPE is --on RESOURCE, --in LOCATION or --relative RELATION";

const APPROVERS_USAGE: &str = "\
pdpctl list approvers check [OPTIONS] SUBJECT PERMISSION RESOURCE
       pdpctl list approvers delegation [OPTIONS] ACTION LEVEL --as SUBJECT --to ACTOR SCOPE
       with the arguments of `pdpctl check` and of `pdpctl delegation`";

const APPROVED_DELEGATION_USAGE: &str = "\
pdpctl list approvers delegation [OPTIONS] grant LEVEL --as SUBJECT --to ACTOR SCOPE
       pdpctl list approvers delegation [OPTIONS] revoke LEVEL --as SUBJECT --from ACTOR SCOPE
       where SCOPE is --on RESOURCE, --in LOCATION or --relative RELATION";

const APPROVED_CHECK_USAGE: &str = "\
pdpctl list approvers check [OPTIONS] SUBJECT OPERATION RESOURCE --counterpart RESOURCE
       pdpctl list approvers check [OPTIONS] SUBJECT session:LEVEL RESOURCE";

#[derive(Debug, ClapArgs)]
pub(crate) struct Question {
    /// Who: `person:ID` or `account:ID`.
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// What: an operation, `right:NAME` for a native right, `vault:ACTION` for a vault action, `session:LEVEL` or `session:none` for a session (`operation:NAME` says the same as `NAME`).
    #[arg(value_name = "PERMISSION")]
    pub(crate) permission: String,
    /// To what: `Type:id`, or `resource_group:id` for a vault action.
    #[arg(value_name = "RESOURCE", required_unless_present_any = ["right", "vault", "session"])]
    pub(crate) resource: Option<String>,
    /// Ask about a native right.
    #[arg(long, value_name = "NAME")]
    pub(crate) right: Option<String>,
    /// Ask about an action on a vault entity: `use_remote_app`, `view_password`, `modify_password`, `manage` or `share`.
    #[arg(long, value_name = "ACTION", conflicts_with = "right")]
    pub(crate) vault: Option<String>,
    /// Ask about a session with this permission level; `none`: without one.
    #[arg(long, value_name = "LEVEL", conflicts_with_all = ["right", "vault"])]
    pub(crate) session: Option<String>,
    /// A dual check: the operation is asked of this second object too.
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) counterpart: Option<String>,
    /// Answer DENY where it would be REQUIRES_APPROVAL.
    #[arg(long)]
    pub(crate) no_routing: bool,
    /// Wait until the policy is at this revision or a later one.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    pub(crate) at_least: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Delegation {
    #[command(flatten)]
    pub(crate) question: DelegationQuestion,
    /// Also print everything that led to the answer.
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DelegationQuestion {
    /// Hand the level out, or take it back.
    #[arg(value_name = "ACTION", value_enum)]
    pub(crate) action: DelegationAction,
    /// The Access Level: `Type/Name`.
    #[arg(value_name = "LEVEL")]
    pub(crate) level: String,
    /// Who would do it: `person:ID` or `account:ID`.
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(crate) delegator: String,
    /// Who would get or lose it: any actor, such as `group:ID` or `business_role:ROLE@LOCATION`.
    #[arg(long, visible_alias = "from", value_name = "ACTOR")]
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) scope: Scope,
    /// Answer DENY where it would be REQUIRES_APPROVAL.
    #[arg(long)]
    pub(crate) no_routing: bool,
    /// Wait until the policy is at this revision or a later one.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    pub(crate) at_least: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DelegationAction {
    Grant,
    Revoke,
}

#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(crate) struct Scope {
    /// It covers one resource: `Type:id`.
    #[arg(long, value_name = "RESOURCE")]
    pub(crate) on: Option<String>,
    /// It covers everything of the level's type in or below a location.
    #[arg(long = "in", value_name = "LOCATION")]
    pub(crate) location: Option<String>,
    /// It covers what stands in this relation to its holder, such as `self` or `direct_reports`.
    #[arg(long, value_name = "RELATION", value_parser = parse_relative)]
    pub(crate) relative: Option<Relative>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum List {
    /// What may this subject do on this resource?
    #[command(after_long_help = PERMISSIONS_JSON)]
    Permissions(ListPermissions),
    /// On which resources of a type may this subject do this?
    #[command(after_long_help = RESOURCES_JSON)]
    Resources(ListResources),
    /// Who may do this to that?
    #[command(after_long_help = SUBJECTS_JSON)]
    Subjects(ListSubjects),
    /// Who could agree to what needs an approval?
    #[command(subcommand, override_usage = APPROVERS_USAGE, after_long_help = APPROVERS_JSON)]
    Approvers(ListApprovers),
    /// Print the names of the facts of one kind.
    #[command(after_long_help = FACTS_JSON)]
    Facts(ListFacts),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListPermissions {
    /// Who: `person:ID` or `account:ID`.
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// On what: `Type:id`, or `resource_group:id`.
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: String,
    #[command(flatten)]
    pub(crate) how: ListHow,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListResources {
    /// Who: `person:ID` or `account:ID`.
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// What: an operation, `right:NAME`, `vault:ACTION`, `session:LEVEL` or `session:none`.
    #[arg(value_name = "PERMISSION")]
    pub(crate) permission: String,
    /// The resource type; `resource_group` for resource groups.
    #[arg(value_name = "TYPE")]
    pub(crate) type_name: String,
    #[command(flatten)]
    pub(crate) how: ListHow,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListSubjects {
    /// What: an operation, `right:NAME`, `vault:ACTION`, `session:LEVEL` or `session:none`.
    #[arg(value_name = "PERMISSION")]
    pub(crate) permission: String,
    /// To what: `Type:id`, or `resource_group:id`.
    #[arg(value_name = "RESOURCE")]
    pub(crate) resource: String,
    /// List accounts too, after the people.
    #[arg(long)]
    pub(crate) accounts: bool,
    #[command(flatten)]
    pub(crate) how: ListHow,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListApprovers {
    /// Of a dual check (an operation with --counterpart) or of a session.
    #[command(override_usage = APPROVED_CHECK_USAGE, after_long_help = APPROVERS_JSON)]
    Check(ApprovedCheck),
    /// Of a delegation.
    #[command(override_usage = APPROVED_DELEGATION_USAGE, after_long_help = APPROVERS_JSON)]
    Delegation(Delegation),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ApprovedCheck {
    #[command(flatten)]
    pub(crate) question: Question,
    /// Print why with each of them.
    #[arg(long)]
    pub(crate) explain: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListHow {
    /// Print why with each of them.
    #[arg(long)]
    pub(crate) explain: bool,
    /// Wait until the policy is at this revision or a later one.
    #[arg(long, value_name = "REVISION", default_value_t = 0, hide_default_value = true)]
    pub(crate) at_least: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Apply {
    /// The bundle; `-` reads standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Make the policy equal to the bundle: what the bundle does not name is removed.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Check everything and show what would change, but change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Apply only if this is the current revision.
    #[arg(long, value_name = "REVISION")]
    pub(crate) expected_revision: Option<u64>,
    /// Name the change set, so that it is applied once however often it is sent. A replacing one needs
    /// no name: once it is applied, there is nothing left to replace.
    #[arg(long, value_name = "ID", conflicts_with = "replace")]
    pub(crate) request_id: Option<String>,
    /// Apply on behalf of `person:ID`: only assignments that this person may hand out or take back, and shares of what this person may share, and nothing else.
    #[arg(long, value_name = "PERSON")]
    pub(crate) on_behalf_of: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Get {
    /// The kind of fact, such as `person`, `set_group` or `assignment`.
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
    /// Its name, as `list facts` prints it: an id, `Type:id` for a resource, `Type/Name` for an access level, `Type:id with person:ID` for a share, the computer's id for its session settings.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListFacts {
    /// The kind of fact, such as `person`, `set_group` or `assignment`.
    #[arg(value_name = "KIND")]
    pub(crate) kind: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Test {
    /// Case files, and directories with case files (`.yaml`, `.yml`, `.json`) in or below them.
    #[arg(value_name = "PATH", required = true, action = ArgAction::Append)]
    pub(crate) paths: Vec<PathBuf>,
    /// The evaluation time of files that name none, like `2026-01-31T09:30:00Z` [default: now].
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tenant {
    /// Create a tenant with an empty policy.
    #[command(after_long_help = "JSON: {\"tenant\": ID, \"revision\": 0}")]
    Create(TenantId),
    /// Delete a tenant with its whole policy. There is no way back.
    #[command(after_long_help = "JSON: {\"tenant\": ID}")]
    Delete(TenantId),
    /// List the tenants.
    #[command(after_long_help = "JSON: {\"tenants\": [{\"tenant\": ID, \"revision\": N}, ...]}")]
    List,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TenantId {
    /// The tenant's id.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Health {
    /// A service, such as `pdp.v1.DecisionService` [default: the server as such].
    #[arg(value_name = "SERVICE", default_value = "", hide_default_value = true)]
    pub(crate) service: String,
    /// Wait until it serves, no longer than --timeout.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Reads `500ms`, `10s`, `2m`, or a plain number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time; write it like `500ms`, `10s` or `2m`");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let length = match text.strip_prefix(digits) {
        Some("ms") => Duration::from_millis(number),
        Some("" | "s") => Duration::from_secs(number),
        Some("m") => Duration::from_secs(number.saturating_mul(60)),
        Some(_) | None => return Err(wrong()),
    };
    if length.is_zero() {
        return Err("a time of nothing leaves no time for an answer".to_owned());
    }
    Ok(length)
}

fn parse_relative(text: &str) -> Result<Relative, String> {
    Relative::from_word(text).ok_or_else(|| {
        let words: Vec<_> =
            Relative::ALL.iter().map(|word| format!("`{}`", word.as_str())).collect();
        format!("`{}` is no relation; write {}", text.escape_debug(), words.join(", "))
    })
}

fn parse_instant(text: &str) -> Result<Timestamp, String> {
    parse_time(text).map_err(|error| error.to_string())
}
