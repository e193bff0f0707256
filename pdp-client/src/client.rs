//! A connection to a server, and the settings that its calls share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pdp_proto::v1::audit_service_client::AuditServiceClient;
use pdp_proto::v1::decision_service_client::DecisionServiceClient;
use pdp_proto::v1::policy_service_client::PolicyServiceClient;
use pdp_proto::v1::session_service_client::SessionServiceClient;
use pdp_proto::v1::tenant_service_client::TenantServiceClient;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::call::{Error, cause_in_words};
use crate::credentials::{Authorization, Bearer, Files};
use crate::decision::Revision;
use crate::retry::{Budget, Retries};

/// How long a call takes at most, its retries included, unless told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The longest deadline: a longer one is cut to it. Nothing that a server does takes a day.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long connecting takes at most, unless told otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest message accepted from a server, in bytes: one of a thousand large groups fits,
/// and a broken server cannot fill the memory.
pub const MAX_RESPONSE_BYTES: usize = 64 << 20;

/// A client of one server. Cloning it is cheap and shares the connection, which is made again by
/// itself when it breaks.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
    authorization: Arc<Authorization>,
    endpoint: Arc<str>,
    budget: Arc<Budget>,
    settings: Settings,
}

/// The settings of a client to be.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    endpoint: String,
    connect_timeout: Duration,
    user_agent: String,
    bearer: Bearer,
    files: Files,
    settings: Settings,
}

#[derive(Debug, Clone)]
struct Settings {
    tenant: Arc<str>,
    deadline: Duration,
    at_least: Revision,
    retries: Retries,
}

// === impl Builder ===

impl Builder {
    /// The tenant that every call is about; empty means `default`.
    pub fn tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.settings.tenant = tenant.into();
        self
    }

    /// How long each call takes at most, its retries included: [`DEFAULT_DEADLINE`] unless set,
    /// [`MAX_DEADLINE`] at most.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline.min(MAX_DEADLINE);
        self
    }

    /// How long connecting takes at most: 5 seconds unless set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Names the calling program to the server, before this library's own name.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How calls that are safe to send twice are retried.
    pub fn retries(mut self, retries: Retries) -> Self {
        self.settings.retries = retries;
        self
    }

    /// Proves who calls with this token. It is sent with every call, over `https` or to loopback.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.bearer = Bearer::Token(token.into());
        self
    }

    /// Proves who calls with the token in a file, which is read again every few seconds, so that it
    /// can be replaced.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.bearer = Bearer::File(path.into());
        self
    }

    /// Takes a server for what it says it is if a certificate in this PEM file vouches for it, and not
    /// if only one of the system's does.
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.ca = Some(path.into());
        self
    }

    /// The name that the server's certificate has to have, where it is not that of the address.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.files.server_name = Some(name.into());
        self
    }

    /// Proves who calls with a certificate (mutual TLS): PEM files of it, and of its key.
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.files.identity = Some((cert.into(), key.into()));
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Setting`] if the address cannot be used, [`Error::Unreachable`] if nobody answers
    /// there in time.
    pub async fn connect(self) -> Result<Client, Error> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| Error::Unreachable {
            endpoint: self.endpoint.clone(),
            message: cause_in_words(&error),
        })?;
        self.client(channel)
    }

    /// Connects with the first call, so that a server may start after its clients.
    ///
    /// # Errors
    /// [`Error::Setting`] if the address cannot be used.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let channel = self.endpoint()?.connect_lazy();
        self.client(channel)
    }

    fn endpoint(&self) -> Result<Endpoint, Error> {
        let unusable = |why: &str| Error::Setting {
            message: format!(
                "`{}` is not the address of a server: {why}; write it like `http://127.0.0.1:7070`",
                self.endpoint
            ),
        };
        let secret = self.endpoint.starts_with("https://");
        if !secret && !self.endpoint.starts_with("http://") {
            return Err(unusable("it does not begin with `http://` or `https://`"));
        }
        if !secret && !self.files.is_empty() {
            return Err(unusable("there are no certificates without `https://`"));
        }
        let endpoint = Endpoint::from_shared(self.endpoint.clone())
            .map_err(|error| unusable(&cause_in_words(&error)))?;
        // A port that is none would otherwise count as no port, which means 80.
        let authority = endpoint.uri().authority().map_or("", |authority| authority.as_str());
        let after_host = authority.rsplit(']').next().unwrap_or(authority);
        if after_host.contains(':') && endpoint.uri().port_u16().is_none() {
            return Err(unusable("its port is not a number from 0 to 65535"));
        }
        let endpoint = match secret {
            false => endpoint,
            true => endpoint
                .tls_config(self.files.config()?)
                .map_err(|error| Error::Setting { message: cause_in_words(&error) })?,
        };
        let endpoint = endpoint.connect_timeout(self.connect_timeout);
        endpoint.user_agent(self.user_agent.clone()).map_err(|_| Error::Setting {
            message: format!("`{}` is not a user agent", self.user_agent.escape_debug()),
        })
    }

    fn client(self, channel: Channel) -> Result<Client, Error> {
        // It was an address, or there would be no channel.
        let uri = self.endpoint.parse().unwrap_or_default();
        Ok(Client {
            channel,
            authorization: Arc::new(self.bearer.authorization(&uri)?),
            endpoint: self.endpoint.into(),
            budget: Arc::new(Budget::full()),
            settings: self.settings,
        })
    }
}

// === impl Client ===

impl Client {
    /// Connects to a server, such as `http://127.0.0.1:7070`, with every setting at its default.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(endpoint: impl Into<String>) -> Result<Self, Error> {
        Self::builder(endpoint).connect().await
    }

    /// Begins a client of the server at this address.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder {
            endpoint: endpoint.into(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            user_agent: concat!("pdp-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            bearer: Bearer::None,
            files: Files::default(),
            settings: Settings {
                tenant: Arc::from(""),
                deadline: DEFAULT_DEADLINE,
                at_least: Revision::default(),
                retries: Retries::default(),
            },
        }
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

    /// The address of the server.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The tenant that calls are about; empty means `default`.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.settings.tenant
    }

    /// Puts on a request what proves who calls.
    pub(crate) fn authorize<T>(&self, request: &mut Request<T>) -> Result<(), Error> {
        self.authorization.put(request)
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

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn audits(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn session_calls(&self) -> SessionServiceClient<Channel> {
        SessionServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
    }

    pub(crate) fn tenants(&self) -> TenantServiceClient<Channel> {
        TenantServiceClient::new(self.channel()).max_decoding_message_size(MAX_RESPONSE_BYTES)
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
