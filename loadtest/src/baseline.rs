//! The baselines: WebSocket servers with nothing behind them, in processes of their own like the server under test.
//!
//! What such a server does with the same frames is what the machine, the kernel and the WebSocket library can do; the rest is
//! ours.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use axum::{
    Router,
    extract::ws::{self, WebSocketUpgrade},
    routing::get,
};
use clap::{Args, ValueEnum};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::server::ProcessTree;

/// Serves a baseline at a free port of loopback, prints the port, and ends with its standard input.
#[derive(Debug, Clone, Copy, Args)]
pub struct Baseline {
    /// What serves.
    #[arg(long, value_enum)]
    pub stack: Stack,
    /// What it does with a frame.
    #[arg(long, value_enum)]
    pub kind: Kind,
}

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stack {
    /// tokio-tungstenite on a TCP listener.
    Tungstenite,
    /// axum with its WebSocket extractor.
    Axum,
}

/// What it does with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Sends it back.
    Echo,
    /// Counts it.
    Sink,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self { stack: Stack::Tungstenite, kind: Kind::Echo },
        Self { stack: Stack::Axum, kind: Kind::Echo },
        Self { stack: Stack::Tungstenite, kind: Kind::Sink },
        Self { stack: Stack::Axum, kind: Kind::Sink },
    ];

    /// Its name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.stack, self.kind) {
            (Stack::Tungstenite, Kind::Echo) => "tungstenite echo",
            (Stack::Axum, Kind::Echo) => "axum echo",
            (Stack::Tungstenite, Kind::Sink) => "tungstenite sink",
            (Stack::Axum, Kind::Sink) => "axum sink",
        }
    }

    /// Serves until standard input ends.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn serve(self) -> anyhow::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut out = tokio::io::stdout();
        out.write_all(format!("{port}\n").as_bytes()).await?;
        out.flush().await?;
        let mut rest = Vec::new();
        let mut input = tokio::io::stdin();
        tokio::select! {
            served = self.accept(listener) => served,
            read = input.read_to_end(&mut rest) => Ok(read.map(drop)?),
        }
    }

    async fn accept(self, listener: TcpListener) -> anyhow::Result<()> {
        match self.stack {
            Stack::Tungstenite => loop {
                let (tcp, _) = listener.accept().await?;
                // A client that breaks off ends its own task alone.
                tokio::spawn(tungstenite_session(tcp, self.kind));
            },
            Stack::Axum => {
                let upgrade = move |upgrade: WebSocketUpgrade| async move {
                    upgrade.on_upgrade(move |socket| async move {
                        let _ = axum_session(socket, self.kind).await;
                    })
                };
                Ok(axum::serve(listener, Router::new().route("/", get(upgrade))).await?)
            }
        }
    }
}

fn report(bytes: usize) -> String {
    format!(r#"{{"bytes":{bytes}}}"#)
}

async fn tungstenite_session(tcp: TcpStream, kind: Kind) -> Result<(), tungstenite::Error> {
    tcp.set_nodelay(true)?;
    let mut socket = tokio_tungstenite::accept_async(tcp).await?;
    let mut bytes = 0;
    while let Some(message) = socket.next().await {
        match message? {
            Message::Binary(frame) => {
                bytes += frame.len();
                if kind == Kind::Echo {
                    socket.send(Message::Binary(frame)).await?;
                }
            }
            Message::Text(_) => {
                socket.send(Message::text(report(bytes))).await?;
                socket.close(None).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn axum_session(mut socket: ws::WebSocket, kind: Kind) -> Result<(), axum::Error> {
    let mut bytes = 0;
    while let Some(message) = socket.recv().await {
        match message? {
            ws::Message::Binary(frame) => {
                bytes += frame.len();
                if kind == Kind::Echo {
                    socket.send(ws::Message::Binary(frame)).await?;
                }
            }
            ws::Message::Text(_) => {
                socket.send(ws::Message::text(report(bytes))).await?;
                socket.send(ws::Message::Close(None)).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A baseline in a process of its own.
#[derive(Debug)]
pub struct Running {
    child: Child,
    input: ChildStdin,
    /// Where it serves.
    pub authority: String,
    /// Its process.
    pub tree: ProcessTree,
}

impl Running {
    /// For a process that does next to nothing.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Starts this program again as a baseline.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(baseline: Baseline) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("this program does not know where it is")?;
        let named = |value: clap::builder::PossibleValue| value.get_name().to_owned();
        let (stack, kind) = (baseline.stack.to_possible_value(), baseline.kind.to_possible_value());
        let mut child = Command::new(program)
            .args(["baseline", "--stack", &stack.map(named).unwrap_or_default()])
            .args(["--kind", &kind.map(named).unwrap_or_default()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().context("it has no input")?;
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().context("it has no output")?);
        timeout(Self::PATIENCE, out.read_line(&mut line)).await.context("it says no port")??;
        let port: u16 = line.trim().parse().with_context(|| format!("`{line}` is not a port"))?;
        let tree = ProcessTree::of(child.id().context("it ended at once")?)?;
        Ok(Self { child, input, authority: format!("127.0.0.1:{port}"), tree })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it ended otherwise than it should.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.input);
        let status = timeout(Self::PATIENCE, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}
