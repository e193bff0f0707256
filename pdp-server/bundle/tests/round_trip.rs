//! Export and parse are inverse: whatever the ids, an exported policy applies back to itself.

#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test file")]

#[path = "round_trip/world.rs"]
mod world;

use pdp_bundle::{export, parse};
use pdp_engine::facts::{FactKind, Facts};
use proptest::prelude::*;
use world::{facts, world};

fn applied(text: &str) -> Facts {
    let bundle = parse("export.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut facts = Facts::default();
    facts
        .apply(&bundle.changes())
        .unwrap_or_else(|error| panic!("{}\n{text}", bundle.explain_rejection(&error)));
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_export_applies_back_to_the_same_facts(world in world()) {
        let facts = facts(world);
        let text = export::export(&facts);
        let again = applied(&text);
        prop_assert_eq!(&again, &facts);
        prop_assert_eq!(export::export(&again), text.clone());
        prop_assert_eq!(export::chunks(&facts).collect::<String>(), text.clone());
        let mut written = String::new();
        export::write(&facts, &mut written).unwrap();
        prop_assert_eq!(written, text);
        prop_assert_eq!(applied(&export::stream(facts.iter()).collect::<String>()), facts);
    }

    #[test]
    fn replacing_makes_any_policy_equal_to_the_bundle(before in world(), after in world()) {
        let (mut policy, wanted) = (facts(before), facts(after));
        let text = export::export(&wanted);
        let bundle = parse("wanted.yaml", &text).unwrap();
        let changes = bundle.replace(&policy);
        policy.apply(&changes).unwrap();
        prop_assert_eq!(&policy, &wanted);
        prop_assert!(bundle.replace(&policy).is_empty());
    }
}

#[test]
fn the_empty_policy_exports_and_applies() {
    assert_eq!(export::export(&Facts::default()), "{}\n");
    assert!(applied("{}\n").is_empty());
    assert!(applied("").is_empty());
}

#[test]
fn an_export_is_one_line_a_fact_in_the_order_of_the_format() {
    let facts = applied(EXPORTED);
    assert_eq!(export::export(&facts), EXPORTED);
    assert_eq!(FactKind::ALL.len(), EXPORTED.lines().filter(|line| !line.starts_with(' ')).count());
}

const EXPORTED: &str = r#"resource_types:
  Computer: {operations: [Use]}
  Person: {operations: [Badge]}
  Report: {operations: [Delete, View], rights: [ReadData]}
  SshKey: {}
access_levels:
  - {type: Person, name: Badge Desk, operations: {"*": allowed}}
  - {type: Report, name: Viewer, operations: {Delete: denied, View: allowed}, rights: {ReadData: allowed}}
locations:
  - {id: europe, organization: true}
  - {id: zurich, parent: europe, block_inheritance: true}
business_roles:
  - {id: employee}
  - {id: teller, parent: employee, locations: [zurich]}
people:
  - {id: ana, name: Ana, login: "007", enabled: false, manager: bo, locations: [zurich], positions: [{business_role: teller, location: zurich, primary: true, valid_until: 2027-01-01T00:00:00Z}], vault_privileges: [connection_user, remote_app]}
  - {id: bo}
accounts:
  - {id: corp/ana, owner: ana, computer: web-07, enabled: false}
groups:
  - {id: hr, members: [person:ana, {of: account:corp/ana, valid_from: 2026-01-01T00:00:00.5Z}], default: true}
  - {id: web-07/Administrators}
set_groups:
  - {id: all-staff, members: [group:hr]}
management_role_definitions:
  - {id: helpdesk}
management_roles:
  - {id: badge-desk, definition: helpdesk}
  - {id: helpdesk-zurich, definition: helpdesk, members: [set_group:all-staff, business_role:teller@zurich], includes: [badge-desk]}
resources:
  - {type: Computer, id: web-07, locations: [zurich], platform: windows, owner: bo}
  - {type: Report, id: absence, locations: [europe, zurich]}
  - {type: SshKey, id: deploy, parent: Computer:web-07}
resource_groups:
  - {id: web-tier, members: [Computer:web-07, Report:absence], default: true}
assignments:
  - {id: a-1, to: person:ana, level: Report/Viewer, "on": Report:absence}
  - {to: group:hr, level: Report/Viewer, in: zurich, valid_until: 2027-01-01T00:00:00Z}
  - {to: management_role_definition:helpdesk, level: Person/Badge Desk, relative: direct_reports}
shares:
  - {to: person:ana, "on": Computer:web-07, level: full}
  - {to: group:hr, "on": resource_group:web-tier, level: modify}
permission_levels:
  - {id: domain-admin, name: Domain Admin}
  - {id: local-admin}
psm:
  - {computer: web-07, allow_unprivileged: true, account_store: local_windows_server, max_session: 1h30m, max_concurrent: 2, jit: {enabled: true, delete_on_end: true}, levels: {domain-admin: null, local-admin: group:web-07/Administrators}}
eligibilities:
  - {to: person:ana, level: local-admin, "on": Computer:web-07, kind: approved, valid_until: 2026-12-01T18:00:00Z}
  - {to: person:bo, level: local-admin, in: zurich, kind: excluded}
  - {to: group:hr, level: local-admin, "on": Computer:web-07, kind: pre_approved}
"#;

#[test]
fn a_long_fact_is_cut_into_bounded_chunks() {
    let mut text = String::from("people:\n");
    let mut members = Vec::new();
    for n in 0..20_000 {
        text.push_str(&format!("- {{id: \"日本-{n}\"}}\n"));
        members.push(format!("\"person:日本-{n}\""));
    }
    text.push_str(&format!("groups: [{{id: all, members: [{}]}}]\n", members.join(", ")));
    let facts = applied(&text);
    let chunks: Vec<String> = export::chunks(&facts).collect();
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| chunk.len() <= export::CHUNK_BYTES));
    assert_eq!(chunks.concat(), export::export(&facts));
    assert_eq!(applied(&chunks.concat()), facts);
}
