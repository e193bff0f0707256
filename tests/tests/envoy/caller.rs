//! A real HTTP client, of HTTP/1.1 or of HTTP/2, and the tokens of the demonstration.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::http::{Request, Version};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Sends requests.
pub(crate) struct Caller {
    client: Client<HttpConnector, Empty<Bytes>>,
    version: Version,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Of whom, or nobody's.
    pub(crate) token: Option<&'a str>,
    pub(crate) headers: &'a [(&'a str, &'a str)],
}

// === impl Caller ===

impl Caller {
    pub(crate) fn http_1() -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, version: Version::HTTP_11 }
    }

    pub(crate) fn http_2() -> Self {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { client, version: Version::HTTP_2 }
    }

    /// Sends a request; there is an answer.
    pub(crate) async fn send(&self, to: SocketAddr, call: Call<'_>) -> Reply {
        self.try_send(to, call).await.unwrap()
    }

    /// The same, where Envoy may cut the request off instead of answering.
    pub(crate) async fn try_send(&self, to: SocketAddr, call: Call<'_>) -> Option<Reply> {
        let Call { method, path, token, headers } = call;
        let mut request = Request::builder().method(method).uri(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = self.client.request(request.body(Empty::new()).unwrap()).await.ok()?;
        assert_eq!(response.version(), self.version);
        Some(Reply::of(response).await)
    }

    /// The answer to a plain request, if there is one.
    pub(crate) async fn try_get(&self, to: SocketAddr, path: &str) -> Option<Reply> {
        let uri = format!("http://{to}{path}").parse().unwrap();
        Some(Reply::of(self.client.get(uri).await.ok()?).await)
    }
}

/// Sends the very bytes of a request line, which no client would, over HTTP/1.1.
pub(crate) fn send_raw(to: SocketAddr, path: &[u8], token: &str) -> Reply {
    let mut stream = TcpStream::connect(to).unwrap();
    let headers = format!(
        " HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[b"GET ", path, headers.as_bytes()].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Reply { status, headers, body: body.to_owned() }
}

/// Sends the very bytes of a path over HTTP/2: the status, where it is a usual one, or `None` where Envoy
/// ends the stream instead of answering.
pub(crate) fn send_raw_2(to: SocketAddr, path: &[u8], token: &str) -> Option<u16> {
    // Header fields without compression, by their numbers in the static table (RFC 7541, appendix A).
    let text = |field: &[u8], text: &[u8]| {
        let mut bytes = field.to_vec();
        match text.len().checked_sub(0x7f) {
            None => bytes.push(text.len() as u8),
            Some(rest) if rest < 0x80 => bytes.extend([0x7f, rest as u8]),
            Some(rest) => bytes.extend([0x7f, rest as u8 | 0x80, (rest >> 7) as u8]),
        }
        [bytes.as_slice(), text].concat()
    };
    let fields = [
        vec![0x82, 0x86],
        text(&[0x01], to.to_string().as_bytes()),
        text(&[0x04], path),
        text(&[0x0f, 0x08], format!("Bearer {token}").as_bytes()),
    ]
    .concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // The head, which is the whole request, of the first stream.
    let [_, _, high, low] = (fields.len() as u32).to_be_bytes();
    let head = [0, high, low, 1, 0x05, 0, 0, 0, 1];
    let mut stream = TcpStream::connect(to).unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice();
    stream.write_all(&[preface, &settings, &head, &fields].concat()).unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).ok()?;
        match head[3] {
            // A head, which begins with the status; what comes before it sets the size of a table.
            1 => {
                let status = payload.iter().find(|byte| **byte & 0xe0 != 0x20);
                return Some(match status.unwrap() {
                    0x88 => 200,
                    0x8c => 400,
                    other => panic!("a status that is said as {other:#x}"),
                });
            }
            // The stream is reset, or the connection ends.
            3 | 7 => return None,
            _ => {}
        }
    }
}

// === impl Call ===

impl<'a> Call<'a> {
    /// A GET.
    pub(crate) const fn get(path: &'a str, token: Option<&'a str>) -> Self {
        Self { method: "GET", path, token, headers: &[] }
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) async fn of(response: hyper::Response<hyper::body::Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = head.headers.iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
        let body = text(&body.collect().await.unwrap().to_bytes());
        Self { status: head.status.as_u16(), headers, body }
    }

    /// The values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let of_name = self.headers.iter().filter(|(known, _)| known == name);
        of_name.map(|(_, value)| value.as_str()).collect()
    }

    /// The reason in a refusal's body; the first line of another body.
    pub(crate) fn said(&self) -> &str {
        let reason =
            self.body.split_once(r#""reason":""#).and_then(|(_, rest)| rest.split_once('"'));
        reason.map_or_else(|| self.body.lines().next().unwrap_or_default(), |(reason, _)| reason)
    }

    /// The values of a header as the upstream tells that it came.
    pub(crate) fn arrived(&self, name: &str) -> Vec<&str> {
        let headers = self.body.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.filter(|(known, _)| *known == name).map(|(_, value)| value).collect()
    }
}
