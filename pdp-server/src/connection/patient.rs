//! A connection with an end to its patience: a client that connects and does not say how it will
//! speak, or does not take what it asked for, loses the connection. What lies between, requests that
//! arrive slowly, is timed where requests are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How many bytes tell the protocol: the preface of HTTP/2, and less than any request of HTTP/1.1.
const PREFACE: usize = 24;

/// A connection that is waited for only so long.
pub(crate) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// How many bytes are still to come before the protocol is known, and when they must be here.
    missing: usize,
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline is for what is being sent.
    stalled: bool,
}

// === impl Patient ===

impl<S> Patient<S> {
    /// Waits so long for the first bytes, and for each time that nothing can be sent.
    pub(crate) fn new(stream: S, patience: Duration) -> Self {
        let deadline = Box::pin(tokio::time::sleep(patience));
        Self { stream, patience, missing: PREFACE, deadline, stalled: false }
    }

    /// What came of sending; where nothing could be sent, an error once that takes too long.
    fn sent<T>(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            self.stalled = false;
            return sent;
        }
        if !self.stalled {
            self.stalled = true;
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.missing == 0 {
            return read;
        }
        match read {
            Poll::Ready(outcome) => {
                self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(context, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.sent(context, sent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn silence_at_the_start_ends_the_connection() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"PRI * HTTP/2").await.unwrap();
        let mut server = Patient::new(server, PATIENCE);
        let refused = server.read_exact(&mut [0; PREFACE]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn silence_after_the_start_is_for_others_to_time() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(&[b'x'; PREFACE]).await.unwrap();
        let mut server = Patient::new(server, Duration::ZERO);
        server.read_exact(&mut [0; PREFACE]).await.unwrap();
        let mut rest = [0];
        let waiting = std::future::poll_fn(|context| {
            let mut rest = ReadBuf::new(&mut rest);
            Poll::Ready(Pin::new(&mut server).poll_read(context, &mut rest).is_pending())
        });
        assert!(waiting.await);
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_loses_the_connection() {
        let (mut client, server) = tokio::io::duplex(4);
        let mut server = Patient::new(server, PATIENCE);
        client.write_all(b"abcd").await.unwrap();
        let refused = server.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }
}
