//! An HTTP client for tests: one connection, HTTP/1.1 or HTTP/2, and replies as they came.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

/// How to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A client of one server.
pub struct Http {
    runtime: Handle,
    address: SocketAddr,
    protocol: Protocol,
    connection: Mutex<Option<Connection>>,
}

enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

// === impl Protocol ===

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

// === impl Reply ===

impl Reply {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON, which it must say it is.
    ///
    /// # Panics
    /// If it does not, or is none.
    #[must_use]
    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

// === impl Http ===

impl Http {
    /// A client of the server at this address. It connects when it is used, and again after the
    /// server has closed the connection.
    #[must_use]
    pub fn new(runtime: Handle, address: SocketAddr, protocol: Protocol) -> Self {
        Self { runtime, address, protocol, connection: Mutex::new(None) }
    }

    /// Posts JSON.
    ///
    /// # Panics
    /// If nothing comes back.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        self.send("POST", path, &[("content-type", "application/json")], body)
    }

    /// Gets something.
    ///
    /// # Panics
    /// If nothing comes back.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Vec::new())
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If it is none, or nothing comes back.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let sent = self.exchange(self.request(method, path, headers, body));
        self.runtime.block_on(sent)
    }

    /// Posts JSON that is written already, without waiting.
    ///
    /// # Panics
    /// If nothing comes back.
    pub async fn post_written(&self, path: &str, body: Vec<u8>) -> Reply {
        let json = [("content-type", "application/json")];
        self.exchange(self.request("POST", path, &json, body)).await
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method);
        request = match self.protocol {
            Protocol::Http1 => request.uri(path).header(HOST, self.address.to_string()),
            Protocol::Http2 => {
                let uri = Uri::builder().scheme("http").authority(self.address.to_string());
                request.uri(uri.path_and_query(path).build().unwrap())
            }
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Full::from(body)).unwrap()
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Reply {
        let mut connection = self.connection.lock().await;
        let ready = match connection.as_mut() {
            Some(open) => open.ready().await,
            None => false,
        };
        if !ready {
            *connection = Some(self.connect().await);
        }
        let open = connection.as_mut().expect("it was just opened");
        let response = open.send(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = TokioIo::new(stream);
        match self.protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(stream).await.unwrap();
                tokio::spawn(async move { drop(connection.await) });
                Connection::Http1(sender)
            }
            Protocol::Http2 => {
                let handshake = http2::handshake(TokioExecutor::new(), stream);
                let (sender, connection) = handshake.await.unwrap();
                tokio::spawn(async move { drop(connection.await) });
                Connection::Http2(sender)
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<hyper::body::Incoming>> {
        match self {
            Self::Http1(sender) => sender.send_request(request).await,
            Self::Http2(sender) => sender.send_request(request).await,
        }
    }
}
