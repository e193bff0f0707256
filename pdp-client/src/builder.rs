//! What a client is told before it is one: where its servers are, how it proves who it is, and how it calls.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::balance::{Balancer, Ejection, MAX_ENDPOINTS, Subchannel};
use crate::call::{Error, cause_in_words};
use crate::client::{Client, MAX_DEADLINE, Settings, Shared};
use crate::credentials::{Bearer, Files};
use crate::fail_open::FailOpen;
use crate::retry::{Balance, Retries, RetryBudget};

/// How long connecting takes at most, unless told otherwise.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the other end of a connection with calls is asked whether it is there, and how long it may take to
/// say so: a machine that is gone says nothing, and would be waited for until every deadline is over.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The settings of a client to be.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    endpoint: String,
    others: Vec<String>,
    ejection: Ejection,
    connect_timeout: Duration,
    user_agent: String,
    bearer: Bearer,
    files: Files,
    budget: RetryBudget,
    fail_open: FailOpen,
    settings: Settings,
}

// === impl Builder ===

impl Builder {
    pub(crate) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            others: Vec::new(),
            ejection: Ejection::default(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            user_agent: concat!("pdp-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            bearer: Bearer::None,
            files: Files::default(),
            budget: RetryBudget::default(),
            fail_open: FailOpen::none(),
            settings: Settings::default(),
        }
    }

    /// One more server, which has the same policy as the first: calls are spread over those that can be reached.
    /// [`MAX_ENDPOINTS`] at most. Credentials and certificates are the same for all.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.others.push(endpoint.into());
        self
    }

    /// Several more of them.
    pub fn endpoints<I>(mut self, endpoints: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.others.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// How long a server is left out that cannot be reached, where there are several.
    pub fn ejection(mut self, ejection: Ejection) -> Self {
        self.ejection = ejection;
        self
    }

    /// The tenant that every call is about; empty means `default`.
    pub fn tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.settings.tenant = tenant.into();
        self
    }

    /// How long each call takes at most, its retries included: [`DEFAULT_DEADLINE`] unless set,
    /// [`MAX_DEADLINE`] at most.
    ///
    /// [`DEFAULT_DEADLINE`]: crate::DEFAULT_DEADLINE
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

    /// How many requests are sent at most beyond one a call: by retries and hedges together, over all clones.
    pub fn retry_budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Hedges reads: where a check, an explanation, a page of a list or another read has no answer after this
    /// time, it is sent to another server, too, and whoever answers first is heard. Off unless set; it needs
    /// several servers, and takes from the budget of retries. What changes something is never sent so.
    ///
    /// Take a time within which nearly all answers come, such as the 99th percentile.
    pub fn hedge_after(mut self, after: Duration) -> Self {
        self.settings.hedge_after = Some(after);
        self
    }

    /// What [`Client::check_or_fail_open`] lets through where no server can be reached. Nothing unless set, and
    /// nothing of this concerns any other call.
    pub fn fail_open(mut self, list: FailOpen) -> Self {
        self.fail_open = list;
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

    /// Connects; where there are several servers, until one of them is there.
    ///
    /// # Errors
    /// [`Error::Setting`] if an address or the list of [`Builder::fail_open`] cannot be used,
    /// [`Error::Unreachable`] if nobody answers there in time.
    pub async fn connect(self) -> Result<Client, Error> {
        let targets = self.targets()?;
        let mut connecting = JoinSet::new();
        for (index, (address, endpoint)) in targets.iter().enumerate() {
            let (address, endpoint) = (address.clone(), endpoint.clone());
            connecting.spawn(async move {
                let unreachable = |error| Error::lost(&address, &cause_in_words(&error));
                (index, endpoint.connect().await.map_err(unreachable))
            });
        }
        let mut failed = None;
        while let Some(ended) = connecting.join_next().await {
            match ended {
                Ok((index, Ok(channel))) => return self.client(targets, Some((index, channel))),
                Ok((index, Err(error))) => {
                    // Of several that cannot be reached the one that was named first is told of.
                    if failed.as_ref().is_none_or(|(of, _)| index < *of) {
                        failed = Some((index, error));
                    }
                }
                // It was not told to end, and does not panic.
                Err(_) => {}
            }
        }
        Err(failed.map_or_else(
            || Error::lost(&self.endpoint, "the attempt to connect was given up"),
            |(_, error)| error,
        ))
    }

    /// Connects with the first call, so that a server may start after its clients.
    ///
    /// # Errors
    /// [`Error::Setting`] if an address or the list of [`Builder::fail_open`] cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect_lazy(self) -> Result<Client, Error> {
        let targets = self.targets()?;
        self.client(targets, None)
    }

    /// Where to connect to.
    fn targets(&self) -> Result<Vec<(String, Endpoint)>, Error> {
        self.fail_open.validate()?;
        let addresses: Vec<&String> = std::iter::once(&self.endpoint).chain(&self.others).collect();
        if addresses.len() > MAX_ENDPOINTS {
            let message = format!(
                "a client has up to {MAX_ENDPOINTS} endpoints, and these are {}",
                addresses.len()
            );
            return Err(Error::Setting { message });
        }
        let mut targets: Vec<(String, Endpoint)> = Vec::with_capacity(addresses.len());
        for address in addresses {
            if targets.iter().any(|(other, _)| other == address) {
                let message = format!("the endpoint `{address}` is named twice");
                return Err(Error::Setting { message });
            }
            targets.push((address.clone(), self.target(address)?));
        }
        Ok(targets)
    }

    fn target(&self, address: &str) -> Result<Endpoint, Error> {
        let unusable = |why: &str| Error::Setting {
            message: format!(
                "`{address}` is not the address of a server: {why}; write it like `http://127.0.0.1:7070`"
            ),
        };
        let secret = address.starts_with("https://");
        if !secret && !address.starts_with("http://") {
            return Err(unusable("it does not begin with `http://` or `https://`"));
        }
        if !secret && !self.files.is_empty() {
            return Err(unusable("there are no certificates without `https://`"));
        }
        let endpoint = Endpoint::from_shared(address.to_owned())
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
        let endpoint = endpoint
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        endpoint.user_agent(self.user_agent.clone()).map_err(|_| Error::Setting {
            message: format!("`{}` is not a user agent", self.user_agent.escape_debug()),
        })
    }

    /// The client of these servers, one of which may be connected to.
    fn client(
        self,
        targets: Vec<(String, Endpoint)>,
        connected: Option<(usize, Channel)>,
    ) -> Result<Client, Error> {
        let uris: Vec<_> = targets.iter().map(|(_, endpoint)| endpoint.uri().clone()).collect();
        let authorization = Arc::new(self.bearer.authorization(&uris)?);
        let subchannel = |(index, (address, endpoint)): (usize, (String, Endpoint))| {
            let channel = match &connected {
                Some((of, channel)) if *of == index => channel.clone(),
                _ => endpoint.connect_lazy(),
            };
            Subchannel::new(address, channel)
        };
        let mut subchannels = targets.into_iter().enumerate().map(subchannel);
        let Some(first) = subchannels.next() else {
            return Err(Error::Setting { message: "a client needs an endpoint".to_owned() });
        };
        let mut balancer = Balancer::new(first, subchannels.collect(), self.ejection);
        balancer.watch_health(&authorization);
        let budget = Balance::new(self.budget);
        let shared = Shared { balancer, authorization, budget, fail_open: self.fail_open };
        Ok(Client::new(shared, self.settings))
    }
}
