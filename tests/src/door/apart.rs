//! What is asked of who keeps a copy of the policy, in process or as a sidecar, and which of it a copy may not
//! be enough for.

use pdp_client::{Decision, Permission, Question, Reason, Resource, Subject};
use pdp_engine::facts::Facts;
use pdp_engine::resource::BuiltInType;

use super::wire;
use crate::world::Genome;

/// Every question of a world.
#[must_use]
pub fn questions(genome: &Genome, facts: &Facts) -> Vec<Question> {
    let access = genome.questions(facts).into_iter().map(|(it, _)| wire::access(&it.ask()));
    let vault = genome.vault(facts).into_iter().map(|(it, _)| wire::vault(&it.ask()));
    let sessions = genome.sessions(facts).into_iter().map(|(it, ..)| wire::session(&it.ask()));
    access.chain(vault).chain(sessions).collect()
}

/// Whether the policy alone may not be enough to answer (P10), or the question is none.
#[must_use]
pub fn is_for_the_server(question: &Question, said: Option<&Decision>) -> bool {
    let Some(said) = said else { return true };
    let account = |resource: &Resource| resource.type_name == BuiltInType::UserAccount.as_str();
    let made = account(&question.resource) || question.counterpart.as_ref().is_some_and(account);
    matches!(question.subject, Subject::Account(_))
        || matches!(question.permission, Permission::Session(_))
        || (said.reason == Reason::UnknownResource && made)
}
