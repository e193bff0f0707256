//! `health`.

use pdp_client::{Code, Error, Health};
use serde_json::json;

use crate::exit::Exit;
use crate::options::Server;
use crate::problem::Problem;
use crate::screen::{BAD, GOOD, Screen, paint};

/// Asks whether the server, or one of its services, serves; waits until it does if told to.
pub(crate) async fn health(
    server: &Server,
    service: &str,
    wait: bool,
    screen: &mut Screen,
) -> Result<Exit, Problem> {
    let (client, health) = if wait {
        let client = server.connect_lazy()?;
        client.wait_until_serving(service).await?;
        (client, Health::Serving)
    } else {
        let client = server.connect().await?;
        let health = client.health(service).await;
        (client, health.map_err(|error| unknown_service(service, error))?)
    };
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

fn unknown_service(service: &str, error: Error) -> Problem {
    if error.code() == Code::NotFound {
        let service = service.escape_debug();
        return Problem::argument("SERVICE", format!("the server has no service `{service}`"));
    }
    error.into()
}
