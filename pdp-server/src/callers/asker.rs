//! Who asks, carried with a request from where they proved it to where the tenant is known; and the
//! leave that the handler gets there. Without a leave nobody reaches a policy: [`Granted`] and
//! [`Everywhere`] are made here only.

use std::fmt;
use std::sync::Arc;

use http::Extensions;
use pdp_bundle::callers::{Grants, Role};

use super::table::Need;
use crate::admission::Quota;
use crate::audit::CallerName;

/// Somebody who proved who they are.
pub(crate) struct Known {
    /// The name in logs.
    pub(super) name: Box<str>,
    /// What they may do.
    pub(super) grants: Grants,
    /// How much they may ask.
    pub(super) quota: Arc<Quota>,
}

/// Who sent a request, and what the request needs.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// `None` where this server asks nobody who they are.
    known: Option<Arc<Known>>,
    need: Need,
}

/// A caller has no leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Forbidden {
    /// They do not have the role.
    #[error("this takes the role `{role}` for tenant `{tenant}`, which the caller does not have")]
    Role {
        /// The role.
        role: Role,
        /// The tenant.
        tenant: Box<str>,
    },
    /// They have the role nowhere.
    #[error("this takes the role `{0}`, which the caller has for no tenant")]
    Nowhere(Role),
    /// They do not have the role everywhere.
    #[error("this takes the role `{0}` for every tenant, which the caller does not have")]
    Everywhere(Role),
    /// The request is for what no role gives.
    #[error("no role gives this")]
    NoRole,
}

/// The leave to do what a request is for, for one tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted<'a> {
    asker: &'a Asker,
    tenant: &'a str,
}

/// The leave to do what a request is for, for every tenant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Everywhere<'a> {
    asker: &'a Asker,
}

// === impl Known ===

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, grants, quota: _ } = self;
        f.debug_struct("Known").field("name", name).field("grants", grants).finish_non_exhaustive()
    }
}

// === impl Asker ===

impl Asker {
    /// A caller, or where nobody is asked, nobody in particular.
    pub(super) const fn new(known: Option<Arc<Known>>, need: Need) -> Self {
        Self { known, need }
    }

    /// The same request, of a caller who has changed.
    pub(super) const fn as_now(&self, known: Option<Arc<Known>>) -> Self {
        Self { known, need: self.need }
    }

    /// Who sent the request.
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, Forbidden> {
        // A request that came past the gate is a fault of this server, and gets nothing.
        extensions.get().ok_or(Forbidden::NoRole)
    }

    /// Whether the caller has a role for a tenant, for answers that say more to some.
    pub(crate) fn has(&self, role: Role, tenant: &str) -> bool {
        self.known.as_ref().is_none_or(|known| known.grants.has(role, tenant))
    }

    /// The leave to do what the request is for.
    pub(crate) fn granted<'a>(&'a self, tenant: &'a str) -> Result<Granted<'a>, Forbidden> {
        match self.need {
            Need::Tenant(role) => self.hold(role, tenant)?,
            Need::Server(_) => {
                self.granted_everywhere()?;
            }
            Need::Nothing | Need::Caller => return Err(Forbidden::NoRole),
        }
        Ok(Granted { asker: self, tenant })
    }

    /// The leave to do what the request is for, whatever the tenant.
    pub(crate) fn granted_everywhere(&self) -> Result<Everywhere<'_>, Forbidden> {
        let (Need::Tenant(role) | Need::Server(role)) = self.need else {
            return Err(Forbidden::NoRole);
        };
        match &self.known {
            Some(known) if !known.grants.has_everywhere(role) => Err(Forbidden::Everywhere(role)),
            Some(_) | None => Ok(Everywhere { asker: self }),
        }
    }

    fn hold(&self, role: Role, tenant: &str) -> Result<(), Forbidden> {
        if self.has(role, tenant) {
            return Ok(());
        }
        Err(Forbidden::Role { role, tenant: tenant.into() })
    }

    /// Refuses whom no tenant could be named to, before the request is read.
    pub(super) fn could(&self) -> Result<(), Forbidden> {
        let Some(known) = &self.known else { return Ok(()) };
        match self.need {
            Need::Tenant(role) if !known.grants.has_somewhere(role) => {
                Err(Forbidden::Nowhere(role))
            }
            Need::Server(role) if !known.grants.has_everywhere(role) => {
                Err(Forbidden::Everywhere(role))
            }
            Need::Nothing | Need::Caller | Need::Tenant(_) | Need::Server(_) => Ok(()),
        }
    }

    /// Says in the span at hand who calls.
    pub(crate) fn record(&self) {
        if let Some(known) = &self.known {
            tracing::Span::current().record("caller", &*known.name);
        }
    }

    /// Whether what they ask is answered whatever there is to do.
    pub(super) const fn is_never_shed(&self) -> bool {
        self.need.is_never_shed()
    }

    /// How much the caller may ask; `None` where nobody is asked who they are.
    pub(crate) fn quota(&self) -> Option<&Arc<Quota>> {
        self.known.as_ref().map(|known| &known.quota)
    }

    /// The caller's name in the audit.
    pub(crate) fn audited(&self) -> Option<CallerName> {
        CallerName::new(self.name())
    }

    /// The caller's name; empty where nobody is asked.
    pub(crate) fn name(&self) -> &str {
        self.known.as_ref().map_or("", |known| &known.name)
    }
}

// === impl Granted ===

impl<'a> Granted<'a> {
    /// The tenant that it is for.
    pub(crate) const fn tenant(self) -> &'a str {
        self.tenant
    }

    /// Who has it.
    pub(crate) const fn asker(self) -> &'a Asker {
        self.asker
    }

    /// The same, if the caller has one more role.
    pub(crate) fn with(self, role: Role) -> Result<Self, Forbidden> {
        self.asker.hold(role, self.tenant).map(|()| self)
    }
}

// === impl Everywhere ===

impl<'a> Everywhere<'a> {
    /// Who has it.
    pub(crate) const fn asker(self) -> &'a Asker {
        self.asker
    }
}
