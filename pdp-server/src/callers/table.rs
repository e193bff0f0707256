//! Which role each method and each route needs: the one table. What is not in it is refused, and a
//! test holds it to everything that is served.
//!
//! What shows somebody's own answer again is `check`; what shows why, who else, or the policy itself
//! is `explain`; the lists of what one subject may do are the checks that they stand for. Reflection
//! tells what this project publishes, to any caller. Metrics name every tenant, which is for a role
//! of their own that gives nothing else.

use pdp_bundle::callers::Role;

/// What a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: nobody has to say who they are.
    Nothing,
    /// Any caller may.
    Caller,
    /// The role, for the tenant that the request names.
    Tenant(Role),
    /// The role, for every tenant there is and will be.
    Server(Role),
}

const CHECK: Need = Need::Tenant(Role::Check);
const EXPLAIN: Need = Need::Tenant(Role::Explain);
const WRITE: Need = Need::Tenant(Role::Write);
const SESSION: Need = Need::Tenant(Role::Session);
const ADMIN: Need = Need::Tenant(Role::Admin);
const SERVER: Need = Need::Server(Role::Admin);

/// What each gRPC method needs, by its path; the most frequent first.
pub(super) const METHODS: &[(&str, Need)] = &[
    ("/pdp.v1.DecisionService/Check", CHECK),
    ("/envoy.service.auth.v3.Authorization/Check", CHECK),
    ("/pdp.v1.DecisionService/BatchCheck", CHECK),
    ("/pdp.v1.DecisionService/CheckStream", CHECK),
    ("/pdp.v1.DecisionService/CheckDelegation", CHECK),
    ("/pdp.v1.DecisionService/ListPermissions", CHECK),
    ("/pdp.v1.DecisionService/ListResources", CHECK),
    ("/pdp.v1.DecisionService/Explain", EXPLAIN),
    ("/pdp.v1.DecisionService/ExplainDelegation", EXPLAIN),
    ("/pdp.v1.DecisionService/ListSubjects", EXPLAIN),
    ("/pdp.v1.DecisionService/ListApprovers", EXPLAIN),
    ("/pdp.v1.DecisionService/WatchPermissions", EXPLAIN),
    ("/pdp.v1.PolicyService/Apply", WRITE),
    ("/pdp.v1.PolicyService/Import", WRITE),
    ("/pdp.v1.PolicyService/Export", EXPLAIN),
    ("/pdp.v1.PolicyService/Get", EXPLAIN),
    ("/pdp.v1.PolicyService/List", EXPLAIN),
    ("/pdp.v1.PolicyService/Watch", EXPLAIN),
    ("/pdp.v1.SessionService/Open", SESSION),
    ("/pdp.v1.SessionService/Renew", SESSION),
    ("/pdp.v1.SessionService/Close", SESSION),
    ("/pdp.v1.SessionService/Get", SESSION),
    ("/pdp.v1.SessionService/List", SESSION),
    ("/pdp.v1.SessionService/WatchRevocations", SESSION),
    ("/pdp.v1.SessionService/AcknowledgeRevocation", SESSION),
    ("/pdp.v1.SessionService/ForceEnd", ADMIN),
    // The chain of the server itself is of every tenant: the handler asks for that.
    ("/pdp.v1.AuditService/List", ADMIN),
    ("/pdp.v1.AuditService/Verify", ADMIN),
    ("/pdp.v1.TenantService/Create", SERVER),
    ("/pdp.v1.TenantService/Delete", SERVER),
    ("/pdp.v1.TenantService/List", SERVER),
    ("/grpc.health.v1.Health/Check", Need::Nothing),
    ("/grpc.health.v1.Health/Watch", Need::Nothing),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::Caller),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Need::Caller),
];

/// What each HTTP route needs, by its template. What a tenant is asked under its own prefix needs what
/// it needs without.
pub(super) const ROUTES: &[(&str, Need)] = &[
    ("/access/v1/evaluation", CHECK),
    ("/access/v1/evaluations", CHECK),
    ("/access/v1/search/resource", CHECK),
    ("/access/v1/search/action", CHECK),
    ("/access/v1/search/subject", EXPLAIN),
    // The same for everybody, and it tells nothing of which tenants there are.
    ("/.well-known/authzen-configuration", Need::Nothing),
    ("/.well-known/authzen-configuration/{*path}", Need::Nothing),
    ("/healthz/live", Need::Nothing),
    ("/healthz/ready", Need::Nothing),
    ("/metrics", Need::Server(Role::Metrics)),
    // All of every tenant's policy, sessions and audit.
    ("/admin/backup", SERVER),
    ("/admin/compact", SERVER),
];

/// Where a tenant's routes are.
pub(crate) const TENANT_PREFIX: &str = "/t/{tenant}";

// === impl Need ===

impl Need {
    /// Whether it is answered whatever there is to do. Metrics are needed most where there is too much; how
    /// many are made at once is bounded where they are made.
    pub(super) const fn is_never_shed(self) -> bool {
        matches!(self, Self::Nothing | Self::Server(Role::Metrics))
    }

    /// What a gRPC method needs; `None` if the table has no such method.
    pub(crate) fn of_method(path: &str) -> Option<Self> {
        // Lengths differ, so that hardly any two paths are compared byte by byte.
        METHODS.iter().find(|(method, _)| *method == path).map(|(_, need)| *need)
    }

    /// What a route needs; `None` if the table has no such route.
    pub(crate) fn of_route(template: &str) -> Option<Self> {
        let template = template.strip_prefix(TENANT_PREFIX).unwrap_or(template);
        ROUTES.iter().find(|(route, _)| *route == template).map(|(_, need)| *need)
    }
}

#[cfg(test)]
mod tests;
