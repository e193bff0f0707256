//! What a gateway's own configuration says for a route, in its context extensions: `pdp.operation`
//! and the like stand for what the mapping would say. A client cannot set them. One that is not
//! understood is a mistake of the configuration, and nothing passes on a guess.

use std::borrow::Cow;

use pdp_engine::list::AnyPermission;
use pdp_engine::permission::PermissionKind;
use pdp_engine::query::PermissionRef;

use super::Object;
use crate::diagnostic::shown;
use crate::question::{FormError, OwnedSession, OwnedSubject};

/// The names that are ours begin so; all others are left to others.
const PREFIX: &str = "pdp.";

/// Why a gateway's own configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// A name that means nothing.
    #[error(
        "there is no context extension `{0}`; there are `pdp.tenant`, `pdp.subject`, `pdp.operation`, `pdp.right`, `pdp.vault_action`, `pdp.session`, `pdp.resource`, `pdp.counterpart`"
    )]
    Unknown(String),
    /// A value of the wrong form.
    #[error("the context extension `{name}` cannot be used: {source}")]
    Form {
        /// The extension.
        name: &'static str,
        /// What is wrong with it.
        source: FormError,
    },
    /// Two permissions.
    #[error(
        "the context extensions name two permissions; give one of `pdp.operation`, `pdp.right`, `pdp.vault_action` and `pdp.session`"
    )]
    TwoPermissions,
    /// A counterpart without an operation.
    #[error("a counterpart goes with an operation only")]
    Counterpart,
}

/// What is said instead of what the mapping says.
#[derive(Debug, Default)]
pub(super) struct Extensions<'a> {
    pub(super) tenant: Option<&'a str>,
    pub(super) subject: Option<OwnedSubject>,
    pub(super) permission: Option<AnyPermission<'a>>,
    pub(super) resource: Option<Object<'a>>,
    pub(super) counterpart: Option<Object<'a>>,
}

// === impl Extensions ===

impl<'a> Extensions<'a> {
    pub(super) fn read(
        given: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ExtensionError> {
        let mut read = Self::default();
        let access = |kind, name| AnyPermission::Access(PermissionRef { kind, name });
        for (name, value) in given.filter(|(name, _)| name.starts_with(PREFIX)) {
            match name {
                "pdp.tenant" => read.tenant = Some(value),
                "pdp.subject" => {
                    let subject = OwnedSubject::parse(value);
                    read.subject = Some(subject.map_err(|source| form("pdp.subject", source))?);
                }
                "pdp.operation" => read.asks(access(PermissionKind::Operation, value))?,
                "pdp.right" => read.asks(access(PermissionKind::Right, value))?,
                "pdp.vault_action" => read.asks(AnyPermission::Vault(value))?,
                "pdp.session" => {
                    read.asks(AnyPermission::Session(OwnedSession::level_named(value)))?;
                }
                "pdp.resource" => read.resource = Some(object("pdp.resource", value)?),
                "pdp.counterpart" => read.counterpart = Some(object("pdp.counterpart", value)?),
                _ => return Err(ExtensionError::Unknown(shown(name))),
            }
        }
        Ok(read)
    }

    /// Whether a question is asked, whatever the mapping says.
    pub(super) const fn ask(&self) -> bool {
        self.permission.is_some() || self.resource.is_some() || self.counterpart.is_some()
    }

    fn asks(&mut self, permission: AnyPermission<'a>) -> Result<(), ExtensionError> {
        match self.permission.replace(permission) {
            None => Ok(()),
            Some(_) => Err(ExtensionError::TwoPermissions),
        }
    }
}

fn form(name: &'static str, source: FormError) -> ExtensionError {
    ExtensionError::Form { name, source }
}

fn object<'a>(name: &'static str, value: &'a str) -> Result<Object<'a>, ExtensionError> {
    match value.split_once(':') {
        Some((type_name, id)) => Ok(Object { type_name, id: Cow::Borrowed(id), of_request: false }),
        None => Err(form(name, FormError::Object { shown: shown(value) })),
    }
}
