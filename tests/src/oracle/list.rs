//! The questions asked backwards, by asking everything forwards.

use pdp_engine::actor::ActorRef;
use pdp_engine::id::{ObjectId, PersonId};
use pdp_engine::list::{AnyPermission, ApprovalQuestion, ListedPermission, SubjectKinds};
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Effect, ObjectRef, PermissionRef, Question, SubjectRef};
use pdp_engine::session::SessionQuestion;
use pdp_engine::share::VaultAction;
use pdp_engine::vault::VaultQuestion;

use super::{Oracle, Refused, subject};

/// The operation that approvers of a session hold (D6).
const APPROVE_USE: PermissionRef<'static> =
    PermissionRef { kind: PermissionKind::Operation, name: "ApproveUse" };

// === impl Oracle ===

impl Oracle<'_> {
    /// Whether the question of the permission's family is answered ALLOW.
    ///
    /// # Errors
    /// [`Refused`] where the question is not one.
    pub fn allows(
        &self,
        subject: SubjectRef<'_>,
        permission: AnyPermission<'_>,
        object: ObjectRef<'_>,
    ) -> Result<bool, Refused> {
        let (effect, _) = match permission {
            AnyPermission::Access(permission) => {
                self.decide(&Question::new(subject, permission, object))?
            }
            AnyPermission::Vault(action) => {
                self.decide_vault(&VaultQuestion { subject, action, entity: object })?
            }
            AnyPermission::Session(level) => {
                let question = SessionQuestion { subject, level, computer: object, routing: true };
                self.decide_session(&question)?.0
            }
        };
        Ok(effect == Effect::Allow)
    }

    /// Everything that the subject may do on the object, in order.
    #[must_use]
    pub fn permissions(
        &self,
        subject: SubjectRef<'_>,
        object: ObjectRef<'_>,
    ) -> Vec<ListedPermission> {
        let mut all: Vec<ListedPermission> = vec![ListedPermission::Session(None)];
        for declared in self.facts.resource_types() {
            all.extend(
                declared.operations.iter().map(|it| ListedPermission::Operation(it.to_string())),
            );
            all.extend(declared.rights.iter().map(|it| ListedPermission::Right(it.to_string())));
        }
        all.extend(VaultAction::ALL.map(|it| ListedPermission::Vault(it.as_str().to_owned())));
        let levels = self.facts.permission_levels();
        all.extend(levels.map(|it| ListedPermission::Session(Some(it.id.to_string()))));
        all.sort();
        all.dedup();
        all.retain(|it| self.allows(subject, it.ask(), object) == Ok(true));
        all
    }

    /// The resources of the type on which the subject may do something, in order.
    #[must_use]
    pub fn resources(
        &self,
        subject: SubjectRef<'_>,
        permission: AnyPermission<'_>,
        type_name: &str,
    ) -> Vec<ObjectId> {
        let mut ids: Vec<ObjectId> = self.ids(type_name);
        ids.sort_by(|a, b| a.as_str().as_bytes().cmp(b.as_str().as_bytes()));
        ids.retain(|id| {
            let object = ObjectRef { type_name, id: id.as_str() };
            self.allows(subject, permission, object) == Ok(true)
        });
        ids
    }

    /// Every account, of the policy or made for a session, by id.
    fn accounts(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.facts.accounts().map(|it| it.id.as_str()).collect();
        ids.extend(self.existing.accounts.iter().map(|it| it.id.as_str()));
        ids.sort_by_key(|id| id.as_bytes());
        ids.dedup();
        ids
    }

    /// The ids of everything of a type.
    fn ids(&self, type_name: &str) -> Vec<ObjectId> {
        let facts = self.facts;
        let ids: Vec<&str> = match type_name {
            "Person" => facts.people().map(|it| it.id.as_str()).collect(),
            "UserAccount" => self.accounts(),
            "Group" => facts.groups().map(|it| it.id.as_str()).collect(),
            "SetGroup" => facts.set_groups().map(|it| it.id.as_str()).collect(),
            "BusinessRole" => facts.business_roles().map(|it| it.id.as_str()).collect(),
            "Location" => facts.locations().map(|it| it.id.as_str()).collect(),
            "ManagementRole" => facts.management_roles().map(|it| it.id.as_str()).collect(),
            "ManagementRoleDefinition" => {
                facts.management_role_definitions().map(|it| it.id.as_str()).collect()
            }
            "resource_group" => facts.resource_groups().map(|it| it.id.as_str()).collect(),
            _ => {
                let of_type =
                    facts.resources().filter(|it| it.name.type_name.as_str() == type_name);
                of_type.map(|it| it.name.id.as_str()).collect()
            }
        };
        ids.into_iter().map(|id| ObjectId::new(id).expect("an id of a thing is an id")).collect()
    }

    /// Everybody who may do something on the object: people, then accounts, each by id.
    #[must_use]
    pub fn subjects(
        &self,
        permission: AnyPermission<'_>,
        object: ObjectRef<'_>,
        kinds: SubjectKinds,
    ) -> Vec<ActorRef> {
        let people = self.facts.people().map(|it| SubjectRef::Person(it.id.as_str()));
        let accounts = self.accounts().into_iter().map(SubjectRef::Account);
        let mut all: Vec<SubjectRef<'_>> = people.collect();
        if matches!(kinds, SubjectKinds::PeopleAndAccounts) {
            all.extend(accounts);
        }
        all.retain(|it| self.allows(*it, permission, object) == Ok(true));
        all.into_iter().map(|it| subject(it).expect("an id of a subject is an id")).collect()
    }

    /// D6.
    #[must_use]
    pub fn approvers(&self, question: &ApprovalQuestion<'_>) -> Vec<PersonId> {
        let asker = match question {
            ApprovalQuestion::Delegation(it) => it.delegator,
            ApprovalQuestion::Dual(it) => it.subject,
            ApprovalQuestion::Session(it) => it.subject,
        };
        let Ok(asker) = subject(asker) else { return Vec::new() };
        // Whoever is unknown or disabled is denied for good (Q6, D0): there is nothing to approve.
        if self.know_subject(&asker).is_err() {
            return Vec::new();
        }
        let owner = match question {
            ApprovalQuestion::Delegation(_) => self.owner_of(&asker),
            _ => None,
        };
        let may = |id: &PersonId| {
            let person = SubjectRef::Person(id.as_str());
            let answer = match question {
                ApprovalQuestion::Delegation(it) => {
                    let mut it = *it;
                    it.delegator = person;
                    self.decide_delegation(&it)
                }
                ApprovalQuestion::Dual(it) => self.decide(&Question { subject: person, ..*it }),
                ApprovalQuestion::Session(it) => {
                    self.decide(&Question::new(person, APPROVE_USE, it.computer))
                }
            };
            matches!(answer, Ok((Effect::Allow, _)))
        };
        let people = self.facts.people().filter(|person| person.enabled).map(|person| &person.id);
        people
            .filter(|id| {
                let actor = Some(ActorRef::Person((*id).clone()));
                actor.as_ref() != Some(&asker) && actor != owner
            })
            .filter(|id| may(id))
            .cloned()
            .collect()
    }
}
