//! The routes, asked without a socket.

use axum::Router;
use axum::body::to_bytes;
use pdp_engine::time::Timestamp;
use tower::Service as _;

use super::super::Ready;
use super::*;
use crate::callers::Gate;
use crate::clock::Clock;
use crate::decision_id::DecisionIds;
use crate::decision_log::DecisionLog;
use crate::rpc::{ImportLimits, Limits, Noting};
use crate::telemetry::{Metrics, Spans};

const QUESTION: &str = r#"{"subject": {"type": "user", "id": "a"}, "action": {"name": "read"},
    "resource": {"type": "T", "id": "1"}}"#;

pub(in crate::http) fn door() -> Arc<Door> {
    door_waiting(Duration::from_secs(1))
}

/// A door at which requests may wait so long.
pub(crate) fn door_waiting(max_wait: Duration) -> Arc<Door> {
    let clock = Clock::fixed(Timestamp::from_micros(0));
    let limits = Limits {
        max_message_bytes: 1 << 22,
        max_batch: crate::rpc::MAX_BATCH,
        max_changes: crate::rpc::MAX_CHANGES,
        max_running_lists: 1,
        pages: crate::rpc::PageSizes { plain: 10, explained: 10 },
        max_wait,
        max_live_streams: 1,
        max_check_streams: 1,
        check_stream_idle: Duration::from_secs(60),
        max_health_streams: 1,
        max_connection_health_streams: 1,
        imports: ImportLimits { at_once: 1, bytes: 1 << 20, time: Duration::from_secs(1) },
    };
    let noting = Noting {
        decision_ids: DecisionIds::new().unwrap(),
        log: DecisionLog::default(),
        spans: Spans::default(),
    };
    Door::new((clock, gate()), Arc::new(Metrics::new()), noting, limits)
}

/// Lets everybody in.
pub(crate) fn gate() -> Arc<Gate> {
    let clock = Clock::fixed(Timestamp::from_micros(0));
    let load = crate::admission::tests::unlimited();
    Arc::new(Gate::new(None, clock, Arc::new(Metrics::new()), load.all()))
}

pub(crate) fn options() -> Options {
    Options {
        public_url: None,
        access_request_url: None,
        person_types: PersonTypes::default(),
        max_evaluations: 10,
        max_body_bytes: 1 << 10,
        timeout: Duration::from_secs(60),
    }
}

async fn posted(routes: &mut Router, path: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    let response = routes.call(request.body(Body::from(QUESTION)).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn without_a_policy_nothing_is_decided() {
    let door = door();
    let here = tokio::runtime::Handle::current();
    let routes = Routes::new(Ready::default(), &door, Some(options()), &here);
    let mut routes = routes.behind(gate());
    let paths = ["evaluation", "evaluations", "search/subject", "search/resource", "search/action"];
    for path in paths {
        let (status, headers, said) = posted(&mut routes, &format!("/access/v1/{path}")).await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "the server is loading its policy\n")
        );
        assert_eq!(headers[header::RETRY_AFTER], "1");
    }
    // The server has gone, and a connection lingers.
    drop(door);
    for path in paths {
        let (status, _, said) = posted(&mut routes, &format!("/access/v1/{path}")).await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n")
        );
    }
}

#[test]
fn every_failure_has_its_status() {
    use Code::{
        Aborted, Internal, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted,
        Unauthenticated, Unavailable, Unknown,
    };
    for (code, status) in [
        (InvalidArgument, 400),
        (Unauthenticated, 401),
        (PermissionDenied, 403),
        (NotFound, 404),
        (ResourceExhausted, 429),
        (Unavailable, 503),
        (Aborted, 503),
        (Internal, 500),
        (Unknown, 500),
    ] {
        assert_eq!(Refused::Status(Status::new(code, "")).status().0.as_u16(), status);
    }
    assert_eq!(Refused::from(Failure::Internal).status().0.as_u16(), 500);
}
