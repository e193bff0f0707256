//! What health checks are told of the server as a whole and of each service, as `/healthz/ready` says it.

use std::sync::Arc;

use pdp_proto::ext_authz::authorization_server::SERVICE_NAME as AUTHORIZATION;
use pdp_proto::v1::audit_service_server::SERVICE_NAME as AUDIT;
use pdp_proto::v1::decision_service_server::SERVICE_NAME as DECISION;
use pdp_proto::v1::policy_service_server::SERVICE_NAME as POLICY;
use pdp_proto::v1::session_service_server::SERVICE_NAME as SESSION;
use pdp_proto::v1::tenant_service_server::SERVICE_NAME as TENANT;
use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::publish::Unready;

/// The services whose health is told by name.
const SERVICES: [&str; 7] = ["", AUDIT, AUTHORIZATION, DECISION, POLICY, SESSION, TENANT];

/// Those that need more of the policy than decisions do.
const LOADED: [&str; 4] = [AUDIT, POLICY, SESSION, TENANT];

/// Those that need a store that takes writes; among them the server as a whole.
const WRITING: [&str; 4] = ["", POLICY, SESSION, TENANT];

/// What health checks are told, all services together.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    told: Arc<Mutex<Told>>,
}

/// What was told last: those who watch hear of changes only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    NotYet,
    Up(Option<Unready>),
    /// Nothing changes that any more.
    Leaving,
}

// === impl Health ===

impl Health {
    /// Not serving yet.
    pub(crate) async fn not_serving_yet() -> Self {
        let health =
            Self { reporter: HealthReporter::new(), told: Arc::new(Mutex::new(Told::NotYet)) };
        health.tell(&SERVICES).await;
        health
    }

    /// Decisions are made; what stands in the way of asking this server.
    pub(crate) async fn up(&self, unready: Option<Unready>) {
        let mut told = self.told.lock().await;
        if matches!(*told, Told::Leaving) || *told == Told::Up(unready) {
            return;
        }
        *told = Told::Up(unready);
        let silent: &[&str] = match unready {
            None => &[],
            Some(Unready::Loading) => &LOADED,
            Some(Unready::ReadingOnly | Unready::Diverged) => &WRITING,
            Some(Unready::Stale) => &SERVICES,
        };
        self.tell(silent).await;
    }

    /// The server is on its way out.
    pub(crate) async fn draining(&self) {
        *self.told.lock().await = Told::Leaving;
        self.tell(&SERVICES).await;
    }

    /// Ends the streams of those who watch.
    pub(crate) async fn end(mut self) {
        for service in SERVICES {
            self.reporter.clear_service_status(service).await;
        }
    }

    /// All serve but for these.
    async fn tell(&self, silent: &[&str]) {
        for service in SERVICES {
            let status = match silent.contains(&service) {
                true => ServingStatus::NotServing,
                false => ServingStatus::Serving,
            };
            self.reporter.set_service_status(service, status).await;
        }
    }

    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}

#[cfg(test)]
mod tests {
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus as Told;
    use tonic_health::pb::health_server::Health as _;

    use super::*;

    async fn told(health: &Health) -> [bool; 3] {
        let service = HealthService::from_health_reporter(health.reporter.clone());
        let mut serve = [false; 3];
        for (serves, service_name) in serve.iter_mut().zip(["", DECISION, POLICY]) {
            let request = HealthCheckRequest { service: service_name.to_owned() };
            let answer = service.check(Request::new(request)).await.unwrap();
            *serves = answer.into_inner().status() == Told::Serving;
        }
        serve
    }

    #[tokio::test]
    async fn health_follows_readiness_there_and_back_until_the_server_leaves() {
        let health = Health::not_serving_yet().await;
        assert_eq!(told(&health).await, [false; 3]);
        for (unready, serve) in [
            (None, [true; 3]),
            (Some(Unready::Diverged), [false, true, false]),
            (Some(Unready::Stale), [false; 3]),
            (None, [true; 3]),
            (Some(Unready::ReadingOnly), [false, true, false]),
        ] {
            health.up(unready).await;
            assert_eq!(told(&health).await, serve, "{unready:?}");
        }
        health.draining().await;
        health.up(None).await;
        assert_eq!(told(&health).await, [false; 3]);
    }
}
