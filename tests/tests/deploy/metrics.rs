//! Dashboards, alerts and the page of metrics, held to what a server exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pdp_tests::door::Server;
use pdp_tests::http::Protocol;
use pdp_tests::tree::text;
use serde_json::Value;

use crate::files::yaml;
use crate::yaml::{list, text as at};

/// A metric as it is exported: its type, and the values of each of its labels.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

type Metrics = BTreeMap<String, Metric>;

/// What a server exports that has just started.
fn exported() -> Metrics {
    let server = Server::start();
    let http = server.http(Protocol::Http1);
    // Histograms are there once the server has tidied them up for the first time.
    let text = loop {
        let text = http.get("/metrics").text();
        if text.contains("pdp_apply_seconds_bucket") && text.contains("pdp_snapshot_revision{") {
            break text;
        }
    };
    drop(http);
    server.stop();
    read(&text)
}

fn read(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, kind) = typed.split_once(' ').unwrap();
            let metric = Metric { kind: kind.to_owned(), ..Metric::default() };
            assert!(metrics.insert(name.to_owned(), metric).is_none(), "{name} comes twice");
        } else if !line.starts_with('#') && !line.is_empty() {
            let (sample, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let metric = metrics.get_mut(base(name)).unwrap_or_else(|| panic!("{line}"));
            for (label, _, value) in matchers(labels.strip_suffix('}').unwrap()) {
                metric.labels.entry(label).or_default().insert(value);
            }
        }
    }
    metrics
}

/// The metric of a series: without what a histogram's series end in.
fn base(name: &str) -> &str {
    let ends = ["_bucket", "_count", "_sum"];
    ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Labels with operators and values, such as `a="b",c=~"d"`.
fn matchers(text: &str) -> Vec<(String, String, String)> {
    let parts = text.split("\",").filter(|part| !part.trim().is_empty());
    let matcher = |part: &str| {
        let (label, value) = part.split_once('"').unwrap_or_else(|| panic!("{text}"));
        let at = label.find(['=', '!']).unwrap_or_else(|| panic!("{text}"));
        let (label, operator) = label.split_at(at);
        let value = value.trim_end_matches('"');
        (label.trim().to_owned(), operator.to_owned(), value.to_owned())
    };
    parts.map(matcher).collect()
}

/// Labels that Prometheus adds.
const ADDED: [&str; 2] = ["instance", "job"];

/// Whether every metric, label and value of an expression is exported; the metrics of it.
fn uses(expression: &str, metrics: &Metrics) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    for (start, _) in expression.match_indices("pdp_") {
        let rest = &expression[start..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let metric = metrics.get(base(name)).unwrap_or_else(|| panic!("no {name}: {expression}"));
        let is_series = base(name) != name;
        assert_eq!(is_series, metric.kind == "histogram", "{name} is a {}", metric.kind);
        used.insert(base(name).to_owned());
        let Some(selector) = rest.strip_prefix('{') else { continue };
        for (label, operator, value) in matchers(selector.split('}').next().unwrap()) {
            if ADDED.contains(&label.as_str()) {
                continue;
            }
            let known = metric.labels.get(&label);
            let known = known.unwrap_or_else(|| panic!("{name} has no {label}: {expression}"));
            let values = if operator.contains('~') { value.split('|') } else { value.split('\0') };
            for value in values.filter(|value| !value.contains(['$', '*'])) {
                assert!(known.contains(value), "no {label}={value} of {name}: {expression}");
            }
        }
    }
    let labels: BTreeSet<&str> = used
        .iter()
        .flat_map(|name| metrics[name].labels.keys().map(String::as_str))
        .chain(ADDED)
        .collect();
    for grouped in expression.split("by (").skip(1) {
        for label in grouped.split(')').next().unwrap().split(',').map(str::trim) {
            assert!(labels.contains(label), "nothing is told by {label}: {expression}");
        }
    }
    used
}

/// The page of metrics and alerts.
fn page() -> String {
    text(Path::new("docs/metrics.md"))
}

#[test]
fn dashboards_and_alerts_use_metrics_that_there_are() {
    let metrics = exported();
    let text = text(Path::new("deploy/monitoring/dashboard.json"));
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = list(&dashboard, "/panels").iter();
    let targets = panels.filter_map(|panel| panel.get("targets")).flat_map(|it| list(it, ""));
    let shown: BTreeSet<_> =
        targets.flat_map(|target| uses(at(target, "/expr"), &metrics)).collect();
    for variable in list(&dashboard, "/templating/list") {
        if let Some(query) = variable.get("definition") {
            uses(at(query, ""), &metrics);
        }
    }
    let exported: BTreeSet<_> = metrics.keys().cloned().collect();
    let unseen: Vec<_> = exported.difference(&shown).collect();
    assert!(unseen.is_empty(), "the dashboard does not show {unseen:?}");

    let alerts = yaml("monitoring/alerts.yaml");
    let rules = list(&alerts, "/groups/0/rules");
    assert!(rules.len() >= 10);
    let page = page();
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `Pdp")?.split('`').next());
    let listed: BTreeSet<_> = listed.map(|name| format!("Pdp{name}")).collect();
    let there: BTreeSet<_> = rules.iter().map(|rule| at(rule, "/alert").to_owned()).collect();
    assert_eq!(listed, there, "docs/metrics.md and the rules differ");
    for rule in rules {
        let used = uses(at(rule, "/expr"), &metrics);
        assert!(!used.is_empty() || at(rule, "/alert") == "PdpDown", "{rule}");
        let told = [at(rule, "/annotations/summary"), at(rule, "/annotations/description")];
        for named in told.iter().flat_map(|text| text.split("$labels.").skip(1)) {
            let label = named.split([' ', '}']).next().unwrap();
            let grouped = at(rule, "/expr").contains(label) || ADDED.contains(&label);
            assert!(grouped, "{label} is not told by {rule}");
        }
    }
}

#[test]
fn the_page_of_metrics_has_those_that_there_are() {
    let page = page();
    let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let mut written = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `pdp_")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        let [name, kind, labels, meaning] = cells.as_slice() else { panic!("{line}") };
        assert!(!meaning.trim().is_empty(), "{line}");
        let labels: BTreeSet<_> =
            labels.split(',').map(code).filter(|label| !label.is_empty()).collect();
        assert!(written.insert(code(name), (code(kind), labels)).is_none(), "{line}");
    }
    let exported: BTreeMap<_, _> = exported()
        .into_iter()
        .map(|(name, Metric { kind, labels })| {
            let labels = labels.into_keys().filter(|label| label != "le").collect();
            (name, (kind, labels))
        })
        .collect();
    assert_eq!(written, exported, "docs/metrics.md is not what the server exports");
}

#[test]
fn the_reader_of_expressions_sees_what_is_wrong() {
    let text = "# TYPE pdp_a counter\npdp_a{b=\"c\",d=\"e\"} 0\n# TYPE pdp_h histogram\npdp_h_bucket{le=\"1\"} 0\n";
    let metrics = read(text);
    uses("sum by (b) (rate(pdp_a{b=\"c\",d=~\"e|$x\"}[5m])) > 1", &metrics);
    uses("histogram_quantile(0.5, sum by (le, instance) (rate(pdp_h_bucket[5m])))", &metrics);
    for wrong in [
        "rate(pdp_b[5m])",
        "pdp_a{x=\"c\"}",
        "pdp_a{b=\"x\"}",
        "pdp_a{b=~\"c|x\"}",
        "sum by (x) (pdp_a)",
        "pdp_h",
        "pdp_a_bucket",
    ] {
        let seen = std::panic::catch_unwind(|| uses(wrong, &metrics));
        assert!(seen.is_err(), "{wrong}");
    }
}
