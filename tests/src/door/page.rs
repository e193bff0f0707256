//! The lists as they travel: one page at a time, of any size, with their tokens.

use pdp_client::{Permission, v1};
use pdp_engine::delegate::{self, RecipientRef, ScopeRef};
use pdp_engine::level::Relative;
use pdp_engine::list::{
    AnyPermission, ApprovalQuestion, SubjectKinds, list_approvers, list_permissions,
    list_resources, list_subjects,
};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Malformed, ObjectRef, PermissionRef, SubjectRef};
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use tonic::{Request, Status};

use super::{Door, wire};

/// A list that is wanted.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// What the subject may do on the object.
    Permissions(SubjectRef<'a>, ObjectRef<'a>),
    /// The resources of the type on which the subject may do it.
    Resources(SubjectRef<'a>, AnyPermission<'a>, &'a str),
    /// Who may do it on the object.
    Subjects(AnyPermission<'a>, ObjectRef<'a>, SubjectKinds),
    /// Who could agree.
    Approvers(ApprovalQuestion<'a>),
}

/// One page: its items in words, the token of the next page, and the revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Every item in words of its own.
    pub items: Vec<String>,
    /// Empty after the last page.
    pub next: String,
    /// What it was computed on.
    pub revision: u64,
}

// === impl Wanted ===

impl Wanted<'_> {
    /// The list's name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Permissions(..) => "permissions",
            Self::Resources(..) => "resources",
            Self::Subjects(..) => "subjects",
            Self::Approvers(_) => "approvers",
        }
    }

    /// The whole list as the engine gives it, in the words of [`Page`].
    ///
    /// # Errors
    /// [`Malformed`] where the question is none.
    pub fn in_process(
        &self,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Vec<String>, Malformed> {
        Ok(match *self {
            Self::Permissions(who, object) => {
                let listed = list_permissions(snapshot, who, object, now)?;
                listed.iter().map(|it| words(&wire::listed_permission(it))).collect()
            }
            Self::Resources(who, permission, type_name) => {
                let listed = list_resources(snapshot, who, permission, type_name, now)?;
                listed.iter().map(ToString::to_string).collect()
            }
            Self::Subjects(permission, object, kinds) => {
                let listed = list_subjects(snapshot, permission, object, kinds, now)?;
                listed.iter().map(ToString::to_string).collect()
            }
            Self::Approvers(question) => {
                let listed = list_approvers(snapshot, &question, now)?;
                listed.iter().map(ToString::to_string).collect()
            }
        })
    }
}

fn words(permission: &Permission) -> String {
    format!("{permission:?}")
}

// === impl Door ===

impl Door<'_> {
    /// One page of a list.
    ///
    /// # Errors
    /// What the server says.
    pub fn page(&self, wanted: &Wanted<'_>, size: u32, token: &str) -> Result<Page, Status> {
        self.runtime.block_on(async {
            match *wanted {
                Wanted::Permissions(who, on) => self.permissions(who, on, size, token).await,
                Wanted::Resources(who, permission, type_name) => {
                    self.resources((who, permission, type_name), size, token).await
                }
                Wanted::Subjects(permission, on, kinds) => {
                    self.subjects((permission, on, kinds), size, token).await
                }
                Wanted::Approvers(question) => self.approvers(question, size, token).await,
            }
        })
    }

    /// Every page of a list, each but the last as long as asked for.
    ///
    /// # Errors
    /// What the server says to one of them.
    ///
    /// # Panics
    /// If a page is longer or shorter than asked for, or they are of different revisions.
    pub fn pages(&self, wanted: &Wanted<'_>, size: u32) -> Result<Vec<Page>, Status> {
        let mut pages: Vec<Page> = vec![self.page(wanted, size, "")?];
        while let Some(last) = pages.last().filter(|page| !page.next.is_empty()) {
            assert_eq!(last.items.len(), size as usize, "{wanted:?}");
            let page = self.page(wanted, size, &last.next)?;
            assert_eq!(page.revision, last.revision, "{wanted:?}");
            assert!(!page.items.is_empty(), "an empty page follows: {wanted:?}");
            pages.push(page);
        }
        Ok(pages)
    }

    async fn permissions(
        &self,
        who: SubjectRef<'_>,
        on: ObjectRef<'_>,
        page_size: u32,
        token: &str,
    ) -> Result<Page, Status> {
        let request = Request::new(v1::ListPermissionsRequest {
            tenant: self.client.tenant().to_owned(),
            subject: Some(subject(who)),
            resource: Some(object(on)),
            page_size,
            page_token: token.to_owned(),
            ..Default::default()
        });
        let answer = self.decisions.clone().list_permissions(request).await?.into_inner();
        let items = answer.permissions.into_iter().map(|item| {
            use v1::listed_permission::Permission as Wire;
            words(&match item.permission.unwrap() {
                Wire::Operation(name) => Permission::Operation(name),
                Wire::Right(name) => Permission::Right(name),
                Wire::VaultAction(name) => Permission::VaultAction(name),
                Wire::Session(session) => Permission::Session(session.level),
            })
        });
        Ok(Page { items: items.collect(), next: answer.next_page_token, revision: answer.revision })
    }

    async fn resources(
        &self,
        (who, permission, type_name): (SubjectRef<'_>, AnyPermission<'_>, &str),
        page_size: u32,
        token: &str,
    ) -> Result<Page, Status> {
        use v1::list_resources_request::Permission as Wire;
        let request = Request::new(v1::ListResourcesRequest {
            tenant: self.client.tenant().to_owned(),
            subject: Some(subject(who)),
            permission: Some(match wire::any_permission(permission) {
                Permission::Operation(name) => Wire::Operation(name),
                Permission::Right(name) => Wire::Right(name),
                Permission::VaultAction(name) => Wire::VaultAction(name),
                Permission::Session(level) => Wire::Session(v1::SessionPermission { level }),
            }),
            r#type: type_name.to_owned(),
            page_size,
            page_token: token.to_owned(),
            ..Default::default()
        });
        let answer = self.decisions.clone().list_resources(request).await?.into_inner();
        let items = answer.resources.into_iter().map(|item| item.id).collect();
        Ok(Page { items, next: answer.next_page_token, revision: answer.revision })
    }

    async fn subjects(
        &self,
        (permission, on, kinds): (AnyPermission<'_>, ObjectRef<'_>, SubjectKinds),
        page_size: u32,
        token: &str,
    ) -> Result<Page, Status> {
        use v1::list_subjects_request::Permission as Wire;
        let request = Request::new(v1::ListSubjectsRequest {
            tenant: self.client.tenant().to_owned(),
            permission: Some(match wire::any_permission(permission) {
                Permission::Operation(name) => Wire::Operation(name),
                Permission::Right(name) => Wire::Right(name),
                Permission::VaultAction(name) => Wire::VaultAction(name),
                Permission::Session(level) => Wire::Session(v1::SessionPermission { level }),
            }),
            resource: Some(object(on)),
            accounts: matches!(kinds, SubjectKinds::PeopleAndAccounts),
            page_size,
            page_token: token.to_owned(),
            ..Default::default()
        });
        let answer = self.decisions.clone().list_subjects(request).await?.into_inner();
        let items = answer.subjects.into_iter().map(|item| {
            use v1::subject::Subject as Wire;
            match item.subject.and_then(|it| it.subject).unwrap() {
                Wire::Person(id) => format!("person:{id}"),
                Wire::Account(id) => format!("account:{id}"),
            }
        });
        Ok(Page { items: items.collect(), next: answer.next_page_token, revision: answer.revision })
    }

    async fn approvers(
        &self,
        question: ApprovalQuestion<'_>,
        page_size: u32,
        token: &str,
    ) -> Result<Page, Status> {
        use v1::list_approvers_request::Question as Wire;
        let check = |of: SubjectRef<'_>, permission, on, counterpart: Option<_>, routing: bool| {
            Wire::Check(v1::Question {
                subject: Some(subject(of)),
                permission: Some(permission),
                resource: Some(object(on)),
                counterpart: counterpart.map(object),
                no_routing: !routing,
            })
        };
        let request = Request::new(v1::ListApproversRequest {
            tenant: self.client.tenant().to_owned(),
            question: Some(match question {
                ApprovalQuestion::Delegation(it) => Wire::Delegation(delegation(&it)),
                ApprovalQuestion::Dual(it) => {
                    let PermissionRef { kind, name } = it.permission;
                    let permission = match kind {
                        PermissionKind::Operation => {
                            v1::question::Permission::Operation(name.to_owned())
                        }
                        PermissionKind::Right => v1::question::Permission::Right(name.to_owned()),
                    };
                    check(it.subject, permission, it.resource, it.counterpart, it.routing)
                }
                ApprovalQuestion::Session(it) => {
                    let level = it.level.map(str::to_owned);
                    let session = v1::SessionPermission { level };
                    let permission = v1::question::Permission::Session(session);
                    check(it.subject, permission, it.computer, None, it.routing)
                }
            }),
            page_size,
            page_token: token.to_owned(),
            ..Default::default()
        });
        let answer = self.decisions.clone().list_approvers(request).await?.into_inner();
        let items = answer.approvers.into_iter().map(|item| item.person).collect();
        Ok(Page { items, next: answer.next_page_token, revision: answer.revision })
    }
}

fn subject(subject: SubjectRef<'_>) -> v1::Subject {
    use v1::subject::Subject as Wire;
    let subject = match subject {
        SubjectRef::Person(id) => Wire::Person(id.to_owned()),
        SubjectRef::Account(id) => Wire::Account(id.to_owned()),
    };
    v1::Subject { subject: Some(subject) }
}

fn object(object: ObjectRef<'_>) -> v1::ResourceRef {
    v1::ResourceRef { r#type: object.type_name.to_owned(), id: object.id.to_owned() }
}

fn delegation(question: &delegate::DelegationQuestion<'_>) -> v1::DelegationQuestion {
    use v1::scope::Scope as Wire;
    let action = match question.action {
        delegate::DelegationAction::Grant => v1::DelegationAction::Grant,
        delegate::DelegationAction::Revoke => v1::DelegationAction::Revoke,
    };
    let scope = match question.scope {
        ScopeRef::On(name) => Wire::OnResource(object(name)),
        ScopeRef::In(location) => Wire::InLocation(location.to_owned()),
        ScopeRef::Relative(word) => Wire::Relative(relative(word).into()),
    };
    v1::DelegationQuestion {
        delegator: Some(subject(question.delegator)),
        action: action.into(),
        level: Some(v1::LevelRef {
            r#type: question.type_name.to_owned(),
            name: question.level.to_owned(),
        }),
        recipient: Some(v1::ActorRef { actor: Some(recipient(question.recipient)) }),
        scope: Some(v1::Scope { scope: Some(scope) }),
        no_routing: !question.routing,
    }
}

fn recipient(recipient: RecipientRef<'_>) -> v1::actor_ref::Actor {
    use v1::actor_ref::Actor as Wire;
    match recipient {
        RecipientRef::Person(id) => Wire::Person(id.to_owned()),
        RecipientRef::Account(id) => Wire::Account(id.to_owned()),
        RecipientRef::Group(id) => Wire::Group(id.to_owned()),
        RecipientRef::SetGroup(id) => Wire::SetGroup(id.to_owned()),
        RecipientRef::BusinessRoleLocation(role, location) => {
            let (business_role, location) = (role.to_owned(), location.to_owned());
            Wire::BusinessRoleLocation(v1::BusinessRoleLocation { business_role, location })
        }
        RecipientRef::ManagementRole(id) => Wire::ManagementRole(id.to_owned()),
        RecipientRef::ManagementRoleDefinition(id) => Wire::ManagementRoleDefinition(id.to_owned()),
    }
}

const fn relative(relative: Relative) -> v1::RelativeScope {
    use v1::RelativeScope as Wire;
    match relative {
        Relative::Myself => Wire::Self_,
        Relative::Manager => Wire::Manager,
        Relative::DirectReports => Wire::DirectReports,
        Relative::OwnAccounts => Wire::OwnAccounts,
        Relative::AccountsOfDirectReports => Wire::AccountsOfDirectReports,
        Relative::InMyLocations => Wire::InMyLocations,
        Relative::MyLocationsAndAbove => Wire::MyLocationsAndAbove,
        Relative::MyLocationsAndBelow => Wire::MyLocationsAndBelow,
        Relative::InMyOrganization => Wire::InMyOrganization,
    }
}
