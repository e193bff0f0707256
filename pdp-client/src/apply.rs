//! Change sets: all of one, or nothing of it.

use pdp_proto::v1;

use crate::attempt::Repeat;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Revision;

/// A change set to apply.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct ChangeSet {
    changes: Vec<v1::Change>,
    expected_revision: Option<Revision>,
    dry_run: bool,
    request_id: RequestId,
    on_behalf_of: Option<String>,
}

/// What makes sending a change set twice safe.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RequestId {
    Generated,
    Given(String),
    None,
}

/// What a change set did.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The revision that holds the change set; for a dry run, and for a change set without effect,
    /// the revision that it was checked on.
    pub revision: Revision,
    /// The facts that differ from before, ordered by kind and key; 10,000 at most.
    pub changes: Vec<v1::ChangedFact>,
    /// How many facts differ, those not listed included.
    pub total_changes: u64,
    /// The request id was known to the server: this is the first request's result, and nothing was
    /// applied now.
    pub replayed: bool,
    /// The person on whose behalf it was applied; `None`: nobody's.
    pub on_behalf_of: Option<String>,
}

// === impl ChangeSet ===

impl ChangeSet {
    /// These changes, applied to whatever revision is current, under a request id of their own.
    pub const fn new(changes: Vec<v1::Change>) -> Self {
        let request_id = RequestId::Generated;
        Self { changes, expected_revision: None, dry_run: false, request_id, on_behalf_of: None }
    }

    /// Applies only if this is the current revision; 0 is the empty policy.
    pub const fn expecting(mut self, revision: Revision) -> Self {
        self.expected_revision = Some(revision);
        self
    }

    /// Checks everything and says what would change, but changes nothing.
    pub const fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Goes under this request id, 1 to 128 bytes: the same change set under the same id is applied
    /// once, however often it is sent.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = RequestId::Given(id.into());
        self
    }

    /// Goes without a request id, and so is not retried.
    pub fn without_request_id(mut self) -> Self {
        self.request_id = RequestId::None;
        self
    }

    /// Applies on behalf of the person of this id: every assignment and every share that the change
    /// set touches is decided for that person, and anything but `ALLOW`, or any other kind of
    /// change, refuses the whole set ([`crate::Refusal::delegation`]).
    pub fn on_behalf_of(mut self, person: impl Into<String>) -> Self {
        self.on_behalf_of = Some(person.into());
        self
    }
}

// === impl Client ===

impl Client {
    /// Applies a change set: all of it is valid, durable, and visible to the next check, or none
    /// of it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `CHANGE_SET_REJECTED` and the problems if it does not fit
    /// the policy, `REVISION_CONFLICT` if another change set came first, `MALFORMED` if no policy
    /// could take it, `DELEGATION_REFUSED` if the person on whose behalf it was to be applied may
    /// not make one of its changes.
    pub async fn apply(&self, set: ChangeSet) -> Result<Applied, Error> {
        let ChangeSet { changes, expected_revision, dry_run, request_id, on_behalf_of } = set;
        if on_behalf_of.as_deref() == Some("") {
            // The server says so, too.
            let message = "a change set on behalf of a person needs the person's id".to_owned();
            return Err(Error::Setting { message });
        }
        let request_id = match request_id {
            // A dry run is safe to repeat and is not remembered.
            RequestId::Generated if dry_run => String::new(),
            RequestId::Generated => generate_request_id()?,
            RequestId::Given(id) => id,
            RequestId::None => String::new(),
        };
        let safe = dry_run || !request_id.is_empty();
        let repeat = if safe { Repeat::Idempotent } else { Repeat::Never };
        let message = v1::ApplyRequest {
            tenant: self.tenant().to_owned(),
            changes,
            expected_revision: expected_revision.map(Revision::get),
            dry_run,
            request_id,
            on_behalf_of: on_behalf_of.clone(),
        };
        let send = |server: &Subchannel, request| {
            let mut service = server.policies();
            async move { service.apply(request).await }
        };
        let response = self.unary(repeat, || message.clone(), send).await?;
        let v1::ApplyResponse { revision, changes, total_changes, replayed, on_behalf_of: whose } =
            response;
        let whose = (!whose.is_empty()).then_some(whose);
        if whose != on_behalf_of {
            let named = |person: Option<String>| person.unwrap_or_else(|| "nobody".to_owned());
            let (whose, asked) = (named(whose), named(on_behalf_of));
            let message = format!("it was applied on behalf of `{whose}` and not of `{asked}`");
            return Err(Error::protocol(message));
        }
        let revision = Revision::new(revision);
        Ok(Applied { revision, changes, total_changes, replayed, on_behalf_of: whose })
    }
}

/// 128 random bits: no two change sets share one by chance.
pub(crate) fn generate_request_id() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::NoRandomness { message: error.to_string() })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_request_ids_differ() {
        let (one, other) = (generate_request_id().unwrap(), generate_request_id().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
