//! Watching a policy: its change sets as they are committed, through lost connections and restarts of the
//! server.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use pdp_proto::v1;
use tonic::Request;

use crate::balance::Subchannel;
use crate::call::Error;
use crate::client::Client;
use crate::decision::Revision;
use crate::reconnect::{Connecting, Heard, Reconnecting};

/// How long a stream may be silent before it counts as broken: two of the server's heartbeats, which
/// come every 10 seconds, and some time on the way.
pub(crate) const SILENCE: Duration = Duration::from_secs(25);

/// How many bytes a mark has.
const MARK_BYTES: usize = 32;

/// A place in the history of a tenant's policy. As text it is the revision, and behind a colon, where it is
/// known, the mark in hexadecimal: `42:9f86d0…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// The revision.
    pub revision: Revision,
    /// What tells it from the same revision of another history, such as that of a backup that was restored;
    /// `None` where it is not known, and then it is not compared.
    pub mark: Option<[u8; MARK_BYTES]>,
}

/// Text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is a revision, and behind a colon, where it is known, 64 hexadecimal digits")]
pub struct PositionError;

/// A watch that goes on for as long as it is asked, and begins again where it was whenever its connection is
/// lost.
#[derive(Debug)]
#[must_use]
pub struct PolicyWatch {
    stream: Reconnecting<v1::PolicyServiceWatchResponse>,
    /// Behind which the watch goes on; `None` until the server has told where it is.
    after: Option<Position>,
    /// What came so far of a change set that comes in parts.
    parts: Vec<v1::Change>,
    /// The newest revision, as the server said it last on this stream.
    latest: Option<Revision>,
}

/// What a watch tells.
#[derive(Debug)]
pub enum PolicyEvent {
    /// A change set was committed.
    Committed(CommittedSet),
    /// Everything up to this position has been told. The server says so at the start and every 10 seconds.
    Current(Position),
    /// The connection is gone, and will be made again.
    Lost {
        /// What happened.
        error: Error,
        /// How long until the next attempt.
        pause: Duration,
    },
}

/// A change set that was committed.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedSet {
    /// Where the policy is with it.
    pub position: Position,
    /// When it was committed, by the server's clock.
    pub committed_at: SystemTime,
    /// The facts that differ from before, what a cascade touched included, ordered by kind and key: each put
    /// as a whole, or deleted. They hold together only once all of them are applied.
    pub changes: Vec<v1::Change>,
}

// === impl Client ===

impl Client {
    /// Watches the tenant's policy from behind a position, such as [`Exported::position`], or from now
    /// on.
    ///
    /// [`Exported::position`]: crate::Exported::position
    pub fn watch_policy(&self, after: Option<Position>) -> PolicyWatch {
        let stream = Reconnecting::new(self.clone(), SILENCE);
        PolicyWatch { stream, after, parts: Vec::new(), latest: None }
    }
}

// === impl PolicyWatch ===

impl PolicyWatch {
    /// The next change set; waits for it for as long as it takes. May be given up and asked again at any
    /// time.
    ///
    /// # Errors
    /// As [`PolicyWatch::event`].
    pub async fn next(&mut self) -> Result<CommittedSet, Error> {
        loop {
            if let PolicyEvent::Committed(set) = self.event().await? {
                return Ok(set);
            }
        }
    }

    /// The next thing that there is to tell. May be given up and asked again at any time.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `POSITION_TOO_OLD` or `POSITION_UNKNOWN` if there is no going on
    /// from where the watch is: export the policy, and watch from there. [`Error::Protocol`] if a message is
    /// not understood: the watch then begins again behind what was told last. Any other error says that the
    /// server does not let this watch be: `UNKNOWN_TENANT`, a permission that is missing. Asking again
    /// tries again, after a pause.
    pub async fn event(&mut self) -> Result<PolicyEvent, Error> {
        loop {
            let after = self.after;
            match self.stream.next(|client| Ok(connect(client, after))).await? {
                Heard::Lost { error, pause } => {
                    self.parts.clear();
                    self.latest = None;
                    return Ok(PolicyEvent::Lost { error, pause });
                }
                Heard::Message(message) => match self.heard(message) {
                    Ok(Some(event)) => return Ok(event),
                    Ok(None) => {}
                    Err(error) => {
                        // What was not understood comes again, behind what was told last.
                        self.parts.clear();
                        self.latest = None;
                        self.stream.begin_anew();
                        return Err(error);
                    }
                },
            }
        }
    }

    /// The position up to which everything has been told; `None` until the server has told where it is.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.after
    }

    /// Whether everything has been told that there was when the server sent its last message. It may have sent
    /// more since, which has come already or is on the way.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let told = self.after.filter(|_| self.parts.is_empty());
        self.latest.is_some() && self.latest == told.map(|told| told.revision)
    }

    fn heard(
        &mut self,
        message: v1::PolicyServiceWatchResponse,
    ) -> Result<Option<PolicyEvent>, Error> {
        use v1::policy_service_watch_response::Event;
        let of = |position: Option<v1::PolicyPosition>| match position {
            Some(position) => Position::from_wire(position),
            None => Err(Error::protocol("a message of the watch tells no position")),
        };
        match message.event {
            None => Err(Error::protocol("a message of the watch is empty")),
            Some(Event::Heartbeat(v1::PolicyHeartbeat { position, latest })) => {
                let position = of(position)?;
                self.after = Some(position);
                self.latest = newest(latest);
                Ok(Some(PolicyEvent::Current(position)))
            }
            Some(Event::ChangeSet(set)) => {
                let v1::ChangeSet { position, committed_at, changes, more, latest } = set;
                let position = of(position)?;
                let expected = self.after.map(|after| after.revision.get() + 1);
                if expected.is_some_and(|expected| expected != position.revision.get()) {
                    return Err(Error::protocol("a change set of the watch is missing"));
                }
                let committed_at = committed_at.and_then(|at| SystemTime::try_from(at).ok());
                let committed_at = committed_at
                    .ok_or_else(|| Error::protocol("a change set tells no time of its commit"))?;
                self.parts.extend(changes);
                if more {
                    return Ok(None);
                }
                self.after = Some(position);
                self.latest = newest(latest);
                let changes = std::mem::take(&mut self.parts);
                Ok(Some(PolicyEvent::Committed(CommittedSet { position, committed_at, changes })))
            }
        }
    }
}

/// The newest revision; older servers do not say.
fn newest(latest: u64) -> Option<Revision> {
    (latest > 0).then(|| Revision::new(latest))
}

/// The call that begins the stream, which has the client's deadline to be answered, and no end.
fn connect(client: Client, after: Option<Position>) -> Connecting<v1::PolicyServiceWatchResponse> {
    Box::pin(async move {
        let tenant = client.tenant().to_owned();
        let after = after.map(Position::to_wire);
        let mut request = Request::new(v1::PolicyServiceWatchRequest { tenant, after });
        client.authorize(&mut request)?;
        let watch = |server: &Subchannel| {
            let mut service = server.policies();
            async move { service.watch(request).await }
        };
        client.open(watch).await
    })
}

// === impl Position ===

impl Position {
    pub(crate) fn from_wire(wire: v1::PolicyPosition) -> Result<Self, Error> {
        let v1::PolicyPosition { revision, mark } = wire;
        let revision = Revision::new(revision);
        if mark.is_empty() {
            return Ok(Self { revision, mark: None });
        }
        match mark.try_into() {
            Ok(mark) => Ok(Self { revision, mark: Some(mark) }),
            Err(_) => Err(Error::protocol("the mark of a position is not as long as one")),
        }
    }

    fn to_wire(self) -> v1::PolicyPosition {
        let mark = self.mark.map(|mark| mark.to_vec()).unwrap_or_default();
        v1::PolicyPosition { revision: self.revision.get(), mark }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision.get())?;
        let Some(mark) = self.mark else { return Ok(()) };
        f.write_str(":")?;
        mark.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (revision, mark) = match text.split_once(':') {
            None => (text, None),
            Some((revision, mark)) => (revision, Some(mark)),
        };
        let digits = |text: &str, radix: u32| {
            text.chars().all(|c| c.is_digit(radix)).then_some(()).ok_or(PositionError)
        };
        digits(revision, 10)?;
        let revision = Revision::new(revision.parse().map_err(|_| PositionError)?);
        let Some(mark) = mark else { return Ok(Self { revision, mark: None }) };
        digits(mark, 16)?;
        let mut bytes = [0; MARK_BYTES];
        if mark.len() != 2 * MARK_BYTES {
            return Err(PositionError);
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            let pair = mark.get(2 * at..2 * at + 2).ok_or(PositionError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| PositionError)?;
        }
        Ok(Self { revision, mark: Some(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::policy_service_watch_response::Event;

    /// A change set that makes this revision.
    fn set(revision: u64, timed: bool, more: bool) -> v1::PolicyServiceWatchResponse {
        let event = Event::ChangeSet(v1::ChangeSet {
            position: Some(v1::PolicyPosition { revision, mark: Vec::new() }),
            committed_at: timed.then(prost_types::Timestamp::default),
            changes: vec![v1::Change::default()],
            more,
            latest: 6,
        });
        v1::PolicyServiceWatchResponse { event: Some(event) }
    }

    #[tokio::test]
    async fn what_is_not_understood_is_not_passed_over() {
        let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
        let at = |revision| Some(Position { revision: Revision::new(revision), mark: None });
        let mut watch = client.watch_policy(at(4));
        for message in
            [set(6, true, false), set(5, false, false), v1::PolicyServiceWatchResponse::default()]
        {
            assert!(matches!(watch.heard(message), Err(Error::Protocol { .. })));
            assert_eq!(watch.position(), at(4));
        }
        assert!(watch.heard(set(5, true, true)).unwrap().is_none());
        assert_eq!(watch.position(), at(4), "half a change set is none");
        let told = watch.heard(set(5, true, false)).unwrap();
        let Some(PolicyEvent::Committed(told)) = told else { panic!("it is whole") };
        assert_eq!((told.changes.len(), watch.position()), (2, at(5)));
    }

    #[tokio::test]
    async fn who_has_not_got_the_newest_revision_is_not_current() {
        let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
        let at = |revision| Position { revision: Revision::new(revision), mark: None };
        let mut watch = client.watch_policy(Some(at(4)));
        let beat = |revision, latest| {
            let position = Some(at(revision).to_wire());
            let event = Event::Heartbeat(v1::PolicyHeartbeat { position, latest });
            v1::PolicyServiceWatchResponse { event: Some(event) }
        };
        let mut heard = |message| {
            watch.heard(message).unwrap();
            watch.is_current()
        };
        assert!(!heard(beat(4, 6)), "a stream begins behind what is to come");
        assert!(!heard(set(5, true, false)));
        assert!(!heard(set(6, true, true)), "half of it");
        assert!(heard(set(6, true, false)));
        assert!(heard(beat(6, 6)) && !heard(beat(6, 7)));
        assert!(!heard(beat(6, 0)), "who does not say may be behind");
    }

    #[test]
    fn positions_are_read_as_they_are_written() {
        let known = Position { revision: Revision::new(42), mark: Some([0xa5; 32]) };
        let unknown = Position { revision: Revision::new(7), mark: None };
        assert_eq!(known.to_string(), format!("42:{}", "a5".repeat(32)));
        for position in [known, unknown] {
            assert_eq!(position.to_string().parse(), Ok(position));
            assert_eq!(Position::from_wire(position.to_wire()).unwrap(), position);
        }
        let short = format!("42:{}", "a".repeat(63));
        let strange = format!("42:{}é", "a".repeat(62));
        for text in ["", ":", "42:", "-1", "+1", "x", "18446744073709551616", &short, &strange] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text}");
        }
    }
}
