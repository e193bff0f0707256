//! What is to be done, validated: from here on nothing looks at arguments.

use std::path::PathBuf;
use std::time::Duration;

use pdp_bundle::question::{AnyQuestion, OwnedObject, OwnedSubject};
use pdp_client::{AuditKind, AuditQuery, Revision};
use pdp_engine::facts::{FactKey, FactKind};
use pdp_engine::id::validate_type_name;
use pdp_engine::share::Entity;
use pdp_engine::time::Timestamp;

use crate::args::{self, Args, Command};
use crate::asked::{self, Asked, What};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::screen::Screen;
use crate::{
    apply, audit, cases, completions, fact, gateway, health, import, list, policy, question,
    replay, session, tenant, watch,
};

/// Where the server is and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) tenant: String,
    pub(crate) timeout: Option<Duration>,
    pub(crate) proof: args::Proof,
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
    Import(Import),
    Export,
    Get(FactKey),
    List(List),
    Facts(FactKind),
    Test { paths: Vec<PathBuf>, now: Option<Timestamp> },
    Replay(args::Replay),
    Watch(args::Watch),
    Tenant(args::Tenant),
    Audit(Audit),
    Session(session::Task),
    Gateway(Box<args::GatewayExplain>),
    Health { service: String, wait: bool },
    Completions(clap_complete::Shell),
}

/// A list to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) of: Listed,
    pub(crate) explain: bool,
    pub(crate) at_least: Revision,
}

/// What is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listed {
    Permissions { subject: OwnedSubject, resource: OwnedObject },
    Resources { subject: OwnedSubject, what: What, type_name: String },
    Subjects { what: What, resource: OwnedObject, accounts: bool },
    Approvers(AnyQuestion),
}

/// A bundle to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Apply {
    pub(crate) source: Source,
    pub(crate) replace: bool,
    pub(crate) dry_run: bool,
    pub(crate) expected_revision: Option<Revision>,
    pub(crate) request_id: Option<String>,
    /// A person's id.
    pub(crate) on_behalf_of: Option<String>,
}

/// Bundles to import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) sources: Vec<Source>,
    pub(crate) replace: bool,
    pub(crate) dry_run: bool,
    pub(crate) expected_revision: Option<Revision>,
    pub(crate) request_id: Option<String>,
}

/// What to do with the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audit {
    List { query: AuditQuery, limit: usize },
    Verify { of_server: bool },
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    StandardInput,
    File(PathBuf),
}

// === impl Source ===

impl Source {
    fn named(file: PathBuf) -> Self {
        if file.as_os_str() == "-" { Self::StandardInput } else { Self::File(file) }
    }
}

// === impl Options ===

impl Options {
    pub(crate) fn new(args: Args) -> Result<Self, Problem> {
        let args::Global { server, tenant, timeout, proof, output: _, color: _ } = args.global;
        let url = if server.contains("://") { server } else { format!("http://{server}") };
        let task = match args.command {
            Command::Check(question) => Task::Check(Asked::check(question)?),
            Command::Explain(question) => Task::Explain(Asked::check(question)?),
            Command::Delegation(args::Delegation { question, explain: false }) => {
                Task::Check(Asked::delegation(question)?)
            }
            Command::Delegation(args::Delegation { question, explain: true }) => {
                Task::Explain(Asked::delegation(question)?)
            }
            Command::List(args) => to_list(args)?,
            Command::Apply(args) => Task::Apply(to_apply(args)?),
            Command::Import(args) => Task::Import(to_import(args)?),
            Command::Export => Task::Export,
            Command::Get(args::Get { kind, name }) => Task::Get(fact::parse_key(&kind, &name)?),
            Command::Test(args::Test { paths, now }) => Task::Test { paths, now },
            Command::Replay(args) => Task::Replay(args),
            Command::Watch(args) => Task::Watch(args),
            Command::Tenant(task) => Task::Tenant(task),
            Command::Audit(args) => Task::Audit(to_audit(args)?),
            Command::Session(args) => Task::Session(session::Task::new(args)?),
            Command::Gateway(args::Gateway::Explain(given)) => Task::Gateway(Box::new(given)),
            Command::Health(args::Health { service, wait }) => Task::Health { service, wait },
            Command::Completions(args::Completions { shell }) => Task::Completions(shell),
        };
        Ok(Self { server: Server { url, tenant, timeout, proof }, task })
    }

    pub(crate) async fn run(self, screen: &mut Screen) -> Result<Exit, Problem> {
        let Self { server, task } = self;
        match task {
            Task::Check(asked) => question::check(&server, &asked, screen).await,
            Task::Explain(asked) => question::explain(&server, &asked, screen).await,
            Task::Apply(options) => apply::apply(&server, options, screen).await,
            Task::Import(options) => import::import(&server, options, screen).await,
            Task::Export => policy::export(&server, screen).await,
            Task::Get(key) => policy::get(&server, &key, screen).await,
            Task::List(options) => list::list(&server, options, screen).await,
            Task::Facts(kind) => policy::list(&server, kind, screen).await,
            Task::Test { paths, now } => cases::test(&paths, now, screen),
            Task::Replay(args::Replay { logs, bundle }) => {
                replay::replay(&server, &logs, bundle.as_deref(), screen).await
            }
            Task::Watch(options) => watch::watch(&server, options, screen).await,
            Task::Tenant(task) => tenant::run(&server, task, screen).await,
            Task::Audit(task) => audit::run(&server, task, screen).await,
            Task::Session(task) => session::run(&server, task, screen).await,
            Task::Gateway(given) => gateway::explain(&server, &given, screen).await,
            Task::Health { service, wait } => health::health(&server, &service, wait, screen).await,
            Task::Completions(shell) => completions::print(shell, screen),
        }
    }
}

fn to_list(args: args::List) -> Result<Task, Problem> {
    let (of, how) = match args {
        args::List::Permissions(args::ListPermissions { subject, resource, how }) => {
            let subject = asked::subject("SUBJECT", &subject)?;
            (Listed::Permissions { subject, resource: asked::object("RESOURCE", &resource)? }, how)
        }
        args::List::Resources(args::ListResources { subject, permission, type_name, how }) => {
            let subject = asked::subject("SUBJECT", &subject)?;
            let what = What::read(&permission)?;
            if type_name != Entity::GROUP_WORD {
                validate_type_name("resource type", &type_name)
                    .map_err(|error| Problem::argument("TYPE", error.to_string()))?;
            }
            (Listed::Resources { subject, what, type_name }, how)
        }
        args::List::Subjects(args::ListSubjects { permission, resource, accounts, how }) => {
            let what = What::read(&permission)?;
            let resource = asked::object("RESOURCE", &resource)?;
            (Listed::Subjects { what, resource, accounts }, how)
        }
        args::List::Approvers(of) => {
            let (asked, explain) = match of {
                args::ListApprovers::Check(args::ApprovedCheck { question, explain }) => {
                    (Asked::check(question)?, explain)
                }
                args::ListApprovers::Delegation(args::Delegation { question, explain }) => {
                    (Asked::delegation(question)?, explain)
                }
            };
            let Asked { question, at_least } = asked;
            (Listed::Approvers(question), args::ListHow { explain, at_least: at_least.get() })
        }
        args::List::Facts(args::ListFacts { kind }) => {
            return Ok(Task::Facts(fact::parse_kind(&kind)?));
        }
    };
    let args::ListHow { explain, at_least } = how;
    Ok(Task::List(List { of, explain, at_least: Revision::new(at_least) }))
}

fn to_apply(args: args::Apply) -> Result<Apply, Problem> {
    let args::Apply { file, replace, dry_run, expected_revision, request_id, on_behalf_of } = args;
    let source = Source::named(file);
    let expected_revision = expected_revision.map(Revision::new);
    let person = |text: String| person("--on-behalf-of", &text);
    let on_behalf_of = on_behalf_of.map(person).transpose()?;
    Ok(Apply { source, replace, dry_run, expected_revision, request_id, on_behalf_of })
}

fn to_import(args: args::Import) -> Result<Import, Problem> {
    let args::Import { files, replace, dry_run, expected_revision, request_id } = args;
    if replace && files.len() > 1 {
        let message =
            "`--replace` takes one bundle: several are not compared with the policy together";
        return Err(Problem::Message(message.to_owned()));
    }
    let sources = files.into_iter().map(Source::named).collect();
    let expected_revision = expected_revision.map(Revision::new);
    Ok(Import { sources, replace, dry_run, expected_revision, request_id })
}

fn to_audit(args: args::Audit) -> Result<Audit, Problem> {
    let list = match args {
        args::Audit::List(list) => list,
        args::Audit::Verify(args::Verify { chain: args::Chain { of_server } }) => {
            return Ok(Audit::Verify { of_server });
        }
    };
    let args::ListAudit { from, until, person: whose, caller, kind, limit, chain } = list;
    let mut query = AuditQuery::default();
    if let Some(from) = from {
        query = query.from(audit::system_time(from));
    }
    if let Some(until) = until {
        query = query.until(audit::system_time(until));
    }
    if let Some(whose) = whose {
        query = query.person(person("--person", &whose)?);
    }
    if let Some(caller) = caller {
        query = query.caller(caller);
    }
    if let Some(kind) = kind {
        query = query.kind(match kind {
            args::Kind::Began => AuditKind::Began,
            args::Kind::TenantCreated => AuditKind::TenantCreated,
            args::Kind::TenantDeleted => AuditKind::TenantDeleted,
            args::Kind::PolicyChanged => AuditKind::PolicyChanged,
            args::Kind::SessionOpened => AuditKind::SessionOpened,
            args::Kind::SessionRenewed => AuditKind::SessionRenewed,
            args::Kind::SessionEnded => AuditKind::SessionEnded,
            args::Kind::RevocationDue => AuditKind::RevocationDue,
            args::Kind::RevocationSettled => AuditKind::RevocationSettled,
            args::Kind::RevocationFailed => AuditKind::RevocationFailed,
        });
    }
    if chain.of_server {
        query = query.of_server();
    }
    Ok(Audit::List { query, limit: limit.unwrap_or(usize::MAX) })
}

/// The id of a person, written `person:ID`.
pub(crate) fn person(argument: &'static str, text: &str) -> Result<String, Problem> {
    match asked::subject(argument, text)? {
        OwnedSubject::Person(id) => Ok(id),
        OwnedSubject::Account(_) => {
            let text = text.escape_debug();
            let message = format!("`{text}` is no person; write `person:ID`");
            Err(Problem::argument(argument, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    fn options(line: &str) -> Result<Options, String> {
        let args = Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Options::new(args).map_err(|problem| problem.to_string())
    }

    fn question(line: &str) -> Result<AnyQuestion, String> {
        match options(&format!("pdpctl check {line}"))?.task {
            Task::Check(asked) => Ok(asked.question),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_question_may_be_written_in_several_ways() {
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
        let vault = "person:ana, vault manage, resource_group:web";
        assert_eq!(words("person:ana vault:manage resource_group:web"), vault);
        assert_eq!(words("person:ana --vault manage resource_group:web"), vault);
        let session = "person:ana, session root, Computer:web-07";
        assert_eq!(words("person:ana session:root Computer:web-07"), session);
        assert_eq!(words("person:ana --session root Computer:web-07"), session);
        assert_eq!(
            words("person:ana session:none Computer:web-07 --no-routing"),
            "person:ana, session none, Computer:web-07, without routing"
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
            ("person:ana right: Report:a", "PERMISSION: an empty right; give it 1 to 256 bytes"),
            ("person:ana Report:a --right=", "--right: an empty right; give it 1 to 256 bytes"),
            (
                "person:ana vault: Report:a",
                "PERMISSION: an empty vault action; give it 1 to 256 bytes",
            ),
            (
                "person:ana session: Computer:a",
                "PERMISSION: an empty permission level id; give it 1 to 256 bytes",
            ),
            (
                "person:ana vault:share resource_group:",
                "RESOURCE: an empty resource group id; give it 1 to 256 bytes",
            ),
            (
                "person:ana session:none resource_group:a",
                "RESOURCE: `resource_group` is not a resource type name: a letter, then up to 63 letters, digits, `_` or `-`",
            ),
            (
                "person:ana vault:share Report:a --counterpart Person:bo",
                "--counterpart: a counterpart goes with an operation only",
            ),
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
                "PERMISSION: `View` and --right both say what is asked; leave one out",
            ),
        ] {
            assert_eq!(question(line).unwrap_err(), message);
        }
        assert!(question("person:ana View").unwrap_err().contains("<RESOURCE>"));
    }

    fn delegation(line: &str) -> Result<String, String> {
        match options(&format!("pdpctl delegation {line}"))?.task {
            Task::Check(asked) => Ok(asked.question.to_string()),
            Task::Explain(asked) => Ok(format!("explain {}", asked.question)),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn a_delegation_has_one_scope() {
        let asked = delegation("grant Report/Viewer --as person:ana --to group:hr --on Report:a:b");
        assert_eq!(asked.unwrap(), "person:ana, grant Report/Viewer on Report:a:b, to group:hr");
        let asked = delegation(
            "revoke Person/No --as account:a --from business_role:t@z --relative self --no-routing --explain",
        );
        assert_eq!(
            asked.unwrap(),
            "explain account:a, revoke Person/No relative self, from business_role:t@z, without routing"
        );
        let asked = delegation("grant Report/Viewer --as person:ana --to group:hr --in zurich");
        assert_eq!(asked.unwrap(), "person:ana, grant Report/Viewer in zurich, to group:hr");
        let common = "grant Report/Viewer --as person:ana --to group:hr";
        for (rest, message) in [
            ("", "required arguments were not provided"),
            ("--in a --on Report:b", "cannot be used with"),
            ("--relative friends", "`friends` is no relation; write `self`, `manager`,"),
            ("--relative self", "--relative: `relative self` does not go with a level of type"),
            ("--on Person:b", "--on: `on Person:b` does not go with a level of type `Report`"),
            ("--in ", "--in: an empty location id"),
        ] {
            let rest = if rest == "--in " { "--in=" } else { rest };
            let line = format!("{common} {rest}");
            let told = delegation(line.trim_end()).unwrap_err();
            assert!(told.contains(message), "{rest}: {told}");
        }
        for (line, message) in [
            ("grant Viewer --as person:a --to group:b --in c", "LEVEL: `Viewer` does not name"),
            ("grant A/B --as a --to group:b --in c", "--as: `a` does not name a subject"),
            ("grant A/B --as person:a --to b --in c", "--to: `b` does not name an actor"),
            ("grant A/B --as person:a --to group: --in c", "--to: an empty recipient id"),
        ] {
            let told = delegation(line).unwrap_err();
            assert!(told.starts_with(message), "{line}: {told}");
        }
    }

    #[test]
    fn a_list_says_what_is_listed() {
        let list = |line: &str| match options(&format!("pdpctl list {line}")).map(|o| o.task) {
            Ok(Task::List(list)) => Ok(list),
            Ok(other) => Err(format!("{other:?}")),
            Err(told) => Err(told),
        };
        let listed = list("subjects vault:share resource_group:web --accounts --explain").unwrap();
        let resource = OwnedObject { type_name: "resource_group".into(), id: "web".into() };
        let what = What::Vault("share".into());
        assert_eq!(listed.of, Listed::Subjects { what, resource, accounts: true });
        assert!(listed.explain);
        let listed = list("approvers check person:a Add Report:r --counterpart Person:b").unwrap();
        assert!(matches!(listed.of, Listed::Approvers(AnyQuestion::Access(_))));
        let delegation = "approvers delegation grant A/B --as person:a --to group:b --in c";
        assert!(matches!(
            list(delegation).unwrap().of,
            Listed::Approvers(AnyQuestion::Delegation(_))
        ));
        assert!(list("resources person:a session:none resource_group").is_ok());
        let told = list("resources person:a View 1").unwrap_err();
        assert!(told.starts_with("TYPE: "), "{told}");
        assert!(list("facts persons").unwrap_err().contains("`persons` is no kind of fact"));
        assert!(list("person").unwrap_err().contains("unrecognized subcommand 'person'"));
    }

    #[test]
    fn only_a_person_is_changed_for() {
        let behalf = |whose: &str| {
            let line = format!("pdpctl apply x.yaml --on-behalf-of {whose}");
            match options(&line).map(|options| options.task) {
                Ok(Task::Apply(apply)) => Ok(apply.on_behalf_of),
                Ok(other) => Err(format!("{other:?}")),
                Err(told) => Err(told),
            }
        };
        assert_eq!(behalf("person:ana"), Ok(Some("ana".to_owned())));
        for (whose, told) in [
            ("account:a", "--on-behalf-of: `account:a` is no person; write `person:ID`"),
            ("person:", "--on-behalf-of: an empty person id; give it 1 to 256 bytes"),
        ] {
            assert_eq!(behalf(whose), Err(told.to_owned()));
        }
    }

    #[test]
    fn a_server_may_be_named_without_its_scheme() {
        let url = |line| options(line).unwrap().server.url;
        assert_eq!(url("pdpctl health --server pdp:7070"), "http://pdp:7070");
        assert_eq!(url("pdpctl --server https://pdp:7070 health"), "https://pdp:7070");
    }
}
