//! Tenants come and go.

use std::sync::Arc;

use pdp_engine::id::TenantId;

use super::log::{Proposed, Tried};
use super::tenant::Tenant;
use super::{
    Broken, DEFAULT_TENANT, MAX_TENANTS, Publisher, TenantError, Tenants, UnknownTenant, broken,
};
use crate::audit::Chain;
use crate::session::Book;
use crate::store::Say;

// === impl Publisher ===

impl Publisher {
    /// Creates an empty tenant, at revision 0. It waits for the disk.
    ///
    /// # Errors
    /// [`TenantError`] if it exists or the store refuses.
    pub fn create_tenant(&self, id: &TenantId) -> Result<(), TenantError> {
        self.decided(id, || self.try_create(id))
    }

    fn try_create(&self, id: &TenantId) -> Result<Tried<()>, TenantError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        if tenants.contains_key(id) {
            return Err(TenantError::Exists(id.clone()));
        }
        if tenants.len() >= MAX_TENANTS {
            return Err(TenantError::TooMany(tenants.len()));
        }
        let stamp = self.stamp(self.0.clock.now());
        match self.propose(&Chain::Server, Say::TenantCreated(id), stamp, Vec::new())? {
            Proposed::Lost => return Ok(Tried::Lost),
            Proposed::Alone => self.0.store.create_tenant(id, stamp)?,
            Proposed::Logged(draft) => {
                let entry = draft.audit.first().ok_or(Broken)?;
                self.0.store.copy_tenant(id, entry, &draft.then)?;
            }
        }
        tenants.insert(id.clone(), Arc::new(Tenant::empty(id.clone())));
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        Ok(Tried::Done(()))
    }

    /// Deletes a tenant and everything of it. It waits for the disk, and for a writer of the
    /// tenant that is at work.
    ///
    /// # Errors
    /// [`TenantError`] if there is no such tenant, it is the default one, or the store refuses.
    pub fn delete_tenant(&self, id: &TenantId) -> Result<(), TenantError> {
        if id.as_str() == DEFAULT_TENANT {
            return Err(TenantError::Default);
        }
        self.decided(id, || self.try_delete(id))
    }

    fn try_delete(&self, id: &TenantId) -> Result<Tried<()>, TenantError> {
        let mut registry = self.0.registry.lock().map_err(broken)?;
        let mut tenants = Tenants::clone(&self.0.tenants.load());
        let tenant = tenants.remove(id).ok_or_else(|| UnknownTenant(id.to_string()))?;
        let mut writer = tenant.write()?;
        let mut turn = tenant.sessions.turn.lock().map_err(broken)?;
        let sessions = tenant.sessions.read(Book::unfinished)?;
        if sessions > 0 {
            return Err(TenantError::HasSessions { tenant: id.clone(), sessions });
        }
        let stamp = self.stamp(self.0.clock.now());
        match self.propose(&Chain::Server, Say::TenantDeleted(id), stamp, Vec::new())? {
            Proposed::Lost => return Ok(Tried::Lost),
            Proposed::Alone => self.0.store.delete_tenant(id, stamp)?,
            Proposed::Logged(draft) => {
                let entry = draft.audit.first().ok_or(Broken)?;
                self.0.store.copy_deletion(id, entry, &draft.then)?;
            }
        }
        (writer.deleted, turn.deleted) = (true, true);
        // What is old lives on for those who are looking at it.
        tenant.give_up(&mut registry.snapshots)?;
        registry.maps.bury(self.0.tenants.swap(Arc::new(tenants)));
        tenant.visible.send_replace(None);
        Ok(Tried::Done(()))
    }
}
