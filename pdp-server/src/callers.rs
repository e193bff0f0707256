//! Who calls, and what they may do here. A request is let in by what its caller proves (a key, a token
//! of an OpenID provider, or a certificate), and gets a leave for one tenant where the tenant is known
//! (`Granted`): handlers cannot reach a policy without one.
//!
//! Finding out who calls takes no lock, writes no line and allocates nothing that grows with the
//! number of callers. Only a token that was not seen before has its signature verified.

mod asker;
mod fetch;
mod jwks;
mod key;
mod layer;
mod remembered;
mod ring;
mod standing;
mod table;
mod token;
mod told;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use pdp_bundle::BundleError;
use pdp_bundle::callers::{Caller, Callers, CertificateName, Issuer, Key};
use pdp_engine::time::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::admission::{Admission, Quotas};
use crate::clock::Clock;
use crate::telemetry::{Metrics, Reloaded, Unauthenticated};
use crate::tls::Peer;
use asker::Known;
pub(crate) use asker::{Asker, Everywhere, Forbidden, Granted};
pub(crate) use fetch::{FetchError, Wire, connect};
pub use key::NewKey;
pub(crate) use layer::{GateLayer, Side};
use ring::KeyRing;
pub(crate) use standing::{Lost, Standing};
pub(crate) use table::{Need, TENANT_PREFIX};
use token::Token;
use told::Failures;

/// How long a bearer token may be, in bytes: one with a hundred groups. A longer one is not looked at.
const MAX_TOKEN_BYTES: usize = 8 << 10;

/// What a bearer token stands behind (RFC 6750, section 2.1).
const BEARER: &[u8] = b"bearer ";

/// Why nobody knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("no credentials: send a bearer token, or a certificate that is known")]
    Missing,
    #[error("the credentials are not `Bearer` and one token of at most {MAX_TOKEN_BYTES} bytes")]
    Malformed,
    #[error("the credentials are not valid")]
    UnknownKey,
    #[error("the credentials are not valid")]
    WrongKey,
    #[error("the key is no longer valid")]
    ExpiredKey,
    #[error("the certificate is not of a caller of this server")]
    UnknownCertificate,
    #[error("the certificate is no longer valid")]
    ExpiredCertificate,
    #[error("the credentials are not valid")]
    MalformedToken,
    #[error("the credentials are not valid")]
    UnknownIssuer,
    #[error("the credentials are not valid")]
    Algorithm,
    #[error("the credentials are not valid")]
    Audience,
    #[error("the token is not valid at this time")]
    ExpiredToken,
    #[error("the credentials are not valid")]
    UnknownKeyId,
    #[error("the credentials are not valid")]
    Signature,
    #[error("too many tokens with wrong signatures; try again")]
    Busy,
}

// === impl Denied ===

impl Denied {
    /// The reason in metrics and logs, which tell operators more than callers are told.
    const fn label(self) -> Unauthenticated {
        use Unauthenticated as Label;
        match self {
            Self::Missing => Label::Missing,
            Self::Malformed => Label::Malformed,
            Self::UnknownKey => Label::UnknownKey,
            Self::WrongKey => Label::WrongKey,
            Self::ExpiredKey => Label::ExpiredKey,
            Self::UnknownCertificate => Label::UnknownCertificate,
            Self::ExpiredCertificate => Label::ExpiredCertificate,
            Self::MalformedToken => Label::MalformedToken,
            Self::UnknownIssuer => Label::UnknownIssuer,
            Self::Algorithm => Label::Algorithm,
            Self::Audience => Label::Audience,
            Self::ExpiredToken => Label::ExpiredToken,
            Self::UnknownKeyId => Label::UnknownKeyId,
            Self::Signature => Label::Signature,
            Self::Busy => Label::Busy,
        }
    }
}

/// Lets requests in.
pub(crate) struct Gate {
    /// `None`: nobody is asked who they are.
    file: Option<PathBuf>,
    known: ArcSwap<Registered>,
    clock: Clock,
    metrics: Arc<Metrics>,
    failures: Failures,
    quotas: Quotas,
}

/// Somebody, and when what proves them ends.
type Proven = (Arc<Known>, Option<Timestamp>);

/// Everybody who may call, by what proves them.
struct Registered {
    generation: u64,
    keys: HashMap<Box<str>, (Key, Arc<Known>)>,
    certificates: HashMap<CertificateName, Arc<Known>>,
    issuers: HashMap<Box<str>, (Issuer, Arc<KeyRing>)>,
}

/// Who calls.
struct Found {
    /// `None` where nobody is asked.
    known: Option<Arc<Known>>,
    /// When what proves them ends by itself.
    ends: Option<Timestamp>,
}

/// What is missing to say who calls.
enum Undecided {
    /// Nothing: they have no leave.
    Denied(Denied),
    /// A key of this issuer that may have been published since.
    KeyOf(Arc<KeyRing>),
}

// === impl Gate ===

impl Gate {
    /// Lets in those that a file names, or everybody where there is no file. Keys of issuers are
    /// fetched by tasks of the runtime at hand.
    pub(crate) fn new(
        callers: Option<(PathBuf, Callers)>,
        clock: Clock,
        metrics: Arc<Metrics>,
        admission: &Arc<Admission>,
    ) -> Self {
        let (file, callers) = callers.map_or((None, Callers::default()), |(f, c)| (Some(f), c));
        let quotas = Quotas::new(admission);
        let known = Registered::new(callers, &[], &quotas, &metrics);
        let failures = Failures::new(Arc::clone(&metrics));
        Self { file, known: ArcSwap::from_pointee(known), clock, metrics, failures, quotas }
    }

    /// The file of callers, to be watched.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Takes what was read from the file anew, or keeps what there is.
    pub(crate) fn reload(&self, read: Result<Callers, BundleError>) {
        match read {
            Ok(callers) => {
                let before = self.known.load();
                let rings: Vec<_> =
                    before.issuers.values().map(|(_, ring)| Arc::clone(ring)).collect();
                let read = Registered::new(callers, &rings, &self.quotas, &self.metrics);
                self.known.store(Arc::new(read));
                standing::changed();
                self.metrics.reloaded(Reloaded::Callers, true);
                tracing::info!("the callers were read");
            }
            Err(error) => {
                self.metrics.reloaded(Reloaded::Callers, false);
                tracing::error!(%error, "the file of callers is refused; the callers stay as they were");
            }
        }
    }

    /// Who sent a request.
    fn find(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Found, Undecided> {
        if self.file.is_none() {
            return Ok(Found { known: None, ends: None });
        }
        let known = self.known.load();
        let (found, ends) = match bearer(headers)? {
            Some(token) if key::is_key(token) => known.by_key(token, &self.clock)?,
            Some(token) => known.by_token(token, self.clock.now(), self)?,
            None => known.by_certificate(peer, &self.clock)?,
        };
        Ok(Found { known: Some(found), ends })
    }

    /// The same, after the keys of the issuer were fetched that a token names and nobody knew.
    async fn find_anew(
        &self,
        ring: Arc<KeyRing>,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Found, Denied> {
        if !ring.look_again().await {
            return Err(Denied::UnknownKeyId);
        }
        self.find(headers, peer).map_err(|undecided| match undecided {
            Undecided::Denied(denied) => denied,
            Undecided::KeyOf(_) => Denied::UnknownKeyId,
        })
    }
}

/// The one bearer token of a request, if there are credentials at all.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Denied> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = given.next() else { return Ok(None) };
    let value = value.as_bytes();
    if given.next().is_some() || value.len() > BEARER.len() + MAX_TOKEN_BYTES {
        return Err(Denied::Malformed);
    }
    let (scheme, token) = value.split_at_checked(BEARER.len()).ok_or(Denied::Malformed)?;
    if !scheme.eq_ignore_ascii_case(BEARER) || token.is_empty() {
        return Err(Denied::Malformed);
    }
    Ok(Some(token))
}

// === impl Registered ===

impl Registered {
    fn new(
        callers: Callers,
        rings: &[Arc<KeyRing>],
        quotas: &Quotas,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let Callers { callers, issuers } = callers;
        let (mut keys, mut certificates) = (HashMap::new(), HashMap::new());
        for caller in callers {
            let Caller { name, keys: theirs, certificates: names, grants } = caller;
            let quota = quotas.of("", &name);
            let known = Arc::new(Known { name, grants, quota });
            keys.extend(theirs.into_iter().map(|key| (key.id.clone(), (key, Arc::clone(&known)))));
            certificates.extend(names.into_iter().map(|name| (name, Arc::clone(&known))));
        }
        let ring = |issuer: &Issuer| {
            let kept = rings.iter().find(|ring| *ring.source() == issuer.keys);
            let new = || KeyRing::keep(issuer.keys.clone(), Arc::clone(metrics));
            kept.map_or_else(new, Arc::clone)
        };
        let issuers = issuers.into_iter().map(|issuer| {
            let ring = ring(&issuer);
            (issuer.issuer.clone(), (issuer, ring))
        });
        let generation = ring::next_generation();
        Self { generation, keys, certificates, issuers: issuers.collect() }
    }

    /// Whether there is a key of this id is no secret; the rest of it is compared as a whole.
    fn by_key(&self, token: &[u8], clock: &Clock) -> Result<Proven, Denied> {
        let id = key::id_of(token).ok_or(Denied::UnknownKey)?;
        let (key, known) = self.keys.get(id).ok_or(Denied::UnknownKey)?;
        if !bool::from(key::hash(token).ct_eq(&key.sha256)) {
            return Err(Denied::WrongKey);
        }
        match key.valid_until {
            Some(end) if clock.now() >= end => Err(Denied::ExpiredKey),
            ends => Ok((Arc::clone(known), ends)),
        }
    }

    /// The first name of the certificate that is known counts: URIs come before DNS names.
    fn by_certificate(&self, peer: Option<&Peer>, clock: &Clock) -> Result<Proven, Denied> {
        let certificate = peer.and_then(Peer::certificate).ok_or(Denied::Missing)?;
        if clock.now() >= certificate.valid_until {
            return Err(Denied::ExpiredCertificate);
        }
        let known = certificate.names.iter().find_map(|name| self.certificates.get(name));
        let known = known.map(Arc::clone).ok_or(Denied::UnknownCertificate)?;
        Ok((known, Some(certificate.valid_until)))
    }

    fn by_token(
        &self,
        token: &[u8],
        now: Timestamp,
        Gate { failures, quotas, .. }: &Gate,
    ) -> Result<Proven, Undecided> {
        let digest = key::hash(token);
        let fresh = |issuer: &str, keys: u64| {
            self.issuers.get(issuer).is_some_and(|(_, ring)| ring.generation() == keys)
        };
        if let Some((known, ends)) = remembered::find(&digest, self.generation, now, fresh) {
            return Ok((known, Some(ends)));
        }
        let text = std::str::from_utf8(token).map_err(|_| Denied::MalformedToken)?;
        let token = Token::parse(text)?;
        let (issuer, ring) = self.issuers.get(token.issuer()).ok_or(Denied::UnknownIssuer)?;
        token.plausible(issuer, now)?;
        let fetched = ring.keys().ok_or(Denied::UnknownKeyId)?;
        if fetched.keys.get(&token.key_id).is_none() {
            return Err(Undecided::KeyOf(Arc::clone(ring)));
        }
        failures.may_verify()?;
        token.is_signed(&fetched.keys).inspect_err(|denied| failures.verified(*denied))?;
        let token::Proved { name, grants, ends } = token.proves(issuer)?;
        let quota = quotas.of(&issuer.issuer, &name);
        let known = Arc::new(Known { name, grants, quota });
        let proof = remembered::Proof {
            callers: self.generation,
            keys: fetched.generation,
            issuer: issuer.issuer.clone(),
            ends,
            known: Arc::clone(&known),
        };
        remembered::keep(digest, proof, now);
        Ok((known, Some(ends)))
    }
}

impl From<Denied> for Undecided {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
