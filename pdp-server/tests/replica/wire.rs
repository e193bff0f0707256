//! The wire between one server and etcd, in the hands of the test: it can be cut, so that connections are
//! reset and none is made, or held, so that bytes stay where they are and nobody is told.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How it is with the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Whole,
    /// Connections are reset, and none is made.
    Cut,
    /// Bytes to etcd, bytes from it, or both stay where they are.
    Held {
        to: bool,
        from: bool,
    },
}

/// The state, and how often connections were forgotten: those from before stay held for good.
type Told = (State, u64);

/// A wire to each member.
pub(crate) struct Wire {
    told: watch::Sender<Told>,
    endpoints: String,
}

// === impl Wire ===

impl Wire {
    /// A whole one to these members. It ends with the test's runtime.
    pub(crate) async fn to(members: &[u16]) -> Self {
        let (told, telling) = watch::channel((State::Whole, 0));
        let mut endpoints = Vec::new();
        for member in members {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            endpoints.push(format!("http://{}", listener.local_addr().unwrap()));
            tokio::spawn(accept(listener, (Ipv4Addr::LOCALHOST, *member).into(), telling.clone()));
        }
        Self { told, endpoints: endpoints.join(",") }
    }

    /// What a server names etcd by.
    pub(crate) fn endpoints(&self) -> &str {
        &self.endpoints
    }

    /// Cuts, holds or mends it; connections that were held go on where they were.
    pub(crate) fn set(&self, state: State) {
        self.told.send_modify(|told| told.0 = state);
    }

    /// Mends it for connections that are made from now on: on those that were, bytes stay where they are.
    pub(crate) fn forget(&self) {
        self.told.send_modify(|told| *told = (State::Whole, told.1 + 1));
    }
}

async fn accept(listener: TcpListener, member: SocketAddr, told: watch::Receiver<Told>) {
    while let Ok((server, _)) = listener.accept().await {
        let (state, made) = *told.borrow();
        // A member that is gone resets the connection, as it would without the wire.
        let (false, Ok(etcd)) = (state == State::Cut, TcpStream::connect(member).await) else {
            continue;
        };
        server.set_nodelay(true).unwrap();
        etcd.set_nodelay(true).unwrap();
        let ((from_server, to_server), (from_etcd, to_etcd)) =
            (server.into_split(), etcd.into_split());
        let is_open = move |(state, forgotten): Told, to_etcd: bool| match state {
            State::Held { to, from } => !if to_etcd { to } else { from },
            State::Whole | State::Cut => forgotten == made,
        };
        let (up, down) = (told.clone(), told.clone());
        let mut cut = told.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = pass(from_server, to_etcd, up, |told| is_open(told, true)) => {}
                () = pass(from_etcd, to_server, down, |told| is_open(told, false)) => {}
                _ = cut.wait_for(|told| told.0 == State::Cut) => {}
            }
        });
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut told: watch::Receiver<Told>,
    is_open: impl Fn(Told) -> bool,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        let open = told.wait_for(|told| is_open(*told)).await.is_ok();
        if !open || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
