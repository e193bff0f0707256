use std::collections::BTreeMap;

use pdp_engine::facts::{Fact, Facts};
use pdp_engine::id::TypeName;
use pdp_engine::level::AccessLevel;
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::ResourceType;

use crate::bundle::parse;

fn loaded(text: &str) -> Facts {
    let bundle = parse("test.yaml", text).unwrap();
    let mut facts = Facts::default();
    facts.apply(&bundle.changes()).unwrap_or_else(|e| panic!("{}", bundle.explain_rejection(&e)));
    facts
}

fn type_of(facts: &Facts, name: &str) -> ResourceType {
    facts.resource_type(&TypeName::new(name).unwrap()).unwrap().clone()
}

fn levels_of(facts: &Facts, type_name: &str) -> BTreeMap<String, AccessLevel> {
    facts
        .access_levels()
        .filter(|level| level.name.type_name.as_str() == type_name)
        .map(|level| (level.name.name.to_string(), level.clone()))
        .collect()
}

fn operation_counts(facts: &Facts, type_name: &str) -> Vec<(String, usize)> {
    let count = |(name, level): (String, AccessLevel)| (name, level.operations.len());
    levels_of(facts, type_name).into_iter().map(count).collect()
}

fn counts(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

// With n definitions of a type, the common Administrator lists
//   8 families over the n tokens: Add<Actor>To and Remove<Actor>From, each 4 actors (5 with
//   SetGroup), and AddTo, AddTo..InLocation, AddTo..InRelativeResource and the three RemoveFrom,
//   so 2 * 4n + 6n = 14n names, or 2 * 5n + 6n = 16n for the one that has SetGroup;
//   and 10 names without a token.

/// Computer: the 4 common definitions, Co-Owner and Session Approver: n = 6.
/// Administrator: 14 * 6 + 10 = 94, and 9 of its own: 103.
/// The full administrator: 16 * 6 + 10 = 106, the same 9 and 6 more: 121.
/// Declared: those 121 and ApproveUse of Session Approver: 122.
#[test]
fn computer_expands_to_the_counted_names() {
    let facts = loaded("library: [default]");
    assert_eq!(
        operation_counts(&facts, "Computer"),
        counts(&[
            ("Access Level Assigner", 3),
            ("Administrator", 103),
            ("Co-Owner", 2),
            ("EmpowerID Administrator", 121),
            ("Session Approver", 2),
            ("Use", 1),
        ])
    );
    let computer = type_of(&facts, "Computer");
    assert_eq!((computer.operations.len(), computer.rights.len()), (122, 0));
    for name in [
        "AddPersonToCoOwner",
        "AddSetGroupToSessionApprover",
        "RemoveOrgRoleOrgZoneFromAccessLevelAssigner",
        "AddToUseInLocation",
        "RemoveFromEmpowerIDAdministratorInRelativeResource",
        "EditResourceTypeRoleComputer",
        "ApproveUse",
    ] {
        assert!(computer.operations.contains(name), "{name}");
    }
}

/// Group: the 4 common definitions and Membership Manager: n = 5.
/// Administrator: 14 * 5 + 10 = 80, and 17 of its own: 97.
/// The full administrator: 16 * 5 + 10 = 90, and the same 17: 107.
/// Membership Manager: two lists over 4 actors and 5 single names: 13.
/// Access Level Assigner: 3 common ones and 9 listed, of which 3 are the same: 9.
/// Declared: 107, from Membership Manager 13 less the 3 that the administrator has too, and from
/// Access Level Assigner 9 less the same 3: 107 + 10 + 6 = 123.
#[test]
fn group_expands_to_the_counted_names() {
    let facts = loaded("library: [default]");
    assert_eq!(
        operation_counts(&facts, "Group"),
        counts(&[
            ("Access Level Assigner", 9),
            ("Administrator", 97),
            ("EmpowerID Administrator", 107),
            ("Membership Manager", 13),
            ("Use", 1),
        ])
    );
    assert_eq!(type_of(&facts, "Group").operations.len(), 123);
    let levels = levels_of(&facts, "Group");
    let has = |level: &str, operation: &str| {
        levels[level].operations.keys().any(|pattern| pattern.to_string() == operation)
    };
    assert!(has("EmpowerID Administrator", "AddSetGroupToUse"));
    assert!(!has("Administrator", "AddSetGroupToUse"));
    assert!(!has("Membership Manager", "AddSetGroupToGroupMember"));
    assert!(has("Membership Manager", "AddPersonToGroupMember"));
}

/// Report, declared by the bundle with a level Viewer: the 4 common definitions and Viewer: n = 5.
/// Administrator: 14 * 5 + 10 = 80. The full administrator: 16 * 5 + 10 = 90.
/// Declared: those 90 (Delete is among them) and the bundle's View and Edit: 92; rights: 1.
#[test]
fn a_type_of_the_bundle_expands_to_the_counted_names() {
    let facts = loaded(
        "library: [default]\n\
         resource_types: {Report: {operations: [View, Edit, Delete], rights: [ReadData]}}\n\
         access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}]\n",
    );
    assert_eq!(
        operation_counts(&facts, "Report"),
        counts(&[
            ("Access Level Assigner", 3),
            ("Administrator", 80),
            ("EmpowerID Administrator", 90),
            ("Use", 1),
            ("Viewer", 1),
        ])
    );
    let report = type_of(&facts, "Report");
    assert_eq!((report.operations.len(), report.rights.len()), (92, 1));
    for name in ["AddAccountToViewer", "AddToViewer", "RemoveFromViewerInLocation"] {
        assert!(report.operations.contains(name), "{name}");
    }
}

/// 22 types; the 8 built-in ones are among them. Definitions: 4 common ones each, 88, and the
/// types' own besides: AssetCatalogItem 1, BusinessRole 2, Computer 2, ExchangeMailbox 3, Group 1,
/// WindowsSharedFolder 3, SharePointDocument 1: 13 more.
/// Rights: ExchangeMailbox 3, WindowsSharedFolder 14, SharePointDocument 3.
#[test]
fn the_whole_library_has_the_counted_size() {
    let facts = loaded("library: [default]");
    assert_eq!(facts.resource_types().len(), 22);
    assert_eq!(facts.access_levels().len(), 101);
    assert_eq!(facts.len(), 123);
    assert_eq!(facts.resource_types().map(|declared| declared.rights.len()).sum::<usize>(), 20);
}

/// Per type, the names listed for its own definitions, counted in the list itself: their number
/// after expansion is that of the type's declarations less the common ones (16n + 10) that are not
/// listed again.
#[test]
fn every_type_declares_as_many_operations_as_its_list_gives() {
    let facts = loaded("library: [default]");
    let declared: Vec<_> = facts
        .resource_types()
        .map(|declared| (declared.name.as_str(), declared.operations.len()))
        .collect();
    // (definitions, further names of the type's own): 16 * definitions + 10 + further.
    let by_arithmetic = [
        ("AssetCatalogItem", 5, 2),
        ("AttestationPolicy", 4, 3),
        ("BusinessRole", 6, 16),
        ("Computer", 6, 16),
        ("EmpowerIDSystem", 4, 4),
        ("ExchangeMailbox", 7, 41),
        ("Group", 5, 33),
        ("Location", 4, 20),
        ("ManagementRole", 4, 3),
        ("ManagementRoleDefinition", 4, 3),
        ("Person", 4, 55),
        ("SamlSsoConnection", 4, 33),
        ("SeparationOfDuties", 4, 4),
        ("SetGroup", 4, 7),
        ("SharePointDocument", 5, 0),
        ("SsoApplication", 4, 6),
        ("SsoApplicationDefinition", 4, 4),
        ("UserAccount", 4, 52),
        ("WindowsSharedFolder", 7, 1),
        ("WindowsSharedPrinter", 4, 0),
        ("Workflow", 4, 2),
        ("WsFederationSsoConnection", 4, 17),
    ];
    assert_eq!(
        declared,
        by_arithmetic.map(|(name, definitions, further)| (name, 16 * definitions + 10 + further))
    );
}

#[test]
fn both_spellings_of_the_three_misprints_are_declared() {
    let facts = loaded("library: [default]");
    for (type_name, printed, regular) in [
        ("Location", "AssignPersonOrgRoleZone", "AssignPersonOrgRoleOrgZone"),
        (
            "Person",
            "RemovePersonFromResourceRoleAssignmentsByLocation",
            "RemovePersonFromResourceRoleAssignmentByLocation",
        ),
        (
            "SetGroup",
            "RemovSetGroupFromResourceRoleAssignmentsByLocation",
            "RemoveSetGroupFromResourceRoleAssignmentByLocation",
        ),
    ] {
        let declared = type_of(&facts, type_name).operations;
        assert!(declared.contains(printed) && declared.contains(regular), "{type_name}");
    }
}

#[test]
fn everything_listed_is_allowed_but_deny_all_denies_every_right() {
    let facts = loaded("library: [default]");
    let deny_all = &levels_of(&facts, "WindowsSharedFolder")["Deny All"];
    assert!(deny_all.operations.is_empty());
    assert_eq!(deny_all.rights, BTreeMap::from([(Pattern::All, Qualifier::Denied)]));
    let qualifiers = facts
        .access_levels()
        .filter(|level| level.name.name.as_str() != "Deny All")
        .flat_map(|level| level.operations.values().chain(level.rights.values()));
    assert!(qualifiers.into_iter().all(|qualifier| *qualifier == Qualifier::Allowed));
}

#[test]
fn the_bundle_replaces_definitions_and_adds_to_types() {
    let facts = loaded(
        "library: [default]\n\
         resource_types: {Computer: {operations: [Reboot]}}\n\
         access_levels: [{type: Computer, name: Co-Owner, operations: {Reboot: denied}}]\n",
    );
    let co_owner = &levels_of(&facts, "Computer")["Co-Owner"];
    assert_eq!(co_owner.operations.len(), 1);
    assert!(co_owner.denies());
    assert_eq!(type_of(&facts, "Computer").operations.len(), 123);
    assert_eq!(levels_of(&facts, "Computer").len(), 6);
}

#[test]
fn a_definition_that_clashes_with_the_library_is_told_by_line() {
    let text = "library: [default]\naccess_levels:\n- {type: Computer, name: CoOwner}\n";
    let bundle = parse("clash.yaml", text).unwrap();
    let rejected = Facts::default().apply(&bundle.changes()).unwrap_err();
    let message = bundle.explain_rejection(&rejected).to_string();
    assert!(message.contains("clash.yaml:3:26: access_levels[0].name: "), "{message}");
    assert!(message.contains("clash.yaml:1:10: library: default library: "), "{message}");
}

#[test]
fn the_order_of_sections_does_not_matter() {
    let early = loaded("library: [default]\nresource_types: {Report: {operations: [View]}}\n");
    let late = loaded("resource_types: {Report: {operations: [View]}}\nlibrary: [default]\n");
    assert_eq!(early, late);
    assert!(early.iter().all(|fact| matches!(fact, Fact::ResourceType(_) | Fact::AccessLevel(_))));
}
