//! The default library of Access Levels: names as data in `library/default.yaml`, and the rules by
//! which they expand. It knows resource types and definitions, and nothing of people or places.

use std::collections::{BTreeMap, BTreeSet};

use pdp_engine::facts::Fact;
use pdp_engine::id::{IdError, LevelName, PermissionName, TypeName};
use pdp_engine::level::{AccessLevel, LevelRef};
use pdp_engine::permission::{Pattern, Qualifier};
use pdp_engine::resource::{BuiltInType, ResourceType};

use crate::read::{At, Fields, Sink};
use crate::yaml;

/// What a bundle calls the library by.
pub(crate) const NAME: &str = "default";

const TEXT: &str = include_str!("../library/default.yaml");
const SOURCE: &str = "library/default.yaml";

const ACTOR: &str = "<Actor>";
const RESOURCE_ROLE: &str = "<ResourceRole>";
const RESOURCE_TYPE: &str = "<ResourceType>";

struct Library {
    /// The tokens of the kinds of actors that have one.
    actors: Vec<String>,
    /// Tokens that expand in one definition only, with that definition.
    reserved_actors: BTreeMap<String, String>,
    /// The definitions of every type.
    common: Vec<Template>,
    /// The further definitions of some types, and what they add to the common ones.
    types: BTreeMap<TypeName, Vec<Template>>,
}

/// What the library lists under one name.
struct Template {
    name: LevelName,
    /// Another entry of the same list, all of which this one has too.
    like: Option<LevelName>,
    operations: Vec<String>,
    rights: Vec<String>,
    denied_rights: Vec<String>,
}

/// The library's resource types and definitions, for the library's own types, the built-in types
/// and those that `facts` declare. Definitions among `facts` count where a definition's token
/// stands in the name of an operation.
///
/// # Errors
/// A message if the library's data does not expand into names.
pub(crate) fn expand(facts: &[&Fact]) -> Result<Vec<Fact>, String> {
    let library = load()?;
    let mut declared: BTreeMap<TypeName, BTreeSet<LevelName>> =
        library.types.keys().map(|name| (name.clone(), BTreeSet::new())).collect();
    for built_in in BuiltInType::ALL {
        declared.entry(TypeName::new(built_in.as_str()).map_err(text)?).or_default();
    }
    let mut known: BTreeSet<TypeName> = declared.keys().cloned().collect();
    for fact in facts {
        match fact {
            Fact::ResourceType(declares) => {
                declared.entry(declares.name.clone()).or_default();
                known.insert(declares.name.clone());
            }
            Fact::AccessLevel(level) => {
                let levels = declared.entry(level.name.type_name.clone()).or_default();
                levels.insert(level.name.name.clone());
            }
            _ => {}
        }
    }
    // A type that only a definition names is a dangling reference, and stays one.
    declared.retain(|type_name, _| known.contains(type_name));
    let mut expanded = Vec::new();
    for (type_name, levels) in declared {
        library.expand_type(&type_name, &levels, &mut expanded).map_err(text)?;
    }
    Ok(expanded)
}

fn text(error: IdError) -> String {
    format!("the default library does not expand: {error}")
}

// === impl Library ===

impl Library {
    /// Appends the type's declarations and definitions; `further` are levels declared elsewhere.
    fn expand_type(
        &self,
        type_name: &TypeName,
        further: &BTreeSet<LevelName>,
        out: &mut Vec<Fact>,
    ) -> Result<(), IdError> {
        let own = self.types.get(type_name).map_or(&[][..], Vec::as_slice);
        let mut names: BTreeSet<&LevelName> = further.iter().collect();
        names.extend(self.common.iter().chain(own).map(|template| &template.name));
        let level =
            |name: &LevelName| LevelRef { type_name: type_name.clone(), name: name.clone() };
        let tokens: Vec<String> =
            names.iter().map(|name| level(name).token()).filter(|t| !t.is_empty()).collect();
        let mut declares = ResourceType {
            name: type_name.clone(),
            operations: BTreeSet::new(),
            rights: BTreeSet::new(),
        };
        let mut levels = Vec::new();
        for name in names {
            let parts: Vec<&Template> =
                closure(&self.common, name).into_iter().chain(closure(own, name)).collect();
            if parts.is_empty() {
                continue;
            }
            let mut definition = AccessLevel {
                name: level(name),
                operations: BTreeMap::new(),
                rights: BTreeMap::new(),
            };
            for template in parts {
                for pattern in &template.operations {
                    for operation in self.operations(pattern, name, type_name, &tokens)? {
                        declares.operations.insert(operation.clone());
                        definition.operations.insert(Pattern::Name(operation), Qualifier::Allowed);
                    }
                }
                let allowed = template.rights.iter().map(|right| (right, Qualifier::Allowed));
                let denied = template.denied_rights.iter().map(|right| (right, Qualifier::Denied));
                for (right, qualifier) in allowed.chain(denied) {
                    let pattern = match right.as_str() {
                        "*" => Pattern::All,
                        right => Pattern::Name(PermissionName::new(right)?),
                    };
                    if let Pattern::Name(right) = &pattern {
                        declares.rights.insert(right.clone());
                    }
                    definition.rights.insert(pattern, qualifier);
                }
            }
            levels.push(definition);
        }
        out.push(declares.into());
        out.extend(levels.into_iter().map(Fact::from));
        Ok(())
    }

    /// The operations that one listed name stands for in the definition `level`.
    fn operations(
        &self,
        pattern: &str,
        level: &LevelName,
        type_name: &TypeName,
        tokens: &[String],
    ) -> Result<Vec<PermissionName>, IdError> {
        let pattern = pattern.replace(RESOURCE_TYPE, type_name.as_str());
        let actors: Vec<String> = if pattern.contains(ACTOR) {
            let here = |actor: &&String| {
                self.reserved_actors.get(*actor).is_none_or(|only| only == level.as_str())
            };
            self.actors.iter().filter(here).map(|actor| pattern.replace(ACTOR, actor)).collect()
        } else {
            vec![pattern]
        };
        let mut names = Vec::new();
        for pattern in actors {
            if pattern.contains(RESOURCE_ROLE) {
                for token in tokens {
                    names.push(PermissionName::new(pattern.replace(RESOURCE_ROLE, token))?);
                }
            } else {
                names.push(PermissionName::new(pattern)?);
            }
        }
        Ok(names)
    }
}

/// The entry of this name, and the one that it is like.
fn closure<'t>(templates: &'t [Template], name: &LevelName) -> Vec<&'t Template> {
    let find = |name: &LevelName| templates.iter().find(|template| template.name == *name);
    let Some(template) = find(name) else { return Vec::new() };
    let like = template.like.as_ref().and_then(find);
    std::iter::once(template).chain(like).collect()
}

fn load() -> Result<Library, String> {
    let root = yaml::parse(TEXT).map_err(|error| error.message)?;
    let root = root.ok_or("the default library is empty")?;
    let sink = Sink::new(SOURCE);
    let library = read(&At::top(&sink, &root));
    sink.finish(library).map_err(|error| error.to_string())
}

fn read(at: &At<'_>) -> Option<Library> {
    let fields = at.fields(&["actors", "reserved_actors", "common", "types"])?;
    let mut reserved_actors = BTreeMap::new();
    for (actor, only) in fields.required("reserved_actors")?.entries() {
        reserved_actors.insert(actor.parsed(string)?, only.text()?.to_owned());
    }
    let mut types = BTreeMap::new();
    for (name, list) in fields.required("types")?.entries() {
        types.insert(
            name.parsed(TypeName::new)?,
            list.items().filter_map(|at| template(&at)).collect(),
        );
    }
    Some(Library {
        actors: strings(&fields, "actors"),
        reserved_actors,
        common: fields.list("common", |at| template(&at)),
        types,
    })
}

fn template(at: &At<'_>) -> Option<Template> {
    let fields = at.fields(&["name", "like", "operations", "rights", "denied_rights"])?;
    Some(Template {
        name: fields.required("name")?.parsed(LevelName::new)?,
        like: fields.get("like").and_then(|at| at.parsed(LevelName::new)),
        operations: strings(&fields, "operations"),
        rights: strings(&fields, "rights"),
        denied_rights: strings(&fields, "denied_rights"),
    })
}

fn strings(fields: &Fields<'_>, key: &str) -> Vec<String> {
    fields.list(key, |at| at.text().map(str::to_owned))
}

fn string(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
