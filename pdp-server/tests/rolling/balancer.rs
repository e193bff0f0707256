//! A balancer of connections, as there is one in front of instances: it gives each new connection to
//! the first instance that says that it is ready.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// The addresses of an instance: gRPC and HTTP.
type Instance = (SocketAddr, SocketAddr);

/// The balancer. It ends with the test's runtime.
pub(crate) struct Balancer {
    address: SocketAddr,
    instances: Arc<Mutex<Vec<Instance>>>,
}

/// The status and the body of an HTTP answer; `None` where nobody answers.
pub(crate) async fn probe(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: pdp\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split("\r\n\r\n").nth(1)?.to_owned()))
}

// === impl Balancer ===

impl Balancer {
    pub(crate) async fn start(instances: Vec<Instance>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instances = Arc::new(Mutex::new(instances));
        let all = Arc::clone(&instances);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&all)));
            }
        });
        Self { address, instances }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn replace(&self, at: usize, instance: Instance) {
        self.instances.lock().unwrap()[at] = instance;
    }
}

async fn pass(mut client: TcpStream, instances: Arc<Mutex<Vec<Instance>>>) {
    client.set_nodelay(true).unwrap();
    let all = instances.lock().unwrap().clone();
    for (grpc, http) in all {
        let ready = probe(http, "/healthz/ready").await.is_some_and(|(status, _)| status == 200);
        if !ready {
            continue;
        }
        if let Ok(mut server) = TcpStream::connect(grpc).await {
            server.set_nodelay(true).unwrap();
            copy_bidirectional(&mut client, &mut server).await.ok();
            return;
        }
    }
}
