//! The questions asked backwards. A list is made and sent page by page: a token names the last
//! entry of the page before, so that the next one goes on behind it, and only the entries of a page
//! are decided. Every entry holds at the instant of its page.

use pdp_engine::actor::ActorRef;
use pdp_engine::delegate::{DelegationQuestion, explain_delegation};
use pdp_engine::id::PersonId;
use pdp_engine::list::{
    APPROVE_USE, AnyPermission, ApprovalQuestion, ListError, ListedPermission, Part, SubjectKinds,
    list_approvers_part, list_permissions_part, list_resources_part, list_subjects_part,
};
use pdp_engine::query::{Malformed as Refused, ObjectRef, Question, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::VaultQuestion;
use pdp_proto::v1;
use prost::Message;

use super::explanation::{self, explained};
use super::failure::Failure;
use super::malformed::{Malformed, required};
use super::named;
use super::page::{ListOf, PageSizes};
use super::question::{
    Asked, delegation, no_permission, object, operation, question, refused, right, session, subject,
};

/// How large a page with explanations grows before it ends, in bytes: clients take 4 MiB by
/// default. An item is never split, and a page holds at least one.
const EXPLAINED_PAGE_BYTES: usize = 1 << 20;

/// What a list is computed from.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Timestamp,
    pub(super) pages: PageSizes,
    /// Whether somebody still waits for the list.
    pub(super) wanted: &'a dyn Fn() -> bool,
}

/// Which page of which list.
struct Page {
    list: ListOf,
    past: Option<Vec<u8>>,
    size: usize,
    explain: bool,
}

// === impl Page ===

impl Page {
    fn new(
        seen: Seen<'_>,
        list: ListOf,
        token: &str,
        asked: u32,
        explain: bool,
    ) -> Result<Self, Failure> {
        let pages = seen.pages;
        let size = if explain { pages.explained_size(asked) } else { pages.size(asked) }?;
        let past = list.past(token, seen.snapshot.revision())?;
        Ok(Self { list, past, size, explain })
    }

    /// What the engine is asked for: one more than the page holds tells whether another follows.
    fn part<'a, T>(&self, seen: Seen<'a>, after: Option<T>) -> Part<'a, T> {
        Part { after, limit: self.size.saturating_add(1), wanted: seen.wanted }
    }

    /// The place of the last item of the page before, as a name.
    fn past_name(&self) -> Result<Option<&str>, Failure> {
        self.past.as_deref().map(name).transpose()
    }

    /// The page's items and the token of the next page.
    fn take<E, T: Message>(
        &self,
        seen: Seen<'_>,
        entries: Vec<E>,
        place: impl Fn(&E) -> Vec<u8>,
        item: impl Fn(E, bool) -> Result<T, Malformed>,
    ) -> Result<(Vec<T>, String), Failure> {
        let mut rest = entries.into_iter().peekable();
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        while items.len() < self.size && bytes < EXPLAINED_PAGE_BYTES {
            let Some(entry) = rest.next() else { break };
            last = Some(place(&entry));
            let item = item(entry, self.explain)?;
            if self.explain {
                bytes += item.encoded_len();
                if !(seen.wanted)() {
                    return Err(Failure::CallerGone);
                }
            }
            items.push(item);
        }
        let next = match (rest.peek(), last) {
            (Some(_), Some(last)) => self.list.token_past(seen.snapshot.revision(), &last),
            _ => String::new(),
        };
        Ok((items, next))
    }
}

/// A name in a token.
fn name(place: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(place).map_err(|_| Failure::PageTokenInvalid)
}

/// Why there is no list; `refused` finds the field at fault.
fn not_listed(error: ListError, refused: impl FnOnce(&Refused) -> Malformed) -> Failure {
    match error {
        ListError::Malformed(error) => refused(&error).into(),
        ListError::Unwanted => Failure::CallerGone,
    }
}

/// ListPermissions.
pub(super) fn permissions(
    seen: Seen<'_>,
    mut request: v1::ListPermissionsRequest,
) -> Result<v1::ListPermissionsResponse, Failure> {
    let token = std::mem::take(&mut request.page_token);
    let asked = std::mem::take(&mut request.page_size);
    let explain = std::mem::take(&mut request.explain);
    request.at_least = 0;
    let tenant = std::mem::take(&mut request.tenant);
    let list = ListOf::asked("permissions", named(&tenant), &request);
    let page = Page::new(seen, list, &token, asked, explain)?;
    let v1::ListPermissionsRequest { subject: who, resource, .. } = &request;
    let who = subject("subject", who.as_ref())?;
    let resource = object(required("resource", resource.as_ref())?);
    // What is asked is listed, so that a refusal can only be about the subject or the resource.
    let after = page.past.as_deref().map(permission_at).transpose()?;
    let part = page.part(seen, after.as_ref());
    let listed = list_permissions_part(seen.snapshot, who, resource, part, seen.now);
    let listed = listed
        .map_err(|error| not_listed(error, |error| refused(AnyPermission::Session(None), error)))?;
    let item = |listed: ListedPermission, explain: bool| {
        let explanation =
            explain.then(|| explain_one(seen, who, listed.ask(), resource)).transpose()?;
        Ok(v1::ListedPermission { permission: Some(permission(listed)), explanation })
    };
    let (permissions, next_page_token) = page.take(seen, listed, permission_place, item)?;
    let revision = seen.snapshot.revision().get();
    Ok(v1::ListPermissionsResponse { permissions, next_page_token, revision })
}

/// INVARIANT: bytes in the order of the permissions.
fn permission_place(listed: &ListedPermission) -> Vec<u8> {
    let (mark, name) = match listed {
        ListedPermission::Operation(name) => (0, name.as_str()),
        ListedPermission::Right(name) => (1, name.as_str()),
        ListedPermission::Vault(name) => (2, name.as_str()),
        ListedPermission::Session(level) => (3, level.as_deref().unwrap_or_default()),
    };
    [&[mark], name.as_bytes()].concat()
}

/// The permission at a place.
fn permission_at(place: &[u8]) -> Result<ListedPermission, Failure> {
    let (mark, rest) = place.split_first().ok_or(Failure::PageTokenInvalid)?;
    let name = name(rest)?.to_owned();
    Ok(match mark {
        0 => ListedPermission::Operation(name),
        1 => ListedPermission::Right(name),
        2 => ListedPermission::Vault(name),
        3 => ListedPermission::Session(Some(name).filter(|name| !name.is_empty())),
        _ => return Err(Failure::PageTokenInvalid),
    })
}

fn permission(listed: ListedPermission) -> v1::listed_permission::Permission {
    use v1::listed_permission::Permission as Wire;
    match listed {
        ListedPermission::Operation(name) => Wire::Operation(name),
        ListedPermission::Right(name) => Wire::Right(name),
        ListedPermission::Vault(action) => Wire::VaultAction(action),
        ListedPermission::Session(level) => Wire::Session(v1::SessionPermission { level }),
    }
}

/// ListResources.
pub(super) fn resources(
    seen: Seen<'_>,
    mut request: v1::ListResourcesRequest,
) -> Result<v1::ListResourcesResponse, Failure> {
    use v1::list_resources_request::Permission as Wire;
    let token = std::mem::take(&mut request.page_token);
    let asked = std::mem::take(&mut request.page_size);
    let explain = std::mem::take(&mut request.explain);
    request.at_least = 0;
    let tenant = std::mem::take(&mut request.tenant);
    let list = ListOf::asked("resources", named(&tenant), &request);
    let page = Page::new(seen, list, &token, asked, explain)?;
    let v1::ListResourcesRequest { subject: who, permission, r#type: type_name, .. } = &request;
    let who = subject("subject", who.as_ref())?;
    let permission = match permission.as_ref().ok_or_else(no_permission)? {
        Wire::Operation(name) => operation(name),
        Wire::Right(name) => right(name),
        Wire::VaultAction(action) => AnyPermission::Vault(action),
        Wire::Session(wire) => session(wire),
    };
    let part = page.part(seen, page.past_name()?);
    let (snapshot, now) = (seen.snapshot, seen.now);
    let listed = list_resources_part(snapshot, who, permission, type_name, part, now);
    let listed = listed.map_err(|error| {
        not_listed(error, |error| match refused(permission, error) {
            Malformed { path, message } if path == "resource" => Malformed::new("type", message),
            other => other,
        })
    })?;
    let item = |id: pdp_engine::id::ObjectId, explain: bool| {
        let resource = ObjectRef { type_name, id: id.as_str() };
        let explanation =
            explain.then(|| explain_one(seen, who, permission, resource)).transpose()?;
        Ok(v1::ListedResource { id: id.to_string(), explanation })
    };
    let (resources, next_page_token) =
        page.take(seen, listed, |id| id.as_str().as_bytes().to_vec(), item)?;
    let revision = seen.snapshot.revision().get();
    Ok(v1::ListResourcesResponse { resources, next_page_token, revision })
}

/// ListSubjects.
pub(super) fn subjects(
    seen: Seen<'_>,
    mut request: v1::ListSubjectsRequest,
) -> Result<v1::ListSubjectsResponse, Failure> {
    use v1::list_subjects_request::Permission as Wire;
    let token = std::mem::take(&mut request.page_token);
    let asked = std::mem::take(&mut request.page_size);
    let explain = std::mem::take(&mut request.explain);
    request.at_least = 0;
    let tenant = std::mem::take(&mut request.tenant);
    let list = ListOf::asked("subjects", named(&tenant), &request);
    let page = Page::new(seen, list, &token, asked, explain)?;
    let v1::ListSubjectsRequest { permission, resource, accounts, .. } = &request;
    let permission = match permission.as_ref().ok_or_else(no_permission)? {
        Wire::Operation(name) => operation(name),
        Wire::Right(name) => right(name),
        Wire::VaultAction(action) => AnyPermission::Vault(action),
        Wire::Session(wire) => session(wire),
    };
    let resource = object(required("resource", resource.as_ref())?);
    let kinds = if *accounts { SubjectKinds::PeopleAndAccounts } else { SubjectKinds::People };
    let part = page.part(seen, page.past.as_deref().map(subject_at).transpose()?);
    let (snapshot, now) = (seen.snapshot, seen.now);
    let listed = list_subjects_part(snapshot, permission, resource, kinds, part, now);
    let listed = listed.map_err(|error| not_listed(error, |error| refused(permission, error)))?;
    let item = |actor: ActorRef, explain: bool| {
        let explanation = match subject_of(&actor) {
            Some(who) if explain => Some(explain_one(seen, who, permission, resource)?),
            _ => None,
        };
        Ok(v1::ListedSubject { subject: listed_subject(&actor), explanation })
    };
    let (subjects, next_page_token) = page.take(seen, listed, subject_place, item)?;
    let revision = seen.snapshot.revision().get();
    Ok(v1::ListSubjectsResponse { subjects, next_page_token, revision })
}

/// The page token with which a list of people and accounts begins at its accounts, at a revision.
pub(crate) fn first_account(
    request: &v1::ListSubjectsRequest,
    at: pdp_engine::query::Revision,
) -> String {
    let question = v1::ListSubjectsRequest {
        tenant: String::new(),
        at_least: 0,
        explain: false,
        page_size: 0,
        page_token: String::new(),
        ..request.clone()
    };
    // Behind every person and before every account.
    ListOf::asked("subjects", named(&request.tenant), &question).token_past(at, b"q")
}

fn subject_of(actor: &ActorRef) -> Option<SubjectRef<'_>> {
    match actor {
        ActorRef::Person(id) => Some(SubjectRef::Person(id.as_str())),
        ActorRef::Account(id) => Some(SubjectRef::Account(id.as_str())),
        // INVARIANT: only people and accounts are listed.
        ActorRef::Group(_)
        | ActorRef::SetGroup(_)
        | ActorRef::BusinessRoleLocation(..)
        | ActorRef::ManagementRole(_)
        | ActorRef::ManagementRoleDefinition(_) => None,
    }
}

fn listed_subject(actor: &ActorRef) -> Option<v1::Subject> {
    use v1::subject::Subject as Wire;
    let subject = match subject_of(actor)? {
        SubjectRef::Person(id) => Wire::Person(id.to_owned()),
        SubjectRef::Account(id) => Wire::Account(id.to_owned()),
    };
    Some(v1::Subject { subject: Some(subject) })
}

/// INVARIANT: bytes in the order of the subjects: people first.
fn subject_place(actor: &ActorRef) -> Vec<u8> {
    match subject_of(actor) {
        Some(SubjectRef::Person(id)) => [b"p", id.as_bytes()].concat(),
        Some(SubjectRef::Account(id)) => [b"q", id.as_bytes()].concat(),
        None => Vec::new(),
    }
}

/// The subject at a place.
fn subject_at(place: &[u8]) -> Result<SubjectRef<'_>, Failure> {
    match place.split_first() {
        Some((b'p', id)) => Ok(SubjectRef::Person(name(id)?)),
        Some((b'q', id)) => Ok(SubjectRef::Account(name(id)?)),
        _ => Err(Failure::PageTokenInvalid),
    }
}

/// ListApprovers.
pub(super) fn approvers(
    seen: Seen<'_>,
    mut request: v1::ListApproversRequest,
) -> Result<v1::ListApproversResponse, Failure> {
    use v1::list_approvers_request::Question as Wire;
    let token = std::mem::take(&mut request.page_token);
    let asked = std::mem::take(&mut request.page_size);
    let explain = std::mem::take(&mut request.explain);
    request.at_least = 0;
    let tenant = std::mem::take(&mut request.tenant);
    let list = ListOf::asked("approvers", named(&tenant), &request);
    let page = Page::new(seen, list, &token, asked, explain)?;
    let v1::ListApproversRequest { question: wire, .. } = &request;
    let (field, asked) = match wire {
        None => {
            let message = "is required, or else `check`: what would be agreed to";
            return Err(Malformed::new("delegation", message).into());
        }
        Some(Wire::Delegation(wire)) => {
            ("delegation", delegation(wire).map(ApprovalQuestion::Delegation))
        }
        Some(Wire::Check(wire)) => ("check", question(wire).and_then(approvable)),
    };
    let inside = |malformed: Malformed| malformed.inside(field);
    let asked = asked.map_err(inside)?;
    let part = page.part(seen, page.past_name()?);
    let listed = list_approvers_part(seen.snapshot, &asked, part, seen.now);
    let refused = |error: &Refused| {
        inside(match &asked {
            ApprovalQuestion::Delegation(_) => Malformed::new(error.field(), error),
            ApprovalQuestion::Dual(question) => Asked::Access(*question).refused(error),
            ApprovalQuestion::Session(question) => Asked::Session(*question).refused(error),
        })
    };
    let listed = listed.map_err(|error| not_listed(error, refused))?;
    let item = |person: PersonId, explain: bool| {
        let because = match explain {
            true => Some(because(seen, &asked, &person)?),
            false => None,
        };
        Ok(v1::ListedApprover { person: person.to_string(), because })
    };
    let (approvers, next_page_token) =
        page.take(seen, listed, |id| id.as_str().as_bytes().to_vec(), item)?;
    let revision = seen.snapshot.revision().get();
    Ok(v1::ListApproversResponse { approvers, next_page_token, revision })
}

/// Only what can come to `REQUIRES_APPROVAL` has approvers (D6).
fn approvable(asked: Asked<'_>) -> Result<ApprovalQuestion<'_>, Malformed> {
    match asked {
        Asked::Access(question) if question.counterpart.is_some() => {
            Ok(ApprovalQuestion::Dual(question))
        }
        Asked::Access(_) => {
            let message = "is required: nobody is asked to agree to a check of one resource";
            Err(Malformed::new("counterpart", message))
        }
        Asked::Session(question) => Ok(ApprovalQuestion::Session(question)),
        Asked::Vault(_) => {
            Err(Malformed::new("vault_action", "nobody is asked to agree to a vault action"))
        }
    }
}

/// How an approver could agree.
fn because(
    seen: Seen<'_>,
    asked: &ApprovalQuestion<'_>,
    person: &PersonId,
) -> Result<v1::listed_approver::Because, Malformed> {
    use v1::listed_approver::Because;
    let approver = SubjectRef::Person(person.as_str());
    Ok(match asked {
        ApprovalQuestion::Delegation(question) => {
            let question = DelegationQuestion { delegator: approver, ..*question };
            let explained = explain_delegation(seen.snapshot, &question, seen.now)
                .map_err(|error| Malformed::new(error.field(), error))?;
            Because::Delegation(explanation::delegation(&explained))
        }
        ApprovalQuestion::Dual(question) => {
            let asked = Asked::Access(Question { subject: approver, ..*question });
            Because::Check(explained(seen.snapshot, &asked, seen.now)?.1)
        }
        ApprovalQuestion::Session(question) => {
            let may = operation(APPROVE_USE);
            Because::Check(explain_one(seen, approver, may, question.computer)?)
        }
    })
}

/// Why an item is in its list.
fn explain_one(
    seen: Seen<'_>,
    subject: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    resource: ObjectRef<'_>,
) -> Result<v1::Explanation, Malformed> {
    let asked = match permission {
        AnyPermission::Access(permission) => {
            Asked::Access(Question::new(subject, permission, resource))
        }
        AnyPermission::Vault(action) => {
            Asked::Vault(VaultQuestion { subject, action, entity: resource })
        }
        AnyPermission::Session(level) => {
            Asked::Session(SessionQuestion { subject, level, computer: resource, routing: true })
        }
    };
    Ok(explained(seen.snapshot, &asked, seen.now)?.1)
}

#[cfg(test)]
mod tests {
    use pdp_engine::compile::compile;
    use pdp_engine::facts::Facts;
    use pdp_engine::query::Revision;

    use super::*;

    #[test]
    fn a_page_with_explanations_ends_before_it_grows_too_large() {
        let snapshot = compile(&Facts::default(), Revision::new(1));
        let pages = PageSizes { plain: 1_000, explained: 100 };
        let now = Timestamp::from_micros(0);
        let seen = Seen { snapshot: &snapshot, now, pages, wanted: &|| true };
        let large = |_: u8, _: bool| {
            Ok(v1::ListedResource { id: "x".repeat(EXPLAINED_PAGE_BYTES / 2), explanation: None })
        };
        let sizes = |explain: bool| {
            let mut token = String::new();
            let mut sizes = Vec::new();
            loop {
                let list = ListOf::new(&["large"]);
                let page = Page::new(seen, list, &token, 4, explain).unwrap();
                let part = page.part(seen, page.past.clone());
                let rest = (0..5_u8).filter(|n| part.after.as_ref() < Some(&vec![*n]));
                let rest = rest.take(part.limit).collect();
                let (items, next) = page.take(seen, rest, |n| vec![*n], large).unwrap();
                sizes.push(items.len());
                if next.is_empty() {
                    return sizes;
                }
                token = next;
            }
        };
        assert_eq!(sizes(true), [2, 2, 1]);
        assert_eq!(sizes(false), [4, 1]);
    }
}
