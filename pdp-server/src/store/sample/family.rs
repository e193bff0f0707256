//! Random facts of vault sharing and privileged sessions.

use std::collections::BTreeSet;

use pdp_engine::facts::Fact;
use pdp_engine::id::{GroupId, ObjectId, PermissionLevelId, ResourceGroupId};
use pdp_engine::psm::{
    Eligibility, EligibilityKey, EligibilityKind, EligibilityScope, Jit, PermissionLevel, Psm,
};
use pdp_engine::share::{
    Entity, Grantee, ResourceGroup, Share, ShareKey, ShareLevel, VaultPrivilege,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{actor, group_id, location_id, name, person_id, plain, resource_ref, text, window};

pub(super) fn vault_privileges() -> impl Strategy<Value = BTreeSet<VaultPrivilege>> {
    btree_set(select(VaultPrivilege::ALL.to_vec()), 0..3)
}

pub(super) fn computer() -> impl Strategy<Value = ObjectId> {
    name().prop_map(|id| ObjectId::new(id).unwrap())
}

fn resource_group_id() -> impl Strategy<Value = ResourceGroupId> {
    name().prop_map(|id| ResourceGroupId::new(id).unwrap())
}

fn level_id() -> impl Strategy<Value = PermissionLevelId> {
    plain().prop_map(|id| PermissionLevelId::new(id).unwrap())
}

fn share() -> impl Strategy<Value = Fact> {
    let to =
        prop_oneof![person_id().prop_map(Grantee::Person), group_id().prop_map(Grantee::Group),];
    let on = prop_oneof![
        resource_ref().prop_map(Entity::Resource),
        resource_group_id().prop_map(Entity::Group),
    ];
    (to, on, select(ShareLevel::ALL.to_vec()))
        .prop_map(|(to, on, level)| Share { key: ShareKey { to, on }, level }.into())
}

fn psm() -> impl Strategy<Value = Fact> {
    let jit = (any::<bool>(), any::<bool>(), any::<bool>());
    let jit = jit.prop_map(|(enabled, delete_on_end, reuse_existing)| Jit {
        enabled,
        delete_on_end,
        reuse_existing,
    });
    let group = option::of(plain().prop_map(|id| GroupId::new(id).unwrap()));
    let session = (1..i64::MAX, any::<u32>());
    let flags = (any::<bool>(), any::<bool>());
    (computer(), flags, text(), session, jit, btree_map(level_id(), group, 0..3)).prop_map(
        |(computer, flags, account_store, session, jit, levels)| {
            Psm {
                computer,
                enabled: flags.0,
                allow_unprivileged: flags.1,
                account_store,
                max_session_micros: session.0,
                max_concurrent: session.1,
                jit,
                levels,
            }
            .into()
        },
    )
}

fn eligibility() -> impl Strategy<Value = Fact> {
    let scope = prop_oneof![
        computer().prop_map(EligibilityScope::On),
        location_id().prop_map(EligibilityScope::In),
    ];
    (actor(), level_id(), scope, select(EligibilityKind::ALL.to_vec()), window()).prop_map(
        |(to, level, scope, kind, window)| {
            Eligibility { key: EligibilityKey { to, level, scope, kind }, window }.into()
        },
    )
}

pub(super) fn family_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (resource_group_id(), vec(resource_ref(), 0..3), any::<bool>())
            .prop_map(|(id, members, default)| ResourceGroup { id, members, default }.into()),
        share(),
        (level_id(), text()).prop_map(|(id, name)| PermissionLevel { id, name }.into()),
        psm(),
        eligibility(),
    ]
}
