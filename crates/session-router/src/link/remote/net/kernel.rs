//! The kernel's sockets, with buffers kept small: audio that waits there is lag that nobody sees.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use crate::link::remote::KERNEL_BUFFER;

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1_024;

pub(in crate::link::remote) type Stream = TcpStream;

/// The first of the host's addresses that answers.
pub(in crate::link::remote) async fn connect(host: &str, port: u16) -> io::Result<Stream> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in lookup_host((host, port)).await? {
        match socket(address)?.connect(address).await {
            Ok(stream) => {
                // A frame of 20 ms must not wait for the next.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[derive(Debug)]
pub(in crate::link::remote) struct Listener(TcpListener);

impl Listener {
    pub(in crate::link::remote) fn bind(address: SocketAddr) -> io::Result<Self> {
        // What is accepted inherits the buffers.
        let socket = socket(address)?;
        // A worker that is restarted finds its address taken by connections that the kernel has not forgotten yet.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG).map(Self)
    }

    pub(in crate::link::remote) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(in crate::link::remote) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        // One that is gone already says so when it is read.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Before the connection is made, or the window is larger already. Best effort: any buffer works.
    let _ = socket.set_send_buffer_size(KERNEL_BUFFER);
    let _ = socket.set_recv_buffer_size(KERNEL_BUFFER);
    Ok(socket)
}
