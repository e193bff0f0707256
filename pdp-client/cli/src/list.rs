//! `list permissions`, `list resources`, `list subjects` and `list approvers`.

use pdp_bundle::question::{
    AnyQuestion, OwnedDelegation, OwnedObject, OwnedQuestion, OwnedSession, OwnedSubject,
};
use pdp_client::{
    ApprovalQuestion, Because, Client, Item, Items, Listing, Permission, Resource, Revision,
    Subject, SubjectKinds,
};
use pdp_engine::list::APPROVE_USE;
use pdp_engine::permission::PermissionKind;
use serde_json::{Map, Value, json};

use crate::asked::{ToClient, What, object_to_client, subject_to_client};
use crate::exit::Exit;
use crate::explained::Explained;
use crate::options::{List, Listed, Server};
use crate::problem::Problem;
use crate::question::painted;
use crate::screen::{FAINT, STRONG, Screen, paint};

/// What is printed of a list.
struct Printed {
    /// What the items are, one and many.
    words: [&'static str; 2],
    /// The key of the items.
    key: &'static str,
    revision: Revision,
    rows: Vec<Row>,
}

/// One item.
struct Row {
    text: String,
    json: Vec<(&'static str, String)>,
    because: Option<(AnyQuestion, Explained)>,
}

/// Asks, and prints the list.
pub(crate) async fn list(
    server: &Server,
    options: List,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let List { of, explain, at_least } = options;
    let client = server.connect_for_policy().await?.at_least(at_least);
    let printed = match of {
        Listed::Permissions { subject, resource } => {
            permissions(&client, subject, resource, explain).await?
        }
        Listed::Resources { subject, what, type_name } => {
            resources(&client, subject, what, type_name, explain).await?
        }
        Listed::Subjects { what, resource, accounts } => {
            subjects(&client, what, resource, accounts, explain).await?
        }
        Listed::Approvers(question) => approvers(&client, &question, explain).await?,
    };
    screen.answer(|| printed.text(), || printed.json())?;
    Ok(Exit::Success)
}

async fn permissions(
    client: &Client,
    subject: OwnedSubject,
    resource: OwnedObject,
    explain: bool,
) -> Result<Printed, Problem> {
    let asked = (subject_to_client(&subject), object_to_client(&resource));
    let listing = client.list_permissions(asked.0, asked.1);
    let row = |value: Permission| {
        let (kind, what) = match value.clone() {
            Permission::Operation(name) => {
                ("operation", What::Access(PermissionKind::Operation, name))
            }
            Permission::Right(name) => ("right", What::Access(PermissionKind::Right, name)),
            Permission::VaultAction(action) => ("vault", What::Vault(action)),
            Permission::Session(level) => ("session", What::Session(level)),
        };
        // An operation whose name looks like another kind's is written in full, as it is asked.
        let mut text = value.to_string();
        if What::parse(&text) != what {
            text = format!("{kind}:{text}");
        }
        let json = vec![("kind", kind.to_owned()), ("name", value.name().to_owned())];
        (text, json, what.of(subject.clone(), resource.clone()))
    };
    collect(listing, explain, ["permission", "permissions"], "permissions", row).await
}

async fn resources(
    client: &Client,
    subject: OwnedSubject,
    what: What,
    type_name: String,
    explain: bool,
) -> Result<Printed, Problem> {
    let listing = client.list_resources(subject_to_client(&subject), what.to_client(), type_name);
    let row = |value: Resource| {
        let text = value.to_string();
        let Resource { type_name, id } = value;
        let question = what.clone().of(subject.clone(), OwnedObject { type_name, id });
        (text.clone(), vec![("resource", text)], question)
    };
    collect(listing, explain, ["resource", "resources"], "resources", row).await
}

async fn subjects(
    client: &Client,
    what: What,
    resource: OwnedObject,
    accounts: bool,
    explain: bool,
) -> Result<Printed, Problem> {
    let (kinds, words) = if accounts {
        (SubjectKinds::PeopleAndAccounts, ["person or account", "people and accounts"])
    } else {
        (SubjectKinds::People, ["person", "people"])
    };
    let listing = client.list_subjects(what.to_client(), object_to_client(&resource), kinds);
    let row = |value: Subject| {
        let text = value.to_string();
        let subject = match value {
            Subject::Person(id) => OwnedSubject::Person(id),
            Subject::Account(id) => OwnedSubject::Account(id),
        };
        (text.clone(), vec![("subject", text)], what.clone().of(subject, resource.clone()))
    };
    collect(listing, explain, words, "subjects", row).await
}

async fn approvers(
    client: &Client,
    question: &AnyQuestion,
    explain: bool,
) -> Result<Printed, Problem> {
    let asked: ApprovalQuestion = match ToClient::new(question) {
        ToClient::Check(question) => question.into(),
        ToClient::Delegation(question) => question.into(),
    };
    let row = |person: String| {
        let text = format!("person:{person}");
        let question = approving(question, OwnedSubject::Person(person));
        (text.clone(), vec![("approver", text)], question)
    };
    let listing = client.list_approvers(asked);
    collect(listing, explain, ["approver", "approvers"], "approvers", row).await
}

/// What a person has to be allowed to approve this: the same delegation or dual check, or the
/// operation that approves sessions.
fn approving(question: &AnyQuestion, approver: OwnedSubject) -> AnyQuestion {
    match question.clone() {
        AnyQuestion::Access(question) => OwnedQuestion { subject: approver, ..question }.into(),
        AnyQuestion::Delegation(question) => {
            OwnedDelegation { delegator: approver, ..question }.into()
        }
        AnyQuestion::Session(OwnedSession { computer, .. }) => {
            OwnedQuestion::new(approver, PermissionKind::Operation, APPROVE_USE, computer).into()
        }
        // Nobody approves a vault action: the server refuses the question.
        AnyQuestion::Vault(question) => question.into(),
    }
}

/// Reads a list to its end; `row` makes of an item its text, its JSON and the question that the
/// explanation answers.
async fn collect<T>(
    listing: Listing<T>,
    explain: bool,
    words: [&'static str; 2],
    key: &'static str,
    row: impl Fn(T) -> (String, Vec<(&'static str, String)>, AnyQuestion),
) -> Result<Printed, Problem> {
    let listing = if explain { listing.explained() } else { listing };
    let Items { revision, items } = listing.collect().await?;
    let rows = items.into_iter().map(|Item { value, because }| {
        let (text, json, question) = row(value);
        let explained = match because {
            Some(Because::Check(told)) => Some(Explained::check(told.message, &question)?),
            Some(Because::Delegation(told)) => Some(Explained::delegation(told.message)?),
            None => None,
        };
        let because = explained.map(|explained| (question, explained));
        Ok(Row { text, json, because })
    });
    let rows = rows.collect::<Result<_, Problem>>()?;
    Ok(Printed { words, key, revision, rows })
}

// === impl Printed ===

impl Printed {
    /// A line an item, its explanation under it, and how many there are.
    fn text(&self) -> String {
        let Self { words: [one, many], key: _, revision, rows } = self;
        let mut text = String::new();
        for Row { text: item, json: _, because } in rows {
            text.push_str(&paint(STRONG, item));
            text.push('\n');
            let Some((question, explained)) = because else { continue };
            for line in explained.text(question, &painted).lines() {
                let line = if line.is_empty() { String::new() } else { format!("  {line}") };
                text.push_str(&format!("{line}\n"));
            }
            text.push('\n');
        }
        let count = match rows.len() {
            0 => format!("no {many}"),
            1 => format!("1 {one}"),
            count => format!("{count} {many}"),
        };
        text.push_str(&paint(FAINT, &format!("{count}; revision {revision}")));
        text.push('\n');
        text
    }

    fn json(&self) -> Value {
        let Self { words: _, key, revision, rows } = self;
        let row = |row: &Row| {
            let Row { text: _, json, because } = row;
            let mut map: Map<String, Value> =
                json.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
            if let Some((_, explained)) = because {
                map.insert("explanation".to_owned(), explained.json());
            }
            Value::Object(map)
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        json!({"revision": revision.get(), *key: rows})
    }
}
