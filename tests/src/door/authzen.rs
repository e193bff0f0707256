//! The AuthZEN door as callers use it: questions as JSON over HTTP, and what comes back as answers.
//!
//! It can ask everything but delegations, questions that want no routing where there would be some,
//! and sessions with a permission level `none`, which none can have: AuthZEN has no words for them.

use pdp_bundle::case::Answer;
use pdp_bundle::question::{AnyQuestion, WrittenPermission};
use pdp_bundle::time::parse_time;
use pdp_engine::id::{AccountId, GroupId};
use pdp_engine::list::AnyPermission;
use pdp_engine::query::{Effect, ObjectRef, Reason, SubjectRef};
use pdp_engine::session::{AccountMode, Obligations, Privileged};
use serde_json::{Value, json};

use super::Server;
use crate::http::{Http, Protocol, Reply};

/// The AuthZEN door of one tenant.
pub struct AuthZen {
    http: Http,
    base: String,
}

/// What a decision says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its effect.
    pub effect: Effect,
    /// Its reason.
    pub reason: Reason,
    /// The revision that it was made on.
    pub revision: u64,
    /// What goes with it.
    pub obligations: Option<Obligations>,
}

// === impl AuthZen ===

impl AuthZen {
    /// The door of a tenant.
    #[must_use]
    pub fn new(server: &Server, tenant: &str, protocol: Protocol) -> Self {
        let base = if tenant == "default" { String::new() } else { format!("/t/{tenant}") };
        Self { http: server.http(protocol), base }
    }

    /// Posts to a path of the API, such as `evaluation`.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.http.post(&format!("{}/access/v1/{path}", self.base), body)
    }

    /// Asks one question; `None` if AuthZEN cannot ask it.
    ///
    /// # Panics
    /// If the answer is none.
    #[must_use]
    pub fn ask(&self, question: &AnyQuestion) -> Option<Answer> {
        let reply = self.post("evaluation", &written(question)?);
        Some(match reply.status {
            200 => {
                let Told { effect, reason, obligations, .. } = told(&reply.json());
                Answer::decided(effect, reason).with_obligations(obligations)
            }
            400 => {
                let code = "INVALID_ARGUMENT".to_owned();
                Answer::Error { code, message: reply.text() }
            }
            other => panic!("{other} {}", reply.text()),
        })
    }

    /// The decision of one evaluation; `None` if it is an error.
    ///
    /// # Panics
    /// If the answer is none.
    #[must_use]
    pub fn ask_one(&self, evaluation: &Value) -> Option<Told> {
        let reply = self.post("evaluation", evaluation);
        match reply.status {
            200 => Some(told(&reply.json())),
            400 => None,
            other => panic!("{other} {}", reply.text()),
        }
    }

    /// The decisions of several evaluations; `None` for one that is an error.
    ///
    /// # Panics
    /// If the answer is none.
    #[must_use]
    pub fn ask_all(&self, evaluations: &[Value]) -> Vec<Option<Told>> {
        if evaluations.is_empty() {
            // That would be one evaluation.
            return Vec::new();
        }
        let body = json!({"context": {"explain": true}, "evaluations": evaluations});
        let reply = self.post("evaluations", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answers = reply.json();
        let answers = answers["evaluations"].as_array().unwrap();
        assert_eq!(answers.len(), evaluations.len());
        let one = |answer: &Value| answer["context"]["error"].is_null().then(|| told(answer));
        answers.iter().map(one).collect()
    }
}

/// A question as an evaluation; `None` if AuthZEN cannot ask it.
#[must_use]
pub fn written(question: &AnyQuestion) -> Option<Value> {
    match question {
        AnyQuestion::Delegation(_) => None,
        AnyQuestion::Access(it) => {
            let asked = it.as_question();
            let permission = AnyPermission::Access(asked.permission);
            let routed = asked.routing || asked.counterpart.is_none();
            let evaluation =
                evaluation(asked.subject, permission, asked.resource, asked.counterpart);
            routed.then_some(evaluation)
        }
        AnyQuestion::Vault(it) => {
            let asked = it.as_question();
            Some(evaluation(asked.subject, AnyPermission::Vault(asked.action), asked.entity, None))
        }
        AnyQuestion::Session(it) => {
            let asked = it.as_question();
            let permission = AnyPermission::Session(asked.level);
            let evaluation = evaluation(asked.subject, permission, asked.computer, None);
            let sayable = asked.routing && is_sayable(asked.level);
            sayable.then_some(evaluation)
        }
    }
}

/// Whether a permission level can be said: `session:none` is a session without one.
#[must_use]
pub fn is_sayable(level: Option<&str>) -> bool {
    level != Some("none")
}

/// One evaluation.
#[must_use]
pub fn evaluation(
    who: SubjectRef<'_>,
    permission: AnyPermission<'_>,
    resource: ObjectRef<'_>,
    counterpart: Option<ObjectRef<'_>>,
) -> Value {
    let mut evaluation = json!({
        "subject": subject(who),
        "action": {"name": WrittenPermission(permission).to_string()},
        "resource": object(resource),
    });
    if let Some(counterpart) = counterpart {
        evaluation["context"] = json!({"counterpart": object(counterpart), "explain": true});
    }
    evaluation
}

/// A subject.
#[must_use]
pub fn subject(subject: SubjectRef<'_>) -> Value {
    match subject {
        SubjectRef::Person(id) => json!({"type": "person", "id": id}),
        SubjectRef::Account(id) => json!({"type": "account", "id": id}),
    }
}

/// A resource.
#[must_use]
pub fn object(object: ObjectRef<'_>) -> Value {
    json!({"type": object.type_name, "id": object.id})
}

/// What a decision with its context says. The boolean must be what the effect says.
///
/// # Panics
/// If anything is missing or not a word of ours.
#[must_use]
pub fn told(answer: &Value) -> Told {
    let context = &answer["context"];
    let word = |name: &str| context[name].as_str().unwrap_or_else(|| panic!("{answer}"));
    let effect = Effect::ALL.into_iter().find(|it| it.as_str() == word("effect")).unwrap();
    let reason = Reason::ALL.into_iter().find(|it| it.as_str() == word("reason")).unwrap();
    assert_eq!(answer["decision"].as_bool(), Some(effect == Effect::Allow), "{answer}");
    assert_eq!(word("decision_id").len(), 32, "{answer}");
    let revision = context["revision"].as_u64().unwrap();
    Told { effect, reason, revision, obligations: obligations(&context["obligations"]) }
}

/// Obligations in the shape of the profile.
fn obligations(list: &Value) -> Option<Obligations> {
    let list = list.as_array()?;
    let of = |action: &str| {
        list.iter().map(|it| &it["properties"]).find(|properties| properties["action"] == action)
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for obligation in list {
        let vendor = &obligation["properties"]["vendor"];
        assert_eq!((&obligation["type"], vendor), (&json!("custom"), &json!("pdp")));
        let same = list.iter().filter(|other| other["id"] == obligation["id"]);
        assert_eq!(same.count(), 1, "{list:?}");
    }
    let not_after = parse_time(&text(&of("end_session").unwrap()["not_after"])).unwrap();
    let privileged = of("add_to_group").map(|add| {
        let account = || AccountId::new(text(&add["account"])).unwrap();
        let account = match add["account_mode"].as_str().unwrap() {
            "EXISTING" => AccountMode::Existing(account()),
            "JIT_NEW" => AccountMode::JitNew,
            "JIT_REUSE" => AccountMode::JitReuse(account()),
            other => panic!("{other}"),
        };
        let steps = &of("on_end").unwrap()["steps"];
        assert_eq!(steps[0], "REMOVE_FROM_GROUP");
        let delete_account = steps.as_array().unwrap().len() == 2;
        assert!(!delete_account || steps[1] == "DELETE_ACCOUNT");
        Privileged { group: GroupId::new(text(&add["group"])).unwrap(), account, delete_account }
    });
    assert_eq!(list.len(), if privileged.is_some() { 3 } else { 1 });
    Some(Obligations { privileged, not_after })
}
