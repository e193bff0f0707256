//! Watching for work: a stream that is made again whenever it breaks or falls silent.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use pdp_proto::v1;
use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tonic::{Code, Request, Streaming};

use super::Revocation;
use crate::call::{Error, random_part};
use crate::client::Client;
use crate::retry::Retries;

/// How long a stream may be silent before it counts as broken: two of the server's heartbeats, which
/// come every 30 seconds, and some time on the way.
const SILENCE: Duration = Duration::from_secs(75);

/// The pauses before a broken stream is made again, unless set otherwise.
const BACKOFF: Retries = Retries {
    max_attempts: u32::MAX,
    first_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_secs(30),
};

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
#[must_use]
pub struct Watched {
    client: Client,
    watch: Watch,
    stream: Stream,
    /// How often in a row a stream did not last.
    failures: u32,
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

type Connecting = Pin<Box<dyn Future<Output = Result<Messages, Error>> + Send>>;
type Messages = Streaming<v1::WatchRevocationsResponse>;

/// Where the stream is. Waiting is kept here, so that nothing is lost when a caller stops waiting and
/// comes back.
enum Stream {
    Idle,
    Pausing(Pin<Box<Sleep>>),
    Connecting(Connecting),
    Connected { messages: Box<Messages>, since: Instant, heard: Instant },
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
}

// === impl Watched ===

impl Watched {
    pub(super) const fn new(client: Client, watch: Watch) -> Self {
        Self { client, watch, stream: Stream::Idle, failures: 0 }
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
        loop {
            match &mut self.stream {
                Stream::Idle => self.stream = Stream::Connecting(self.connect()?),
                Stream::Pausing(pause) => {
                    pause.as_mut().await;
                    self.stream = Stream::Connecting(self.connect()?);
                }
                Stream::Connecting(connecting) => match connecting.as_mut().await {
                    Ok(messages) => {
                        let (messages, now) = (Box::new(messages), Instant::now());
                        self.stream = Stream::Connected { messages, since: now, heard: now };
                    }
                    Err(error) => return self.lost(error, Duration::ZERO),
                },
                Stream::Connected { messages, since, heard } => {
                    let (client, silence) = (&self.client, self.watch.silence);
                    let error = match timeout_at(*heard + silence, messages.message()).await {
                        Ok(Ok(Some(message))) => {
                            *heard = Instant::now();
                            return event(message);
                        }
                        Ok(Ok(None)) => client.lost("the server ended the watch"),
                        Ok(Err(status)) => client.failed(&status),
                        Err(_elapsed) => client.lost("it has fallen silent"),
                    };
                    let lasted = since.elapsed();
                    return self.lost(error, lasted);
                }
            }
        }
    }

    /// The call that begins the stream, which has the client's deadline to be answered, and no end.
    fn connect(&self) -> Result<Connecting, Error> {
        let request = self.watch.to_wire(self.client.tenant())?;
        let client = self.client.clone();
        Ok(Box::pin(async move {
            let mut service = client.session_calls();
            let mut request = Request::new(request);
            client.authorize(&mut request)?;
            let answer = service.watch_revocations(request);
            let response = client.start().wait(client.endpoint(), answer).await?;
            Ok(response.into_inner())
        }))
    }

    /// What a failure means: a pause before the next attempt, and an error if attempts do not help.
    fn lost(&mut self, error: Error, lasted: Duration) -> Result<WatchEvent, Error> {
        if lasted >= self.watch.backoff.max_backoff {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = self.watch.backoff.pause(self.failures, random_part(), error.retry_delay());
        self.stream = Stream::Pausing(Box::pin(sleep(pause)));
        if is_final(&error) { Err(error) } else { Ok(WatchEvent::Lost { error, pause }) }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, watch, stream, failures } = self;
        let stream = match stream {
            Stream::Idle => "idle",
            Stream::Pausing(_) => "pausing",
            Stream::Connecting(_) => "connecting",
            Stream::Connected { .. } => "connected",
        };
        f.debug_struct("Watched")
            .field("client", client)
            .field("watch", watch)
            .field("stream", &stream)
            .field("failures", failures)
            .finish()
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

/// Whether a new attempt would be told the same.
fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Unauthenticated
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;

    fn refused(code: Code) -> Error {
        Error::Refused(Box::new(Refusal::new(code, "as told".to_owned(), String::new())))
    }

    #[tokio::test]
    async fn pauses_grow_until_a_stream_lasts() {
        let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
        let longest = Duration::from_secs(3);
        let watch = Watch::everything().backoff(Duration::from_secs(1), longest);
        let mut watched = client.sessions().watch_revocations(watch);
        for failures in 1..=5 {
            let lost = watched.lost(refused(Code::Unavailable), Duration::ZERO).unwrap();
            let WatchEvent::Lost { pause, .. } = lost else { panic!("it is lost") };
            assert!(pause <= longest && watched.failures == failures);
        }
        assert!(watched.lost(refused(Code::Unavailable), longest).is_ok());
        assert_eq!(watched.failures, 1, "a stream that lasted begins anew");
    }

    #[test]
    fn what_does_not_change_is_told_and_the_rest_is_tried_again() {
        for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied] {
            assert!(is_final(&refused(code)), "{code:?}");
        }
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal, Code::Cancelled] {
            assert!(!is_final(&refused(code)), "{code:?}");
        }
    }

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
