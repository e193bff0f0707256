//! To-do lists: each has an owner, a team that reads it and a team that edits it.

use super::{Operation, Sketch, entity};

pub(super) const OPERATIONS: [Operation; 9] = [
    ("GetList", "List", "l"),
    ("UpdateList", "List", "l"),
    ("DeleteList", "List", "l"),
    ("CreateTask", "List", "l"),
    ("UpdateTask", "List", "l"),
    ("DeleteTask", "List", "l"),
    ("EditShares", "List", "l"),
    ("CreateList", "Application", "all!"),
    ("GetLists", "Application", "all!"),
];

pub(super) const POLICIES: &str = r#"
permit(principal, action in [Action::"CreateList", Action::"GetLists"], resource == Application::"all");
permit(principal, action, resource is List)
when { resource.owner == principal };
permit(principal, action == Action::"GetList", resource is List)
when { principal in resource.readers || principal in resource.editors };
permit(
  principal,
  action in [Action::"UpdateList", Action::"CreateTask", Action::"UpdateTask", Action::"DeleteTask"],
  resource is List
)
when { principal in resource.editors };
"#;

pub(super) const TYPES: &str = "
resource_types:
  List: {operations: [GetList, UpdateList, DeleteList, CreateTask, UpdateTask, DeleteTask, EditShares]}
  Application: {operations: [CreateList, GetLists]}
access_levels:
  - {type: List, name: owner, operations: {'*': allowed}}
  - {type: List, name: readers, operations: {GetList: allowed}}
  - {type: List, name: editors, operations: {GetList: allowed, UpdateList: allowed, CreateTask: allowed, UpdateTask: allowed, DeleteTask: allowed}}
  - {type: Application, name: user, operations: {'*': allowed}}
";

pub(super) fn fill(sketch: &mut Sketch) -> anyhow::Result<()> {
    let size = sketch.size();
    let mut teams = vec![Vec::new(); size as usize];
    for n in 0..size {
        let (user, team, list) = (format!("u{n}"), format!("t{n}"), format!("l{n}"));
        sketch.user(&user)?;
        sketch.theirs("Team", &team)?;
        for other in sketch.some(size) {
            sketch.within(("User", &user), ("Team", &format!("t{other}")))?;
            teams
                .get_mut(other as usize)
                .into_iter()
                .for_each(|it| it.push(format!("'person:{user}'")));
        }
        for other in sketch.some(n) {
            sketch.within(("Team", &team), ("Team", &format!("t{other}")))?;
            teams
                .get_mut(other as usize)
                .into_iter()
                .for_each(|it| it.push(format!("'group:{team}'")));
        }
        sketch.ours("resources", &format!("type: List, id: {list}"));
        for (role, kind, actor, letter) in [
            ("owner", "User", "person", 'u'),
            ("readers", "Team", "group", 't'),
            ("editors", "Team", "group", 't'),
        ] {
            let holder = format!("{letter}{}", sketch.one());
            sketch.attribute(("List", &list), role, entity(kind, &holder)?)?;
            let given = format!("to: '{actor}:{holder}', level: List/{role}, on: 'List:{list}'");
            sketch.ours("assignments", &given);
        }
    }
    for (n, members) in teams.iter().enumerate() {
        sketch.ours("groups", &format!("id: t{n}, members: [{}]", members.join(", ")));
    }
    let everybody: Vec<String> = (0..size).map(|n| format!("'person:u{n}'")).collect();
    sketch.ours("groups", &format!("id: everybody, members: [{}]", everybody.join(", ")));
    sketch.ours("resources", "type: Application, id: all");
    let given = "to: 'group:everybody', level: Application/user, on: 'Application:all'";
    sketch.ours("assignments", given);
    sketch.theirs("Application", "all")
}
