//! The policy for Cerbos, and a question for it.
//!
//! Cerbos keeps nothing about who asks and what is asked about: whoever asks sends it along. So each request
//! carries all that the subject counts as, and who has been given the asked permission on the object, denied
//! or by a relation; two derived roles, `granted` and `denied`, look for somebody who is in both. Only what the
//! asked permission needs is sent. Gathering it, which is most of the work of a decision, is done beforehand and
//! not measured.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use pdp_engine::level::Relative;
use pdp_loadtest::questions::Ask;
use prost_types::Value;

use super::wire::{CheckResourcesRequest, Principal, Resource, ResourceEntry, list, text};
use crate::grants::{Grants, Keys};
use crate::world::{World, permission, subject};

/// The kind of every resource: types differ in what is granted, not in the rules.
const KIND: &str = "object";

/// What a question is made from.
pub(super) struct Encoder<'a> {
    pub(super) world: &'a World,
    /// With assignees on the lists.
    pub(super) grants: &'a Grants,
}

/// The policy files, by name.
pub(super) fn policies() -> [(&'static str, String); 2] {
    let mut roles = String::from(
        "apiVersion: api.cerbos.dev/v1\nderivedRoles:\n  name: holders\n  definitions:\n",
    );
    for (role, effect) in [("granted", "allow"), ("denied", "deny")] {
        let mut any =
            format!("            - expr: hasIntersection(R.attr.{effect}, P.attr.counts)\n");
        for kind in Relative::ALL {
            let list = by(kind, effect);
            // Writing to a string does not fail.
            writeln!(
                any,
                "            - expr: has(R.attr.{list}) && {} && hasIntersection(R.attr.{list}, P.attr.counts)",
                holds(kind)
            )
            .ok();
        }
        roles += &format!(
            "    - name: {role}\n      parentRoles: [user]\n      condition:\n        match:\n          \
             any:\n            of:\n{}",
            any.replace("            - expr", "              - expr")
        );
    }
    let resource = format!(
        "apiVersion: api.cerbos.dev/v1\nresourcePolicy:\n  resource: {KIND}\n  version: default\n  \
         importDerivedRoles: [holders]\n  rules:\n    - {{actions: ['*'], effect: EFFECT_DENY, derivedRoles: [denied]}}\n    \
         - {{actions: ['*'], effect: EFFECT_ALLOW, derivedRoles: [granted]}}\n"
    );
    [("holders.yaml", roles), ("object.yaml", resource)]
}

/// What the list of those is called who were given something by a relation.
fn by(kind: Relative, effect: &str) -> String {
    format!("by_{}_{effect}", kind.as_str())
}

/// What a relation is (C3). The attributes are there wherever the list is.
const fn holds(kind: Relative) -> &'static str {
    match kind {
        Relative::Myself => "P.attr.self == R.attr.name",
        Relative::Manager => "P.attr.manager == R.attr.name",
        Relative::DirectReports => "R.attr.manager == P.attr.self",
        Relative::OwnAccounts => "R.attr.owner == P.attr.self",
        Relative::AccountsOfDirectReports => "R.attr.owners_manager == P.attr.self",
        Relative::InMyLocations => "hasIntersection(R.attr.within, P.attr.homes)",
        Relative::MyLocationsAndAbove => "R.attr.name in P.attr.above",
        Relative::MyLocationsAndBelow => "hasIntersection(R.attr.within, P.attr.reached)",
        Relative::InMyOrganization => "hasIntersection(R.attr.within, P.attr.organizations)",
    }
}

type Attributes = BTreeMap<String, Value>;

// === impl Encoder ===

impl Encoder<'_> {
    /// The question with all that it takes to answer it.
    pub(super) fn request(&self, ask: &Ask) -> anyhow::Result<CheckResourcesRequest> {
        let (who, what) = (subject(ask), permission(ask));
        let name = (ask.type_name.clone(), ask.id.clone());
        let object = self.world.objects.get(&name).context("a question is about something")?;
        let keys = self.grants.of_object(self.world, &name, object);
        let of =
            |keys: &BTreeMap<String, BTreeSet<String>>| list(keys.get(&what).into_iter().flatten());
        let mut principal = Attributes::new();
        let mut resource = Attributes::new();
        principal.insert("counts".to_owned(), list(&self.world.counts_as(&who)));
        resource.insert("allow".to_owned(), of(&keys.allow));
        resource.insert("deny".to_owned(), of(&keys.deny));
        if !ask.account {
            for kind in Relative::ALL {
                self.relation(ask, kind, &what, (&mut principal, &mut resource))?;
            }
        }
        let resource = Resource { kind: KIND.to_owned(), id: resource_name(ask), attr: resource };
        let resources = vec![ResourceEntry { actions: vec![what], resource: Some(resource) }];
        let principal = Principal { id: who, roles: vec!["user".to_owned()], attr: principal };
        Ok(CheckResourcesRequest { principal: Some(principal), resources })
    }

    /// Adds what a relation takes, if somebody was given the permission by it and it could hold.
    fn relation(
        &self,
        ask: &Ask,
        kind: Relative,
        permission: &str,
        (principal, resource): (&mut Attributes, &mut Attributes),
    ) -> anyhow::Result<()> {
        let Some(keys) = self.grants.relative.get(&(ask.type_name.clone(), kind)) else {
            return Ok(());
        };
        let person = self.world.people.get(&ask.subject).context("a person asks")?;
        let name = (ask.type_name.clone(), ask.id.clone());
        let object = self.world.objects.get(&name).context("a question is about something")?;
        let manager_of = |id: &String| self.world.people.get(id).and_then(|it| it.manager.as_ref());
        let as_person = |id: &String| text(&format!("Person:{id}"));
        let mut own = |name: &str, value: Value| {
            principal.insert(name.to_owned(), value);
        };
        own("self", as_person(&ask.subject));
        let mut of = |name: &str, value: Option<Value>| match value {
            Some(value) => {
                resource.insert(name.to_owned(), value);
                true
            }
            None => false,
        };
        of("name", Some(text(&resource_name(ask))));
        let within = object.places.iter().flat_map(|place| self.world.places.around(place));
        let within: BTreeSet<String> = within.collect();
        let above = person.above.iter().map(|place| format!("Location:{place}"));
        let could = match kind {
            Relative::Myself => true,
            Relative::Manager => {
                let manager = person.manager.as_ref().map(as_person);
                let has_one = manager.is_some();
                manager.into_iter().for_each(|it| own("manager", it));
                has_one
            }
            Relative::DirectReports => of("manager", manager_of(&ask.id).map(as_person)),
            Relative::OwnAccounts => of("owner", object.owner.as_ref().map(as_person)),
            Relative::AccountsOfDirectReports => {
                let manager = object.owner.as_ref().and_then(manager_of);
                of("owners_manager", manager.map(as_person))
            }
            Relative::InMyLocations => {
                own("homes", list(&person.homes));
                of("within", Some(list(&within)))
            }
            Relative::MyLocationsAndAbove => {
                own("above", list(&above.collect::<Vec<_>>()));
                true
            }
            Relative::MyLocationsAndBelow => {
                own("reached", list(&person.reached));
                of("within", Some(list(&within)))
            }
            Relative::InMyOrganization => {
                own("organizations", list(&person.organizations));
                of("within", Some(list(&within)))
            }
        };
        let Keys { allow, deny } = keys;
        for (effect, of) in [("allow", allow), ("deny", deny)] {
            if let Some(keys) = of.get(permission).filter(|_| could) {
                resource.insert(by(kind, effect), list(keys));
            }
        }
        Ok(())
    }
}

fn resource_name(ask: &Ask) -> String {
    format!("{}:{}", ask.type_name, ask.id)
}
