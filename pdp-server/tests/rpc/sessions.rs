//! SessionService: what brokers and administrators ask of it, and what decisions make of it.

mod audited;
mod deciding;
mod ending;
mod opening;
mod reading;
mod refusing;
mod watching;

use std::sync::atomic::Ordering;

use pdp_proto::v1::fact::Fact;
use pdp_proto::v1::question::Permission;
use pdp_proto::v1::{self};
use prost_types::Timestamp;
use tempfile::TempDir;
use tonic::{Response, Status};

use crate::facts::actor;
use crate::served::{NOW, Served, object, person, put};

/// A policy with a computer for every case.
const POLICY: &str = r#"
resource_types:
  Database: {operations: [Read, AddToReader]}
  Person: {operations: [AddPersonToReader]}
  UserAccount: {operations: [View]}
  Computer: {}
access_levels:
  - {type: Database, name: Reader, operations: {Read: allowed, AddToReader: allowed}}
  - {type: Person, name: Helper, operations: {AddPersonToReader: allowed}}
people:
  - {id: ana}
  - {id: bo}
  - {id: cy}
  - {id: dee, enabled: false}
  - {id: eve}
accounts: [{id: own/bo, owner: bo, computer: own}, {id: own/bo-2, owner: bo, computer: own}]
groups: [{id: admins}, {id: operators}, {id: listed, members: [account:own/bo]}, {id: staff, members: [person:ana, person:bo, person:cy, person:dee]}]
resources:
  - {type: Database, id: orders}
  - {type: Computer, id: web}
  - {type: Computer, id: keep}
  - {type: Computer, id: own}
  - {type: Computer, id: one}
  - {type: Computer, id: off}
  - {type: Computer, id: plain}
assignments:
  - {id: r-1, to: group:admins, level: Database/Reader, on: "Database:orders"}
  - {id: r-2, to: group:admins, level: Person/Helper, on: "Person:eve"}
  - {id: r-3, to: group:operators, level: Database/Reader, on: "Database:orders"}
permission_levels: [{id: admin}, {id: operator}, {id: listed}, {id: unmapped}, {id: unused}]
psm:
  - {computer: web, enabled: true, allow_unprivileged: true, account_store: local_windows_server, max_session: 1h, jit: {enabled: true, delete_on_end: true}, levels: {admin: group:admins, operator: group:operators, unmapped: null}}
  - {computer: keep, enabled: true, account_store: local_windows_server, max_session: 1h, jit: {enabled: true, reuse_existing: true}, levels: {admin: group:admins}}
  - {computer: own, enabled: true, max_session: 1h, levels: {admin: group:admins, operator: group:operators, listed: group:listed}}
  - {computer: one, enabled: true, allow_unprivileged: true, account_store: local_windows_server, max_session: 1h, max_concurrent: 1, jit: {enabled: true}, levels: {admin: group:admins}}
  - {computer: off, enabled: false, levels: {admin: group:admins}}
eligibilities:
  - {to: group:staff, level: admin, on: "Computer:web", kind: pre_approved}
  - {to: person:cy, level: admin, on: "Computer:web", kind: excluded}
  - {to: person:ana, level: operator, on: "Computer:web", kind: eligible}
  - {to: person:bo, level: operator, on: "Computer:web", kind: pre_approved}
  - {to: group:staff, level: admin, on: "Computer:keep", kind: pre_approved}
  - {to: group:staff, level: admin, on: "Computer:own", kind: pre_approved}
  - {to: group:staff, level: operator, on: "Computer:own", kind: pre_approved}
  - {to: group:staff, level: listed, on: "Computer:own", kind: pre_approved}
  - {to: group:staff, level: admin, on: "Computer:one", kind: pre_approved}
"#;

/// In microseconds.
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;

type Answer<T> = Result<T, Status>;

pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("policy.yaml"), POLICY).unwrap();
    folder
}

/// An instant, by its distance from the first of a test in microseconds.
fn after(micros: i64) -> Timestamp {
    let at = NOW + micros;
    let nanos = i32::try_from(at.rem_euclid(SECOND)).unwrap() * 1_000;
    Timestamp { seconds: at.div_euclid(SECOND), nanos }
}

/// Sets the clock to so long after the first instant of the test.
fn set_clock(served: &Served, micros: i64) {
    served.now.store(NOW + micros, Ordering::SeqCst);
}

fn request(
    key: &str,
    person: &str,
    computer: &str,
    level: Option<&str>,
) -> v1::SessionServiceOpenRequest {
    v1::SessionServiceOpenRequest {
        request_key: key.into(),
        person: person.into(),
        computer: computer.into(),
        level: level.map(Into::into),
        ..Default::default()
    }
}

async fn ask(
    served: &Served,
    request: v1::SessionServiceOpenRequest,
) -> Answer<v1::SessionServiceOpenResponse> {
    served.sessions().open(request).await.map(Response::into_inner)
}

/// Opens a session that is allowed, under the key `person computer level`.
async fn opened(served: &Served, person: &str, computer: &str, level: &str) -> v1::Session {
    let key = format!("{person} {computer} {level}");
    let answer = ask(served, request(&key, person, computer, Some(level))).await.unwrap();
    assert!(!answer.replayed);
    answer.session.unwrap_or_else(|| panic!("{:?}", answer.decision))
}

async fn renew(served: &Served, id: &str) -> Answer<v1::SessionServiceRenewResponse> {
    let request = v1::SessionServiceRenewRequest { session: id.into(), ..Default::default() };
    served.sessions().renew(request).await.map(Response::into_inner)
}

async fn close(served: &Served, id: &str) -> Answer<v1::Session> {
    let request = v1::SessionServiceCloseRequest { session: id.into(), ..Default::default() };
    served.sessions().close(request).await.map(|answer| answer.into_inner().session.unwrap())
}

async fn get(served: &Served, id: &str) -> Answer<v1::Session> {
    let by = Some(v1::session_service_get_request::By::Session(id.into()));
    let request = v1::SessionServiceGetRequest { by, ..Default::default() };
    served.sessions().get(request).await.map(|answer| answer.into_inner().session.unwrap())
}

async fn acknowledge(
    served: &Served,
    id: &str,
    outcome: v1::acknowledge_revocation_request::Outcome,
) -> Answer<v1::Revocation> {
    let (revocation, outcome) = (id.into(), Some(outcome));
    let request = v1::AcknowledgeRevocationRequest { revocation, outcome, ..Default::default() };
    let answer = served.sessions().acknowledge_revocation(request).await?;
    Ok(answer.into_inner().revocation.unwrap())
}

fn done() -> v1::acknowledge_revocation_request::Outcome {
    v1::acknowledge_revocation_request::Outcome::Done(v1::RevocationDone {})
}

fn failed(message: &str) -> v1::acknowledge_revocation_request::Outcome {
    let message = message.into();
    v1::acknowledge_revocation_request::Outcome::Failed(v1::RevocationFailed { message })
}

/// May this person open a session?
fn opening(who: &str, computer: &str, level: Option<&str>) -> v1::Question {
    let level = level.map(str::to_owned);
    question(
        person(who),
        Permission::Session(v1::SessionPermission { level }),
        object("Computer", computer),
    )
}

fn question(
    subject: v1::Subject,
    permission: Permission,
    resource: v1::ResourceRef,
) -> v1::Question {
    v1::Question {
        subject: Some(subject),
        permission: Some(permission),
        resource: Some(resource),
        counterpart: None,
        no_routing: false,
    }
}

fn account(id: &str) -> v1::Subject {
    v1::Subject { subject: Some(v1::subject::Subject::Account(id.into())) }
}

/// May this subject read the orders? Whoever is in `admins` or `operators` may.
fn reading_orders(subject: v1::Subject) -> v1::Question {
    let read = Permission::Operation("Read".into());
    question(subject, read, object("Database", "orders"))
}

/// Why a decision is what it is.
async fn reason(served: &Served, question: v1::Question) -> v1::Reason {
    served.check(question).await.reason()
}

/// Says that a person may not open sessions with a level on a computer.
fn exclusion(person: &str, computer: &str, level: &str) -> v1::EligibilityKey {
    let scope = v1::eligibility_scope::Scope::OnComputer(computer.into());
    v1::EligibilityKey {
        to: actor(v1::actor_ref::Actor::Person(person.into())),
        level: level.into(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: v1::EligibilityKind::Excluded.into(),
    }
}

/// Excludes a person from a level on a computer; the revision from which on it counts.
async fn exclude(served: &Served, person: &str, computer: &str, level: &str) -> u64 {
    let name = Some(exclusion(person, computer, level));
    let excluded = put(Fact::Eligibility(v1::Eligibility { name, window: None }));
    served.apply(vec![excluded]).await.unwrap().revision
}

/// The kinds of a session's work, in order.
fn kinds(session: &v1::Session) -> Vec<v1::OnEnd> {
    session.revocations.iter().map(v1::Revocation::kind).collect()
}
