//! Documents in folders: owned, shared with people and groups, or public.

use super::{Operation, Sketch, entities, entity};

pub(super) const OPERATIONS: [Operation; 5] = [
    ("read", "Document", "d"),
    ("write", "Document", "d"),
    ("share", "Document", "d"),
    ("changeOwner", "Document", "d"),
    ("createDocument", "Location", "f"),
];

pub(super) const POLICIES: &str = r#"
permit(principal, action == Action::"read", resource)
when { resource in principal.viewable };
permit(principal, action == Action::"read", resource)
when { resource.public };
permit(principal, action in [Action::"read", Action::"write", Action::"share"], resource)
when { resource in principal.documents };
permit(principal, action in [Action::"read", Action::"write", Action::"share"], resource)
when { resource in principal.folders };
permit(principal, action == Action::"changeOwner", resource)
when { principal.documents.contains(resource) };
permit(principal, action == Action::"createDocument", resource)
when { principal.folders.contains(resource) };
"#;

pub(super) const TYPES: &str = "
resource_types:
  Document: {operations: [read, write, share, changeOwner]}
  Location: {operations: [createDocument]}
access_levels:
  - {type: Document, name: Viewer, operations: {read: allowed}}
  - {type: Document, name: Owner, operations: {'*': allowed}}
  - {type: Document, name: Folder Owner, operations: {read: allowed, write: allowed, share: allowed}}
  - {type: Location, name: Owner, operations: {createDocument: allowed}}
";

pub(super) fn fill(sketch: &mut Sketch) -> anyhow::Result<()> {
    let size = sketch.size();
    let mut members = vec![Vec::new(); size as usize];
    for n in 0..size {
        let user = format!("u{n}");
        sketch.user(&user)?;
        for group in sketch.some(size) {
            sketch.within(("User", &user), ("Group", &format!("g{group}")))?;
            // What is shared with a group is what all of it may view.
            sketch.within(("View", &format!("g{group}")), ("View", &user))?;
            if let Some(members) = members.get_mut(group as usize) {
                members.push(format!("person:{user}"));
            }
        }
        sketch.attribute(("User", &user), "viewable", entity("View", &user)?)?;
        sketch.theirs("View", &user)?;
        for (kind, letter, attribute) in
            [("Document", 'd', "documents"), ("Location", 'f', "folders")]
        {
            let owned: Vec<String> =
                sketch.some(size).into_iter().map(|n| format!("{letter}{n}")).collect();
            for id in &owned {
                sketch.ours(
                    "assignments",
                    &format!("to: 'person:{user}', level: {kind}/Owner, on: '{kind}:{id}'"),
                );
                if kind == "Location" {
                    let given =
                        format!("to: 'person:{user}', level: Document/Folder Owner, in: {id}");
                    sketch.ours("assignments", &given);
                }
            }
            sketch.attribute(("User", &user), attribute, entities(kind, &owned)?)?;
        }
    }
    for (n, members) in members.iter().enumerate() {
        let members: Vec<String> = members.iter().map(|it| format!("'{it}'")).collect();
        sketch.ours("groups", &format!("id: g{n}, members: [{}]", members.join(", ")));
        sketch.theirs("View", &format!("g{n}"))?;
    }
    let everybody: Vec<String> = (0..size).map(|n| format!("'person:u{n}'")).collect();
    sketch.ours("groups", &format!("id: everybody, members: [{}]", everybody.join(", ")));
    for n in 0..size {
        document(sketch, n)?;
        folder(sketch, n)?;
    }
    Ok(())
}

fn document(sketch: &mut Sketch, n: u64) -> anyhow::Result<()> {
    let id = format!("d{n}");
    let folders: Vec<String> =
        sketch.some(sketch.size()).into_iter().map(|n| format!("f{n}")).collect();
    sketch.ours(
        "resources",
        &format!("type: Document, id: {id}, locations: [{}]", folders.join(", ")),
    );
    for folder in &folders {
        sketch.within(("Document", &id), ("Location", folder))?;
    }
    let public = sketch.coin();
    let value = cedar_policy::RestrictedExpression::new_bool(public);
    sketch.attribute(("Document", &id), "public", value)?;
    if public {
        let given = format!("to: 'group:everybody', level: Document/Viewer, on: 'Document:{id}'");
        sketch.ours("assignments", &given);
    }
    shared(sketch, ("Document", &id), &format!("on: 'Document:{id}'"))
}

fn folder(sketch: &mut Sketch, n: u64) -> anyhow::Result<()> {
    let id = format!("f{n}");
    let parent = sketch.some(n).first().map(|n| format!("f{n}"));
    match &parent {
        Some(parent) => {
            sketch.ours("locations", &format!("id: {id}, parent: {parent}"));
            sketch.within(("Location", &id), ("Location", parent))?;
        }
        None => sketch.ours("locations", &format!("id: {id}")),
    }
    sketch.theirs("Location", &id)?;
    shared(sketch, ("Location", &id), &format!("in: {id}"))
}

/// Shares something with people and groups, to view it and what is in it.
fn shared(sketch: &mut Sketch, what: (&str, &str), scope: &str) -> anyhow::Result<()> {
    for (kind, letter) in [("person", 'u'), ("group", 'g')] {
        for n in sketch.some(sketch.size()) {
            sketch.within(what, ("View", &format!("{letter}{n}")))?;
            let given = format!("to: '{kind}:{letter}{n}', level: Document/Viewer, {scope}");
            sketch.ours("assignments", &given);
        }
    }
    Ok(())
}
