//! Inside a simulation, sockets of its network; outside, the kernel's.

use std::{io, net::SocketAddr};

use futures_util::FutureExt;
use tokio_util::either::Either;
use turmoil::{in_simulation, net};

use super::kernel;

pub(in crate::link::remote) type Stream = Either<kernel::Stream, net::TcpStream>;

pub(in crate::link::remote) async fn connect(host: &str, port: u16) -> io::Result<Stream> {
    if in_simulation() {
        net::TcpStream::connect((host, port)).await.map(Either::Right)
    } else {
        kernel::connect(host, port).await.map(Either::Left)
    }
}

pub(in crate::link::remote) enum Listener {
    Kernel(kernel::Listener),
    Simulated(net::TcpListener),
}

impl Listener {
    pub(in crate::link::remote) fn bind(address: SocketAddr) -> io::Result<Self> {
        if in_simulation() {
            let bound = net::TcpListener::bind(address).now_or_never();
            bound.expect("a simulated address is had without waiting").map(Self::Simulated)
        } else {
            kernel::Listener::bind(address).map(Self::Kernel)
        }
    }

    pub(in crate::link::remote) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Kernel(listener) => listener.local_addr(),
            Self::Simulated(listener) => listener.local_addr(),
        }
    }

    pub(in crate::link::remote) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Kernel(listener) => listener.accept().await.map(|(stream, peer)| (Either::Left(stream), peer)),
            Self::Simulated(listener) => listener.accept().await.map(|(stream, peer)| (Either::Right(stream), peer)),
        }
    }
}
