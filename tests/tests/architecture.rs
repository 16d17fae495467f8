//! The arrows between crates, held by a test: a crate imports from lower levels only.

use std::collections::BTreeMap;

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand};

/// Every package of the workspace and its level (ARCHITECTURE.md).
const LEVELS: &[(&str, u8)] = &[
    ("dalston-protocol", 0),
    ("dalston-telemetry", 0),
    ("dalston-audio", 1),
    ("dalston-client", 1),
    ("dalston-egress", 1),
    ("dalston-engine-sdk", 1),
    ("dalston-redis", 1),
    ("dalston-store", 1),
    ("dalston-broker", 2),
    ("dalston-engine-host", 2),
    ("dalston-engine-loopback", 2),
    ("dalston-engine-pocketsphinx", 2),
    ("dalston-engine-diarize", 2),
    ("dalston-engine-prepare", 2),
    ("dalston-engine-remote", 2),
    ("dalston-engine-align", 2),
    ("dalston-engine-sherpa", 2),
    ("dalston-engine-utterances", 2),
    ("dalston-engine-whisper", 2),
    ("dalston-session-router", 2),
    ("dalston-engine-runner", 3),
    ("dalston-gateway", 3),
    ("dalston-orchestrator", 3),
    ("dalston-realtime", 3),
    ("dalston", 4),
    // Tools and tests stand above everything; nothing imports them, but for the tests that try the tools.
    ("dalston-benches", 5),
    ("dalston-loadtest", 5),
    ("dalston-tests", 6),
];

/// What a package must not reach, directly or through others: the invariants that show by what is absent.
const ABSENT: &[(&str, &[&str])] = &[
    ("dalston-protocol", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-audio", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-engine-sdk", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-engine-pocketsphinx", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-engine-whisper", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-engine-sherpa", &["tokio", "tracing", "opentelemetry"]),
    ("dalston-engine-loopback", &["tracing", "opentelemetry"]),
    ("dalston-gateway", &["dalston-audio", "dalston-realtime", "dalston-engine-host"]),
    ("dalston-session-router", &["dalston-audio"]),
];

/// The same for what a package names itself; the exporter of spans brings a web server's crates along for everyone.
const NOT_NAMED: &[(&str, &[&str])] = &[
    ("dalston-realtime", &["axum", "hyper", "hyper-util", "tokio-tungstenite", "opentelemetry"]),
    ("dalston-session-router", &["axum", "hyper", "hyper-util", "opentelemetry"]),
    ("dalston-gateway", &["opentelemetry", "opentelemetry_sdk", "prometheus-client"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .features(CargoOpt::SomeFeatures(Vec::new()))
        .exec()
        .expect("cargo describes its own workspace")
}

#[test]
fn a_crate_imports_from_lower_levels_only() {
    let levels: BTreeMap<&str, u8> = LEVELS.iter().copied().collect();
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let Some(level) = levels.get(package.name.as_str()) else {
            wrong.push(format!("{} has no level: add it to LEVELS and to ARCHITECTURE.md", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            match levels.get(dependency.name.as_str()) {
                Some(other) if other >= level => {
                    wrong.push(format!("{} (level {level}) imports {} (level {other})", package.name, dependency.name));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_crate_must_not_know_is_not_reachable_from_it() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("metadata is resolved");
    let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let edges: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    for (package, absent) in ABSENT {
        let Some((start, _)) = names.iter().find(|(_, name)| *name == package) else {
            panic!("{package} is not in the workspace");
        };
        let mut seen = vec![*start];
        let mut next = 0;
        while let Some(id) = seen.get(next).copied() {
            next += 1;
            for dependency in &edges[id].deps {
                let is_normal = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
                if is_normal && !seen.contains(&&dependency.pkg) {
                    seen.push(&dependency.pkg);
                }
            }
        }
        for id in seen {
            assert!(!absent.contains(&names[id]), "{package} reaches {}", names[id]);
        }
    }
}

#[test]
fn what_a_crate_must_not_name_is_not_among_its_dependencies() {
    let metadata = metadata();
    for (package, absent) in NOT_NAMED {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *package).expect("it is in the workspace");
        for dependency in package.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
            assert!(!absent.contains(&dependency.name.as_str()), "{} names {}", package.name, dependency.name);
        }
    }
}

/// `tracing/log` makes every disabled span cost hundreds of instructions in whatever serves audio; a dependency switches it on
/// for the whole binary without a word. Where one does, `log` must have no level left, so that the code is compiled away.
#[test]
fn nothing_makes_a_disabled_span_cost() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("metadata is resolved");
    let features = |name: &str| -> Vec<&str> {
        let ids: Vec<_> = metadata.packages.iter().filter(|p| p.name.as_str() == name).map(|p| &p.id).collect();
        let nodes = resolve.nodes.iter().filter(|node| ids.contains(&&node.id));
        nodes.flat_map(|node| node.features.iter().map(|feature| feature.as_str())).collect()
    };
    let tracing = features("tracing");
    assert!(!tracing.contains(&"log-always"), "tracing has {tracing:?}");
    if tracing.contains(&"log") {
        let log = features("log");
        assert!(log.contains(&"max_level_off") && log.contains(&"release_max_level_off"), "log has {log:?}");
    }
}

#[test]
fn one_copy_of_what_must_agree_with_itself() {
    let metadata = metadata();
    for name in ["tungstenite", "opentelemetry", "opentelemetry_sdk", "tracing", "tonic", "hyper", "tokio", "rustls"] {
        let versions: Vec<_> =
            metadata.packages.iter().filter(|p| p.name.as_str() == name).map(|p| p.version.to_string()).collect();
        assert!(versions.len() <= 1, "{name} is there in versions {versions:?}");
    }
}
