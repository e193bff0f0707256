//! Whether a server serves, by the standard health protocol.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use tokio::time::sleep;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::attempt::Repeat;
use crate::balance::{Load, Picked, Subchannel};
use crate::call::{Deadline, Error, random_part};
use crate::client::Client;
use crate::retry::Retries;

/// What a server says about itself or one of its services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// It answers.
    Serving,
    /// It is starting, or about to stop.
    NotServing,
    /// It says something else.
    Unknown,
}

// === impl Health ===

impl Health {
    /// The status in the words of the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "SERVING",
            Self::NotServing => "NOT_SERVING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl From<HealthCheckResponse> for Health {
    fn from(response: HealthCheckResponse) -> Self {
        let HealthCheckResponse { status } = response;
        match ServingStatus::try_from(status) {
            Ok(ServingStatus::Serving) => Self::Serving,
            Ok(ServingStatus::NotServing) => Self::NotServing,
            Ok(ServingStatus::Unknown | ServingStatus::ServiceUnknown) | Err(_) => Self::Unknown,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Client ===

impl Client {
    /// Asks whether a service serves, such as `pdp.v1.DecisionService`; empty: the server as such. Of several
    /// servers one is asked that can be reached.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NOT_FOUND` if the server has no such service.
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        let request = || HealthCheckRequest { service: service.to_owned() };
        let send = |server: &Subchannel, request| {
            let mut service = server.health();
            async move { service.check(request).await }
        };
        self.unary(Repeat::Idempotent, request, send).await.map(Health::from)
    }

    /// Waits until a service serves, such as after a start; empty: the server as such. A server that
    /// cannot be reached yet is waited for ([`crate::Builder::connect_lazy`]), and so is a service
    /// that the server does not have. Of several servers one has to serve.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::DeadlineExceeded`] if it does not within the client's
    /// deadline.
    pub async fn wait_until_serving(&self, service: &str) -> Result<(), Error> {
        let deadline = self.start();
        let mut attempt = 1;
        loop {
            let error = match self.first_serving(deadline, service).await {
                Ok(Health::Serving) => return Ok(()),
                // The server has ended; another may begin.
                Ok(Health::NotServing | Health::Unknown) => deadline.exceeded(self.endpoint()),
                Err(error) if error.code() == Code::Unavailable => error,
                Err(error) => return Err(error),
            };
            let pause = Retries::default().pause(attempt, random_part(), None);
            if pause >= deadline.remaining() {
                return Err(error);
            }
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// What the first server says that serves; where none does before the watches end, what the last of them
    /// came to.
    async fn first_serving(&self, deadline: Deadline, service: &str) -> Result<Health, Error> {
        let watches = self.balancer().each(Load::Stream);
        let mut watches: Vec<_> =
            watches.map(|server| Some(Box::pin(self.watch(deadline, server, service)))).collect();
        let mut last = None;
        poll_fn(|context| {
            for slot in &mut watches {
                let Some(watch) = slot else { continue };
                match watch.as_mut().poll(context) {
                    Poll::Ready(Ok(Health::Serving)) => {
                        return Poll::Ready(Some(Ok(Health::Serving)));
                    }
                    Poll::Ready(told) => (*slot, last) = (None, Some(told)),
                    Poll::Pending => {}
                }
            }
            match watches.iter().all(Option::is_none) {
                true => Poll::Ready(last.take()),
                false => Poll::Pending,
            }
        })
        .await
        .unwrap_or_else(|| Err(deadline.exceeded(self.endpoint())))
    }

    /// The last thing that a server says of a service: that it serves, or what it said before the
    /// watch ended.
    async fn watch(
        &self,
        deadline: Deadline,
        server: Picked,
        service: &str,
    ) -> Result<Health, Error> {
        let request = || HealthCheckRequest { service: service.to_owned() };
        let send = |server: &Subchannel, request| {
            let mut service = server.health();
            async move { service.watch(request).await }
        };
        let (response, server) = self.once(deadline, server, request, send).await?;
        let mut told = response.into_inner();
        let mut last = Health::Unknown;
        while let Some(response) = deadline.wait(server.address(), told.message()).await? {
            last = Health::from(response);
            if last == Health::Serving {
                break;
            }
        }
        Ok(last)
    }
}
