//! From options to a connected client.

use std::future::Future;
use std::time::Duration;

use pdp_client::{Builder, Client};

use crate::args::Proof;
use crate::options::Server;
use crate::problem::Problem;

/// How long a question may take, unless told otherwise.
const QUESTION: Duration = Duration::from_secs(10);

/// How long reading or writing a whole policy may take, unless told otherwise.
const POLICY: Duration = Duration::from_secs(60);

/// How long an import may take, unless told otherwise: sending, applying and compiling millions of facts.
const IMPORT: Duration = Duration::from_secs(600);

// === impl Server ===

impl Server {
    /// Connects, to ask something small.
    pub(crate) async fn connect(&self) -> Result<Client, Problem> {
        self.connect_for(QUESTION).await
    }

    /// Connects, to read or write a policy.
    pub(crate) async fn connect_for_policy(&self) -> Result<Client, Problem> {
        self.connect_for(POLICY).await
    }

    /// Connects, to write a policy of any size.
    pub(crate) async fn connect_for_import(&self) -> Result<Client, Problem> {
        self.connect_for(IMPORT).await
    }

    /// Connects with the first call, so that the server may still have to start.
    pub(crate) fn connect_lazy(&self) -> Result<Client, Problem> {
        Ok(self.builder(QUESTION).connect_lazy()?)
    }

    async fn connect_for(&self, default: Duration) -> Result<Client, Problem> {
        Ok(self.builder(default).connect().await?)
    }

    fn builder(&self, default: Duration) -> Builder {
        let deadline = self.timeout.unwrap_or(default);
        let Proof { token, token_file, ca, server_name, cert, cert_key } = &self.proof;
        let mut builder = Client::builder(self.url.clone());
        if let Some(token) = token {
            builder = builder.token(token.reveal());
        } else if let Some(path) = token_file {
            builder = builder.token_file(path);
        }
        if let Some(path) = ca {
            builder = builder.ca(path);
        }
        if let Some(name) = server_name {
            builder = builder.server_name(name);
        }
        if let (Some(cert), Some(key)) = (cert, cert_key) {
            builder = builder.identity(cert, key);
        }
        builder
            .tenant(self.tenant.as_str())
            .user_agent(concat!("pdpctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(deadline.min(QUESTION))
            .deadline(deadline)
    }
}

/// Runs a task to its end on this thread.
pub(crate) fn block_on<T>(task: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Problem::Message(format!("cannot start: {error}")))?.block_on(task)
}
