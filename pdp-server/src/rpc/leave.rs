//! The policy behind the doors. Nobody reaches it for a caller without that caller's leave: the role
//! that the table has for the request, held for the tenant that the request names.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::Extensions;
use pdp_engine::id::TenantId;
use tokio::sync::SetOnce;

use super::failure::Failure;
use super::malformed::{Malformed, name};
use super::named;
use crate::callers::{Asker, Everywhere, Granted, Standing};
use crate::publish::{Early, Publisher};

/// The policy, once it is loaded, and what is decided upon until then.
#[derive(Default)]
pub(super) struct Behind {
    publisher: SetOnce<Publisher>,
    early: ArcSwapOption<Early>,
}

/// The leave that a stream goes on by, for as long as its caller has it.
pub(super) struct Lasting {
    standing: Standing,
    tenant: Box<str>,
}

/// The leave of whoever sent a request, for the tenant that it names.
pub(crate) fn granted<'a>(
    extensions: &'a Extensions,
    tenant: &'a str,
) -> Result<Granted<'a>, Failure> {
    Ok(Asker::of(extensions)?.granted(named(tenant))?)
}

/// The leave of whoever sent a request that is about the server as a whole.
pub(super) fn everywhere(extensions: &Extensions) -> Result<Everywhere<'_>, Failure> {
    Ok(Asker::of(extensions)?.granted_everywhere()?)
}

/// The tenant that a leave is for. It may be no name yet.
pub(super) fn tenant_of(granted: Granted<'_>) -> Result<TenantId, Malformed> {
    name("tenant", granted.tenant(), TenantId::new)
}

// === impl Lasting ===

impl Lasting {
    /// For the tenant that a stream is about.
    pub(super) fn new(standing: Standing, tenant: &str) -> Self {
        Self { standing, tenant: named(tenant).into() }
    }

    /// The same leave now, or why the caller has it no more.
    pub(super) fn still(&mut self) -> Result<Granted<'_>, Failure> {
        self.standing.look()?;
        Ok(self.standing.asker().granted(&self.tenant)?)
    }
}

// === impl Behind ===

impl Behind {
    /// There is something to decide upon until the policy is there.
    pub(super) fn decide_upon(&self, early: Early) {
        self.early.store(Some(Arc::new(early)));
    }

    /// The policy is there.
    pub(super) fn open(&self, publisher: Publisher) {
        let early = self.early.load_full();
        // Before it goes: no request pays for dropping it.
        early.iter().for_each(|early| publisher.bury(early));
        // A second publisher is not taken: the first one stays what questions are answered from.
        self.publisher.set(publisher).ok();
        self.early.store(None);
    }

    /// For a caller with leave for one tenant, which nothing else may be done for.
    pub(super) fn by(&self, _: Granted<'_>) -> Result<&Publisher, Failure> {
        self.publisher.get().ok_or(Failure::Starting)
    }

    /// What is decided upon until the policy is there, for a caller with leave for one tenant.
    pub(super) fn early_by(&self, _: Granted<'_>) -> Option<Arc<Early>> {
        self.early.load_full()
    }

    /// Whether there is something to decide upon, and no policy yet.
    pub(super) fn is_early(&self) -> bool {
        self.publisher.get().is_none() && self.early.load().is_some()
    }

    /// Waits for the policy.
    pub(super) async fn opened(&self) {
        self.publisher.wait().await;
    }

    /// For a caller with leave for all.
    pub(super) fn by_everywhere(&self, _: Everywhere<'_>) -> Result<&Publisher, Failure> {
        self.publisher.get().ok_or(Failure::Starting)
    }

    /// For the server itself: what comes of it is no caller's answer.
    pub(super) fn by_nobody(&self) -> Option<&Publisher> {
        self.publisher.get()
    }
}
