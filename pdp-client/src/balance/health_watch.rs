//! Watching a server's health, for as long as there are others to ask: a server that drains says so before it
//! goes, and one that is back says so before a call has to try it.

use std::sync::Arc;
use std::time::Duration;

use pdp_proto::v1::decision_service_server::SERVICE_NAME as DECISION;
use tokio::time::{Instant, sleep};
use tonic::Request;
use tonic_health::pb::HealthCheckRequest;

use super::Ejection;
use super::subchannel::{Subchannel, Told};
use crate::call::{Error, random_part};
use crate::client::MAX_DEADLINE;
use crate::credentials::Authorization;
use crate::health::Health;

/// Watches for ever; ends where the server has no health to watch.
///
/// What is watched is whether it decides: a server whose store takes no writes goes on deciding, and says of
/// writes itself that they have to go elsewhere.
pub(super) async fn watch(
    subchannel: Arc<Subchannel>,
    authorization: Arc<Authorization>,
    ejection: Ejection,
) {
    let (mut failures, mut heard) = (0_u32, false);
    loop {
        let begun = Instant::now();
        let error = hear(&subchannel, &authorization, &mut heard).await;
        if !heard && error.is_final() {
            subchannel.tell(Told::Nothing);
            return;
        }
        // One that is on its way out has no services any more.
        let gone = error.is_away() || error.is_final();
        subchannel.tell(if gone { Told::Lost } else { Told::Nothing });
        let pause = if begun.elapsed() >= ejection.base_time {
            // It lasted. Connections end now and then, and are made again.
            failures = 0;
            Duration::ZERO
        } else {
            failures = failures.saturating_add(1);
            ejection.pause(failures, random_part())
        };
        let asked = error.retry_delay().unwrap_or_default().min(MAX_DEADLINE);
        sleep(pause.max(asked)).await;
    }
}

/// Passes on what the server says, until it says no more.
async fn hear(subchannel: &Subchannel, authorization: &Authorization, heard: &mut bool) -> Error {
    let mut request = Request::new(HealthCheckRequest { service: DECISION.to_owned() });
    if let Err(error) = authorization.put(&mut request) {
        return error;
    }
    let mut told = match subchannel.health().watch(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Error::from_status(subchannel.address(), &status),
    };
    loop {
        match told.message().await {
            Ok(Some(response)) => {
                *heard = true;
                subchannel.tell(match Health::from(response) {
                    Health::Serving => Told::Serving,
                    Health::NotServing | Health::Unknown => Told::NotServing,
                });
            }
            Ok(None) => return Error::lost(subchannel.address(), "the watch of its health ended"),
            Err(status) => return Error::from_status(subchannel.address(), &status),
        }
    }
}
