//! Who is asked again: a server, or a bundle that is decided here.

use std::collections::HashMap;
use std::path::Path;

use pdp_bundle::case::read_file;
use pdp_bundle::parse;
use pdp_bundle::question::AnyQuestion;
use pdp_client::{Client, Code, Refusal};
use pdp_engine::check::check;
use pdp_engine::compile::compile;
use pdp_engine::delegate::check_delegation;
use pdp_engine::facts::Facts;
use pdp_engine::query::{Decision, Malformed, Revision};
use pdp_engine::session::check_session;
use pdp_engine::snapshot::Snapshot;
use pdp_engine::time::Timestamp;
use pdp_engine::vault::check_vault;

use crate::asked::ToClient;
use crate::options::Server;
use crate::problem::Problem;

/// What is asked.
pub(super) enum Policy {
    Server(Client),
    Bundle(Box<Snapshot>),
}

/// What comes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Now {
    Decided { effect: String, reason: String, revision: Option<u64> },
    Refused(String),
}

// === impl Policy ===

impl Policy {
    pub(super) async fn open(server: &Server, bundle: Option<&Path>) -> Result<Self, Problem> {
        let Some(path) = bundle else {
            return Ok(Self::Server(server.connect_for_policy().await?));
        };
        let bundle = parse(&path.display().to_string(), &read_file(path)?)?;
        let mut facts = Facts::default();
        facts.apply(&bundle.changes()).map_err(|rejected| bundle.explain_rejection(&rejected))?;
        Ok(Self::Bundle(Box::new(compile(&facts, Revision::new(1)))))
    }

    /// Asks questions of one tenant. The answers are in the order of the questions.
    pub(super) async fn ask(
        &self,
        tenant: &str,
        questions: &[(&AnyQuestion, Timestamp)],
    ) -> Result<Vec<Now>, Problem> {
        match self {
            Self::Server(client) => ask_server(&client.for_tenant(tenant), questions).await,
            Self::Bundle(snapshot) => {
                let decided = |(question, at): &(&AnyQuestion, Timestamp)| {
                    decide(snapshot, question, *at).map_or_else(Now::malformed, Now::here)
                };
                Ok(questions.iter().map(decided).collect())
            }
        }
    }
}

/// Checks go in one batch; delegations have none.
async fn ask_server(
    client: &Client,
    questions: &[(&AnyQuestion, Timestamp)],
) -> Result<Vec<Now>, Problem> {
    let mut checks = Vec::new();
    let mut answers: HashMap<usize, Now> = HashMap::new();
    for (index, (question, _)) in questions.iter().enumerate() {
        match ToClient::new(question) {
            ToClient::Check(check) => checks.push((index, check)),
            ToClient::Delegation(asked) => {
                let now = match client.check_delegation(&asked).await {
                    Ok(decision) => Now::there(&decision),
                    Err(error) => match error.refusal() {
                        Some(refusal) if refusal.code == Code::InvalidArgument => {
                            Now::refused(refusal)
                        }
                        Some(_) | None => return Err(error.into()),
                    },
                };
                answers.insert(index, now);
            }
        }
    }
    if !checks.is_empty() {
        let (places, checks): (Vec<usize>, Vec<_>) = checks.into_iter().unzip();
        let results = client.batch_check(&checks).await?.results;
        let results = results.iter().map(|result| match result {
            Ok(decision) => Now::there(decision),
            Err(refusal) => Now::refused(refusal),
        });
        answers.extend(places.into_iter().zip(results));
    }
    let missing = || Problem::Message("the server answered less than it was asked".to_owned());
    (0..questions.len()).map(|index| answers.remove(&index).ok_or_else(missing)).collect()
}

fn decide(
    snapshot: &Snapshot,
    question: &AnyQuestion,
    at: Timestamp,
) -> Result<Decision, Malformed> {
    match question {
        AnyQuestion::Access(question) => check(snapshot, &question.as_question(), at),
        AnyQuestion::Delegation(question) => {
            check_delegation(snapshot, &question.as_question(), at)
        }
        AnyQuestion::Vault(question) => check_vault(snapshot, &question.as_question(), at),
        AnyQuestion::Session(question) => {
            check_session(snapshot, &question.as_question(), at).map(|decided| decided.decision)
        }
    }
}

// === impl Now ===

impl Now {
    fn there(decision: &pdp_client::Decision) -> Self {
        Self::Decided {
            effect: decision.effect.as_str().to_owned(),
            reason: decision.reason.to_string(),
            revision: Some(decision.revision.get()),
        }
    }

    fn here(decision: Decision) -> Self {
        Self::Decided {
            effect: decision.effect.as_str().to_owned(),
            reason: decision.reason.as_str().to_owned(),
            revision: None,
        }
    }

    fn refused(refusal: &Refusal) -> Self {
        Self::Refused(refusal.to_string())
    }

    fn malformed(malformed: Malformed) -> Self {
        Self::Refused(malformed.to_string())
    }
}
