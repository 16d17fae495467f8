//! Against a real redis-server.

use std::time::Duration;

use dalston_redis::{
    Heard, Keys, Redis, RedisError, Script, Settings, cmd,
    testing::{Launch, RedisServer},
};
use tokio::{sync::mpsc, time::Instant};

const SOON: Duration = Duration::from_secs(30);

fn open(server: &RedisServer) -> Redis {
    let settings =
        Settings { connect: Duration::from_millis(300), answer: Duration::from_secs(1), ..Settings::default() };
    Redis::open(&server.url(), settings).expect("it is an address")
}

/// What a call answers as soon as it succeeds.
async fn soon<T>(mut call: impl AsyncFnMut() -> Result<T, RedisError>) -> T {
    let start = Instant::now();
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert!(error.is_transient() && start.elapsed() < SOON, "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_sent_again() {
    let server = RedisServer::start();
    let redis = open(&server);
    let keys = Keys::new("test", "scripts");
    let script = Script::new("test.add", "#!lua\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])");
    for expected in [2, 4] {
        let sum: u64 = redis.run(&script.call().key(keys.key("sum")).arg(2)).await.unwrap();
        assert_eq!(sum, expected);
        server.ask(&["SCRIPT", "FLUSH", "SYNC"]);
    }
}

#[tokio::test]
async fn a_killed_server_is_used_again_when_it_is_back() {
    let mut server = RedisServer::start();
    let redis = open(&server);
    redis.ping().await.unwrap();
    server.kill();
    let first = redis.ping().await.unwrap_err();
    assert!(matches!(first, RedisError::Lost | RedisError::Unreachable(_)), "{first}");
    let start = Instant::now();
    for _ in 0..100 {
        let error = redis.ping().await.unwrap_err();
        assert!(matches!(error, RedisError::Unreachable(_)) && !error.may_have_happened(), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(1), "most fail without trying");
    server.restart();
    soon(async || redis.ping().await).await;
}

#[tokio::test]
async fn a_server_that_stands_still_costs_no_more_than_the_answer_s_time() {
    let server = RedisServer::start();
    let redis = open(&server);
    redis.ping().await.unwrap();
    server.stop();
    let start = Instant::now();
    let error = redis.ping().await.unwrap_err();
    assert_eq!(error, RedisError::TimedOut(Duration::from_secs(1)));
    assert!(error.may_have_happened());
    redis.ping().await.unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    server.cont();
    soon(async || redis.ping().await).await;
}

#[tokio::test]
async fn a_server_without_memory_says_so_and_does_nothing() {
    let server = Launch::default().max_memory("3mb").start();
    let redis = open(&server);
    let fill =
        Script::new("test.fill", "#!lua\nredis.call('INCR', 'count')\nreturn redis.call('RPUSH', KEYS[1], ARGV[1])");
    let value = "x".repeat(100_000);
    let mut filled = 0;
    let error = loop {
        match redis.run::<u64>(&fill.call().key("list").arg(&value)).await {
            Ok(_) => filled += 1,
            Err(error) => break error,
        }
        assert!(filled < 1_000);
    };
    assert_eq!(error, RedisError::OutOfMemory);
    assert_eq!(server.ask(&["GET", "count"]), filled.to_string(), "no half of a script was done");
    let _: u64 = redis.query(cmd("DEL").arg("list")).await.unwrap();
    let _: u64 = redis.run(&fill.call().key("list").arg("small")).await.unwrap();
}

#[tokio::test]
async fn refused_access_is_no_transient_failure_and_tells_no_password() {
    let server = Launch::default().with(&["--requirepass", "right"]).start();
    let wrong = server.url().replace("//", "//:wrong@");
    for url in [wrong, server.url()] {
        let redis = Redis::open(&url, Settings::default()).unwrap();
        let error = redis.ping().await.unwrap_err();
        assert!(matches!(error, RedisError::Denied(_)) && !error.is_transient(), "{error}");
        assert!(!format!("{error} {redis:?}").contains("wrong"));
    }
    let redis = Redis::open(&server.url().replace("//", "//:right@"), Settings::default()).unwrap();
    redis.ping().await.unwrap();
}

#[tokio::test]
async fn what_is_published_is_heard_and_a_lost_connection_listens_again() {
    let mut server = RedisServer::start();
    let redis = open(&server);
    let (told, mut heard) = mpsc::unbounded_channel();
    let listener = redis.listen(move |event| {
        let _ = told.send(match event {
            Heard::Message { channel, payload } => Some((channel.to_owned(), payload.to_vec())),
            Heard::Again => None,
        });
    });
    listener.subscribe("news").await.unwrap();
    listener.subscribe("other").await.unwrap();
    let publish =
        async |channel: &str| -> u64 { soon(async || redis.query(cmd("PUBLISH").arg(channel).arg("x")).await).await };
    assert_eq!(publish("news").await, 1);
    assert_eq!(heard.recv().await, Some(Some(("news".to_owned(), b"x".to_vec()))));
    listener.unsubscribe("other");
    soon(async || match redis.query::<u64>(cmd("PUBLISH").arg("other").arg("x")).await? {
        0 => Ok(()),
        _ => Err(RedisError::Busy),
    })
    .await;
    while let Ok(event) = heard.try_recv() {
        assert!(event.is_some());
    }
    server.restart();
    assert_eq!(tokio::time::timeout(SOON, heard.recv()).await.expect("it listens again"), Some(None));
    assert_eq!(publish("news").await, 1);
    assert_eq!(heard.recv().await, Some(Some(("news".to_owned(), b"x".to_vec()))));
    assert_eq!(publish("other").await, 0);
}

#[tokio::test]
async fn a_subscription_to_a_dead_server_ends_and_is_made_up_for() {
    let mut server = RedisServer::start();
    server.kill();
    let listener = open(&server).listen(|_| {});
    assert!(matches!(listener.subscribe("news").await, Err(RedisError::TimedOut(_))));
    server.restart();
    soon(async || listener.subscribe("news").await).await;
}

#[tokio::test]
async fn a_cluster_is_one_handle_like_any_other() {
    let server = Launch::default().cluster().start();
    let redis = open(&server);
    let keys = Keys::new("test", "cluster");
    let script = Script::new("test.two", "#!lua\nredis.call('SET', KEYS[1], 1)\nreturn redis.call('INCR', KEYS[2])");
    let two: u64 = redis.run(&script.call().key(keys.key("a")).key(keys.key("b"))).await.unwrap();
    assert_eq!(two, 1);
    let (told, mut heard) = mpsc::unbounded_channel();
    let listener = redis.listen(move |event| {
        if let Heard::Message { channel, .. } = event {
            let _ = told.send(channel.to_owned());
        }
    });
    listener.subscribe("news").await.unwrap();
    let _: u64 = redis.query(cmd("PUBLISH").arg("news").arg("x")).await.unwrap();
    assert_eq!(heard.recv().await.as_deref(), Some("news"));
}

#[tokio::test]
async fn with_sentinels_the_primary_is_whoever_has_taken_over() {
    let mut primary = RedisServer::start();
    let replica = Launch::default().replica_of(&primary).start();
    let sentinel = Launch::default().sentinel_of(&primary).start();
    let redis = open(&sentinel);
    let (told, mut heard) = mpsc::unbounded_channel();
    let listener = redis.listen(move |event| {
        let _ = told.send(event == Heard::Again);
    });
    listener.subscribe("news").await.unwrap();
    let _: () = redis.query(cmd("SET").arg("key").arg("before")).await.unwrap();
    // What has not reached the replica would be lost with the primary, and a Sentinel must know the replica to choose
    // it.
    assert_eq!(primary.ask(&["WAIT", "1", "10000"]), "1");
    let known = || sentinel.ask(&["SENTINEL", "REPLICAS", "dalston"]);
    soon(async || if known().contains("master-link-status\nok") { Ok(()) } else { Err(RedisError::Busy) }).await;

    primary.kill();
    soon(async || redis.query::<()>(cmd("SET").arg("key").arg("after")).await).await;
    assert_eq!(replica.ask(&["GET", "key"]), "after");
    assert_eq!(tokio::time::timeout(SOON, heard.recv()).await.expect("it listens to the new one"), Some(true));
    let heard_by: u64 = redis.query(cmd("PUBLISH").arg("news").arg("x")).await.unwrap();
    assert_eq!(heard_by, 1);
}

#[tokio::test]
async fn a_primary_that_became_a_replica_is_left() {
    let first = RedisServer::start();
    let redis = open(&first);
    redis.ping().await.unwrap();
    let other = RedisServer::start();
    first.ask(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    let error = redis.query::<()>(cmd("SET").arg("key").arg("x")).await.unwrap_err();
    assert!(matches!(error, RedisError::ReadOnly(_)) && !error.may_have_happened(), "{error}");
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    let _: () = redis.query(cmd("SET").arg("key").arg("x")).await.unwrap();
}

#[tokio::test]
async fn tls_to_who_does_not_speak_it_is_an_error_and_no_panic() {
    let server = RedisServer::start();
    let url = server.url().replace("redis://", "rediss://");
    let redis = Redis::open(&url, Settings::default()).unwrap();
    let error = redis.ping().await.unwrap_err();
    assert!(matches!(error, RedisError::Unreachable(_)), "{error}");
}
