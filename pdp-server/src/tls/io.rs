//! A connection as a door serves it: in clear, or with TLS whose handshake is taken on the way.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Certificate;
use super::{Door, Peer, Tls};
use crate::telemetry::Handshake;

/// A connection.
pub(crate) struct Io {
    stream: Stream,
    peer: Peer,
}

type Shaking = Pin<Box<dyn Future<Output = io::Result<TlsStream<TcpStream>>> + Send>>;

enum Stream {
    Plain(TcpStream),
    /// To a program of this machine.
    Local(UnixStream),
    Shaking(Shaking),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Broken,
}

// === impl Io ===

impl Io {
    pub(super) const fn plain(stream: TcpStream, peer: Peer) -> Self {
        Self { stream: Stream::Plain(stream), peer }
    }

    pub(super) const fn local(stream: UnixStream, peer: Peer) -> Self {
        Self { stream: Stream::Local(stream), peer }
    }

    pub(super) fn tls(tls: Arc<Tls>, door: Door, stream: TcpStream, peer: Peer) -> Self {
        let shaking = shake(tls, door, stream, peer.clone());
        Self { stream: Stream::Shaking(Box::pin(shaking)), peer }
    }

    /// The other end.
    pub(crate) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Goes on with the handshake, if there is one to be done.
    fn shaken(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Stream::Shaking(shaking) = &mut self.stream {
            match ready!(shaking.as_mut().poll(context)) {
                Ok(stream) => self.stream = Stream::Tls(Box::new(stream)),
                Err(error) => {
                    self.stream = Stream::Broken;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Takes the handshake, within its time. How many there are at once the number of connections bounds: a
/// limit of their own could be held by those who do not go on.
async fn shake(
    tls: Arc<Tls>,
    door: Door,
    stream: TcpStream,
    peer: Peer,
) -> io::Result<TlsStream<TcpStream>> {
    let shaking = async {
        let served = tls.served.load_full();
        let config = match door {
            Door::Grpc => &served.grpc,
            Door::Http => &served.http,
        };
        TlsAcceptor::from(Arc::clone(config)).accept(stream).await
    };
    let shaken = tokio::time::timeout(tls.patience, shaking).await;
    let (outcome, failed) = match shaken {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            if let Some(shown) = shown {
                let read = Certificate::parse(shown).map_err(io::Error::other)?;
                peer.showed(read);
            }
            return Ok(stream);
        }
        Ok(Err(error)) => (Handshake::Failed, error),
        Err(_) => (Handshake::Slow, io::ErrorKind::TimedOut.into()),
    };
    tls.metrics.handshake(outcome);
    tracing::debug!(peer = ?peer.address(), error = %failed, "a handshake failed");
    Err(failed)
}

fn broken<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.shaken(context))?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Local(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Shaking(_) | Stream::Broken => broken(),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.shaken(context))?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Local(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Shaking(_) | Stream::Broken => broken(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.shaken(context))?;
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Stream::Local(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Stream::Shaking(_) | Stream::Broken => broken(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // TLS takes several pieces as well, and says so once there is one.
        !matches!(self.stream, Stream::Broken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Local(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
            // Nothing was written yet.
            Stream::Shaking(_) | Stream::Broken => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Local(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Shaking(_) | Stream::Broken => {
                self.stream = Stream::Broken;
                Poll::Ready(Ok(()))
            }
        }
    }
}
