//! Repositories of organisations: people, nested teams and whole organisations have one of five levels on one
//! repository, or one of three on all that an organisation owns.

use super::{Operation, Sketch, entity};

pub(super) const OPERATIONS: [Operation; 5] = [
    ("read", "Repository", "r"),
    ("triage", "Repository", "r"),
    ("write", "Repository", "r"),
    ("maintain", "Repository", "r"),
    ("admin", "Repository", "r"),
];

pub(super) const POLICIES: &str = r#"
permit(principal, action == Action::"read", resource)
when { principal in resource.readers || principal in resource.owner.readers };
permit(principal, action in [Action::"read", Action::"triage"], resource)
when { principal in resource.triagers };
permit(principal, action in [Action::"read", Action::"triage", Action::"write"], resource)
when { principal in resource.writers || principal in resource.owner.writers };
permit(
  principal,
  action in [Action::"read", Action::"triage", Action::"write", Action::"maintain"],
  resource
)
when { principal in resource.maintainers };
permit(principal, action, resource)
when { principal in resource.admins || principal in resource.owner.admins };
"#;

pub(super) const TYPES: &str = "
resource_types:
  Repository: {operations: [read, triage, write, maintain, admin]}
access_levels:
  - {type: Repository, name: readers, operations: {read: allowed}}
  - {type: Repository, name: triagers, operations: {read: allowed, triage: allowed}}
  - {type: Repository, name: writers, operations: {read: allowed, triage: allowed, write: allowed}}
  - {type: Repository, name: maintainers, operations: {read: allowed, triage: allowed, write: allowed, maintain: allowed}}
  - {type: Repository, name: admins, operations: {'*': allowed}}
";

const LEVELS: [&str; 5] = ["readers", "triagers", "writers", "maintainers", "admins"];
const OF_OWNER: [&str; 3] = ["readers", "writers", "admins"];

pub(super) fn fill(sketch: &mut Sketch) -> anyhow::Result<()> {
    let size = sketch.size();
    let (mut organisations, mut teams) =
        (vec![Vec::new(); size as usize], vec![Vec::new(); size as usize]);
    for n in 0..size {
        let (organisation, repository) = (format!("o{n}"), format!("r{n}"));
        sketch.ours("locations", &format!("id: {organisation}"));
        for level in OF_OWNER {
            let held = entity("Held", &format!("{organisation} {level}"))?;
            sketch.attribute(("Organisation", &organisation), level, held)?;
        }
        let owner = format!("o{}", sketch.one());
        let owned = format!("type: Repository, id: {repository}, locations: [{owner}]");
        sketch.ours("resources", &owned);
        for level in LEVELS {
            let held = entity("Held", &format!("{repository} {level}"))?;
            sketch.attribute(("Repository", &repository), level, held)?;
        }
        let owner = entity("Organisation", &owner)?;
        sketch.attribute(("Repository", &repository), "owner", owner)?;
    }
    for n in 0..size {
        let (user, team, organisation) = (format!("u{n}"), format!("t{n}"), format!("o{n}"));
        sketch.user(&user)?;
        sketch.theirs("Team", &team)?;
        for other in sketch.some(size) {
            sketch.within(("User", &user), ("Team", &format!("t{other}")))?;
            teams
                .get_mut(other as usize)
                .into_iter()
                .for_each(|it| it.push(format!("'person:{user}'")));
        }
        for other in sketch.some(size) {
            sketch.within(("User", &user), ("Organisation", &format!("o{other}")))?;
            let members = organisations.get_mut(other as usize);
            members.into_iter().for_each(|it| it.push(format!("'person:{user}'")));
        }
        for other in sketch.some(n) {
            sketch.within(("Team", &team), ("Team", &format!("t{other}")))?;
            teams
                .get_mut(other as usize)
                .into_iter()
                .for_each(|it| it.push(format!("'group:{team}'")));
        }
        for (who, actor) in [
            (("User", user.as_str()), format!("person:{user}")),
            (("Team", team.as_str()), format!("group:{team}")),
        ] {
            holds(sketch, who, &actor, 'r')?;
        }
        for (who, actor) in [
            (("User", user.as_str()), format!("person:{user}")),
            (("Organisation", organisation.as_str()), format!("group:{organisation}")),
        ] {
            holds(sketch, who, &actor, 'o')?;
        }
    }
    for (letter, groups) in [('t', teams), ('o', organisations)] {
        for (n, members) in groups.iter().enumerate() {
            sketch.ours("groups", &format!("id: {letter}{n}, members: [{}]", members.join(", ")));
        }
    }
    Ok(())
}

/// Gives somebody levels on some repositories, or on all that some organisations own.
fn holds(sketch: &mut Sketch, who: (&str, &str), actor: &str, letter: char) -> anyhow::Result<()> {
    for n in sketch.some(sketch.size()) {
        let at = sketch.one() as usize;
        let (levels, scope) = match letter {
            'r' => (&LEVELS[..], format!("on: 'Repository:r{n}'")),
            _ => (&OF_OWNER[..], format!("in: o{n}")),
        };
        let level = levels.get(at % levels.len()).copied().unwrap_or("readers");
        sketch.within(who, ("Held", &format!("{letter}{n} {level}")))?;
        sketch.ours("assignments", &format!("to: '{actor}', level: Repository/{level}, {scope}"));
    }
    Ok(())
}
