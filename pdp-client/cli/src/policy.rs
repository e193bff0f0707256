//! Reading a policy: `export`, `get` and `list`.

use pdp_bundle::export::chunks;
use pdp_client::engine::{fact_from_wire, key_to_wire, kind_to_wire};
use pdp_client::{Client, Exported, Found, Listed, Position, Revision, v1};
use pdp_engine::facts::{Fact, FactKey, FactKind, Facts};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{FAINT, STRONG, Screen, paint, table};
use crate::{diff, fact};

/// Prints the whole policy as a bundle.
pub(crate) async fn export(server: &Server, screen: &mut Screen) -> Result<Exit, Problem> {
    let client = server.connect_for_policy().await?;
    let (facts, position) = read_at(&client).await?;
    screen.answer(
        || chunks(&facts).collect(),
        || {
            let (revision, position) = (position.revision.get(), position.to_string());
            json!({"revision": revision, "position": position, "bundle": fact::bundle(&facts)})
        },
    )?;
    Ok(Exit::Success)
}

/// Prints one fact.
pub(crate) async fn get(
    server: &Server,
    key: &FactKey,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?;
    let Found { fact, revision } = client.get(key_to_wire(key)).await?;
    let fact = fact_from_wire(fact)?;
    screen.answer(
        || fact_in_lines(&fact, revision),
        || {
            let (kind, name) = (fact::word(key.kind()), key.name());
            let fact = fact::json(&fact);
            json!({"revision": revision.get(), "kind": kind, "name": name, "fact": fact})
        },
    )?;
    Ok(Exit::Success)
}

/// Prints the names of the facts of one kind.
pub(crate) async fn list(
    server: &Server,
    kind: FactKind,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect_for_policy().await?;
    let Listed { revision, facts } = client.list(kind_to_wire(kind)).collect().await?;
    let facts = convert(facts)?;
    let names = || {
        let line = |fact: &Fact| vec![fact.key().name(), diff::in_words(fact)];
        table(&facts.iter().map(line).collect::<Vec<_>>(), &[STRONG, FAINT])
    };
    screen.answer(names, || {
        let named = |fact: &Fact| json!({"name": fact.key().name(), "fact": fact::json(fact)});
        let facts: Vec<Value> = facts.iter().map(named).collect();
        json!({"revision": revision.get(), "kind": fact::word(kind), "facts": facts})
    })?;
    Ok(Exit::Success)
}

/// The whole policy, and the revision it is of.
pub(crate) async fn read(client: &Client) -> Result<(Facts, Revision), Problem> {
    let (facts, position) = read_at(client).await?;
    Ok((facts, position.revision))
}

async fn read_at(client: &Client) -> Result<(Facts, Position), Problem> {
    let Exported { revision: _, position, facts } = client.export().await?.collect().await?;
    let facts = Facts::load(convert(facts)?).map_err(|rejected| {
        Problem::Message(format!("the exported policy cannot be used: {rejected}"))
    })?;
    Ok((facts, position))
}

fn convert(facts: Vec<v1::Fact>) -> Result<Vec<Fact>, Problem> {
    Ok(facts.into_iter().map(fact_from_wire).collect::<Result<_, _>>()?)
}

fn fact_in_lines(fact: &Fact, revision: Revision) -> String {
    let key = fact.key();
    let title = paint(STRONG, &format!("{} {}", key.kind().as_str(), key.name()));
    let mut text = format!("{title}  {}\n", paint(FAINT, &format!("revision {revision}")));
    let json = fact::json(fact);
    let fields = json.as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = fields
        .map(|(key, value)| vec![format!("  {key}"), diff::items(value).join(", ")])
        .collect();
    text.push_str(&table(&rows, &[FAINT]));
    text
}
