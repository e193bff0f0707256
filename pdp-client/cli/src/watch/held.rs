//! `watch --subject` and `watch --resource`: who gains and who loses what.

use pdp_client::{
    Effect, Held, Permission, PermissionChange, PermissionEvent, PermissionQuery, Seen,
};
use pdp_engine::id::validate_type_name;
use pdp_engine::share::Entity;
use serde_json::{Value, json};

use crate::args::Effective;
use crate::asked::{self, What, object_to_client, subject_to_client};
use crate::audit::time;
use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, Screen, paint};

/// What is watched; `None` if it is the policy.
pub(super) fn query(options: Effective) -> Result<Option<PermissionQuery>, Problem> {
    let Effective { subject, type_name, resource, accounts, permissions } = options;
    let query = match (subject, resource) {
        (None, None) if permissions.is_empty() => return Ok(None),
        (None, None) => {
            let message = "goes with --subject or --resource".to_owned();
            return Err(Problem::argument("--permission", message));
        }
        (Some(subject), _) => {
            let subject = subject_to_client(&asked::subject("--subject", &subject)?);
            match type_name {
                None => PermissionQuery::of(subject),
                Some(name) => {
                    if name != Entity::GROUP_WORD {
                        validate_type_name("resource type", &name)
                            .map_err(|error| Problem::argument("--type", error.to_string()))?;
                    }
                    PermissionQuery::of_on_type(subject, name)
                }
            }
        }
        (None, Some(resource)) => {
            let resource = object_to_client(&asked::object("--resource", &resource)?);
            match accounts {
                true => PermissionQuery::on_with_accounts(resource),
                false => PermissionQuery::on(resource),
            }
        }
    };
    let permissions = permissions.iter().map(|text| Ok(What::read(text)?.to_client()));
    Ok(Some(query.only(permissions.collect::<Result<Vec<_>, Problem>>()?)))
}

/// Watches until it is told to end, or has told so many changes.
pub(super) async fn watch(
    server: &Server,
    (query, count): (PermissionQuery, Option<u64>),
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?;
    let mut watch = client.watch_permissions(query);
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        let shown = match watch.event().await? {
            PermissionEvent::Lost { error, pause } => {
                screen.lost(&error, pause)?;
                continue;
            }
            PermissionEvent::Current(seen) => {
                screen.aside(String::new, || current_json(seen))?;
                continue;
            }
            PermissionEvent::State { seen, held } => {
                screen.event(|| state_text(seen, &held), || state_json(seen, &held))?
            }
            PermissionEvent::Changed { seen, changes } => {
                told += 1;
                screen.event(|| changes_text(seen, &changes), || changes_json(seen, &changes))?
            }
        };
        if shown.is_break() {
            break;
        }
    }
    Ok(Exit::Success)
}

/// The kind of a permission as it is asked, and its name.
fn kind_and_name(permission: &Permission) -> (&'static str, &str) {
    let kind = match permission {
        Permission::Operation(_) => "operation",
        Permission::Right(_) => "right",
        Permission::VaultAction(_) => "vault",
        Permission::Session(_) => "session",
    };
    (kind, permission.name())
}

fn words(held: &Held) -> (String, String) {
    let Held { subject, permission, resource } = held;
    let (kind, name) = kind_and_name(permission);
    (subject.to_string(), format!("{kind}:{name} on {resource}"))
}

/// What goes with an effect that is no plain ALLOW.
const fn condition(effect: Effect) -> &'static str {
    match effect {
        Effect::RequiresApproval => ", once somebody approves",
        Effect::Allow | Effect::Deny => "",
    }
}

fn state_text(seen: Seen, held: &[(Held, Effect)]) -> String {
    let mut text = String::new();
    for (held, effect) in held {
        let (who, what) = words(held);
        text.push_str(&format!("= {who} holds {what}{}\n", condition(*effect)));
    }
    let count = match held.len() {
        0 => "no permissions".to_owned(),
        1 => "1 permission".to_owned(),
        count => format!("{count} permissions"),
    };
    text.push_str(&paint(FAINT, &format!("{count}; revision {}", seen.revision)));
    text + "\n"
}

fn changes_text(seen: Seen, changes: &[PermissionChange]) -> String {
    let line = |PermissionChange { held, before, after }: &PermissionChange| {
        let (who, what) = words(held);
        let (sign, style, did) = match (before, after) {
            (_, Effect::Deny) => ("-", BAD, "lost"),
            (Effect::Deny, _) => ("+", GOOD, "gained"),
            (Effect::Allow | Effect::RequiresApproval, _) => ("~", MIDDLING, "now holds"),
        };
        let told = format!("{sign} {who} {did} {what}{}", condition(*after));
        let revision = paint(FAINT, &format!("(revision {})", seen.revision));
        format!("{} {revision}\n", paint(style, &told))
    };
    changes.iter().map(line).collect()
}

fn held_json(held: &Held) -> Value {
    let Held { subject, permission, resource } = held;
    let (kind, name) = kind_and_name(permission);
    let (subject, resource) = (subject.to_string(), resource.to_string());
    json!({"subject": subject, "kind": kind, "name": name, "resource": resource})
}

/// The members of two objects in one.
fn with(mut value: Value, more: Value) -> Value {
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn state_json(seen: Seen, held: &[(Held, Effect)]) -> Value {
    let one =
        |(held, effect): &(Held, Effect)| with(held_json(held), json!({"effect": effect.as_str()}));
    let held: Vec<Value> = held.iter().map(one).collect();
    json!({"event": "state", "revision": seen.revision.get(), "at": time(seen.at), "held": held})
}

fn changes_json(seen: Seen, changes: &[PermissionChange]) -> Value {
    let one = |PermissionChange { held, before, after }: &PermissionChange| {
        with(held_json(held), json!({"before": before.as_str(), "after": after.as_str()}))
    };
    let changes: Vec<Value> = changes.iter().map(one).collect();
    let (revision, at) = (seen.revision.get(), time(seen.at));
    json!({"event": "changed", "revision": revision, "at": at, "changes": changes})
}

fn current_json(seen: Seen) -> Value {
    json!({"event": "current", "revision": seen.revision.get(), "at": time(seen.at)})
}
