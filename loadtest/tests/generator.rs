//! The generator: the same seed makes the same bytes, shapes are kept, bundles apply, and questions
//! are answered as often with ALLOW as was asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code: a panic is a failed test"
)]

use std::collections::BTreeMap;

use pdp_bundle::export;
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::facts::{Change, Fact, FactKind, Facts};
use pdp_engine::level::Scope;
use pdp_engine::query::{Effect, Reason, Revision};
use pdp_loadtest::matrix::{MatrixError, ScaledMatrix};
use pdp_loadtest::organisation::{GrantClass, NOW, Organisation};
use pdp_loadtest::questions::{Ask, Mix, Workload, hold, read, sample, write};
use pdp_loadtest::random::Skew;
use pdp_loadtest::shape::Shape;

fn organisation(size: u64, seed: u64) -> Organisation {
    Organisation::new(Shape::sized(size), seed).unwrap()
}

fn bundle(organisation: &Organisation) -> String {
    export::stream(organisation.facts()).collect()
}

fn facts(changes: impl Iterator<Item = Change>) -> Facts {
    let mut facts = Facts::default();
    facts.apply(&changes.collect::<Vec<_>>()).unwrap_or_else(|rejected| panic!("{rejected}"));
    facts
}

#[test]
fn the_same_seed_and_shape_make_the_same_bytes() {
    let one = bundle(&organisation(1_000, 7));
    assert_eq!(one, bundle(&organisation(1_000, 7)));
    assert_ne!(one, bundle(&organisation(1_000, 8)));
    assert_ne!(one, bundle(&organisation(1_001, 7)));
    // Any part can be made without what is before it.
    let whole = organisation(1_000, 7);
    let last = whole.facts().filter_map(|fact| match fact {
        Fact::Assignment(it) => Some(it),
        _ => None,
    });
    assert_eq!(*last.last().unwrap(), whole.grant(999).assignment);
}

#[test]
fn bundles_apply_and_hold_the_facts_they_were_made_of() {
    for (size, seed) in [(1, 1), (50, 2), (3_000, 3)] {
        let organisation = organisation(size, seed);
        let read = pdp_bundle::parse("made", &bundle(&organisation)).unwrap();
        let from_bundle = facts(read.changes().into_iter());
        assert_eq!(from_bundle, facts(organisation.changes()));
        assert_eq!(from_bundle, hold(organisation.facts()).unwrap());
    }
}

#[test]
fn odd_shapes_apply() {
    let usual = Shape::sized(500);
    for shape in [
        Shape { locations: 1, depth: 1, ..usual.clone() },
        Shape { locations: 100, depth: 100, ..usual.clone() },
        Shape { people: 4, groups: 4, roles: 1, accounts: 1, eligibilities: 20, ..usual.clone() },
        Shape { nesting: 10, groups: 5_000, memberships: 1, ..usual.clone() },
        Shape { resources: 1, types: 1, shares: 3, ..usual.clone() },
        Shape { roles: 100, computers: 3, eligibilities: 30, ..usual.clone() },
        Shape { denies: 1.0, windows: 1.0, nested: 1.0, ..usual.clone() },
        Shape { shares: 2_000, resources: 600, ..usual },
    ] {
        let organisation = Organisation::new(shape.clone(), 5).unwrap();
        let held = facts(organisation.changes());
        let counts = [
            (held.people().len(), shape.people),
            (held.accounts().len(), shape.accounts),
            (held.locations().len(), shape.locations),
            (held.management_roles().len(), shape.roles),
            (held.resources().len(), shape.resources + shape.computers),
            (held.assignments().len(), shape.assignments),
            (held.shares().len(), shape.shares),
            (held.eligibilities().len(), shape.eligibilities),
        ];
        for (held, wanted) in counts {
            assert_eq!(held as u64, wanted, "{shape:?}");
        }
    }
}

#[test]
fn what_a_layout_must_not_do_without_is_there() {
    let organisation = organisation(20_000, 11);
    let shape = organisation.shape().clone();
    let count = shape.assignments as f64;
    let mut of = BTreeMap::new();
    let (mut denies, mut windows, mut nested, mut closed) = (0.0, 0.0, 0.0, 0.0);
    for n in 0..shape.assignments {
        let grant = organisation.grant(n);
        *of.entry(grant.class).or_insert(0.0) += 1.0 / count;
        denies += f64::from(u8::from(grant.denies)) / count;
        nested += f64::from(u8::from(grant.nested)) / count;
        let window = grant.assignment.window;
        windows += f64::from(u8::from(!window.is_always())) / count;
        closed += f64::from(u8::from(!window.contains(NOW))) / count;
        let relative = matches!(grant.assignment.scope, Scope::Relative(_));
        assert_eq!(relative, grant.class == GrantClass::Relative);
    }
    let near =
        |actual: f64, wanted: f64| assert!((actual - wanted).abs() < 0.015, "{actual} {wanted}");
    near(of[&GrantClass::Direct], shape.share_direct);
    near(of[&GrantClass::Location], shape.share_location);
    near(of[&GrantClass::Role], shape.share_role);
    near(of[&GrantClass::Relative], shape.share_relative);
    near(denies, shape.denies);
    near(windows, shape.windows);
    assert!(nested >= shape.nested - 0.01, "{nested}");
    for share in [denies, windows, nested, of[&GrantClass::Relative]] {
        assert!(share >= 0.05, "{share}");
    }
    assert!(closed > 0.01 && closed < windows / 2.0, "{closed}");
    let held = facts(organisation.changes());
    let nesting = held
        .groups()
        .filter(|group| group.members.iter().any(|member| member.of.kind() == "group"));
    assert!(nesting.count() * 20 >= held.groups().len());
    assert!(held.management_roles().any(|role| !role.includes.is_empty()));
}

#[test]
fn questions_are_answered_allow_as_often_as_wanted() {
    let organisation = organisation(5_000, 4);
    let snapshot = compile(&facts(organisation.changes()), Revision::new(1));
    for skew in [Skew::Uniform, Skew::Zipf] {
        for allow in [0.0, 0.3, 1.0] {
            let mix = Mix { skew, allow, count: 2_000, seed: 9 };
            let asks = sample(&organisation, &snapshot, mix, NOW).unwrap();
            assert_eq!(asks, sample(&organisation, &snapshot, mix, NOW).unwrap());
            let allowed = asks.iter().filter(|ask| ask.expected == Effect::Allow).count();
            assert_eq!(allowed, (allow * 2_000.0) as usize);
            for ask in &asks {
                let decision = check(&snapshot, &ask.as_question(), NOW).unwrap();
                assert_eq!(decision.effect, ask.expected);
                let unknown = [Reason::UnknownResource, Reason::UnknownPermission];
                assert!(!unknown.contains(&decision.reason), "{ask:?}");
            }
        }
    }
}

#[test]
fn zipf_has_favourites_and_denials_are_asked_about() {
    let organisation = organisation(5_000, 4);
    let snapshot = compile(&facts(organisation.changes()), Revision::new(1));
    let most = |skew| {
        let mix = Mix { skew, allow: 0.5, count: 5_000, seed: 1 };
        let asks = sample(&organisation, &snapshot, mix, NOW).unwrap();
        let mut of: BTreeMap<String, u32> = BTreeMap::new();
        let mut denied = 0;
        for ask in &asks {
            *of.entry(ask.id.clone()).or_default() += 1;
            let reason = check(&snapshot, &ask.as_question(), NOW).unwrap().reason;
            denied += u32::from(reason == Reason::ExplicitDeny);
        }
        assert!(denied > 20, "{denied}");
        of.into_values().max().unwrap()
    };
    assert!(most(Skew::Zipf) > 5 * most(Skew::Uniform));
}

#[test]
fn questions_read_back_as_written() {
    let organisation = organisation(500, 4);
    let snapshot = compile(&facts(organisation.changes()), Revision::new(1));
    let mix = Mix { skew: Skew::Zipf, allow: 0.5, count: 200, seed: 3 };
    let asks = sample(&organisation, &snapshot, mix, NOW).unwrap();
    let mut text = Vec::new();
    write(&asks, &mut text).unwrap();
    let back: Vec<Ask> = read(text.as_slice()).unwrap();
    assert_eq!(back, asks);
}

#[test]
fn two_organisations_lie_beside_each_other() {
    let small = organisation(300, 1);
    let large = organisation(1_000, 2).with_prefix("other-").unwrap();
    let both = hold(small.facts().chain(large.facts())).unwrap();
    assert_eq!(both.assignments().len(), 1_300);
    let alone = facts(small.changes());
    let snapshots = [compile(&alone, Revision::new(1)), compile(&both, Revision::new(1))];
    let mix = Mix { skew: Skew::Uniform, allow: 0.5, count: 1_000, seed: 3 };
    for ask in sample(&small, &snapshots[0], mix, NOW).unwrap() {
        let answers = snapshots.each_ref().map(|it| check(it, &ask.as_question(), NOW).unwrap());
        assert_eq!(answers[0], answers[1]);
    }
    for prefix in ["a b", "a@", &"x".repeat(65)] {
        assert!(organisation(300, 1).with_prefix(prefix).is_err());
    }
}

#[test]
fn a_matrix_is_scaled_and_every_pair_is_allowed() {
    let pairs = "u1 p1\nu1 p2\nu2 p2\n\nu3 p3\n";
    let roles = "role: r0\npermissions: p1, p2\nusers: u1\nrole: r1\npermissions: p2\nusers: u2\n\
                 role: r2\npermissions: p3\nusers: u3,u3\n";
    let matrix = ScaledMatrix::parse(pairs, roles, 5).unwrap();
    let text: String = export::stream(matrix.all()).collect();
    let held = facts(pdp_bundle::parse("made", &text).unwrap().changes().into_iter());
    assert_eq!(
        (held.people().len(), held.resources().len(), held.assignments().len()),
        (15, 15, 20)
    );
    assert_eq!(held.of_kind(FactKind::ManagementRole).count(), 15);
    let snapshot = compile(&held, Revision::new(1));
    let mix = Mix { skew: Skew::Uniform, allow: 0.5, count: 400, seed: 3 };
    for ask in sample(&matrix, &snapshot, mix, NOW).unwrap() {
        let (subject, id) = (ask.subject.split_once('-').unwrap(), ask.id.split_once('-').unwrap());
        let pair = pairs.lines().any(|line| line == format!("{} {}", subject.1, id.1));
        assert_eq!(ask.expected == Effect::Allow, pair && subject.0 == id.0, "{ask:?}");
    }
}

#[test]
fn a_matrix_that_is_none_is_refused_with_its_line() {
    let good = ("u p\n", "role: r\npermissions: p\nusers: u\n");
    assert!(ScaledMatrix::parse(good.0, good.1, 1).is_ok());
    for (pairs, roles, said) in [
        ("u p q\n", good.1, "pairs:1: a pair"),
        (good.0, "users: u\n", "roles:1: it is neither"),
        (good.0, "role: r\nnothing\n", "roles:2: there is no colon"),
        ("", "", "no users"),
    ] {
        let refused = ScaledMatrix::parse(pairs, roles, 1).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    assert!(matches!(ScaledMatrix::parse(good.0, good.1, 0), Err(MatrixError::Scale(0))));
    let missing = ScaledMatrix::read(std::path::Path::new("/nonexistent/matrix"), 1).unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/matrix.pairs.txt"), "{missing}");
}
