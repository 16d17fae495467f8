//! `docker-compose.yml`, as docker-compose reads it, and the `.env` that is made for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::files::{accepted, documented, entries, fail, items, path, plain, succeed, text, yaml};

const IMAGE: &str = "dalston:local";
const ALWAYS: &[&str] = &["bucket", "engine", "gateway", "orchestrator", "postgres", "realtime", "redis", "s3"];
/// Ends when it has done its work.
const ONE_SHOT: &str = "bucket";
/// What others' images are told.
const OF_OTHERS: &[(&str, &[&str])] = &[
    ("redis", &["REDISCLI_AUTH"]),
    ("postgres", &["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"]),
    ("s3", &["ROOT_ACCESS_KEY_ID", "ROOT_SECRET_ACCESS_KEY"]),
];

/// The compose file and a new `.env` beside it.
fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::copy(path("docker-compose.yml"), folder.path().join("docker-compose.yml")).expect("it is copied");
    succeed(Command::new(path("scripts/deploy-env.sh")).arg(folder.path().join(".env")));
    folder
}

fn compose(project: &Path, profiles: &[&str]) -> Command {
    let mut command = Command::new("docker-compose");
    command.current_dir(project).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(profiles.iter().flat_map(|profile| ["--profile", profile]));
    command
}

/// What docker-compose makes of the file with these profiles.
fn config(project: &Path, profiles: &[&str]) -> Value {
    yaml(&succeed(compose(project, profiles).arg("config"))).remove(0)
}

fn everything() -> Value {
    config(project().path(), &["tracing", "observability"])
}

fn services(config: &Value) -> Vec<(&str, &Value)> {
    entries(&config["services"]).collect()
}

fn variables(service: &Value) -> BTreeMap<String, String> {
    entries(&service["environment"]).map(|(name, value)| (name.to_owned(), plain(value))).collect()
}

#[test]
fn every_profile_is_valid_and_adds_what_it_says() {
    let project = project();
    for profiles in [&[] as &[&str], &["tracing"], &["observability"], &["tracing", "observability"]] {
        // Every service is printed, whatever is asked for; what is not valid is refused.
        let config = config(project.path(), profiles);
        let mut by_profile: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, service) in services(&config) {
            let of: Vec<String> = items(&service["profiles"]).iter().map(plain).collect();
            by_profile.entry(of.join(",")).or_default().push(name);
        }
        assert_eq!(by_profile[""], ALWAYS);
        assert_eq!(by_profile["tracing"], ["jaeger"]);
        assert_eq!(by_profile["observability"], ["grafana", "prometheus"]);
        assert_eq!(by_profile.len(), 3);
    }
}

#[test]
fn nothing_starts_without_its_secrets_and_the_message_says_how_to_have_them() {
    let project = project();
    let env = project.path().join(".env");
    let whole = fs::read_to_string(&env).expect("it was written");
    for secret in [
        "DALSTON_SERVER_SECRET",
        "DALSTON_CLUSTER_SECRET",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "GRAFANA_PASSWORD",
    ] {
        let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with(&format!("{secret}="))).collect();
        assert!(without.len() < whole.lines().count(), "{secret} is in .env");
        fs::write(&env, without.join("\n")).expect("it is rewritten");
        let message = fail(compose(project.path(), &[]).arg("config"));
        assert!(message.contains("scripts/deploy-env.sh"), "{secret}: {message}");
    }
}

#[test]
fn a_new_env_has_secrets_of_its_own_for_its_owner_only_and_is_never_written_over() {
    let project = project();
    let env = project.path().join(".env");
    let written = fs::read_to_string(&env).expect("it was written");
    let secrets: Vec<&str> = written
        .lines()
        .filter_map(|line| line.split_once('=').filter(|(name, value)| !name.starts_with('#') && value.len() == 64))
        .map(|(_, value)| value)
        .collect();
    assert!(secrets.len() >= 6 && secrets.iter().collect::<BTreeSet<_>>().len() == secrets.len(), "{written}");
    assert!(!written.lines().any(|line| !line.starts_with('#') && line.ends_with('=')), "{written}");
    assert_eq!(fs::metadata(&env).expect("it is there").permissions().mode() & 0o777, 0o600);

    let message = fail(Command::new(path("scripts/deploy-env.sh")).arg(&env));
    assert!(message.contains("is there already"), "{message}");
    assert_eq!(fs::read_to_string(&env).expect("it is still there"), written);
}

#[test]
fn every_container_is_locked_in_bounded_and_watched() {
    for (name, service) in services(&everything()) {
        let user = plain(&service["user"]);
        assert!(!user.is_empty() && !user.starts_with('0') && !user.starts_with("root"), "{name} runs as {user:?}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(items(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(service.get("cap_add").is_none() && service.get("privileged").is_none(), "{name}");
        assert!(items(&service["security_opt"]).contains(&"no-new-privileges:true".into()), "{name}");
        for bound in ["mem_limit", "cpus", "pids_limit"] {
            assert!(service.get(bound).is_some(), "{name} has no {bound}");
        }
        assert!(service["logging"]["options"]["max-size"].is_string(), "{name}");
        let image = plain(&service["image"]);
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(!tag.is_empty() && tag != "latest" && (image == IMAGE || tag.contains('.')), "{name}: {image}");
        let is_service = name != ONE_SHOT;
        assert_eq!(service["healthcheck"]["test"].is_array(), is_service, "{name}");
        assert_eq!(plain(&service["restart"]), if is_service { "unless-stopped" } else { "no" }, "{name}");
    }
}

#[test]
fn only_this_machine_reaches_what_is_published_and_nothing_but_pages_and_the_gateway_is() {
    let config = everything();
    let mut published = BTreeMap::new();
    for (name, service) in services(&config) {
        for port in items(&service["ports"]) {
            let port = plain(port);
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            published.entry(name).or_insert_with(Vec::new).push(port.rsplit(':').next().unwrap_or_default().to_owned());
        }
    }
    let ports = |name: &str| published.get(name).cloned().unwrap_or_default().join(" ").replace("/tcp", "");
    assert_eq!(ports("gateway"), "8000");
    assert_eq!(
        (ports("jaeger"), ports("prometheus"), ports("grafana")),
        ("16686 4317".into(), "9090".into(), "3000".into())
    );
    assert_eq!(published.len(), 4, "{published:?}");
    assert_eq!(config["networks"]["inner"]["internal"], true);
    for inside in ["redis", "postgres", "s3", "engine", "realtime"] {
        let networks: Vec<&str> = match &config["services"][inside]["networks"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            map => entries(map).map(|(name, _)| name).collect(),
        };
        assert_eq!(networks, ["inner"], "{inside}");
    }
}

#[test]
fn the_server_takes_what_each_role_is_told() {
    let documented = documented();
    for (role, mut environment) in roles(&everything()) {
        let unknown: Vec<_> = environment.keys().filter(|name| !documented.contains(*name)).collect();
        assert!(unknown.is_empty(), "{role} is told {unknown:?}, which .env.example does not have");
        // The image's own, and the entrypoint's.
        environment.insert("DALSTON_DATA_DIR".into(), "/var/lib/dalston".into());
        if role == "realtime" {
            environment.insert("DALSTON_REALTIME_URL".into(), "ws://3f2a:8100".into());
        }
        let dump = accepted(&environment);
        assert!(dump.contains(&format!("role = \"{role}\"")), "{role}:\n{dump}");
        assert!(dump.contains("0.0.0.0:8000"), "{role}:\n{dump}");
    }
}

fn roles(config: &Value) -> Vec<(String, BTreeMap<String, String>)> {
    let ours = services(config).into_iter().filter(|(name, it)| plain(&it["image"]) == IMAGE && *name != ONE_SHOT);
    let ours: Vec<_> = ours.map(|(name, service)| (name.to_owned(), variables(service))).collect();
    assert_eq!(ours.len(), 4);
    ours
}

#[test]
fn others_are_told_what_they_know() {
    let config = everything();
    for (name, known) in OF_OTHERS {
        for variable in variables(&config["services"][name]).keys() {
            assert!(known.contains(&variable.as_str()), "{name} is told {variable}");
        }
    }
    assert!(variables(&config["services"]["grafana"]).keys().all(|name| name.starts_with("GF_")));
    // The ones that talk to each other are told the same.
    let engine = variables(&config["services"]["engine"]);
    let secret = |service: &str, name: &str| variables(&config["services"][service])[name].clone();
    assert!(engine["DATABASE_URL"].contains(&format!(":{}@postgres/", secret("postgres", "POSTGRES_PASSWORD"))));
    assert!(engine["REDIS_URL"].contains(&format!(":{}@redis:", secret("redis", "REDISCLI_AUTH"))));
    assert_eq!(engine["AWS_SECRET_ACCESS_KEY"], secret("s3", "ROOT_SECRET_ACCESS_KEY"));
    // The bucket that is made is the one that is used.
    let made = plain(items(&config["services"][ONE_SHOT]["entrypoint"]).last().expect("mkdir names a folder"));
    assert_eq!(made, "/var/lib/dalston/dalston");
    assert!(engine["DALSTON_ARTIFACTS_URL"].starts_with("s3://dalston/"));
}

#[test]
fn a_realtime_container_says_at_which_name_it_is_reached() {
    let config = everything();
    let entrypoint: Vec<String> = items(&config["services"]["realtime"]["entrypoint"]).iter().map(plain).collect();
    let [shell, option, script] = &entrypoint[..] else { panic!("{entrypoint:?}") };
    let script = script.replace("$$", "$").replace("dalston serve", "env");
    let told = succeed(Command::new(shell).args([option, &script]));
    let name = succeed(&mut Command::new("hostname"));
    assert!(told.lines().any(|line| line == format!("DALSTON_REALTIME_URL=ws://{}:8100", name.trim())), "{told}");
}

#[test]
fn prometheus_looks_at_every_role() {
    let targets = yaml(&text("deploy/prometheus/prometheus.yml")).remove(0);
    let named: BTreeSet<String> =
        items(&targets["scrape_configs"][0]["dns_sd_configs"][0]["names"]).iter().map(plain).collect();
    assert_eq!(named, roles(&everything()).into_iter().map(|(role, _)| role).collect());
}
