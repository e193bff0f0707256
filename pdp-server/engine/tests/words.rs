//! What is told has its words, and what is read by its words is what was told.

use pdp_engine::actor::ActorRef;
use pdp_engine::explain::{Gap, Standing};
use pdp_engine::id::{AccountId, GroupId, IdError, LocationId, ObjectId, PermissionLevelId};
use pdp_engine::psm::{EligibilityKey, EligibilityKind, EligibilityScope};
use pdp_engine::query::{Effect, Malformed, Revision};
use pdp_engine::resource::ResourceRef;
use pdp_engine::session::AccountMode;
use pdp_engine::share::{Entity, Grantee, ShareKey, ShareLevel, VaultPrivilege};

#[test]
fn codes_are_those_that_callers_know() {
    assert_eq!(Effect::ALL.map(Effect::as_str), ["ALLOW", "DENY", "REQUIRES_APPROVAL"]);
    let standings = [Standing::Deciding, Standing::Masked, Standing::Outweighed];
    assert_eq!(standings.map(Standing::as_str), ["DECIDING", "MASKED", "OUTWEIGHED"]);
    let gaps = [Gap::Window, Gap::Assignee, Gap::Scope];
    assert_eq!(gaps.map(Gap::as_str), ["WINDOW", "ASSIGNEE", "SCOPE"]);
    let account = AccountId::new("srv/ana").unwrap();
    let modes = [
        AccountMode::Existing(account.clone()),
        AccountMode::JitNew,
        AccountMode::JitReuse(account),
    ];
    assert_eq!(modes.each_ref().map(AccountMode::as_str), ["EXISTING", "JIT_NEW", "JIT_REUSE"]);
}

#[test]
fn a_word_is_read_as_what_it_was_written_for() {
    assert_eq!(
        EligibilityKind::ALL.map(EligibilityKind::as_str),
        ["eligible", "pre_approved", "suggested", "excluded", "approved"]
    );
    for kind in EligibilityKind::ALL {
        assert_eq!(EligibilityKind::from_word(kind.as_str()), Some(kind));
    }
    for level in ShareLevel::ALL {
        assert_eq!(ShareLevel::from_word(level.as_str()), Some(level));
    }
    for privilege in VaultPrivilege::ALL {
        assert_eq!(VaultPrivilege::from_word(privilege.as_str()), Some(privilege));
    }
    assert_eq!(EligibilityKind::from_word("Eligible"), None);
    assert_eq!(ShareLevel::from_word(""), None);
    assert_eq!(VaultPrivilege::from_word("owner"), None);
}

#[test]
fn keys_are_told_in_words() {
    let key = EligibilityKey {
        to: ActorRef::parse("group:ops").unwrap(),
        level: PermissionLevelId::new("admin").unwrap(),
        scope: EligibilityScope::On(ObjectId::new("srv").unwrap()),
        kind: EligibilityKind::PreApproved,
    };
    assert_eq!(key.to_string(), "pre_approved of group:ops for admin on Computer:srv");
    assert_eq!(EligibilityScope::In(LocationId::new("bern").unwrap()).to_string(), "in bern");
    let key = ShareKey {
        to: Grantee::Group(GroupId::new("ops").unwrap()),
        on: Entity::Resource(ResourceRef::parse("Vault:one").unwrap()),
    };
    assert_eq!(key.to_string(), "Vault:one with group:ops");
    assert_eq!(Entity::parse("resource_group:all").unwrap().to_string(), "resource_group:all");
}

#[test]
fn a_revision_has_a_number_and_one_after_it() {
    let revision = Revision::new(41);
    assert_eq!((revision.get(), revision.next().get()), (41, 42));
    assert_eq!(format!("{revision} {:>4}", revision.next()), "41   42");
    assert_eq!(Revision::default().next().get(), 1);
}

#[test]
fn a_question_is_refused_by_the_part_that_is_wrong() {
    let source = IdError::Empty { what: "person id" };
    let wrong = [
        Malformed::Name { field: "subject", source },
        Malformed::ScopeType { scope: "self".to_owned(), type_name: "Mailbox".to_owned() },
        Malformed::UnknownAction { action: "Fly".to_owned(), on: "a vault", actions: "View" },
        Malformed::RightWithCounterpart,
    ];
    let fields = ["subject", "scope", "permission", "counterpart"];
    assert_eq!(wrong.each_ref().map(Malformed::field), fields);
}
