//! Variables that are named like settings and are none.

use super::described;

/// Those of other commands.
const OTHERS: [&str; 2] = ["PDP_TOKEN_FILE", "PDP_CA"];

/// What Kubernetes tells of every service, such as `PDP_SERVICE_HOST` and `PDP_PORT_7070_TCP`.
const OF_SERVICES: [&str; 3] = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT_"];

/// Which of these variables begin with `PDP_` and name no setting: mostly one that is misspelt.
#[must_use]
pub fn unknown(variables: impl Iterator<Item = String>) -> Vec<String> {
    let known = described();
    let is_known =
        |name: &str| known.iter().any(|it| it.variable == name) || OTHERS.contains(&name);
    let of_service =
        |name: &str| name.ends_with("_PORT") || OF_SERVICES.iter().any(|it| name.contains(it));
    let mut unknown: Vec<_> = variables
        .filter(|name| name.starts_with("PDP_") && !is_known(name) && !of_service(name))
        .collect();
    unknown.sort_unstable();
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_misspelt_is_found_and_services_are_not() {
        let found = |names: &[&str]| unknown(names.iter().map(|&name| name.to_owned()));
        let good = [
            "PATH",
            "PDP_CONFIG",
            "PDP_GRACE_MS",
            "PDP_DECISION_LOG",
            "PDP_TOKEN_FILE",
            "PDP_PORT",
            "PDP_SERVICE_HOST",
            "PDP_SERVER_SERVICE_PORT_GRPC",
            "PDP_PORT_7070_TCP_ADDR",
        ];
        assert_eq!(found(&good), [""; 0]);
        let bad = ["PDP_GRCP", "PDP_ETCD_ENDPOINT", "PDP_GRACE_MS"];
        assert_eq!(found(&bad), ["PDP_ETCD_ENDPOINT", "PDP_GRCP"]);
    }
}
