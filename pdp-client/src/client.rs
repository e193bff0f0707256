//! A client: connections to servers, and the settings that its calls share.

use std::sync::Arc;
use std::time::Duration;

use tonic::Request;

use crate::balance::{Balancer, Stay};
use crate::builder::Builder;
use crate::call::Error;
use crate::credentials::Authorization;
use crate::decision::Revision;
use crate::fail_open::FailOpen;
use crate::retry::{Balance, Retries};

/// How long a call takes at most, its retries included, unless told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The longest deadline: a longer one is cut to it. Nothing that a server does takes a day.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The largest message accepted from a server, in bytes: one of a thousand large groups fits,
/// and a broken server cannot fill the memory.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A client of one server, or of several that share one policy. Cloning it is cheap and shares the connections,
/// which are made again by themselves when they break.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    settings: Settings,
    stay: Option<Stay>,
}

/// What the clones of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) balancer: Balancer,
    pub(crate) authorization: Arc<Authorization>,
    pub(crate) budget: Balance,
    pub(crate) fail_open: FailOpen,
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) tenant: Arc<str>,
    pub(crate) deadline: Duration,
    pub(crate) at_least: Revision,
    pub(crate) retries: Retries,
    pub(crate) hedge_after: Option<Duration>,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: Arc::from(""),
            deadline: DEFAULT_DEADLINE,
            at_least: Revision::default(),
            retries: Retries::default(),
            hedge_after: None,
        }
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(shared: Shared, settings: Settings) -> Self {
        Self { shared: Arc::new(shared), settings, stay: None }
    }

    /// Connects to a server, such as `http://127.0.0.1:7070`, with every setting at its default.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(endpoint: impl Into<String>) -> Result<Self, Error> {
        Self::builder(endpoint).connect().await
    }

    /// Begins a client of the server at this address; of several with [`Builder::endpoint`].
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint.into())
    }

    /// The same client for calls about another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: impl Into<Arc<str>>) -> Self {
        let settings = Settings { tenant: tenant.into(), ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// The same client for calls with another deadline, [`MAX_DEADLINE`] at most.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        let settings = Settings { deadline: deadline.min(MAX_DEADLINE), ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// The same client for questions that must be answered from this revision or a later one. The
    /// server waits for it within the deadline.
    #[must_use]
    pub fn at_least(&self, revision: Revision) -> Self {
        let settings = Settings { at_least: revision, ..self.settings.clone() };
        Self { settings, ..self.clone() }
    }

    /// The same client for the pages of one list, which come from one server for as long as that can be reached.
    pub(crate) fn for_pages(&self) -> Self {
        Self { stay: Some(Stay::new()), ..self.clone() }
    }

    /// The address of the server; of several the one that was named first.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.endpoints().next().unwrap_or_default()
    }

    /// The addresses of the servers, in the order in which they were named.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.shared.balancer.subchannels().iter().map(|subchannel| subchannel.address())
    }

    /// The tenant that calls are about; empty means `default`.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.settings.tenant
    }

    /// Puts on a request what proves who calls.
    pub(crate) fn authorize<T>(&self, request: &mut Request<T>) -> Result<(), Error> {
        self.shared.authorization.put(request)
    }

    pub(crate) const fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    pub(crate) const fn oldest(&self) -> Revision {
        self.settings.at_least
    }

    pub(crate) const fn retries(&self) -> Retries {
        self.settings.retries
    }

    pub(crate) const fn hedge_after(&self) -> Option<Duration> {
        self.settings.hedge_after
    }

    pub(crate) const fn stay(&self) -> Option<&Stay> {
        self.stay.as_ref()
    }

    pub(crate) fn balancer(&self) -> &Balancer {
        &self.shared.balancer
    }

    pub(crate) fn budget(&self) -> &Balance {
        &self.shared.budget
    }

    pub(crate) fn fail_open(&self) -> &FailOpen {
        &self.shared.fail_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_in_words() {
        for (address, why) in [
            ("", "it does not begin with `http://` or `https://`"),
            ("127.0.0.1:7070", "it does not begin with `http://` or `https://`"),
            ("http://", "empty string"),
            ("http://pdp:99999", "its port is not a number from 0 to 65535"),
            ("http://[::1]:", "its port is not a number from 0 to 65535"),
            ("ftp://pdp", "it does not begin with `http://` or `https://`"),
        ] {
            let error = Client::builder(address).connect_lazy().unwrap_err();
            let expected = format!(
                "`{address}` is not the address of a server: {why}; write it like `http://127.0.0.1:7070`"
            );
            assert_eq!(error.to_string(), expected);
        }
        assert!(Client::builder("http://[::1]").connect_lazy().is_ok());
        let agent = Client::builder("http://pdp").user_agent("a\nb").connect_lazy();
        assert_eq!(agent.unwrap_err().to_string(), "`a\\nb` is not a user agent");
    }

    #[tokio::test]
    async fn nobody_at_the_address_is_told_with_the_address() {
        // A port that was just free: bound and let go again.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = format!("http://{free}");
        let expected = format!("cannot reach {address}: connection refused");
        let error = Client::connect(address.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        let lazy = Client::builder(address).retries(Retries::NONE).connect_lazy().unwrap();
        let error = lazy.list_tenants().next().await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }

    #[tokio::test]
    async fn a_variation_of_a_client_leaves_the_client_alone() {
        let client = Client::builder("http://pdp").tenant("a").connect_lazy().unwrap();
        let other = client.for_tenant("b").with_deadline(Duration::MAX).at_least(Revision::new(3));
        assert_eq!(
            (other.tenant(), other.deadline(), other.oldest().get()),
            ("b", MAX_DEADLINE, 3)
        );
        assert_eq!(
            (client.tenant(), client.deadline(), client.oldest().get()),
            ("a", DEFAULT_DEADLINE, 0)
        );
    }
}
