//! The chart, as Helm renders it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::files::{USER, accepted, documented, entries, fail, items, path, plain, succeed, text, tool, yaml};

const ROLES: [&str; 4] = ["engine", "gateway", "orchestrator", "realtime"];
const SECRET: &str = "secretName=dalston";

fn helm(verb: &str, values: &[&str]) -> std::process::Command {
    let mut helm = tool("helm");
    match verb {
        "template" => helm.args(["template", "release"]).arg(path("deploy/helm/dalston")),
        _ => helm.args([verb, "--strict"]).arg(path("deploy/helm/dalston")),
    };
    for value in values {
        helm.args(["--set", value]);
    }
    helm
}

fn rendered(values: &[&str]) -> Vec<Value> {
    yaml(&succeed(&mut helm("template", &[&[SECRET], values].concat())))
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> BTreeMap<String, &'a Value> {
    let of_kind = objects.iter().filter(|object| object["kind"] == kind);
    of_kind.map(|object| (plain(&object["metadata"]["name"]).replace("release-", ""), object)).collect()
}

fn names(objects: &BTreeMap<String, &Value>) -> Vec<String> {
    objects.keys().cloned().collect()
}

#[test]
fn helm_finds_nothing_wrong() {
    succeed(&mut helm("lint", &[SECRET]));
    let chart = yaml(&text("deploy/helm/dalston/Chart.yaml")).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn values_that_cannot_work_are_refused_by_name() {
    for (values, named) in [
        (&[] as &[&str], "secretName"),
        (&[SECRET, "roles.realtme.replicas=2"], "realtme"),
        (&[SECRET, "roles.gateway.replicas=0"], "roles.gateway.replicas"),
        (&[SECRET, "env.DALSTON_MAX_UPLOADS=64"], "env.DALSTON_MAX_UPLOADS"),
        (
            &[SECRET, "roles.realtime.autoscaling.enabled=true", "roles.realtime.autoscaling.freeSessions=16"],
            "roles.realtime.autoscaling.freeSessions",
        ),
    ] {
        let message = fail(&mut helm("template", values));
        assert!(message.contains(named), "{values:?}: {message}");
    }
}

#[test]
fn every_role_is_locked_in_probed_and_never_emptied_at_once() {
    let objects = rendered(&[]);
    let deployments = of_kind(&objects, "Deployment");
    assert_eq!(names(&deployments), ROLES);
    assert_eq!(names(&of_kind(&objects, "PodDisruptionBudget")), ROLES);
    for (role, deployment) in deployments {
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{role}");
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]),
            (&true.into(), &USER.into())
        );
        let container = &pod["containers"][0];
        let locks = &container["securityContext"];
        assert_eq!(
            (&locks["readOnlyRootFilesystem"], &locks["allowPrivilegeEscalation"]),
            (&true.into(), &false.into())
        );
        assert_eq!(items(&locks["capabilities"]["drop"]), ["ALL"], "{role}");
        for (probe, route) in
            [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(container[probe]["httpGet"]["path"], route, "{role}");
        }
        assert!(container["resources"]["limits"]["memory"].is_string(), "{role}");
        let budget = &of_kind(&objects, "PodDisruptionBudget")[&role]["spec"];
        for selector in [&deployment["spec"]["selector"], &budget["selector"]] {
            selects(selector, &deployment["spec"]["template"]["metadata"]["labels"]);
        }
    }
}

/// Every label that is asked for is there.
fn selects(selector: &Value, labels: &Value) {
    let asked = entries(&selector["matchLabels"]).collect::<Vec<_>>();
    assert_eq!(asked.len(), 3, "{selector}");
    assert!(asked.iter().all(|(name, value)| labels[name] == **value), "{selector} in {labels}");
}

#[test]
fn the_server_takes_what_each_role_is_told() {
    let values =
        ["roles.realtime.maxSessions=100000", "roles.engine.env.DALSTON_STAGES=transcribe", "env.LOG_LEVEL=debug"];
    let objects = rendered(&values);
    let documented = documented();
    for (role, deployment) in of_kind(&objects, "Deployment") {
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["envFrom"][0]["secretRef"]["name"], "dalston");
        // As the kubelet sets them.
        let mut told: BTreeMap<String, String> = BTreeMap::new();
        for variable in items(&container["env"]) {
            let value = if variable["name"] == "POD_IP" { "10.1.2.3".into() } else { plain(&variable["value"]) };
            let value = told.iter().fold(value, |value, (name, known)| value.replace(&format!("$({name})"), known));
            told.insert(plain(&variable["name"]), value);
        }
        let ours: BTreeSet<&String> = told.keys().filter(|name| *name != "POD_IP").collect();
        assert!(ours.iter().all(|name| documented.contains(*name)), "{role}: {ours:?}");
        for (name, value) in [
            ("REDIS_URL", "redis://:secret@redis"),
            ("DATABASE_URL", "postgres://dalston:secret@postgres/dalston"),
            ("DALSTON_SERVER_SECRET", "0123456789abcdef0123456789abcdef"),
            ("DALSTON_CLUSTER_SECRET", "0123456789abcdef0123456789abcdef"),
            // The image's own.
            ("DALSTON_DATA_DIR", "/var/lib/dalston"),
        ] {
            told.insert(name.into(), value.into());
        }
        let dump = accepted(&told);
        for (is_so, expected) in [
            (true, format!("role = \"{role}\"")),
            (role == "realtime", "ws://10.1.2.3:8100".into()),
            (role == "realtime", "100000".into()),
            (role == "engine", "transcribe".into()),
        ] {
            assert_eq!(dump.contains(&expected), is_so, "{role}, {expected}:\n{dump}");
        }
    }
}

#[test]
fn workers_scale_by_the_sessions_that_are_still_free() {
    assert!(of_kind(&rendered(&[]), "HorizontalPodAutoscaler").is_empty());
    let on = ROLES.map(|role| format!("roles.{role}.autoscaling.enabled=true"));
    let mut values: Vec<&str> = on.iter().map(String::as_str).collect();
    values.extend(["roles.realtime.maxSessions=20", "roles.realtime.autoscaling.freeSessions=8"]);
    let objects = rendered(&values);
    let scalers = of_kind(&objects, "HorizontalPodAutoscaler");
    assert_eq!(names(&scalers), ROLES);
    let metrics = items(&scalers["realtime"]["spec"]["metrics"]);
    assert_eq!(metrics.len(), 1, "{metrics:?}");
    assert_eq!(metrics[0]["external"]["metric"]["name"], "dalston_sessions_open");
    assert_eq!(metrics[0]["external"]["target"]["averageValue"], "12");
    for (role, scaler) in scalers {
        assert!(!items(&scaler["spec"]["metrics"]).is_empty(), "{role}");
        // Two that set the number would fight.
        assert!(of_kind(&objects, "Deployment")[&role]["spec"].get("replicas").is_none(), "{role}");
    }
}

#[test]
fn sessions_come_to_workers_from_gateways_only() {
    let objects = rendered(&["networkPolicy.metrics[0].namespaceSelector.matchLabels.name=monitoring"]);
    let policies = of_kind(&objects, "NetworkPolicy");
    assert_eq!(names(&policies), ROLES);
    let sessions = &policies["realtime"]["spec"]["ingress"][0];
    assert_eq!(sessions["ports"][0]["port"], "sessions");
    assert_eq!(items(&sessions["from"]).len(), 1);
    let gateways = &of_kind(&objects, "Deployment")["gateway"]["spec"]["template"]["metadata"]["labels"];
    selects(&sessions["from"][0]["podSelector"], gateways);
    // Everybody reaches the gateways, who are told apart by their keys; nobody else reaches engines but for /metrics.
    assert!(policies["gateway"]["spec"]["ingress"][0].get("from").is_none());
    let engines = items(&policies["engine"]["spec"]["ingress"]);
    assert_eq!((engines.len(), &engines[0]["ports"][0]["port"]), (1, &"http".into()));

    let closed = rendered(&[]);
    assert!(of_kind(&closed, "NetworkPolicy")["engine"]["spec"].get("ingress").is_none());
    let service = of_kind(&closed, "Service");
    let labels = &of_kind(&closed, "Deployment")["gateway"]["spec"]["template"]["metadata"]["labels"];
    let selector = serde_json::json!({ "matchLabels": service["release"]["spec"]["selector"] });
    selects(&selector, labels);
}
