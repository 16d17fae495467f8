//! The built binary as a child process, in an environment of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]
#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use tempfile::TempDir;

/// A home of its own, so that nothing of the user's is read or written.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// `dalston` with nothing in its environment but this home.
    pub fn dalston(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dalston"));
        command.args(args).env_clear().env("HOME", self.0.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::from(self.dalston(args).output().unwrap())
    }

    /// A server with the loopback engine on a free port.
    pub fn serve(&self, args: &[&str]) -> Server {
        let args = [&["serve", "--bind", "127.0.0.1:0", "--engine", "loopback", "--trace-ring"], args].concat();
        Server::start(self.dalston(&args))
    }
}

/// How a run ended.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// It failed, and what it said contains each of these.
    pub fn failed_with(&self, named: &[&str]) {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        for name in named {
            assert!(self.err.contains(name), "{name} is not in: {}", self.err);
        }
    }

    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self
    }
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    pub url: String,
    pub book: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, out, err, url: String::new(), book: String::new() };
        // The last line of the address book says how to try it.
        while !server.book.contains("\n  try ") {
            if server.out.read_line(&mut server.book).unwrap() == 0 {
                let log = server.log();
                panic!("the server did not start: {}{log}", server.book);
            }
        }
        let at = server.book.find("http://").unwrap();
        server.url = server.book[at..].lines().next().unwrap().to_owned();
        server
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Waits for a line in its log.
    pub fn logs(&mut self, part: &str) {
        let mut line = String::new();
        while !line.contains(part) {
            line.clear();
            assert_ne!(self.err.read_line(&mut line).unwrap(), 0, "the server ended without a line with {part}");
        }
    }

    /// Waits for its end, which a signal has asked for.
    pub fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log())
    }

    fn log(&mut self) -> String {
        let mut log = String::new();
        self.err.read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
