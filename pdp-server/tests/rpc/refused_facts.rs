//! PolicyService.Apply: facts of vault sharing and sessions that cannot be.

use pdp_proto::v1::{self, fact::Fact};
use prost_types::{Duration, Timestamp};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::errors::told;
use crate::facts::actor;
use crate::families::folder;
use crate::served::{Served, object, put};

fn share(entity: v1::vault_entity::Entity, level: v1::ShareLevel) -> v1::Share {
    let name = v1::ShareKey {
        to: Some(v1::Grantee { grantee: Some(v1::grantee::Grantee::Person("ana".into())) }),
        on: Some(v1::VaultEntity { entity: Some(entity) }),
    };
    v1::Share { name: Some(name), level: level.into() }
}

fn key() -> v1::vault_entity::Entity {
    v1::vault_entity::Entity::Resource(object("SshKey", "deploy"))
}

fn tier() -> v1::vault_entity::Entity {
    v1::vault_entity::Entity::ResourceGroup("tier".into())
}

fn psm() -> v1::Psm {
    v1::Psm { computer: "web".into(), ..Default::default() }
}

fn eligibility(kind: v1::EligibilityKind) -> v1::Eligibility {
    let scope = v1::eligibility_scope::Scope::OnComputer("web".into());
    let name = v1::EligibilityKey {
        to: actor(v1::actor_ref::Actor::Person("ana".into())),
        level: "local-admin".into(),
        scope: Some(v1::EligibilityScope { scope: Some(scope) }),
        kind: kind.into(),
    };
    v1::Eligibility { name: Some(name), window: None }
}

fn until(seconds: i64) -> Option<v1::Window> {
    let valid_until = Some(Timestamp { seconds, nanos: 0 });
    Some(v1::Window { valid_from: None, valid_until })
}

#[tokio::test]
async fn what_no_policy_could_hold_names_its_field() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let offered = |level: &str| v1::OfferedLevel { level: level.into(), group: None };
    let lasting = |seconds, nanos| {
        Fact::Psm(v1::Psm { max_session: Some(Duration { seconds, nanos }), ..psm() })
    };
    let privileged =
        v1::Person { id: "x".into(), vault_privileges: vec![1, 0], ..Default::default() };
    let nobody = v1::ShareKey { to: None, ..share(key(), v1::ShareLevel::View).name.unwrap() };
    let unscoped = v1::EligibilityKey {
        scope: None,
        ..eligibility(v1::EligibilityKind::Eligible).name.unwrap()
    };
    let late = v1::Eligibility {
        window: until(253_402_300_800),
        ..eligibility(v1::EligibilityKind::Eligible)
    };
    let none = v1::PermissionLevel { id: "none".into(), name: None };
    let twice = v1::Psm { levels: vec![offered("a"), offered("a")], ..psm() };
    let members = vec![object("Computer", "web"), object("resource_group", "tier")];
    let nested = v1::ResourceGroup { id: "x".into(), members, default: false };
    for (fact, field) in [
        (Fact::Person(privileged), "person.vault_privileges[1]"),
        (Fact::Share(share(key(), v1::ShareLevel::Unspecified)), "share.level"),
        (Fact::Share(v1::Share { name: Some(nobody), level: 2 }), "share.name.to"),
        (Fact::Share(v1::Share { name: None, level: 2 }), "share.name"),
        (Fact::ResourceGroup(nested), "resource_group.members[1].type"),
        (Fact::PermissionLevel(none), "permission_level.id"),
        (Fact::Psm(twice), "psm.levels[1].level"),
        (lasting(1, 1), "psm.max_session"),
        (lasting(i64::MAX, 0), "psm.max_session"),
        (Fact::Eligibility(eligibility(v1::EligibilityKind::Unspecified)), "eligibility.name.kind"),
        (
            Fact::Eligibility(v1::Eligibility { name: Some(unscoped), window: None }),
            "eligibility.name.scope",
        ),
        (Fact::Eligibility(late), "eligibility.window.valid_until"),
    ] {
        let status = served.apply(vec![put(fact)]).await.unwrap_err();
        let field = format!("changes[0].put.{field}");
        assert_eq!(told(&status), (Code::InvalidArgument, "MALFORMED".to_owned(), vec![field]));
    }
    served.stop().await;
}

#[tokio::test]
async fn what_this_policy_cannot_hold_is_told_by_its_problem() {
    let folder = folder();
    let served = Served::start(&folder).await;
    let nowhere = v1::Psm { computer: "nothing".into(), ..psm() };
    let no_time = v1::Psm { max_session: Some(Duration::default()), ..psm() };
    for (fact, problem) in [
        (Fact::Share(share(key(), v1::ShareLevel::Full)), "SHARE_LEVEL"),
        (Fact::Share(share(tier(), v1::ShareLevel::RemoteAppOnly)), "SHARE_LEVEL"),
        (Fact::Psm(nowhere), "DANGLING_REFERENCE"),
        (Fact::Psm(no_time), "MAX_SESSION"),
        (Fact::Eligibility(eligibility(v1::EligibilityKind::Approved)), "APPROVAL"),
    ] {
        let status = served.apply(vec![put(fact)]).await.unwrap_err();
        assert_eq!(
            (told(&status).0, told(&status).1.as_str()),
            (Code::FailedPrecondition, "CHANGE_SET_REJECTED")
        );
        let details = status.get_error_details();
        let found = &details.precondition_failure().unwrap().violations[0];
        assert_eq!(found.r#type, problem, "{status:?}");
    }
    served.stop().await;
}
