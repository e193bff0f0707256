//! What a change set did or would do, fact by fact.

use anstyle::Style;
use pdp_client::engine::key_from_wire;
use pdp_client::{Applied, v1};
use pdp_engine::facts::{Fact, FactKey, Facts};
use pdp_engine::level::Assignment;
use pdp_engine::time::Window;
use serde_json::{Value, json};

use crate::fact;
use crate::problem::Problem;
use crate::screen::{BAD, FAINT, GOOD, MIDDLING, paint};

/// How many items of a changed list are shown.
const SHOWN_ITEMS: usize = 8;

/// What became of one fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    Created,
    Changed,
    Removed,
}

/// What a change set did.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) entries: Vec<(FactKey, Became)>,
    pub(crate) applied: Applied,
    pub(crate) dry_run: bool,
}

// === impl Became ===

impl Became {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    const fn sign(self) -> (&'static str, Style) {
        match self {
            Self::Created => ("+", GOOD),
            Self::Changed => ("~", MIDDLING),
            Self::Removed => ("-", BAD),
        }
    }
}

// === impl Diff ===

impl Diff {
    pub(crate) fn new(applied: Applied, dry_run: bool) -> Result<Self, Problem> {
        let mut entries = Vec::new();
        for v1::ChangedFact { key, kind } in &applied.changes {
            let key = key_from_wire(key.clone().unwrap_or_default())?;
            let became = match v1::ChangeKind::try_from(*kind) {
                Ok(v1::ChangeKind::Created) => Became::Created,
                Ok(v1::ChangeKind::Changed) => Became::Changed,
                Ok(v1::ChangeKind::Removed) => Became::Removed,
                Ok(v1::ChangeKind::Unspecified) | Err(_) => {
                    let message = format!("{key}: the server says nothing known of its change");
                    return Err(Problem::Message(message));
                }
            };
            entries.push((key, became));
        }
        Ok(Self { entries, applied, dry_run })
    }

    /// A line a fact, then the counts. `before` is the policy before, if it was read; `after` finds
    /// what the bundle says of a fact.
    pub(crate) fn text<'b>(
        &self,
        before: Option<&Facts>,
        after: impl Fn(&FactKey) -> Option<&'b Fact>,
    ) -> String {
        let mut text = String::new();
        for (key, became) in &self.entries {
            let (sign, style) = became.sign();
            let mut line = paint(style, &format!("{sign} {} {}", key.kind().as_str(), key.name()));
            let (was, is) = (before.and_then(|facts| facts.get(key)), after(key));
            let notes = match (became, &was, is) {
                (Became::Changed, Some(was), Some(is)) => differences(was, is),
                (Became::Removed, Some(fact), _) | (_, _, Some(fact)) => in_words(fact),
                _ => String::new(),
            };
            if !notes.is_empty() {
                line.push_str(&format!("  {}", paint(FAINT, &notes)));
            }
            text.push_str(&format!("{line}\n"));
        }
        let listed = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        if let Some(more @ 1..) = self.applied.total_changes.checked_sub(listed) {
            text.push_str(&format!("and {more} more\n"));
        }
        text.push_str(&self.summary());
        text
    }

    fn summary(&self) -> String {
        let Applied { revision, changes: _, total_changes, replayed, on_behalf_of } = &self.applied;
        let whose = on_behalf_of.as_ref().map(|person| format!(", on behalf of person:{person}"));
        let whose = whose.unwrap_or_default();
        let count = |of: Became| self.entries.iter().filter(|(_, became)| *became == of).count();
        let [created, changed, removed] =
            [Became::Created, Became::Changed, Became::Removed].map(count);
        let counts = format!("{created} created, {changed} changed, {removed} removed");
        match (replayed, total_changes, self.dry_run) {
            (true, _, _) => format!(
                "this request was applied before, as revision {revision}{whose}; nothing was applied now\n"
            ),
            (false, 0, _) => {
                format!("nothing to change: the policy is so already, at revision {revision}\n")
            }
            (false, _, true) => {
                format!(
                    "dry run: would be {counts}{whose}; nothing was changed, revision {revision}\n"
                )
            }
            (false, _, false) => format!("{counts}{whose}; revision {revision}\n"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let Applied { revision, changes: _, total_changes, replayed, on_behalf_of } = &self.applied;
        let change = |(key, became): &(FactKey, Became)| {
            let (kind, name) = (fact::word(key.kind()), key.name());
            json!({"kind": kind, "name": name, "change": became.as_str()})
        };
        let mut told = json!({
            "revision": revision.get(),
            "dry_run": self.dry_run,
            "replayed": replayed,
            "total_changes": total_changes,
            "changes": self.entries.iter().map(change).collect::<Vec<_>>(),
        });
        if let (Some(person), Some(map)) = (on_behalf_of, told.as_object_mut()) {
            map.insert("on_behalf_of".to_owned(), json!(format!("person:{person}")));
        }
        told
    }
}

/// What a fact says that its name does not: all of an assignment, how much a share gives, what a
/// computer offers, when an eligibility counts. Nothing for things that have names of their own.
pub(crate) fn in_words(fact: &Fact) -> String {
    match fact {
        Fact::Assignment(assignment) => {
            let Assignment { id: _, to, level, scope, window } = &**assignment;
            let bounds = bounds(window).into_iter().map(|bound| format!(", {bound}"));
            format!("{to} has {level} {scope}{}", bounds.collect::<String>())
        }
        Fact::Share(share) => share.level.as_str().to_owned(),
        Fact::Psm(psm) => {
            let levels: Vec<_> = psm.levels.keys().map(ToString::to_string).collect();
            let levels = if levels.is_empty() { "no levels".to_owned() } else { levels.join(", ") };
            let switched = if psm.enabled { "enabled" } else { "disabled" };
            format!("{switched}, offers {levels}")
        }
        Fact::Eligibility(eligibility) => bounds(&eligibility.window).join(", "),
        _ => String::new(),
    }
}

fn bounds(window: &Window) -> Vec<String> {
    let mut bounds = serde_json::Map::new();
    fact::window(&mut bounds, window);
    bounds.iter().map(|(key, value)| format!("{key} {}", in_line(value))).collect()
}

/// The fields in which two facts differ.
fn differences(was: &Fact, is: &Fact) -> String {
    let (was, is) = (fact::json(was), fact::json(is));
    let mut keys: Vec<&String> =
        was.as_object().into_iter().flatten().map(|(key, _)| key).collect();
    let new = is.as_object().into_iter().flatten().map(|(key, _)| key);
    keys.extend(new.filter(|key| was.get(key).is_none()));
    let changed = keys.into_iter().filter_map(|key| {
        let (was, is) = (was.get(key), is.get(key));
        (was != is).then(|| format!("{key}: {}", difference(was, is)))
    });
    changed.collect::<Vec<_>>().join("; ")
}

fn difference(was: Option<&Value>, is: Option<&Value>) -> String {
    let listed = |value: Option<&Value>| value.is_some_and(|v| v.is_array() || v.is_object());
    if listed(was) || listed(is) {
        let [was, is] = [was, is].map(|value| value.map(items).unwrap_or_default());
        let gone = was.iter().filter(|item| !is.contains(item)).map(|item| format!("-{item}"));
        let new = is.iter().filter(|item| !was.contains(item)).map(|item| format!("+{item}"));
        let mut shown: Vec<String> = gone.chain(new).collect();
        if shown.is_empty() {
            return "in another order".to_owned();
        }
        if let Some(more @ 1..) = shown.len().checked_sub(SHOWN_ITEMS) {
            shown.truncate(SHOWN_ITEMS);
            shown.push(format!("and {more} more"));
        }
        return shown.join(" ");
    }
    let told = |value: Option<&Value>, other: Option<&Value>| match (value, other) {
        (Some(value), _) => in_line(value),
        // Only defaults are left out, and the default of a flag is what it is not.
        (None, Some(Value::Bool(other))) => (!other).to_string(),
        (None, _) => "(none)".to_owned(),
    };
    format!("{} -> {}", told(was, is), told(is, was))
}

/// The items of a list, the entries of a map, or the one thing there is.
pub(crate) fn items(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(in_line).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key}: {}", in_line(value))).collect()
        }
        _ => vec![in_line(value)],
    }
}

fn in_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => format!("[{}]", items(value).join(", ")),
        Value::Object(_) => format!("{{{}}}", items(value).join(", ")),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pdp_client::Revision;
    use pdp_client::engine::key_to_wire;

    fn facts(bundle: &str) -> (Facts, pdp_bundle::Bundle) {
        let bundle = pdp_bundle::parse("bundle", bundle).unwrap();
        let mut facts = Facts::default();
        facts.apply(&bundle.changes()).unwrap();
        (facts, bundle)
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_diff_says_what_became_of_each_fact() {
        let (before, _) = facts(
            "{people: [{id: ana, name: Ana}, {id: bo}], groups: [{id: hr, members: [person:ana]}],
              resource_types: {Report: {operations: [View]}},
              access_levels: [{type: Report, name: Viewer, operations: {View: allowed}}],
              resources: [{type: Report, id: r}],
              assignments: [{id: a-1, to: person:ana, level: Report/Viewer, on: Report:r}]}",
        );
        let (after, bundle) = facts(
            "{people: [{id: ana, name: Anna, enabled: false}, {id: bo}, {id: cy}],
              groups: [{id: hr, members: [person:bo, {of: person:cy, valid_until: 2030-01-01T00:00:00Z}]}],
              resource_types: {Report: {operations: [View]}},
              access_levels: [{type: Report, name: Viewer, operations: {View: denied}}],
              resources: [{type: Report, id: r}]}",
        );
        let mut copy = before.clone();
        let applied = copy.apply(&bundle.replace(&before)).unwrap();
        assert_eq!(copy, after);
        let changes = applied.deltas.iter().map(|delta| v1::ChangedFact {
            key: Some(key_to_wire(&delta.key)),
            kind: match (&delta.before, &delta.after) {
                (None, _) => 1,
                (_, Some(_)) => 2,
                (_, None) => 3,
            },
        });
        let applied = Applied {
            revision: Revision::new(8),
            changes: changes.collect(),
            total_changes: 6,
            replayed: false,
            on_behalf_of: None,
        };
        let diff = Diff::new(applied, false).unwrap();
        let text = diff.text(Some(&before), |key| bundle.facts().find(|fact| fact.key() == *key));
        assert_eq!(
            plain(&text),
            "\
~ access level Report/Viewer  operations: -View: allowed +View: denied
~ person ana  name: Ana -> Anna; enabled: true -> false
+ person cy
~ group hr  members: -person:ana +person:bo +{of: person:cy, valid_until: 2030-01-01T00:00:00Z}
- assignment a-1  person:ana has Report/Viewer on Report:r
and 1 more
1 created, 3 changed, 1 removed; revision 8
"
        );
        assert_eq!(
            diff.json()["changes"][4],
            json!({"kind": "assignment", "name": "a-1", "change": "removed"})
        );
    }

    #[test]
    fn the_summary_says_whether_anything_was_done() {
        let summary = |total_changes, replayed, dry_run| {
            let revision = Revision::new(3);
            let changes = Vec::new();
            let applied =
                Applied { revision, changes, total_changes, replayed, on_behalf_of: None };
            Diff { entries: Vec::new(), applied, dry_run }.summary()
        };
        assert_eq!(
            summary(0, false, true),
            "nothing to change: the policy is so already, at revision 3\n"
        );
        assert_eq!(
            summary(1, false, true),
            "dry run: would be 0 created, 0 changed, 0 removed; nothing was changed, revision 3\n"
        );
        assert_eq!(
            summary(1, true, false),
            "this request was applied before, as revision 3; nothing was applied now\n"
        );
    }
}
