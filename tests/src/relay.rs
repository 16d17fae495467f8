//! A wire that can be cut: a relay in front of a server, between it and one of those who talk to it.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections stay, and nothing passes, not even their end: what a machine without power leaves behind.
    Held,
    /// Connections end, and new ones too.
    Cut,
}

/// Runs until it is dropped. Its connections end with it.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    way: watch::Sender<Way>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// To `target`, as `host:port`. Must be called on a runtime.
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let (way, seen) = watch::channel(Way::Open);
        let accepting = tokio::spawn(accept(listener, target.to_owned(), seen));
        Self { address, way, accepting }
    }

    /// Where to connect in the place of the target, as `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Nothing passes any more, and nobody is told.
    pub fn hold(&self) {
        self.way.send_replace(Way::Held);
    }

    /// Connections end, and new ones end as soon as they begin.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// As at the start. What was held arrives.
    pub fn heal(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: String, way: watch::Receiver<Way>) {
    while let Ok((near, _)) = listener.accept().await {
        let (target, way) = (target.clone(), way.clone());
        tokio::spawn(async move {
            // One that fails is one that ended.
            let _ = connect(near, &target, way).await;
        });
    }
}

async fn connect(near: TcpStream, target: &str, mut way: watch::Receiver<Way>) -> io::Result<()> {
    is_open(&mut way).await?;
    let far = TcpStream::connect(target).await?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
    let up = tokio::spawn(carry(from_near, to_far, way.clone()));
    // Whichever ends first ends its own direction; a cut ends both.
    let down = carry(from_far, to_near, way).await;
    let up = up.await.map_err(io::Error::other)?;
    down.and(up)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: watch::Receiver<Way>) -> io::Result<()> {
    let mut piece = vec![0; 16 * 1024];
    loop {
        is_open(&mut way).await?;
        let length = tokio::select! {
            length = from.read(&mut piece) => length?,
            _ = way.changed() => continue,
        };
        is_open(&mut way).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

/// Waits while nothing passes.
async fn is_open(way: &mut watch::Receiver<Way>) -> io::Result<()> {
    let way = way.wait_for(|way| *way != Way::Held).await.map_err(io::Error::other)?;
    if *way == Way::Open { Ok(()) } else { Err(io::ErrorKind::ConnectionReset.into()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says(stream: &mut TcpStream, word: &[u8]) -> io::Result<()> {
        let mut heard = vec![0; word.len()];
        stream.read_exact(&mut heard).await?;
        assert_eq!(heard, word);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_held_arrives_later_and_what_is_cut_ends() {
        let relay = Relay::to(&echo().await).await;
        let mut stream = TcpStream::connect(relay.address()).await.unwrap();
        stream.write_all(b"one").await.unwrap();
        says(&mut stream, b"one").await.unwrap();
        relay.hold();
        stream.write_all(b"two").await.unwrap();
        assert!(timeout(Duration::from_millis(100), says(&mut stream, b"two")).await.is_err());
        relay.heal();
        says(&mut stream, b"two").await.unwrap();
        relay.cut();
        assert!(says(&mut stream, b"more").await.is_err());
        let mut next = TcpStream::connect(relay.address()).await.unwrap();
        assert!(says(&mut next, b"more").await.is_err());
    }
}
