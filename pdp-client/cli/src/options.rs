//! What is to be done, validated: from here on nothing looks at arguments.

use std::path::PathBuf;
use std::time::Duration;

use pdp_bundle::question::{OwnedObject, OwnedQuestion, OwnedSubject};
use pdp_client::Revision;
use pdp_engine::facts::{FactKey, FactKind};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::Malformed;
use pdp_engine::time::Timestamp;

use crate::args::{self, Args, Command};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::screen::Screen;
use crate::{apply, cases, completions, fact, health, policy, question, tenant};

/// Where the server is and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) tenant: String,
    pub(crate) timeout: Option<Duration>,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Options {
    server: Server,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Check(Asked),
    Explain(Asked),
    Apply(Apply),
    Export,
    Get(FactKey),
    List(FactKind),
    Test { paths: Vec<PathBuf>, now: Option<Timestamp> },
    Tenant(args::Tenant),
    Health { service: String, wait: bool },
    Completions(clap_complete::Shell),
}

/// A question, well formed, and how fresh its answer must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) question: OwnedQuestion,
    pub(crate) at_least: Revision,
}

/// A bundle to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Apply {
    pub(crate) source: Source,
    pub(crate) replace: bool,
    pub(crate) dry_run: bool,
    pub(crate) expected_revision: Option<Revision>,
    pub(crate) request_id: Option<String>,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    StandardInput,
    File(PathBuf),
}

// === impl Options ===

impl Options {
    pub(crate) fn new(args: Args) -> Result<Self, Problem> {
        let args::Global { server, tenant, timeout, output: _, color: _ } = args.global;
        let url = if server.contains("://") { server } else { format!("http://{server}") };
        let task = match args.command {
            Command::Check(question) => Task::Check(asked(question)?),
            Command::Explain(question) => Task::Explain(asked(question)?),
            Command::Apply(args) => Task::Apply(to_apply(args)),
            Command::Export => Task::Export,
            Command::Get(args::Get { kind, name }) => Task::Get(fact::parse_key(&kind, &name)?),
            Command::List(args::List { kind }) => Task::List(fact::parse_kind(&kind)?),
            Command::Test(args::Test { paths, now }) => Task::Test { paths, now },
            Command::Tenant(task) => Task::Tenant(task),
            Command::Health(args::Health { service, wait }) => Task::Health { service, wait },
            Command::Completions(args::Completions { shell }) => Task::Completions(shell),
        };
        Ok(Self { server: Server { url, tenant, timeout }, task })
    }

    pub(crate) async fn run(self, screen: &mut Screen) -> Result<Exit, Problem> {
        let Self { server, task } = self;
        match task {
            Task::Check(asked) => question::check(&server, &asked, screen).await,
            Task::Explain(asked) => question::explain(&server, &asked, screen).await,
            Task::Apply(options) => apply::apply(&server, options, screen).await,
            Task::Export => policy::export(&server, screen).await,
            Task::Get(key) => policy::get(&server, &key, screen).await,
            Task::List(kind) => policy::list(&server, kind, screen).await,
            Task::Test { paths, now } => cases::test(&paths, now, screen),
            Task::Tenant(task) => tenant::run(&server, task, screen).await,
            Task::Health { service, wait } => health::health(&server, &service, wait, screen).await,
            Task::Completions(shell) => completions::print(shell, screen),
        }
    }
}

fn to_apply(args: args::Apply) -> Apply {
    let args::Apply { file, replace, dry_run, expected_revision, request_id } = args;
    let source = if file.as_os_str() == "-" { Source::StandardInput } else { Source::File(file) };
    let expected_revision = expected_revision.map(Revision::new);
    Apply { source, replace, dry_run, expected_revision, request_id }
}

fn asked(args: args::Question) -> Result<Asked, Problem> {
    let args::Question { subject, permission, resource, right, counterpart, no_routing, at_least } =
        args;
    let (kind, permission, resource) = match (right, resource) {
        (Some(right), None) => (PermissionKind::Right, right, permission),
        (Some(_), Some(_)) => {
            let message =
                format!("`{permission}` and --right both say what is asked; leave one out");
            return Err(Problem::argument("OPERATION", message));
        }
        (None, resource) => {
            let (kind, name) = match permission.split_once(':') {
                Some(("right", name)) => (PermissionKind::Right, name.to_owned()),
                Some(("operation", name)) => (PermissionKind::Operation, name.to_owned()),
                Some(_) | None => (PermissionKind::Operation, permission),
            };
            (kind, name, resource.unwrap_or_default())
        }
    };
    let object = |name, text: &str| {
        OwnedObject::parse(text).map_err(|error| Problem::argument(name, error.to_string()))
    };
    let question = OwnedQuestion {
        subject: OwnedSubject::parse(&subject)
            .map_err(|error| Problem::argument("SUBJECT", error.to_string()))?,
        kind,
        permission,
        resource: object("RESOURCE", &resource)?,
        counterpart: counterpart.map(|text| object("--counterpart", &text)).transpose()?,
        routing: !no_routing,
    };
    question.as_question().validate().map_err(|malformed| misnamed(&malformed, kind))?;
    Ok(Asked { question, at_least: Revision::new(at_least) })
}

/// A malformed question, by the argument that is at fault.
fn misnamed(malformed: &Malformed, kind: PermissionKind) -> Problem {
    let name = match (malformed.field(), kind) {
        ("subject", _) => "SUBJECT",
        ("permission", PermissionKind::Operation) => "OPERATION",
        ("permission", PermissionKind::Right) => "right",
        ("counterpart", _) => "--counterpart",
        _ => "RESOURCE",
    };
    Problem::argument(name, malformed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(line: &str) -> Result<Options, String> {
        let args = Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Options::new(args).map_err(|problem| problem.to_string())
    }

    fn question(line: &str) -> Result<OwnedQuestion, String> {
        match options(&format!("pdpctl check {line}"))?.task {
            Task::Check(asked) => Ok(asked.question),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_question_may_be_written_in_three_ways() {
        let words = |line| question(line).unwrap().to_string();
        assert_eq!(
            words("person:ana View Report:absence"),
            "person:ana, operation View, Report:absence"
        );
        let right = "account:corp/ana, right ReadData, Report:a:b";
        assert_eq!(words("account:corp/ana right:ReadData Report:a:b"), right);
        assert_eq!(words("account:corp/ana --right ReadData Report:a:b"), right);
        assert_eq!(
            words("person:ana operation:right:x Report:a --counterpart Person:bo --no-routing"),
            "person:ana, operation right:x, Report:a, counterpart Person:bo, without routing"
        );
    }

    #[test]
    fn what_is_wrong_with_a_question_is_told_by_argument() {
        for (line, message) in [
            (
                "ana View Report:a",
                "SUBJECT: `ana` does not name a subject; write `person:ID` or `account:ID`",
            ),
            ("person: View Report:a", "SUBJECT: an empty person id; give it 1 to 256 bytes"),
            (
                "person:ana View Report",
                "RESOURCE: `Report` does not name a resource; write `Type:id`",
            ),
            ("person:ana right: Report:a", "right: an empty right; give it 1 to 256 bytes"),
            (
                "person:ana View Report:a --counterpart bo",
                "--counterpart: `bo` does not name a resource; write `Type:id`",
            ),
            (
                "person:ana right:x Report:a --counterpart Person:bo",
                "--counterpart: a counterpart goes with an operation, not with a right",
            ),
            (
                "person:ana View Report:a --right x",
                "OPERATION: `View` and --right both say what is asked; leave one out",
            ),
        ] {
            assert_eq!(question(line).unwrap_err(), message);
        }
        assert!(question("person:ana View").unwrap_err().contains("<RESOURCE>"));
    }

    #[test]
    fn a_server_may_be_named_without_its_scheme() {
        let url = |line| options(line).unwrap().server.url;
        assert_eq!(url("pdpctl health --server pdp:7070"), "http://pdp:7070");
        assert_eq!(url("pdpctl --server https://pdp:7070 health"), "https://pdp:7070");
    }
}
