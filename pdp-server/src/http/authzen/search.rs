//! The searches: the lists of the gRPC door, asked through its own service, so that they are bounded,
//! counted and ended as those are. A page token holds the whole search and the list's own token, so
//! that a follow-up may carry the token alone.
//!
//! A name that nothing can have names nothing: it is found nowhere, and that is no error.

use axum::response::Response;
use pdp_bundle::question::{WrittenPermission, parse_permission};
use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{ObjectRef, SubjectRef};
use pdp_proto::v1;
use pdp_proto::v1::decision_service_server::DecisionService;
use serde::Serialize;
use std::sync::Arc;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::super::json::{Json, Object};
use super::request::{Entity, Tuple, optional_object, required, subject, text};
use super::{Options, Refused, json, with};
use crate::callers::Granted;
use crate::rpc::{Door, Failure, Malformed, first_account};
use crate::telemetry::Rpc;

/// How often a list is begun anew because the policy changed while its beginning was looked for.
const ATTEMPTS: usize = 3;

/// What is searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Searched {
    Subject,
    Resource,
    Action,
}

/// One search: what is given of the question, the page's size, and the list's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search {
    searched: Searched,
    subject: (String, String),
    action: String,
    resource: (String, String),
    limit: Option<u64>,
    token: String,
}

/// A page of results.
#[derive(Serialize)]
struct Results {
    page: Page,
    results: Vec<Found>,
}

#[derive(Serialize)]
struct Page {
    next_token: String,
    count: usize,
}

/// Something that was found.
#[derive(Serialize)]
#[serde(untagged)]
enum Found {
    Entity {
        #[serde(rename = "type")]
        type_name: String,
        id: String,
    },
    Action {
        name: String,
    },
}

/// A page of a list.
type Listed = (Vec<Found>, String);

// === impl Searched ===

impl Searched {
    const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Resource => "resource",
            Self::Action => "action",
        }
    }

    /// The name of its span.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Subject => "AuthZEN/search/subject",
            Self::Resource => "AuthZEN/search/resource",
            Self::Action => "AuthZEN/search/action",
        }
    }

    /// The list that answers it.
    pub(super) const fn rpc(self) -> Rpc {
        match self {
            Self::Subject => Rpc::ListSubjects,
            Self::Resource => Rpc::ListResources,
            Self::Action => Rpc::ListPermissions,
        }
    }
}

// === impl Search ===

impl Search {
    /// The search of a request, or of the token that it carries; they must not contradict each other.
    pub(super) fn read(searched: Searched, request: &Object<'_>) -> Result<Self, Malformed> {
        let given = Tuple::given(request, searched)?;
        if given.counterpart()?.is_some() {
            let message = "goes with an evaluation only: searches ask about one resource";
            return Err(Malformed::new("context.counterpart", message));
        }
        let page = optional_object(request, "page")?;
        let limit = page.map(limit).transpose()?.flatten();
        let token = page.map(page_token).transpose();
        let token = token.map_err(|malformed| malformed.inside("page"))?.flatten();
        let Some(token) = token else { return Self::begun(searched, given, limit) };
        let no_token = || {
            let message = "is no page token of this search; start it again";
            Malformed::new("page.token", message)
        };
        let carried = Self::from_token(token).filter(|carried| carried.searched == searched);
        let carried = carried.ok_or_else(no_token)?;
        if limit == Some(0) {
            let message = "is 0, which comes to no end with a token; leave it out";
            return Err(Malformed::new("page.limit", message));
        }
        // A search that was begun with a limit of 0 has said nothing of the size of its pages.
        let fresh = carried.token.is_empty() && carried.limit.is_none();
        let carried = if fresh { Self { limit, ..carried } } else { carried };
        carried.agrees_with(given, limit)?;
        Ok(carried)
    }

    fn begun(searched: Searched, given: Tuple<'_>, limit: Option<u64>) -> Result<Self, Malformed> {
        let part = |field: &str, entity: Option<Entity<'_>>, is_searched: bool| {
            let entity = required(field, entity)?;
            // What is searched for has no id yet.
            let id = if is_searched { Some("") } else { entity.id };
            let ObjectRef { type_name, id } = Entity { id, ..entity }.whole(field)?;
            Ok::<_, Malformed>((type_name.to_owned(), id.to_owned()))
        };
        let action = match searched {
            Searched::Action => "",
            Searched::Subject | Searched::Resource => given.action_name()?,
        };
        Ok(Self {
            searched,
            subject: part("subject", given.subject, searched == Searched::Subject)?,
            action: action.to_owned(),
            resource: part("resource", given.resource, searched == Searched::Resource)?,
            limit,
            token: String::new(),
        })
    }

    /// A follow-up may leave out what the token says, and may not say anything else.
    fn agrees_with(&self, given: Tuple<'_>, limit: Option<u64>) -> Result<(), Malformed> {
        let same = |field: &str, given: Option<&str>, carried: &str| match given {
            Some(given) if given != carried => {
                let message = "is not what the page token's search has; start it again";
                Err(Malformed::new(field, message))
            }
            Some(_) | None => Ok(()),
        };
        let subject = given.subject.unwrap_or_default();
        let resource = given.resource.unwrap_or_default();
        same("subject.type", subject.type_name, &self.subject.0)?;
        same("resource.type", resource.type_name, &self.resource.0)?;
        same("subject.id", subject.id, &self.subject.1)?;
        same("resource.id", resource.id, &self.resource.1)?;
        same("action.name", given.action.flatten(), &self.action)?;
        match limit {
            Some(_) if limit != self.limit => {
                let message = "is not what the page token's search has; start it again";
                Err(Malformed::new("page.limit", message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The page, as an answer.
    pub(super) async fn run(
        self,
        options: &Options,
        door: &Arc<Door>,
        granted: Granted<'_>,
    ) -> Result<Response, Refused> {
        // For the errors that concern the tenant, where nothing is listed.
        door.snapshot(granted)?;
        let listed = match self.searched {
            Searched::Subject => self.subjects(options, door, granted).await,
            Searched::Resource => self.resources(options, door, granted).await,
            Searched::Action => self.actions(options, door, granted).await,
        };
        let (mut results, mut next) = found(listed)?;
        if self.limit == Some(0) {
            // Nothing is wanted but to know whether there is something. Whoever follows the token
            // wants it.
            let begun = Self { token: String::new(), limit: None, ..self.clone() };
            next = if results.is_empty() { String::new() } else { begun.to_token() };
            results.clear();
        } else if !next.is_empty() {
            next = Self { token: next, ..self }.to_token();
        }
        let page = Page { next_token: next, count: results.len() };
        let body = serde_json::to_vec(&Results { page, results }).map_err(|_| Failure::Internal)?;
        Ok(json(body))
    }

    async fn subjects(
        &self,
        options: &Options,
        door: &Arc<Door>,
        granted: Granted<'_>,
    ) -> Result<Listed, Status> {
        let (type_name, _) = &self.subject;
        let wanted = ObjectRef { type_name, id: "" };
        let (kind, nobody) = subject(wanted, &options.person_types);
        if nobody.is_some() {
            return Ok(Listed::default());
        }
        let accounts = matches!(kind, SubjectRef::Account(_));
        let mut request = v1::ListSubjectsRequest {
            tenant: granted.tenant().to_owned(),
            permission: Some(permission(&self.action, Asked::in_subjects)),
            resource: Some(self.resource()),
            accounts,
            page_size: self.page_size(door),
            page_token: self.token.clone(),
            ..Default::default()
        };
        let service = door.decisions();
        let mut attempts = 0;
        let answer = loop {
            if accounts && self.token.is_empty() {
                // People come first in the list, and are not what is looked for.
                let revision = door.snapshot(granted)?.0.revision();
                request.page_token = first_account(&request, revision);
            }
            attempts += 1;
            match service.list_subjects(with(granted, request.clone())).await {
                Err(status) if is(&status, "PAGE_TOKEN_EXPIRED") && self.token.is_empty() => {
                    if attempts == ATTEMPTS {
                        return Err(Status::unavailable("the policy changes too fast; ask again"));
                    }
                }
                answered => break answered?.into_inner(),
            }
        };
        let id = |listed: v1::ListedSubject| {
            use v1::subject::Subject as Wire;
            match listed.subject.and_then(|subject| subject.subject)? {
                Wire::Person(id) if !accounts => Some(id),
                Wire::Account(id) if accounts => Some(id),
                Wire::Person(_) | Wire::Account(_) => None,
            }
        };
        let found = answer.subjects.into_iter().filter_map(id);
        let found = found.map(|id| Found::Entity { type_name: type_name.clone(), id });
        Ok((found.collect(), answer.next_page_token))
    }

    async fn resources(
        &self,
        options: &Options,
        door: &Arc<Door>,
        granted: Granted<'_>,
    ) -> Result<Listed, Status> {
        let Some(subject) = self.somebody(options) else { return Ok(Listed::default()) };
        let type_name = &self.resource.0;
        let request = v1::ListResourcesRequest {
            tenant: granted.tenant().to_owned(),
            subject: Some(subject),
            permission: Some(permission(&self.action, Asked::in_resources)),
            r#type: type_name.clone(),
            page_size: self.page_size(door),
            page_token: self.token.clone(),
            ..Default::default()
        };
        let answer = door.decisions().list_resources(with(granted, request)).await?.into_inner();
        let found = answer.resources.into_iter();
        let found = found.map(|it| Found::Entity { type_name: type_name.clone(), id: it.id });
        Ok((found.collect(), answer.next_page_token))
    }

    async fn actions(
        &self,
        options: &Options,
        door: &Arc<Door>,
        granted: Granted<'_>,
    ) -> Result<Listed, Status> {
        let Some(subject) = self.somebody(options) else { return Ok(Listed::default()) };
        let request = v1::ListPermissionsRequest {
            tenant: granted.tenant().to_owned(),
            subject: Some(subject),
            resource: Some(self.resource()),
            page_size: self.page_size(door),
            page_token: self.token.clone(),
            ..Default::default()
        };
        let answer = door.decisions().list_permissions(with(granted, request)).await?.into_inner();
        let found = answer.permissions.into_iter().filter_map(|listed| listed.permission);
        let found = found.map(|permission| Found::Action { name: name_of(&permission) });
        Ok((found.collect(), answer.next_page_token))
    }

    /// Who asks, if there are subjects of that type.
    fn somebody(&self, options: &Options) -> Option<v1::Subject> {
        use v1::subject::Subject as Wire;
        let (type_name, id) = &self.subject;
        let (who, nobody) = subject(ObjectRef { type_name, id }, &options.person_types);
        let wire = match who {
            SubjectRef::Person(id) => Wire::Person(id.to_owned()),
            SubjectRef::Account(id) => Wire::Account(id.to_owned()),
        };
        nobody.is_none().then_some(v1::Subject { subject: Some(wire) })
    }

    fn resource(&self) -> v1::ResourceRef {
        let (type_name, id) = self.resource.clone();
        v1::ResourceRef { r#type: type_name, id }
    }

    /// At most as many as wanted; a page may always be shorter.
    fn page_size(&self, door: &Door) -> u32 {
        let most = door.pages().plain;
        let limit = self.limit.map_or(most, |limit| u32::try_from(limit).unwrap_or(u32::MAX));
        limit.clamp(1, most)
    }

    /// The token of the page that this search asks for. It is no secret: a forged one shows nothing
    /// that its forger may not search for.
    fn to_token(&self) -> String {
        let Self { searched, subject, action, resource, limit, token } = self;
        let limit = limit.map(|limit| limit.to_string()).unwrap_or_default();
        let words = [
            searched.word(),
            &subject.0,
            &subject.1,
            action,
            &resource.0,
            &resource.1,
            &limit,
            token,
        ];
        let text = serde_json::json!(words).to_string();
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_token(token: &str) -> Option<Self> {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = |pair: &[u8]| match pair {
            [high, low] => u8::try_from(digit(high)? << 4 | digit(low)?).ok(),
            _ => None,
        };
        let bytes: Vec<u8> = token.as_bytes().chunks(2).map(byte).collect::<Option<_>>()?;
        let text = String::from_utf8(bytes).ok()?;
        let Json::List(words) = Json::parse(&text).ok()? else { return None };
        let words = words.iter().map(|word| match word {
            Json::Text(word) => Some(word.as_ref().to_owned()),
            _ => None,
        });
        let words: Vec<String> = words.collect::<Option<_>>()?;
        let [searched, subject_type, subject_id, action, type_name, id, limit, token] =
            <[String; 8]>::try_from(words).ok()?;
        let all = [Searched::Subject, Searched::Resource, Searched::Action];
        Some(Self {
            searched: all.into_iter().find(|it| it.word() == searched)?,
            subject: (subject_type, subject_id),
            action,
            resource: (type_name, id),
            limit: if limit.is_empty() { None } else { Some(limit.parse().ok()?) },
            token,
        })
    }
}

/// The token of a follow-up, which some send under the name that it had in the answer.
fn page_token<'a>(page: &'a Object<'a>) -> Result<Option<&'a str>, Malformed> {
    let named = |name| Ok(text(page, name)?.filter(|token| !token.is_empty()));
    match (named("token")?, named("next_token")?) {
        (Some(token), Some(next)) if token != next => {
            Err(Malformed::new("next_token", "is not the `token` beside it; leave one out"))
        }
        (token, next) => Ok(token.or(next)),
    }
}

/// How many results a page may hold.
fn limit(page: &Object<'_>) -> Result<Option<u64>, Malformed> {
    match page.get("limit") {
        None => Ok(None),
        Some(Json::Whole(limit)) => Ok(Some(*limit)),
        Some(_) => Err(Malformed::new("page.limit", "must be a whole number, 0 or more")),
    }
}

/// A name that nothing can have names nothing.
fn found(listed: Result<Listed, Status>) -> Result<Listed, Refused> {
    match listed {
        Err(status) if is(&status, "MALFORMED") => Ok(Listed::default()),
        other => other.map_err(Refused::Status),
    }
}

fn is(status: &Status, reason: &str) -> bool {
    status.code() == Code::InvalidArgument
        && status.get_details_error_info().is_some_and(|info| info.reason == reason)
}

/// What is asked, as each list's request writes it.
enum Asked {
    Operation(String),
    Right(String),
    Vault(String),
    Session(v1::SessionPermission),
}

// === impl Asked ===

impl Asked {
    fn in_subjects(self) -> v1::list_subjects_request::Permission {
        use v1::list_subjects_request::Permission as Wire;
        match self {
            Self::Operation(name) => Wire::Operation(name),
            Self::Right(name) => Wire::Right(name),
            Self::Vault(action) => Wire::VaultAction(action),
            Self::Session(session) => Wire::Session(session),
        }
    }

    fn in_resources(self) -> v1::list_resources_request::Permission {
        use v1::list_resources_request::Permission as Wire;
        match self {
            Self::Operation(name) => Wire::Operation(name),
            Self::Right(name) => Wire::Right(name),
            Self::Vault(action) => Wire::VaultAction(action),
            Self::Session(session) => Wire::Session(session),
        }
    }
}

fn permission<T>(action: &str, write: impl FnOnce(Asked) -> T) -> T {
    write(match parse_permission(action) {
        AnyPermission::Access(permission) if permission.kind == PermissionKind::Right => {
            Asked::Right(permission.name.to_owned())
        }
        AnyPermission::Access(permission) => Asked::Operation(permission.name.to_owned()),
        AnyPermission::Vault(action) => Asked::Vault(action.to_owned()),
        AnyPermission::Session(level) => {
            Asked::Session(v1::SessionPermission { level: level.map(str::to_owned) })
        }
    })
}

/// A listed permission, as actions are named.
fn name_of(listed: &v1::listed_permission::Permission) -> String {
    use pdp_engine::query::PermissionRef;
    use v1::listed_permission::Permission as Wire;
    let access = |kind, name| AnyPermission::Access(PermissionRef { kind, name });
    let permission = match listed {
        Wire::Operation(name) => access(PermissionKind::Operation, name),
        Wire::Right(name) => access(PermissionKind::Right, name),
        Wire::VaultAction(action) => AnyPermission::Vault(action),
        Wire::Session(session) => AnyPermission::Session(session.level.as_deref()),
    };
    WrittenPermission(permission).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_the_whole_search() {
        let search = Search {
            searched: Searched::Subject,
            subject: ("user".to_owned(), String::new()),
            action: "right:\"Read\"".to_owned(),
            resource: ("record".to_owned(), "zürich".to_owned()),
            limit: Some(7),
            token: "00ff".to_owned(),
        };
        assert_eq!(Search::from_token(&search.to_token()), Some(search.clone()));
        let unlimited = Search { limit: None, ..search };
        assert_eq!(Search::from_token(&unlimited.to_token()), Some(unlimited));
        for forged in ["x", "5b5d", "zz", "7b7d", "ff", "5b2261225d"] {
            assert_eq!(Search::from_token(forged), None, "{forged}");
        }
    }
}
