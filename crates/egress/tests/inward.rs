//! Nothing that is not public is reached, whoever names it and however.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use dalston_egress::{Client, EgressError};
use dalston_telemetry::Tracers;
use support::{Server, client, fetched, get, ok, redirect, settings};

/// What `{port}` stands in is heard by a server on all addresses of this machine.
const INWARD: &[&str] = &[
    "http://127.0.0.1:{port}/",
    "http://127.1:{port}/",
    "http://127.0.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0177.0x0.0.1:{port}/",
    "http://127.0.0.1.:{port}/",
    "http://１２７.０.０.１:{port}/",
    "http://①②⑦.⓪.⓪.①:{port}/",
    "http://127。0。0。1:{port}/",
    "http://%31%32%37.0.0.1:{port}/",
    "http://[::1]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[::]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://0.0.0.0:{port}/",
    "http://0:{port}/",
    "http:127.0.0.1:{port}/",
    "http:\\\\127.0.0.1:{port}\\",
    " \thttp://127.0.0.1:{port}/\n",
    "HTTP://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://localhost.:{port}/",
    "http://loopback.example:{port}/",
    "http://mapped.example:{port}/",
    "http://private.example:{port}/",
    "http://metadata.example/",
    "http://unknown.example/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/",
    "http://0xa9.0xfe.0xa9.0xfe/",
    "http://2852039166/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[ff02::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
];

const NAMES: &[(&str, &str)] = &[
    ("localhost", "127.0.0.1"),
    ("localhost.", "127.0.0.1"),
    ("loopback.example", "127.0.0.1"),
    ("mapped.example", "::ffff:127.0.0.1"),
    ("private.example", "10.0.0.1"),
    ("metadata.example", "169.254.169.254"),
    ("here.example", "127.0.0.1"),
    ("both.example", "10.0.0.1"),
    ("both.example", "127.0.0.1"),
];

#[tokio::test]
async fn no_spelling_of_an_inward_place_is_connected_to() {
    let server = Server::serving("0.0.0.0:0", |_| ok("the inside")).await;
    let client = client(&[], NAMES);
    for url in INWARD {
        let url = url.replace("{port}", &server.address.port().to_string());
        let error = get(&client, &url).await.expect_err(&url);
        assert!(matches!(error, EgressError::NotPublic), "{url}: {error:?}");
        assert_eq!(error.to_string(), "has a host without a public address", "{url}");
    }
    assert_eq!(server.connections(), 0);
}

/// The machine's own resolver, too.
#[tokio::test]
async fn localhost_is_looked_up_and_refused() {
    let server = Server::answering(ok("the inside")).await;
    let client = Client::new(settings(&[]), Tracers::off()).unwrap();
    let url = format!("http://localhost:{}/", server.address.port());
    assert!(matches!(get(&client, &url).await, Err(EgressError::NotPublic)));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn no_other_scheme_is_spoken() {
    let client = client(&["0.0.0.0/0", "::/0"], NAMES);
    let urls =
        ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_x", "data:,x", "unix:/run/x", "ws://x/"];
    for url in urls {
        let error = client.check(url).expect_err(url);
        assert!(matches!(error, EgressError::Scheme { .. }), "{url}: {error:?}");
    }
    for url in ["", "x", "/etc/passwd", "//host/x", "http://", "http://a b/", "http://[::1", "http://h:99999/"] {
        let error = client.check(url).expect_err(url);
        assert!(matches!(error, EgressError::NotAUrl(_)), "{url}: {error:?}");
    }
    let long = format!("http://here.example/{}", "a".repeat(9000));
    assert!(matches!(client.check(&long), Err(EgressError::TooLong)));
    let only_secure = dalston_egress::Settings { plain_http: false, ..settings(&[]) };
    let client = Client::new(only_secure, Tracers::off()).unwrap();
    assert_eq!(client.check("http://example.org/").unwrap_err().to_string(), "must begin with https://");
}

#[tokio::test]
async fn credentials_in_a_url_are_refused_and_not_repeated() {
    let client = client(&["127.0.0.0/8"], NAMES);
    for url in ["http://user:hunter2@here.example/", "http://hunter2@here.example/", "http://:hunter2@here.example/"] {
        let error = client.check(url).expect_err(url);
        assert!(matches!(error, EgressError::Credentials), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_redirect_inward_is_not_followed() {
    let inside = Server::serving("127.0.0.2:0", |_| ok("the inside")).await;
    let port = inside.address.port();
    let places = [
        format!("http://127.0.0.2:{port}/"),
        format!("//127.0.0.2:{port}/"),
        format!("http://0x7f.2:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://private.example/".into(),
        "file:///etc/passwd".into(),
        "http://user:pass@here.example/".into(),
        "http://[::1".into(),
        "http://\u{fffd}/".into(),
    ];
    for place in places {
        for status in [301, 302, 303, 307, 308] {
            let outside = Server::answering(redirect(status, &place)).await;
            // The one address is allowed, so that the other is refused for the redirect's sake.
            let error = get(&client(&["127.0.0.1"], NAMES), &outside.url("/")).await.expect_err(&place);
            assert!(
                matches!(error, EgressError::Redirected(_) | EgressError::BadRedirect(_)),
                "{status} to {place}: {error:?}"
            );
        }
    }
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn a_name_that_means_another_place_a_moment_later_leads_nowhere_else() {
    let inside = Server::serving("127.0.0.2:0", |_| ok("the inside")).await;
    let port = inside.address.port();
    let location = format!("http://rebinds.example:{port}/again");
    let outside = Server::serving(&format!("127.0.0.1:{port}"), move |_| redirect(302, &location)).await;
    let lookups = Arc::new(AtomicUsize::new(0));
    let asked = lookups.clone();
    let client = Client::new(settings(&["127.0.0.1"]), Tracers::off()).unwrap().with_names(move |_| {
        let inward = asked.fetch_add(1, Ordering::SeqCst) > 0;
        Ok(vec![IpAddr::from(if inward { [127, 0, 0, 2] } else { [127, 0, 0, 1] })])
    });
    let error = get(&client, &format!("http://rebinds.example:{port}/")).await.unwrap_err();
    assert!(matches!(error, EgressError::Redirected(_)), "{error:?}");
    assert_eq!((lookups.load(Ordering::SeqCst), outside.connections(), inside.connections()), (2, 1, 0));
}

#[tokio::test]
async fn of_a_names_addresses_only_those_that_may_be_reached_are_tried() {
    let server = Server::answering(ok("here")).await;
    let port = server.address.port();
    let fetched = fetched(&client(&["127.0.0.1"], NAMES), &format!("http://both.example:{port}/")).await;
    assert_eq!(fetched.unwrap(), "here");
}

#[tokio::test]
async fn what_is_allowed_is_reached_by_name_or_by_address() {
    let server = Server::answering(ok("here")).await;
    let port = server.address.port();
    let named = client(&["here.example"], NAMES);
    assert_eq!(fetched(&named, &format!("http://here.example:{port}/")).await.unwrap(), "here");
    // The name is allowed, not where it leads to.
    for other in [format!("http://127.0.0.1:{port}/"), format!("http://loopback.example:{port}/")] {
        assert!(matches!(get(&named, &other).await, Err(EgressError::NotPublic)), "{other}");
    }
    let by_address = client(&["127.0.0.0/8"], NAMES);
    assert_eq!(fetched(&by_address, &format!("http://2130706433:{port}/")).await.unwrap(), "here");
}

/// What cannot be told apart tells nothing of a private network.
#[tokio::test]
async fn a_name_with_private_addresses_reads_like_one_that_does_not_exist() {
    let client = client(&[], NAMES);
    let said = async |url: &str| get(&client, url).await.unwrap_err().to_string();
    assert_eq!(said("http://private.example/").await, said("http://unknown.example/").await);
}
