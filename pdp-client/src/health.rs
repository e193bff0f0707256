//! Whether a server serves, by the standard health protocol.

use std::fmt;

use tokio::time::sleep;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

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
    /// Asks whether a service serves, such as `pdp.v1.DecisionService`; empty: the server as such.
    ///
    /// # Errors
    /// [`Error::Refused`] with the code `NOT_FOUND` if the server has no such service.
    pub async fn health(&self, service: &str) -> Result<Health, Error> {
        let request = || HealthCheckRequest { service: service.to_owned() };
        let send = |client: &Self, request| {
            let mut service = HealthClient::new(client.channel());
            async move { service.check(request).await }
        };
        self.unary(true, request, send).await.map(Health::from)
    }

    /// Waits until a service serves, such as after a start; empty: the server as such. A server that
    /// cannot be reached yet is waited for ([`crate::Builder::connect_lazy`]), and so is a service
    /// that the server does not have.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::DeadlineExceeded`] if it does not within the client's
    /// deadline.
    pub async fn wait_until_serving(&self, service: &str) -> Result<(), Error> {
        let deadline = self.start();
        let mut attempt = 1;
        loop {
            let error = match self.watch(deadline, service).await {
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

    /// The last thing that the server says of a service: that it serves, or what it said before the
    /// watch ended.
    async fn watch(&self, deadline: Deadline, service: &str) -> Result<Health, Error> {
        let request = || HealthCheckRequest { service: service.to_owned() };
        let send = |client: &Self, request| {
            let mut service = HealthClient::new(client.channel());
            async move { service.watch(request).await }
        };
        let mut told = self.attempts(deadline, false, request, send).await?.into_inner();
        let mut last = Health::Unknown;
        while let Some(response) = deadline.wait(self.endpoint(), told.message()).await? {
            last = Health::from(response);
            if last == Health::Serving {
                break;
            }
        }
        Ok(last)
    }
}
