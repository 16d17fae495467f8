use std::io::Write;

use dalston_gateway::auth::AuthMode;

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    load(Some(file.path()), [], &[])
}

/// Every one of `named` stands in the one report.
fn reports(result: Result<Config, ConfigError>, named: &[&str]) {
    let report = result.map(drop).expect_err("the configuration was accepted").to_string();
    assert_eq!(report.lines().count(), named.len() + 1, "{report}");
    for name in named {
        assert!(report.contains(name), "{name} is not in: {report}");
    }
}

#[test]
fn every_default_can_be_read_and_is_what_the_component_would_take_by_itself() {
    let config = load(None, [], &[]).unwrap();
    assert_eq!(format!("{:?}", config.gateway), format!("{:?}", GatewayConfig::default()));
    assert_eq!(config.telemetry, Options::new("dalston"));
    let own = RealtimeConfig { max_sessions: 2_000, ..RealtimeConfig::default() };
    assert_eq!(format!("{:?}", config.realtime), format!("{own:?}"));
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"bind = '127.0.0.1:1'\nengine.name = 'loopback'\n[realtime]\nmax_sessions = 3\n").unwrap();
    let environment = variables(&[("DALSTON_BIND", "127.0.0.1:2"), ("DALSTON_MAX_SESSIONS", "4")]);
    let flags = [("bind", "--bind", Some("127.0.0.1:5".to_owned())), ("data_dir", "--data-dir", None)];
    let settings = load(Some(file.path()), environment, &flags).unwrap().settings;
    assert_eq!(settings.bind.port(), 5);
    assert_eq!(settings.max_sessions.get(), 4);
    assert_eq!(*settings.engines, [EngineName::Loopback]);
    assert_eq!(settings.max_connections.get(), 10_000);
}

#[test]
fn every_problem_is_in_one_report_by_the_name_it_was_given_under() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"bind = 5\nengine.nam = 'x'\n[gateway.strem]\nidle_timeout = '1s'\n").unwrap();
    let environment = variables(&[
        ("DALSTON_MAX_SESSIONS", "abc"),
        ("DALSTON_MAX_SESSION", "5"),
        ("LOG_LEVEL", "loud=="),
        ("OTEL_TRACES_SAMPLER_ARG", "7"),
        ("OTEL_SOMETHING_OF_ANOTHER_PROGRAM", "x"),
    ]);
    let flags = [("role", "--role", Some("worker".to_owned()))];
    reports(
        load(Some(file.path()), environment, &flags),
        &[
            "bind = \"5\" in ",
            "did you mean engine.name?",
            "did you mean gateway.stream.idle_timeout?",
            "DALSTON_MAX_SESSIONS=abc: expected a whole number from 1 to 100000",
            "DALSTON_MAX_SESSION: no such variable; did you mean DALSTON_MAX_SESSIONS?",
            "LOG_LEVEL=loud==: expected",
            "OTEL_TRACES_SAMPLER_ARG=7: expected a probability",
            "--role worker: expected all, or one or more of gateway",
        ],
    );
}

#[test]
fn engines_are_a_list_in_which_each_stands_once() {
    let engines =
        |text: &str| load(None, variables(&[("DALSTON_ENGINE", text)]), &[]).map(|config| config.settings.engines);
    assert_eq!(*engines("loopback, pocketsphinx").unwrap(), [EngineName::Loopback, EngineName::PocketSphinx]);
    let from_file = from_file("engine.name = ['loopback', 'pocketsphinx']").unwrap();
    assert_eq!(*from_file.settings.engines, [EngineName::Loopback, EngineName::PocketSphinx]);
    for wrong in [",", "loopback,siri", "loopback,loopback"] {
        let report = engines(wrong).unwrap_err().to_string();
        assert!(
            report.contains(&format!("DALSTON_ENGINE={wrong}: expected ")) && report.contains("each once"),
            "{report}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_or_not_toml_is_a_problem() {
    reports(
        load(Some(Path::new("/nonexistent/dalston.toml")), [], &[]),
        &["/nonexistent/dalston.toml: cannot be read"],
    );
    let report = from_file("bind = ").unwrap_err().to_string();
    assert!(report.contains("TOML parse error at line 1"), "{report}");
}

#[test]
fn a_public_address_where_nobody_is_to_be_asked_for_a_key_is_refused() {
    let public = ("DALSTON_BIND", "0.0.0.0:8000");
    reports(
        load(None, variables(&[public, ("DALSTON_AUTH", "none")]), &[]),
        &["DALSTON_BIND=0.0.0.0:8000: other machines can reach this address and nobody is asked for a key"],
    );
    let config = load(None, variables(&[public, ("DALSTON_AUTH", "keys")]), &[]).unwrap();
    assert_eq!(config.gateway.auth.mode, Some(AuthMode::Keys));
    // Whether there are keys is not known before the database is open.
    assert_eq!(load(None, variables(&[public]), &[]).unwrap().gateway.auth.mode, None);
}

#[test]
fn what_a_key_may_have_that_says_nothing_is_read_from_the_settings() {
    let environment = variables(&[("DALSTON_JOBS_PER_KEY", "7"), ("DALSTON_REQUESTS_PER_SECOND", "50")]);
    let limits = load(None, environment, &[]).unwrap().gateway.auth.limits;
    assert_eq!((limits.max_jobs, limits.requests_per_second, limits.max_sessions), (Some(7), Some(50), None));
    let limits = from_file("[gateway.auth.limits]\nmax_sessions = 2").unwrap().gateway.auth.limits;
    assert_eq!(limits.max_sessions, Some(2));
}

#[test]
fn limits_that_contradict_each_other_are_named_by_both() {
    reports(
        load(None, variables(&[("DALSTON_LAG_WARNING", "10s"), ("DALSTON_LAG_LIMIT", "1s")]), &[]),
        &["DALSTON_LAG_WARNING=10s: does not go with DALSTON_LAG_LIMIT=1s"],
    );
    reports(
        load(None, variables(&[("DALSTON_DRAIN_DEADLINE", "60s")]), &[]),
        &["gateway.stream.worker_timeout=60s: does not go with DALSTON_DRAIN_DEADLINE=60s"],
    );
    reports(
        load(None, variables(&[("DALSTON_ENGINE", "loopback,remote")]), &[]),
        &["DALSTON_ENGINE=loopback,remote: does not go with engine.remote.url=: there is no server to ask"],
    );
    // Of what could not be read, only that is said.
    reports(
        load(None, variables(&[("DALSTON_LAG_WARNING", "10s"), ("DALSTON_LAG_LIMIT", "soon")]), &[]),
        &["DALSTON_LAG_LIMIT=soon: expected"],
    );
}

#[test]
fn a_secret_never_shows() {
    let canary = "canary-canary-canary-canary-canary";
    let environment = variables(&[("DALSTON_SERVER_SECRET", canary), ("DALSTON_BIND", "x")]);
    let report = load(None, environment.clone(), &[]).unwrap_err().to_string();
    let short = load(None, variables(&[("DALSTON_SERVER_SECRET", "canary")]), &[]).unwrap_err().to_string();
    assert!(!short.contains("=canary") && short.contains("32 characters"), "{short}");
    assert!(!report.contains("canary"), "{report}");
    let (settings, layers, _) = read(None, environment, &[]);
    assert!(!format!("{settings:?}").contains("canary"));
    let dumped = dump(&layers);
    assert!(!dumped.contains("canary"), "{dumped}");
    assert!(dumped.contains("# gateway.auth.server_secret = (hidden)  # DALSTON_SERVER_SECRET"), "{dumped}");
}

#[test]
fn what_is_dumped_reads_as_the_same_configuration() {
    let environment =
        variables(&[("DALSTON_ALLOWED_ORIGINS", "https://a.example,https://b.example"), ("LOG_LEVEL", "warn")]);
    let dumped = dump(&load(None, environment, &[]).unwrap().layers);
    let again = from_file(&dumped).unwrap();
    assert_eq!(again.settings.allowed_origins.len(), 2);
    assert_eq!(again.telemetry.log_level, "warn");
    assert!(dumped.contains("log.level = \"warn\"  # LOG_LEVEL"), "{dumped}");
}

#[test]
fn no_two_settings_share_a_name() {
    let mut keys: Vec<&str> = table::all().map(|setting| setting.key).collect();
    let mut variables: Vec<&str> = table::all().map(|setting| setting.variable).collect();
    let count = keys.len();
    for names in [&mut keys, &mut variables] {
        names.sort_unstable();
        names.dedup();
    }
    assert_eq!((keys.len(), variables.len()), (count, count));
}

#[test]
fn the_documentation_is_what_the_settings_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let written = std::fs::read_to_string(path).expect("docs/configuration.md is part of the project");
    assert!(written == reference_page(), "docs/configuration.md is out of date; run `make docs`");
}

#[test]
fn the_example_environment_is_what_the_settings_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.env.example");
    let written = std::fs::read_to_string(path).expect(".env.example is part of the project");
    assert!(written == env_example(), ".env.example is out of date; run `make docs`");
}

#[test]
fn a_part_of_a_server_says_all_that_it_needs_to_meet_the_others() {
    let role = |role: &str, given: &[(&str, &str)]| {
        let flags = [("role", "--role", Some(role.to_owned()))];
        load(None, variables(given), &flags)
    };
    let engine = "for --role engine";
    reports(
        role("engine", &[]),
        &["redis.url (REDIS_URL): is needed", engine, "artifacts.url (DALSTON_ARTIFACTS_URL)"],
    );
    reports(
        role(
            "gateway,orchestrator",
            &[("REDIS_URL", "redis://127.0.0.1"), ("DALSTON_ARTIFACTS_URL", "s3://bucket/all")],
        ),
        &["database.url (DATABASE_URL)", "cluster.secret (DALSTON_CLUSTER_SECRET)"],
    );
    let whole = [
        ("REDIS_URL", "redis://user:secret@127.0.0.1"),
        ("DATABASE_URL", "postgres://user:secret@127.0.0.1/dalston"),
        ("DALSTON_ARTIFACTS_URL", "s3://bucket/all"),
        ("DALSTON_CLUSTER_SECRET", "0123456789abcdef"),
    ];
    for name in ["gateway", "orchestrator", "engine", "realtime", "realtime, engine", "all"] {
        let config = role(name, &whole).unwrap();
        assert!(!format!("{config:?}").contains("secret@") && !dump(&config.layers).contains("secret@"));
    }
}
