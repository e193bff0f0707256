//! Who may call a server, how they prove it, and what they may do there: the file that people write
//! ([`Callers::parse`]). It holds no secrets: of a key only its hash stands here.
//!
//! Nothing here verifies a proof; nothing here knows which request needs which role.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use pdp_engine::id::TenantId;
use pdp_engine::time::Timestamp;

pub use read::{MAX_CALLERS, MAX_CALLERS_BYTES, MAX_ISSUERS};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Ask whether somebody may do something.
    Check,
    /// See why, who else may, and what the policy holds.
    Explain,
    /// Change the policy.
    Write,
    /// Open, renew and end privileged sessions.
    Session,
    /// Read the audit, end sessions by force, and manage tenants.
    Admin,
    /// Read the server's metrics. It is given for every tenant or not at all.
    Metrics,
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u8);

/// Which roles somebody has where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    everywhere: Roles,
    tenants: BTreeMap<TenantId, Roles>,
}

/// Everybody who may call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Callers {
    /// Those who prove themselves with a key or a certificate.
    pub callers: Vec<Caller>,
    /// Those whose tokens are taken.
    pub issuers: Vec<Issuer>,
}

/// Somebody who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name in logs.
    pub name: Box<str>,
    /// The keys that are good, several at a time while one is replaced by another.
    pub keys: Vec<Key>,
    /// The names in certificates that mean this caller.
    pub certificates: Vec<CertificateName>,
    /// What they may do.
    pub grants: Grants,
}

/// A key of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The part that may be known.
    pub id: Box<str>,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// It is good before this.
    pub valid_until: Option<Timestamp>,
}

/// A subject alternative name of a certificate (RFC 5280, section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A URI, such as a SPIFFE id; compared byte by byte.
    Uri(Box<str>),
    /// A DNS name, in lower case.
    Dns(Box<str>),
}

/// An OpenID provider whose tokens are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// The claim `iss`, byte by byte.
    pub issuer: Box<str>,
    /// One of these must be in the claim `aud`.
    pub audiences: Vec<Box<str>>,
    /// How tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys are.
    pub keys: KeySource,
    /// The claim that names the caller in logs.
    pub caller: Vec<Box<str>>,
    /// What claims give.
    pub grants: Vec<ClaimGrant>,
}

/// Roles for whoever has a value in a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimGrant {
    /// The claim; more than one name for one inside another.
    pub claim: Vec<Box<str>>,
    /// The text that it is, or that one of its items is.
    pub is: Box<str>,
    /// What that gives.
    pub grants: Grants,
}

/// Where an issuer's keys are (a JWK set, RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address.
    Url {
        /// `https`, or `http` on loopback.
        url: Box<str>,
        /// The certificates that vouch for the address, instead of the system's.
        ca: Option<PathBuf>,
    },
}

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037). Neither `none` nor one with a shared
/// secret is among them: there a key that verifies could also sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA PKCS #1 with SHA-256.
    Rs256,
    /// RSA PKCS #1 with SHA-384.
    Rs384,
    /// RSA PKCS #1 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

// === impl Role ===

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Check, Self::Explain, Self::Write, Self::Session, Self::Admin, Self::Metrics];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Explain => "explain",
            Self::Write => "write",
            Self::Session => "session",
            Self::Admin => "admin",
            Self::Metrics => "metrics",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Roles ===

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);

    /// Whether a role is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

// === impl Grants ===

impl Grants {
    /// Whether a role is held for one tenant. Nothing is looked up for one that is held for all.
    #[must_use]
    pub fn has(&self, role: Role, tenant: &str) -> bool {
        self.everywhere.has(role) || self.tenants.get(tenant).is_some_and(|roles| roles.has(role))
    }

    /// Whether a role is held for every tenant there is and will be.
    #[must_use]
    pub const fn has_everywhere(&self, role: Role) -> bool {
        self.everywhere.has(role)
    }

    /// Whether a role is held for any tenant.
    #[must_use]
    pub fn has_somewhere(&self, role: Role) -> bool {
        self.everywhere.has(role) || self.tenants.values().any(|roles| roles.has(role))
    }

    /// These and those.
    pub fn extend(&mut self, others: &Self) {
        let Self { everywhere, tenants } = others;
        self.everywhere = self.everywhere.and(*everywhere);
        for (tenant, roles) in tenants {
            let held = self.tenants.entry(tenant.clone()).or_default();
            *held = held.and(*roles);
        }
    }

    /// Gives roles for one tenant, or for all if none is named.
    pub(crate) fn give(&mut self, tenant: Option<TenantId>, roles: Roles) {
        match tenant {
            None => self.everywhere = self.everywhere.and(roles),
            Some(tenant) => {
                let held = self.tenants.entry(tenant).or_default();
                *held = held.and(roles);
            }
        }
    }
}

// === impl Algorithm ===

impl Algorithm {
    /// Every algorithm with its name.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// The algorithm of a name in a token's header.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(word, _)| *word == name).map(|(_, algorithm)| algorithm)
    }
}
