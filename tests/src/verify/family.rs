//! Explanations of delegations, vault actions and sessions.

use pdp_engine::actor::ActorRef;
use pdp_engine::delegate::{
    AskedOf, DelegationExplanation, DelegationQuestion, DelegationSide, MAX_OBJECTS, ObjectSide,
    Status,
};
use pdp_engine::explain::{Coverage, HopKind, Thing};
use pdp_engine::id::{LocationId, PermissionLevelId, PermissionName};
use pdp_engine::level::Scope;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::{Reason, SubjectRef};
use pdp_engine::session::{SessionExplanation, SessionQuestion};
use pdp_engine::share::{Entity, ShareLevel};
use pdp_engine::vault::{Ruling, VaultExplanation, VaultQuestion};

use super::chain::follow;
use super::{Verdict, Verifier, hold, same};
use crate::oracle::{Delegation, Demand, Of, Standing, object, strongest, subject};

// === impl Verifier ===

impl Verifier<'_> {
    /// The whole explanation of a delegation: both sides, what was asked of each, every operation
    /// of which one suffices, and every entry about it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn delegation(
        &self,
        question: &DelegationQuestion<'_>,
        explanation: &DelegationExplanation,
    ) -> Verdict {
        same("evaluated_at", &explanation.evaluated_at, &self.now)?;
        let early = matches!(
            explanation.decision.reason,
            Reason::UnknownSubject
                | Reason::SubjectDisabled
                | Reason::UnknownLevel
                | Reason::UnknownResource
                | Reason::UnknownLocation
                | Reason::UnknownRecipient
        );
        let sides = [&explanation.resource, &explanation.recipient];
        if early {
            return hold(sides.iter().all(|it| it.is_none()), "sides where nothing was looked at");
        }
        let delegation = Delegation::new(question).map_err(|_| "the oracle refuses it")?;
        let self_made = explanation.decision.reason == Reason::SelfDelegation;
        for (side, demand) in sides.into_iter().zip(self.oracle.demands(&delegation)) {
            match side {
                Some(side) => self.delegation_side(&delegation.delegator, side, &demand)?,
                None => hold(self_made, "a side is missing")?,
            }
        }
        Ok(())
    }

    fn delegation_side(
        &self,
        delegator: &ActorRef,
        side: &DelegationSide,
        demand: &Demand,
    ) -> Verdict {
        let stands = self.oracle.stands(delegator, demand);
        same("status of the side", &side.status, &status(stands))?;
        let told = side.objects.len() + side.omitted_objects;
        same("number of objects", &told, &demand.of.len())?;
        same("left out", &side.omitted_objects, &told.saturating_sub(MAX_OBJECTS))?;
        // Only where some are left out do they come in another order.
        if side.omitted_objects == 0 {
            for (asked, of) in side.objects.iter().zip(&demand.of) {
                self.object_side(delegator, asked, of, &demand.operations)?;
            }
        }
        Ok(())
    }

    fn object_side(
        &self,
        delegator: &ActorRef,
        side: &ObjectSide,
        of: &Of,
        operations: &[String],
    ) -> Verdict {
        let (expected, type_name) = match of {
            Of::Resource(name) => (AskedOf::Resource(name.clone()), &name.type_name),
            Of::TypeAt(type_name, location) => {
                (AskedOf::TypeAt(type_name.clone(), location.clone()), type_name)
            }
        };
        same("what is asked", &side.of, &expected)?;
        let stands = self.oracle.stands_on(delegator, of, operations);
        same("status", &side.status, &status(stands))?;
        let names: Vec<String> = side.alternatives.iter().map(|it| it.operation.clone()).collect();
        same("alternatives", &names, &operations.to_vec())?;
        for alternative in &side.alternatives {
            let operation = &alternative.operation;
            let name = PermissionName::new(operation).map_err(|why| why.to_string())?;
            let declares = self
                .facts
                .resource_type(type_name)
                .is_some_and(|declared| declared.operations.contains(&name));
            same(operation, &alternative.declared, &declares)?;
            let heard = self.oracle.heard(delegator, of, operation);
            let outcome = strongest(heard.iter().map(|(_, qualifier)| *qualifier));
            same(operation, &alternative.outcome, &outcome)?;
            let entries: Vec<_> = alternative
                .entries
                .iter()
                .map(|entry| (entry.assignment.to_string(), entry.qualifier))
                .collect();
            same(operation, &entries, &heard)?;
            for entry in &alternative.entries {
                let fact = self.facts.assignment(&entry.assignment).ok_or("no such assignment")?;
                same("to", &entry.to, &fact.to)?;
                same("level", &entry.level, &fact.level)?;
                same("scope", &entry.scope, &fact.scope)?;
                same("standing", &entry.standing, &super::standing(outcome, entry.qualifier))?;
                self.subject_path(delegator, &entry.subject_path, &fact.to, true)?;
                if let Of::Resource(name) = of {
                    let asked = crate::oracle::Asked {
                        subject: delegator.clone(),
                        kind: PermissionKind::Operation,
                        permission: operation.clone(),
                        object: name.clone(),
                    };
                    self.coverage(&asked, &fact.scope, &entry.coverage)?;
                } else if let Of::TypeAt(_, asked) = of {
                    self.reach(asked, &fact.scope, &entry.coverage)?;
                }
            }
        }
        Ok(())
    }

    /// A way up the locations between the one asked of and the one of the scope, either way round.
    fn reach(&self, asked: &LocationId, scope: &Scope, coverage: &Coverage) -> Verdict {
        let Scope::In(given) = scope else { return Err(format!("{scope} is no place")) };
        same("relation", &coverage.relation, &Vec::new())?;
        let way = &coverage.placement;
        for hop in way {
            let (Thing::Location(from), Thing::Location(to)) = (&hop.from, &hop.to) else {
                return Err("does not lead from place to place".to_owned());
            };
            let lies_in = self.facts.location(from).and_then(|it| it.parent.as_ref()) == Some(to);
            let plain = hop.kind == HopKind::LocationParent && hop.window.is_always();
            hold(lies_in && plain, format!("{from} does not lie in {to}"))?;
        }
        let (asked, given) = (Thing::Location(asked.clone()), Thing::Location(given.clone()));
        let starts_at_asked = way.first().is_none_or(|hop| hop.from == asked);
        let (start, end) = if starts_at_asked { (asked, given) } else { (given, asked) };
        same("end of the way", &follow(&start, way)?, &end)
    }

    /// The layers in their order, every applying share on each, and what decided.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn vault(&self, question: &VaultQuestion<'_>, explanation: &VaultExplanation) -> Verdict {
        same("evaluated_at", &explanation.evaluated_at, &self.now)?;
        let early = matches!(
            explanation.decision.reason,
            Reason::UnknownSubject | Reason::SubjectDisabled | Reason::UnknownResource
        );
        if early {
            hold(explanation.ruling.is_none(), "a ruling where nothing was looked at")?;
            return hold(explanation.layers.is_empty(), "layers where nothing was looked at");
        }
        let asker = subject(question.subject).map_err(|_| "no subject")?;
        let entity = Entity::parse(&question.entity.to_string()).map_err(|why| why.to_string())?;
        let layers = self.oracle.layers(&entity);
        same("number of layers", &explanation.layers.len(), &layers.len())?;
        let found = self.oracle.found(&asker, &entity);
        let ruling = found.as_ref().map(|found| match (&found.owner, found.layer) {
            (Some(owner), _) => Ruling::Owner(owner.clone()),
            (None, None) => Ruling::FullAnywhere,
            (None, Some(layer)) => {
                Ruling::NearestLayer { layer, personal: found.personal, level: found.level }
            }
        });
        same("ruling", &explanation.ruling, &ruling)?;
        // Where the owner rules, shares may only be called deciding if they are full.
        let owns = matches!(ruling, Some(Ruling::Owner(_)));
        let deciding = found.map(|found| found.deciding).unwrap_or_default();
        for (layer, entities) in explanation.layers.iter().zip(layers) {
            let (mut listed, mut expected) = (layer.entities.clone(), entities.clone());
            listed.sort();
            expected.sort();
            same("entities of a layer", &listed, &expected)?;
            let mut expected: Vec<_> =
                entities.iter().flat_map(|it| self.oracle.applying(&asker, it)).collect();
            let mut listed: Vec<_> = layer.shares.iter().collect();
            expected.sort_by(|a, b| a.key.cmp(&b.key));
            listed.sort_by(|a, b| a.share.cmp(&b.share));
            same("number of shares", &listed.len(), &expected.len())?;
            for (applied, share) in listed.into_iter().zip(expected) {
                same("share", &applied.share, &share.key)?;
                same("level", &applied.level, &share.level)?;
                self.subject_path(&asker, &applied.subject_path, &share.key.to.actor(), true)?;
                if owns {
                    let full = share.level == ShareLevel::Full;
                    hold(full || !applied.deciding, format!("{} decides", share.key))?;
                } else {
                    same("deciding", &applied.deciding, &deciding.contains(&share))?;
                }
            }
        }
        Ok(())
    }

    /// Every applicable eligibility with its path, and the visible levels (P9).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn session(
        &self,
        question: &SessionQuestion<'_>,
        explanation: &SessionExplanation,
    ) -> Verdict {
        same("evaluated_at", &explanation.evaluated_at, &self.now)?;
        let person = subject(question.subject).map_err(|_| "no subject")?;
        let computer = object(question.computer).map_err(|_| "no computer")?;
        let visible = self.oracle.visible_levels(&person, &computer);
        same("visible levels", &explanation.visible_levels, &visible)?;
        let early = matches!(
            explanation.decided.decision.reason,
            Reason::UnknownSubject
                | Reason::SubjectDisabled
                | Reason::UnknownResource
                | Reason::PsmDisabled
                | Reason::LevelNotOffered
                | Reason::LevelNotMapped
        );
        let Some(level) = question.level.filter(|_| !early) else {
            // Before P3 nobody has to look; what is listed must still be true, so nothing is.
            return Ok(());
        };
        let level = PermissionLevelId::new(level).map_err(|why| why.to_string())?;
        let mut expected: Vec<(ActorRef, _)> = self
            .oracle
            .eligibilities(&person, &level, &computer)
            .into_iter()
            .map(|it| (it.key.to.clone(), it.key.kind))
            .collect();
        let mut listed: Vec<(ActorRef, _)> =
            explanation.eligibilities.iter().map(|it| (it.to.clone(), it.kind)).collect();
        expected.sort();
        listed.sort();
        same("eligibilities", &listed, &expected)?;
        hold(matches!(question.subject, SubjectRef::Person(_)), "an account got past P2")?;
        for applied in &explanation.eligibilities {
            self.subject_path(&person, &applied.subject_path, &applied.to, true)?;
        }
        Ok(())
    }
}

const fn status(standing: Standing) -> Status {
    match standing {
        Standing::Denied => Status::Denied,
        Standing::Held => Status::Held,
        Standing::Missing => Status::Missing,
    }
}
