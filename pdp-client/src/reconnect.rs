//! A stream of the server's that is made again whenever it breaks or falls silent.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, timeout_at};
use tonic::Streaming;

use crate::balance::Picked;
use crate::call::{Error, random_part};
use crate::client::Client;
use crate::retry::Retries;

/// The pauses before a broken stream is made again, unless set otherwise.
pub(crate) const BACKOFF: Retries = Retries {
    max_attempts: u32::MAX,
    first_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_secs(30),
};

/// The call that begins a stream.
pub(crate) type Connecting<M> =
    Pin<Box<dyn Future<Output = Result<(Streaming<M>, Picked), Error>> + Send>>;

/// A stream that goes on for as long as it is asked.
pub(crate) struct Reconnecting<M> {
    client: Client,
    /// How long it may be silent before it counts as broken.
    pub(crate) silence: Duration,
    pub(crate) backoff: Retries,
    stream: Stream<M>,
    /// How often in a row a stream did not last.
    failures: u32,
}

/// What comes of a stream.
pub(crate) enum Heard<M> {
    Message(M),
    /// It broke, and is made again after the pause.
    Lost {
        error: Error,
        pause: Duration,
    },
}

/// Where the stream is. Waiting is kept here, so that nothing is lost when a caller stops waiting and
/// comes back.
enum Stream<M> {
    Idle,
    Pausing(Pin<Box<Sleep>>),
    Connecting(Connecting<M>),
    Connected { messages: Box<Streaming<M>>, server: Picked, since: Instant, heard: Instant },
}

// === impl Reconnecting ===

impl<M> Reconnecting<M> {
    pub(crate) const fn new(client: Client, silence: Duration) -> Self {
        Self { client, silence, backoff: BACKOFF, stream: Stream::Idle, failures: 0 }
    }

    /// The next message, or that the stream broke. May be given up and asked again at any time.
    ///
    /// # Errors
    /// What a new attempt would be told again. Asking again tries again, after a pause.
    pub(crate) async fn next(
        &mut self,
        connect: impl Fn(Client) -> Result<Connecting<M>, Error>,
    ) -> Result<Heard<M>, Error> {
        loop {
            match &mut self.stream {
                Stream::Idle => self.stream = Stream::Connecting(connect(self.client.clone())?),
                Stream::Pausing(pause) => {
                    pause.as_mut().await;
                    self.stream = Stream::Connecting(connect(self.client.clone())?);
                }
                Stream::Connecting(connecting) => match connecting.as_mut().await {
                    Ok((messages, server)) => {
                        let (messages, now) = (Box::new(messages), Instant::now());
                        self.stream =
                            Stream::Connected { messages, server, since: now, heard: now };
                    }
                    Err(error) => return self.lost(error, Duration::ZERO),
                },
                Stream::Connected { messages, server, since, heard } => {
                    let silence = self.silence;
                    let error = match timeout_at(*heard + silence, messages.message()).await {
                        Ok(Ok(Some(message))) => {
                            *heard = Instant::now();
                            return Ok(Heard::Message(message));
                        }
                        Ok(Ok(None)) => Error::lost(server.address(), "the server ended the watch"),
                        Ok(Err(status)) => Error::from_status(server.address(), &status),
                        Err(_elapsed) => Error::lost(server.address(), "it has fallen silent"),
                    };
                    server.note::<()>(Err(&error));
                    let lasted = since.elapsed();
                    return self.lost(error, lasted);
                }
            }
        }
    }

    /// Makes the stream again, after a pause: what comes next was asked for anew.
    pub(crate) fn begin_anew(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let pause = self.backoff.pause(self.failures, random_part(), None);
        self.stream = Stream::Pausing(Box::pin(sleep(pause)));
    }

    /// What a failure means: a pause before the next attempt, and an error if attempts do not help.
    fn lost(&mut self, error: Error, lasted: Duration) -> Result<Heard<M>, Error> {
        if lasted >= self.backoff.max_backoff {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let pause = self.backoff.pause(self.failures, random_part(), error.retry_delay());
        self.stream = Stream::Pausing(Box::pin(sleep(pause)));
        if error.is_final() { Err(error) } else { Ok(Heard::Lost { error, pause }) }
    }
}

impl<M> fmt::Debug for Reconnecting<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, silence, backoff, stream, failures } = self;
        let stream = match stream {
            Stream::Idle => "idle",
            Stream::Pausing(_) => "pausing",
            Stream::Connecting(_) => "connecting",
            Stream::Connected { .. } => "connected",
        };
        f.debug_struct("Reconnecting")
            .field("client", client)
            .field("silence", silence)
            .field("backoff", backoff)
            .field("stream", &stream)
            .field("failures", failures)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::refusal::Refusal;

    fn refused(code: Code) -> Error {
        Error::Refused(Box::new(Refusal::new(code, "as told".to_owned(), String::new())))
    }

    #[tokio::test]
    async fn pauses_grow_until_a_stream_lasts() {
        let client = Client::builder("http://127.0.0.1:1").connect_lazy().unwrap();
        let longest = Duration::from_secs(3);
        let mut stream = Reconnecting::<()>::new(client, Duration::from_secs(75));
        stream.backoff =
            Retries { first_backoff: Duration::from_secs(1), max_backoff: longest, ..BACKOFF };
        for failures in 1..=5 {
            let lost = stream.lost(refused(Code::Unavailable), Duration::ZERO).unwrap();
            let Heard::Lost { pause, .. } = lost else { panic!("it is lost") };
            assert!(pause <= longest && stream.failures == failures);
        }
        assert!(stream.lost(refused(Code::Unavailable), longest).is_ok());
        assert_eq!(stream.failures, 1, "a stream that lasted begins anew");
    }

    #[test]
    fn what_does_not_change_is_told_and_the_rest_is_tried_again() {
        for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied] {
            assert!(refused(code).is_final(), "{code:?}");
        }
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Internal, Code::Cancelled] {
            assert!(!refused(code).is_final(), "{code:?}");
        }
    }
}
