//! `gateway explain`: what the mapping of a gateway makes of a request, told by the mapping itself.

use std::path::Path;

use pdp_bundle::gateway::{Asked, Caller, Claim, Gateway, Http, Mapped, Proof, Route, Unmapped};
use pdp_bundle::question::WrittenPermission;
use pdp_client::engine::obligations_to_engine;
use pdp_client::{Code, Decision, Effect, Error, FieldViolation};
use serde_json::{Map, Value, json};

use crate::args::GatewayExplain;
use crate::asked::ToClient;
use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::question::{decision_json, decision_text};
use crate::screen::{BAD, FAINT, GOOD, Screen, paint, table};

/// A request as arguments tell it.
struct Request<'a>(&'a GatewayExplain);

// === impl Request ===

impl Caller for Request<'_> {
    fn http(&self) -> Option<Http<'_>> {
        let GatewayExplain { method, host, path, .. } = self.0;
        Some(Http { method, host: host.as_bytes(), path: path.as_bytes(), pseudo_path: None })
    }

    fn principal(&self) -> &str {
        &self.0.principal
    }

    fn header(&self, name: &str) -> Proof<'_> {
        proof(&self.0.header, name)
    }

    /// As the server looks it up: in the payload, name by name. What stands where another claim's
    /// object would have to is unusable.
    fn claim(&self, claim: &Claim) -> Proof<'_> {
        let Claim { payload, path } = claim;
        let given = self.0.claim.iter().filter(|given| given.payload == **payload);
        let mut found = given
            .filter(|given| given.path.iter().zip(path).all(|(given, wanted)| *given == **wanted));
        match (found.next(), found.next()) {
            (None, _) => Proof::Absent,
            (Some(one), None) if one.path.len() == path.len() => Proof::Text(&one.value),
            (Some(_), _) => Proof::Unusable,
        }
    }

    fn extensions(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.extension.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn proof<'a>(given: &'a [(String, String)], name: &str) -> Proof<'a> {
    let mut values = given.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (None, _) => Proof::Absent,
        (Some(value), None) => Proof::Text(value),
        (Some(_), Some(_)) => Proof::Unusable,
    }
}

/// What is told, in the order of telling: a key, and the value for people and for machines.
struct Told(Vec<(&'static str, String, Value)>);

// === impl Told ===

impl Told {
    fn add(&mut self, key: &'static str, text: impl ToString) {
        let text = text.to_string();
        self.0.push((key, text.clone(), json!(text)));
    }

    fn route(&mut self, file: &Path, route: &Route) {
        let (file, line, path) = (file.display().to_string(), route.place().line, route.path());
        let mut told = Map::new();
        let mut text = String::new();
        if let Some(name) = route.name() {
            told.insert("name".to_owned(), json!(name));
            text = format!("{name}, ");
        }
        told.insert("file".to_owned(), json!(file));
        told.insert("line".to_owned(), json!(line));
        told.insert("path".to_owned(), json!(path));
        self.0.push(("route", format!("{text}{path}, at {file}:{line}"), Value::Object(told)));
    }

    fn asked(&mut self, asked: &Asked<'_>, tenant: &str) {
        let Asked { route: _, tenant: _, subject, source, permission, resource, counterpart } =
            asked;
        if !tenant.is_empty() {
            self.add("tenant", tenant);
        }
        self.add("subject", subject);
        self.add("source", source);
        self.add("permission", WrittenPermission(*permission));
        self.add("resource", resource.as_ref());
        if let Some(counterpart) = counterpart {
            self.add("counterpart", counterpart.as_ref());
        }
    }

    fn text(&self) -> String {
        let rows = self.0.iter().map(|(key, text, _)| vec![(*key).to_owned(), text.clone()]);
        table(&rows.collect::<Vec<_>>(), &[FAINT])
    }

    fn json(&self, outcome: &str, status: Option<u16>) -> Map<String, Value> {
        let mut map = Map::new();
        map.insert("outcome".to_owned(), json!(outcome));
        map.extend(status.map(|status| ("status".to_owned(), json!(status))));
        map.extend(self.0.iter().map(|(key, _, value)| ((*key).to_owned(), value.clone())));
        map
    }
}

/// Maps the request, asks if it asks, and prints what there is.
pub(crate) async fn explain(
    server: &Server,
    given: &GatewayExplain,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let gateway = Gateway::open(&given.config)?;
    let request = Request(given);
    let mut told = Told(Vec::new());
    match gateway.map(&request) {
        Ok(Mapped::Public(route)) => {
            told.route(&given.config, route);
            let verdict = paint(GOOD, "PUBLIC");
            let tail = "passes without a question";
            screen.answer(
                || format!("{verdict}  {tail}\n{}", told.text()),
                || Value::Object(told.json("PUBLIC", Some(200))),
            )?;
            Ok(Exit::Success)
        }
        Ok(Mapped::Asked(asked)) => {
            if let Some(route) = asked.route {
                told.route(&given.config, route);
            }
            // Where nothing names one the server's gateway asks its default, whatever `--tenant` says.
            told.asked(&asked, asked.tenant);
            let server = Server { tenant: asked.tenant.to_owned(), ..server.clone() };
            ask(&server, &asked, &told, given.offline, screen).await
        }
        Err(unmapped) => {
            let (status, code) = (status(&unmapped), unmapped.code());
            told.add("reason", code);
            told.add("message", &unmapped);
            let verdict = paint(BAD, &format!("REFUSED {code}"));
            screen.answer(
                || format!("{verdict}  with status {status}: {unmapped}\n"),
                || Value::Object(told.json("REFUSED", Some(status))),
            )?;
            Ok(Exit::No)
        }
    }
}

async fn ask(
    server: &Server,
    asked: &Asked<'_>,
    told: &Told,
    offline: bool,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let question = &asked.to_question();
    let ToClient::Check(wire) = ToClient::new(question) else {
        return Err(Problem::Message("a gateway never asks about a delegation".to_owned()));
    };
    if offline {
        screen.answer(
            || format!("ASKS  {question}\n{}", told.text()),
            || Value::Object(told.json("ASKED", None)),
        )?;
        return Ok(Exit::Success);
    }
    let decision = match server.connect().await?.check(&wire).await {
        Ok(decision) => decision,
        Err(error) => return malformed(asked, error, told, screen),
    };
    let Decision { effect, .. } = decision;
    let due = decision.obligations.clone().map(obligations_to_engine).transpose()?;
    let status = if effect == Effect::Allow { 200 } else { 403 };
    screen.answer(
        || decision_text(&decision, due.as_ref(), question) + &told.text(),
        || {
            let mut map = told.json("ASKED", Some(status));
            map.insert("decision".to_owned(), decision_json(&decision, due.as_ref()));
            Value::Object(map)
        },
    )?;
    Ok(effect.into())
}

/// A name from the request that can be none is the client's mistake, told with 400; every other error
/// is one.
fn malformed(
    asked: &Asked<'_>,
    error: Error,
    told: &Told,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let of_request =
        |field: &str| asked.is_of_request(field.strip_prefix("question.").unwrap_or(field));
    let violation = match &error {
        Error::Refused(refusal) if refusal.code == Code::InvalidArgument => {
            refusal.fields.iter().find(|it| of_request(&it.field))
        }
        _ => None,
    };
    let Some(FieldViolation { field, description }) = violation else { return Err(error.into()) };
    let verdict = paint(BAD, "REFUSED MALFORMED");
    screen.answer(
        || format!("{verdict}  with status 400: {field}: {description}\n{}", told.text()),
        || {
            let mut map = told.json("REFUSED", Some(400));
            map.insert("reason".to_owned(), json!("MALFORMED"));
            map.insert("message".to_owned(), json!(format!("{field}: {description}")));
            Value::Object(map)
        },
    )?;
    Ok(Exit::No)
}

/// The status that a client is sent; of a mistake in the gateway's configuration, whatever its
/// `status_on_error` says, which is 403 if it says nothing.
const fn status(unmapped: &Unmapped) -> u16 {
    match unmapped {
        Unmapped::Path(_) => 400,
        Unmapped::NoSubject => 401,
        Unmapped::NoRoute | Unmapped::Extension(_) => 403,
    }
}
