//! Watching for work: a stream that is made again whenever it breaks or falls silent.

use std::time::Duration;

use pdp_proto::v1;
use tonic::Request;

use super::Revocation;
use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::reconnect::{BACKOFF, Connecting, Heard, Reconnecting};
use crate::retry::Retries;

/// How long a stream may be silent before it counts as broken: two of the server's heartbeats, which
/// come every 30 seconds, and some time on the way.
const SILENCE: Duration = Duration::from_secs(75);

/// What is watched, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Watch {
    computers: Vec<String>,
    lease: Option<Duration>,
    max_outstanding: u32,
    silence: Duration,
    backoff: Retries,
}

/// A watch that goes on for as long as it is asked. Dropping it gives back what it was handed and has
/// not acknowledged, and so does a broken connection: such items come again, here or elsewhere.
#[derive(Debug)]
#[must_use]
pub struct Watched {
    watch: Watch,
    stream: Reconnecting<v1::WatchRevocationsResponse>,
}

/// What a watch tells.
#[derive(Debug)]
pub enum WatchEvent {
    /// Work to be done. It may be an item that was handed out before.
    Work(Box<Revocation>),
    /// The server is there, and nothing is due. It says so at the start and every 30 seconds.
    Idle,
    /// The connection is gone, and will be made again.
    Lost {
        /// What happened.
        error: Error,
        /// How long until the next attempt.
        pause: Duration,
    },
}

// === impl Watch ===

impl Watch {
    /// The work of every computer.
    pub const fn everything() -> Self {
        Self {
            computers: Vec::new(),
            lease: None,
            max_outstanding: 0,
            silence: SILENCE,
            backoff: BACKOFF,
        }
    }

    /// The work of these computers, 10,000 at most. No computers is no work, and not everything.
    ///
    /// # Errors
    /// [`Error::Setting`] if there are none.
    pub fn of_computers<I>(computers: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let computers: Vec<String> = computers.into_iter().map(Into::into).collect();
        if computers.is_empty() {
            let message = "a watch of computers needs at least one of them".to_owned();
            return Err(Error::Setting { message });
        }
        Ok(Self { computers, ..Self::everything() })
    }

    /// How long an item belongs to this watcher before it may be handed to another, or to this one
    /// again: 1 second to 1 hour, 1 minute unless set. Take the time that an item needs, and some more.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How many items are handed out without an answer: up to 1,000; 100 unless set.
    pub const fn max_outstanding(mut self, items: u32) -> Self {
        self.max_outstanding = items;
        self
    }

    /// After how long a silent stream counts as broken: 75 seconds unless set. The server says something
    /// every 30 seconds.
    pub const fn silence(mut self, silence: Duration) -> Self {
        self.silence = silence;
        self
    }

    /// How long the pauses before a new attempt are: `first` at most, then up to twice as long each time,
    /// and `max` at most; 100 milliseconds and 30 seconds unless set.
    pub const fn backoff(mut self, first: Duration, max: Duration) -> Self {
        self.backoff = Retries { first_backoff: first, max_backoff: max, ..BACKOFF };
        self
    }

    fn to_wire(&self, tenant: &str) -> Result<v1::WatchRevocationsRequest, Error> {
        let lease = self.lease.map(prost_types::Duration::try_from).transpose();
        let lease =
            lease.map_err(|error| Error::Setting { message: format!("the lease: {error}") });
        Ok(v1::WatchRevocationsRequest {
            tenant: tenant.to_owned(),
            computers: self.computers.clone(),
            lease: lease?,
            max_outstanding: self.max_outstanding,
        })
    }

    /// The call that begins the stream, which has the client's deadline to be answered, and no end.
    fn connect(&self, client: Client) -> Result<Connecting<v1::WatchRevocationsResponse>, Error> {
        let request = self.to_wire(client.tenant())?;
        Ok(Box::pin(async move {
            let mut request = Request::new(request);
            client.authorize(&mut request)?;
            let watch = |server: &Subchannel| {
                let mut service = server.session_calls();
                async move { service.watch_revocations(request).await }
            };
            client.open(watch).await
        }))
    }
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(client: Client, watch: Watch) -> Self {
        let mut stream = Reconnecting::new(client, watch.silence);
        stream.backoff = watch.backoff;
        Self { watch, stream }
    }

    /// The next item of work; waits for it through heartbeats, lost connections and restarts of the
    /// server, for as long as it takes. May be given up and asked again at any time.
    ///
    /// # Errors
    /// As [`Watched::event`].
    pub async fn next(&mut self) -> Result<Revocation, Error> {
        loop {
            if let WatchEvent::Work(item) = self.event().await? {
                return Ok(*item);
            }
        }
    }

    /// The next thing that there is to tell, for programs that log the state of the connection. May be
    /// given up and asked again at any time.
    ///
    /// # Errors
    /// [`Error::Protocol`] if an item of work is not understood, such as a kind that a newer server
    /// knows: it stays outstanding, and the watch goes on when asked again. Any other error says that
    /// the server does not let this watch be: `UNKNOWN_TENANT`, `MALFORMED`, a permission that is
    /// missing. Asking again then tries again, after a pause.
    pub async fn event(&mut self) -> Result<WatchEvent, Error> {
        let watch = &self.watch;
        match self.stream.next(|client| watch.connect(client)).await? {
            Heard::Message(message) => event(message),
            Heard::Lost { error, pause } => Ok(WatchEvent::Lost { error, pause }),
        }
    }
}

/// What a message says. An item that is not outstanding is none: doing it could take away what an open
/// session needs.
fn event(message: v1::WatchRevocationsResponse) -> Result<WatchEvent, Error> {
    use v1::watch_revocations_response::Event as Wire;
    let v1::WatchRevocationsResponse { event } = message;
    match event {
        Some(Wire::Revocation(wire)) => {
            let item = Revocation::from_wire(Some(wire))?;
            if !item.is_outstanding() {
                let (id, state) = (&item.id, item.state);
                return Err(Error::protocol(format!(
                    "revocation `{id}` is handed out and {state}"
                )));
            }
            Ok(WatchEvent::Work(Box::new(item)))
        }
        Some(Wire::Heartbeat(v1::WatchHeartbeat {})) => Ok(WatchEvent::Idle),
        None => Err(Error::protocol("a message of the watch is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_of_no_computers_is_not_one_of_all() {
        assert!(Watch::of_computers(Vec::<String>::new()).is_err());
        let watch = Watch::of_computers(["web-07"]).unwrap().lease(Duration::from_secs(90));
        let wire = watch.to_wire("acme").unwrap();
        assert_eq!((wire.computers, wire.max_outstanding), (vec!["web-07".to_owned()], 0));
        assert_eq!(wire.lease.map(|lease| lease.seconds), Some(90));
        assert!(Watch::everything().lease(Duration::MAX).to_wire("").is_err());
    }
}
