//! What Prometheus scrapes and evaluates and Grafana draws, against what the server counts.

use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

use dalston_telemetry::Metrics;
use serde_json::Value;

use crate::files::{items, path, plain, succeed, text, tool, yaml};

const DASHBOARD: &str = "deploy/grafana/dashboards/dalston.json";

#[test]
fn prometheus_takes_its_configuration_and_every_alert_fires_when_it_should() {
    let folder = path("deploy/prometheus");
    succeed(tool("promtool").current_dir(&folder).args(["check", "config", "prometheus.yml"]));
    succeed(tool("promtool").current_dir(&folder).args(["check", "rules", "--lint-fatal", "alerts.yml"]));
    succeed(tool("promtool").current_dir(&folder).args(["test", "rules", "alerts.test.yml"]));
}

#[test]
fn every_alert_says_how_bad_it_is_and_what_to_do() {
    for alert in alerts() {
        let name = plain(&alert["alert"]);
        assert!(["page", "ticket"].contains(&plain(&alert["labels"]["severity"]).as_str()), "{name}");
        assert!(
            alert["annotations"]["summary"].is_string() && alert["annotations"]["description"].is_string(),
            "{name}"
        );
    }
}

#[test]
fn every_metric_that_is_asked_for_is_counted() {
    let exposed = everything_counted();
    let series = series(&exposed);
    for expression in expressions() {
        for name in metrics(&expression) {
            assert!(series.contains(&name), "{name} is no metric of the server; it is asked for in\n{expression}");
        }
        for outcome in outcomes(&expression) {
            let counted = format!("dalston_sessions_ended_total{{outcome=\"{outcome}\"}}");
            assert!(exposed.contains(&counted), "no session ends as {outcome}, which is asked for in\n{expression}");
        }
    }
}

#[test]
fn every_panel_has_a_place_a_title_and_a_query_that_prometheus_takes() {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).expect("it is JSON");
    let sources = yaml(&text("deploy/grafana/provisioning/datasources/prometheus.yml")).remove(0);
    let mut taken: BTreeSet<(u64, u64)> = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for panel in items(&dashboard["panels"]) {
        let title = plain(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64()), "{title} has the id of another");
        let number = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} lies over another panel, or beyond the edge");
            }
        }
        for target in items(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], sources["datasources"][0]["uid"], "{title}");
            let expression = plain(&target["expr"]).replace("$__rate_interval", "1m");
            let _ = writeln!(rules, "      - {{record: 'a:b', expr: '{}'}}", expression.replace('\'', "''"));
        }
    }
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), rules).expect("it can be written");
    succeed(tool("promtool").args(["check", "rules", "--lint=none"]).arg(file.path()));
}

/// What is exposed when each thing has happened once: a metric with labels is there from its first value on.
fn everything_counted() -> String {
    let metrics = Metrics::new();
    let long = Duration::from_secs(1);
    metrics.http_request("GET", "/", 200, long);
    metrics.jobs.job_ended("completed", long);
    metrics.jobs.task_started("transcribe", long);
    metrics.jobs.task_ended("transcribe", "completed", long);
    metrics.jobs.webhook("delivered");
    metrics.jobs.queue("transcribe", 1, long);
    metrics.encode()
}

fn alerts() -> Vec<Value> {
    let rules = yaml(&text("deploy/prometheus/alerts.yml")).remove(0);
    let alerts: Vec<Value> = items(&rules["groups"]).iter().flat_map(|group| items(&group["rules"]).to_vec()).collect();
    assert!(alerts.len() >= 10);
    alerts
}

/// Of every alert and every panel.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).expect("it is JSON");
    let panels = items(&dashboard["panels"]).iter().flat_map(|panel| items(&panel["targets"]));
    let drawn = panels.map(|target| plain(&target["expr"]));
    drawn.chain(alerts().iter().map(|alert| plain(&alert["expr"]))).collect()
}

/// The names of ours in an expression.
fn metrics(expression: &str) -> Vec<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("dalston_") || word.starts_with("process_")).map(str::to_owned).collect()
}

/// The outcomes of sessions that an expression names.
fn outcomes(expression: &str) -> Vec<&str> {
    let selectors = expression.split("dalston_sessions_ended_total{outcome=").skip(1);
    selectors.filter_map(|rest| rest.split('"').nth(1)).flat_map(|outcomes| outcomes.split('|')).collect()
}

/// The names of the series that an exposition has.
fn series(exposed: &str) -> BTreeSet<String> {
    let families = exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    families
        .flat_map(|(name, kind)| {
            let endings: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            endings.iter().map(move |ending| format!("{name}{ending}"))
        })
        .collect()
}
