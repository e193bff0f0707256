//! `health`.

use pdp_client::Health;
use serde_json::json;

use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, GOOD, Screen, paint};

/// Asks whether the server, or one of its services, serves.
pub(crate) async fn health(
    server: &Server,
    service: &str,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let client = server.connect().await?;
    let health = client.health(service).await?;
    let (style, exit) = match health {
        Health::Serving => (GOOD, Exit::Success),
        Health::NotServing | Health::Unknown => (BAD, Exit::No),
    };
    let endpoint = client.endpoint();
    let of = if service.is_empty() { String::new() } else { format!(" {service}") };
    screen.answer(
        || format!("{}  {endpoint}{of}\n", paint(style, health.as_str())),
        || json!({"service": service, "status": health.as_str()}),
    )?;
    Ok(exit)
}
