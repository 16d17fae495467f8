//! `dalston keys`, on the database of a server that runs, and by the server itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use support::{Ended, Home, Server};

/// Far above the two seconds that are promised: others use the machine, too.
const PATIENCE: Duration = Duration::from_secs(20);

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn status(server: &Server, key: Option<&str>) -> u16 {
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let header = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    write!(stream, "GET /v1/models HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn becomes(server: &Server, key: Option<&str>, expected: u16) {
    let began = Instant::now();
    while status(server, key) != expected {
        assert!(began.elapsed() < PATIENCE, "{key:?} is still answered with {}", status(server, key));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn keys_made_and_taken_back_beside_a_running_server_count_within_seconds() {
    let home = Home::new();
    let server = home.serve(&[]);
    assert!(server.book.contains("auth     off"), "{}", server.book);
    assert_eq!(status(&server, None), 200);

    let create = ["keys", "create", "--name", "laptop", "--scope", "read,batch", "--max-jobs", "3", "--output", "json"];
    let made = json(&home.run(&create).succeeded().out);
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!((&made["limits"]["max_jobs"], &made["scopes"]), (&3.into(), &serde_json::json!(["batch", "read"])));
    becomes(&server, None, 401);
    assert_eq!(status(&server, Some(key)), 200);

    let listed = home.run(&["keys", "list", "--output", "json"]).succeeded().out;
    assert_eq!(json(&listed)["items"][0]["id"], id);
    assert!(!listed.contains(key.rsplit('_').next().unwrap()));
    home.run(&["keys", "revoke", id]).succeeded();
    becomes(&server, Some(key), 401);
    assert_eq!(status(&server, None), 401, "taking back the last key opened the server");
    home.run(&["keys", "revoke", id]).failed_with(&["no key", id]);
    assert!(home.run(&["keys", "list"]).succeeded().out.contains("revoked 2"));

    drop(server);
    let again = home.serve(&[]);
    assert!(again.book.contains("auth     on, and nobody has a key"), "{}", again.book);
}

#[test]
fn a_server_makes_lists_and_takes_back_keys_for_who_administrates() {
    let home = Home::new();
    let create = |scope| {
        json(&home.run(&["keys", "create", "--name", "a", "--scope", scope, "--output", "json"]).succeeded().out)
    };
    let (admin, reader) = (create("admin"), create("read"));
    let server = home.serve(&[]);
    assert!(server.book.contains("auth     on, 2 keys"), "{}", server.book);
    // Another home: nothing of the server's but its URL.
    let elsewhere = Home::new();
    let by = |key: &serde_json::Value, args: &[&str]| {
        let mut command = elsewhere.dalston(&[args, &["--url", &server.url]].concat());
        Ended::from(command.env("DALSTON_API_KEY", key["key"].as_str().unwrap()).output().unwrap())
    };
    let create = ["keys", "create", "--name", "ci", "--scope", "read", "--tenant", "team", "--output", "json"];
    by(&reader, &create).failed_with(&["needs a key with the scope `admin`"]);
    let made = json(&by(&admin, &create).succeeded().out);
    assert_eq!(made["tenant"], "team");
    assert_eq!(status(&server, made["key"].as_str()), 200, "a key that the server made itself counts at once");
    let listed = json(&by(&admin, &["keys", "list", "--output", "json"]).succeeded().out);
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    by(&admin, &["keys", "revoke", made["id"].as_str().unwrap()]).succeeded();
    assert_eq!(status(&server, made["key"].as_str()), 401);
    assert!(!std::path::Path::new(&elsewhere.path(".local/share/dalston")).exists(), "a secret was made for nothing");
}

#[test]
fn a_key_is_printed_once_and_alone_with_what_to_do_next_beside_it() {
    let home = Home::new();
    let ended = home.run(&["keys", "create", "--name", "laptop", "--scope", "realtime"]).succeeded();
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    assert!(ended.out.starts_with("dal_"));
    let half = ended.out.trim().rsplit('_').next().unwrap();
    for named in ["shown this once", "dalston stream", "dalston keys revoke"] {
        assert!(ended.err.contains(named), "{}", ended.err);
    }
    assert!(!ended.err.contains(half));
    let folder = home.path(".local/share/dalston");
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!bytes.windows(half.len()).any(|part| part == half.as_bytes()), "{:?} holds the key", file.path());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?} can be read by others", file.path());
    }
}

#[test]
fn a_wrong_wish_for_a_key_is_refused_by_name() {
    let home = Home::new();
    let create = ["keys", "create", "--name", "x", "--scope", "read"];
    home.run(&[&create[..], &["--tenant", "../x"]].concat()).failed_with(&["tenant"]);
    home.run(&[&create[..], &["--expires-in-days", "0"]].concat()).failed_with(&["expires_in_days"]);
    let unknown = home.run(&["keys", "create", "--name", "x", "--scope", "root"]);
    assert!(unknown.code == Some(2) && unknown.err.contains("realtime, batch, read, admin"), "{}", unknown.err);
}
