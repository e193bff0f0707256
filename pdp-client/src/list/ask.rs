//! Each list's request and what it answers.

use pdp_proto::v1;

use super::{ApprovalQuestion, Because, Fetched, Item, Listing, Page, SubjectKinds, Turn};
use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::{Effect, Explanation, Revision, fresh_enough};
use crate::delegation::DelegationExplanation;
use crate::question::{Permission, Resource, Subject, session};

// === impl Client ===

impl Client {
    /// What may somebody do on one resource? Every operation, native right, vault action and
    /// session that a check says `ALLOW` to.
    pub fn list_permissions(&self, subject: Subject, resource: Resource) -> Listing<Permission> {
        let client = self.for_pages();
        Listing::new(move |turn| {
            let (client, wire) = (client.clone(), (subject.to_wire(), resource.to_wire()));
            Box::pin(permissions(client, wire.0, wire.1, turn)) as Fetched<_>
        })
    }

    /// On which resources of a type may somebody do something? `resource_group` stands for the type
    /// of resource groups.
    pub fn list_resources(
        &self,
        subject: Subject,
        permission: Permission,
        type_name: impl Into<String>,
    ) -> Listing<Resource> {
        let (client, type_name) = (self.for_pages(), type_name.into());
        Listing::new(move |turn| {
            let (client, subject) = (client.clone(), subject.to_wire());
            let asked = (permission.clone(), type_name.clone());
            Box::pin(resources(client, subject, asked.0, asked.1, turn)) as Fetched<_>
        })
    }

    /// Who may do something on one resource? People first, then accounts if they are asked for.
    pub fn list_subjects(
        &self,
        permission: Permission,
        resource: Resource,
        kinds: SubjectKinds,
    ) -> Listing<Subject> {
        let client = self.for_pages();
        Listing::new(move |turn| {
            let (client, permission) = (client.clone(), permission.clone());
            Box::pin(subjects(client, permission, resource.to_wire(), kinds, turn)) as Fetched<_>
        })
    }

    /// Which people could agree to what needs an approval? Their ids. Nobody is an empty list, and
    /// never an `ALLOW`.
    pub fn list_approvers(&self, question: impl Into<ApprovalQuestion>) -> Listing<String> {
        let (client, question) = (self.for_pages(), question.into());
        Listing::new(move |turn| {
            Box::pin(approvers(client.clone(), question.clone(), turn)) as Fetched<_>
        })
    }
}

async fn permissions(
    client: Client,
    subject: v1::Subject,
    resource: v1::ResourceRef,
    turn: Turn,
) -> Result<Page<Permission>, Error> {
    let Turn { token, size, explain } = turn;
    let request = || v1::ListPermissionsRequest {
        tenant: client.tenant().to_owned(),
        subject: Some(subject.clone()),
        resource: Some(resource.clone()),
        page_size: size,
        page_token: token.clone(),
        explain,
        at_least: client.oldest().get(),
    };
    let send = |server: &Subchannel, request| {
        let mut service = server.decisions();
        async move { service.list_permissions(request).await }
    };
    let response = client.unary(Repeat::Read, request, send).await?;
    let v1::ListPermissionsResponse { permissions, next_page_token, revision } = response;
    let items = permissions.into_iter().map(|listed| {
        use v1::listed_permission::Permission as Wire;
        let v1::ListedPermission { permission, explanation } = listed;
        let value = match permission {
            Some(Wire::Operation(name)) => Permission::Operation(name),
            Some(Wire::Right(name)) => Permission::Right(name),
            Some(Wire::VaultAction(name)) => Permission::VaultAction(name),
            Some(Wire::Session(v1::SessionPermission { level })) => Permission::Session(level),
            None => return Err(Error::protocol("a permission is of no known kind")),
        };
        let because = because(explanation, &value, explain)?;
        Ok(Item { value, because })
    });
    page(&client, items.collect::<Result<_, _>>()?, next_page_token, revision)
}

async fn resources(
    client: Client,
    subject: v1::Subject,
    permission: Permission,
    type_name: String,
    turn: Turn,
) -> Result<Page<Resource>, Error> {
    use v1::list_resources_request::Permission as Wire;
    let Turn { token, size, explain } = turn;
    let request = || v1::ListResourcesRequest {
        tenant: client.tenant().to_owned(),
        subject: Some(subject.clone()),
        permission: Some(match permission.clone() {
            Permission::Operation(name) => Wire::Operation(name),
            Permission::Right(name) => Wire::Right(name),
            Permission::VaultAction(name) => Wire::VaultAction(name),
            Permission::Session(level) => Wire::Session(session(level.as_ref())),
        }),
        r#type: type_name.clone(),
        page_size: size,
        page_token: token.clone(),
        explain,
        at_least: client.oldest().get(),
    };
    let send = |server: &Subchannel, request| {
        let mut service = server.decisions();
        async move { service.list_resources(request).await }
    };
    let response = client.unary(Repeat::Read, request, send).await?;
    let v1::ListResourcesResponse { resources, next_page_token, revision } = response;
    let items = resources.into_iter().map(|listed| {
        let v1::ListedResource { id, explanation } = listed;
        let because = because(explanation, &permission, explain)?;
        Ok(Item { value: Resource::new(type_name.as_str(), named(id)?), because })
    });
    page(&client, items.collect::<Result<_, _>>()?, next_page_token, revision)
}

async fn subjects(
    client: Client,
    permission: Permission,
    resource: v1::ResourceRef,
    kinds: SubjectKinds,
    turn: Turn,
) -> Result<Page<Subject>, Error> {
    use v1::list_subjects_request::Permission as Wire;
    let Turn { token, size, explain } = turn;
    let request = || v1::ListSubjectsRequest {
        tenant: client.tenant().to_owned(),
        permission: Some(match permission.clone() {
            Permission::Operation(name) => Wire::Operation(name),
            Permission::Right(name) => Wire::Right(name),
            Permission::VaultAction(name) => Wire::VaultAction(name),
            Permission::Session(level) => Wire::Session(session(level.as_ref())),
        }),
        resource: Some(resource.clone()),
        accounts: kinds == SubjectKinds::PeopleAndAccounts,
        page_size: size,
        page_token: token.clone(),
        explain,
        at_least: client.oldest().get(),
    };
    let send = |server: &Subchannel, request| {
        let mut service = server.decisions();
        async move { service.list_subjects(request).await }
    };
    let response = client.unary(Repeat::Read, request, send).await?;
    let v1::ListSubjectsResponse { subjects, next_page_token, revision } = response;
    let items = subjects.into_iter().map(|listed| {
        use v1::subject::Subject as Wire;
        let v1::ListedSubject { subject, explanation } = listed;
        let value = match subject.and_then(|subject| subject.subject) {
            Some(Wire::Person(id)) => Subject::Person(named(id)?),
            Some(Wire::Account(id)) if kinds == SubjectKinds::PeopleAndAccounts => {
                Subject::Account(named(id)?)
            }
            Some(Wire::Account(_)) => {
                return Err(Error::protocol("it lists accounts that were not asked for"));
            }
            None => return Err(Error::protocol("a subject is of no known kind")),
        };
        Ok(Item { value, because: because(explanation, &permission, explain)? })
    });
    page(&client, items.collect::<Result<_, _>>()?, next_page_token, revision)
}

async fn approvers(
    client: Client,
    question: ApprovalQuestion,
    turn: Turn,
) -> Result<Page<String>, Error> {
    use v1::list_approvers_request::Question as Wire;
    let Turn { token, size, explain } = turn;
    let request = || v1::ListApproversRequest {
        tenant: client.tenant().to_owned(),
        question: Some(match &question {
            ApprovalQuestion::Delegation(question) => Wire::Delegation(question.to_wire()),
            ApprovalQuestion::Check(question) => Wire::Check(question.to_wire()),
        }),
        page_size: size,
        page_token: token.clone(),
        explain,
        at_least: client.oldest().get(),
    };
    let send = |server: &Subchannel, request| {
        let mut service = server.decisions();
        async move { service.list_approvers(request).await }
    };
    let response = client.unary(Repeat::Read, request, send).await?;
    let v1::ListApproversResponse { approvers, next_page_token, revision } = response;
    let items = approvers.into_iter().map(|listed| {
        use v1::listed_approver::Because as Wire;
        let v1::ListedApprover { person, because: wire } = listed;
        let because = match wire {
            Some(Wire::Check(message)) => because(Some(message), &APPROVE, explain)?,
            Some(Wire::Delegation(message)) => {
                let told = DelegationExplanation::from_wire(message, Revision::default())?;
                allowed(told.decision.effect)?;
                Some(Because::Delegation(Box::new(told)))
            }
            None => because(None, &APPROVE, explain)?,
        };
        Ok(Item { value: named(person)?, because })
    });
    page(&client, items.collect::<Result<_, _>>()?, next_page_token, revision)
}

/// Approving is holding an operation, whatever is approved: it carries no obligations.
const APPROVE: Permission = Permission::Operation(String::new());

fn page<T>(
    client: &Client,
    items: Vec<Item<T>>,
    next: String,
    revision: u64,
) -> Result<Page<T>, Error> {
    let revision = Revision::new(revision);
    fresh_enough(revision, client.oldest())?;
    Ok(Page { items, next, revision })
}

fn because(
    explanation: Option<v1::Explanation>,
    permission: &Permission,
    wanted: bool,
) -> Result<Option<Because>, Error> {
    let Some(message) = explanation else {
        return if wanted { Err(Error::protocol("an item has no explanation")) } else { Ok(None) };
    };
    let told = Explanation::from_wire(message, permission, Revision::default())?;
    allowed(told.decision.effect)?;
    Ok(Some(Because::Check(Box::new(told))))
}

/// Every item of a list is an `ALLOW`.
fn allowed(effect: Effect) -> Result<(), Error> {
    if effect == Effect::Allow {
        return Ok(());
    }
    Err(Error::protocol(format!("it lists an item whose explanation says {effect}")))
}

fn named(id: String) -> Result<String, Error> {
    if id.is_empty() { Err(Error::protocol("an item has no id")) } else { Ok(id) }
}
