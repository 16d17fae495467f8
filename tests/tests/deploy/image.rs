//! The image: its packages suffice, its commands work, and it says the same as what deploys it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use dalston_tests::{server::binary, speech};

use crate::files::{USER, fail, folder, path, succeed, text};

/// A command where it sees what it would see in the image.
fn in_image(command: &[&str]) -> Command {
    let mut inside = Command::new(path("scripts/deploy-root.sh"));
    inside.arg(folder("deploy-root")).arg(binary()).args(command);
    inside
}

/// A server in the image, ended with the test.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        // Only a test that fails leaves it running.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_in_the_image_recognises_speech_says_that_it_lives_and_ends_when_told() {
    let found = succeed(&mut in_image(&["dalston", "doctor"]));
    assert!(found.contains("PocketSphinx"), "{found}");

    let serve = ["dalston", "serve", "--bind", "127.0.0.1:0"];
    let mut served =
        Served(in_image(&serve).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("bash is there"));
    let book = BufReader::new(served.0.stdout.take().expect("it is piped"));
    let url = book.lines().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("http://127.0.0.1:")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("http://127.0.0.1:{port}"))
    });
    let url = url.expect("the server says where it listens");

    // As the image's health check does, but for the port.
    assert!(succeed(&mut in_image(&["dalston", "health", "--url", &url])).contains("ok"));
    assert!(succeed(&mut in_image(&["dalston", "health", "--ready", "--url", &url])).contains("ready"));
    let heard =
        succeed(Command::new(binary()).args(["stream", speech::DEMO, "--pace", "0", "--fail-if-empty", "--url", &url]));
    assert!(heard.split_whitespace().count() > 10, "{heard}");

    let signalled = Command::new("kill").args(["-s", "TERM", &served.0.id().to_string()]).status();
    assert!(signalled.is_ok_and(|status| status.success()));
    assert!(served.0.wait().expect("our own child can be waited for").success());
    let gone = fail(&mut in_image(&["dalston", "health", "--url", &url]));
    assert!(gone.contains("cannot reach"), "{gone}");
}

#[test]
fn what_the_dockerfile_says_is_what_is_deployed() {
    let dockerfile = text("Dockerfile");
    for line in [
        &format!("USER {USER}:{USER}"),
        "STOPSIGNAL SIGTERM",
        "VOLUME /var/lib/dalston",
        r#"ENTRYPOINT ["dalston"]"#,
        r#"CMD ["serve"]"#,
        "EXPOSE 8000 8100",
    ] {
        assert!(dockerfile.lines().any(|it| it == line), "{line}");
    }
    assert!(dockerfile.contains(r#"CMD ["dalston", "health"]"#) && dockerfile.contains("DALSTON_BIND=0.0.0.0:8000"));
    let install = text("deploy/image/install.sh");
    assert!(install.contains(&format!("--uid {USER} --gid {USER}")));
    succeed(Command::new("sh").arg("-n").arg(path("deploy/image/install.sh")));
    // The compiler that built what is tested is the compiler that builds the image.
    let toolchain = text("rust-toolchain.toml");
    let version = toolchain.split('"').nth(1).expect("a version");
    let image = dockerfile.lines().find_map(|line| line.strip_prefix("FROM rust:")).expect("a builder");
    assert!(version.starts_with(image.split('-').next().expect("a version")), "{image} builds, {version} tests");
}

#[test]
fn the_build_context_has_every_crate_and_no_secret() {
    let ignored = text(".dockerignore");
    let mut allowed = ignored.lines().filter_map(|line| line.strip_prefix('!'));
    let manifest = text("Cargo.toml");
    let members = manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    let roots = members.split('"').skip(1).step_by(2).map(|member| member.split('/').next().unwrap_or(member));
    for root in roots {
        assert!(ignored.lines().any(|line| line == format!("!{root}")), "{root} is not sent to the build");
    }
    assert!(ignored.lines().any(|line| line == "*"), "everything else is kept back");
    assert!(!allowed.any(|name| name.starts_with(".env")));
}
