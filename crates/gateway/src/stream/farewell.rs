//! Closing a socket so that the other side can still read what was said last.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::upgrade::Socket;

/// Says that nothing follows, and reads on until the client has gone, at most for `time`.
///
/// A socket that is closed with unread bytes makes the kernel send a reset, and a reset makes the client's kernel throw away
/// the close frame that it has not read yet.
pub(super) async fn linger(socket: Socket, time: Duration) {
    let mut connection = socket.into_inner();
    let mut scrap = [0; 2048];
    let until_gone = async {
        connection.shutdown().await?;
        while connection.read(&mut scrap).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Gone or not, the connection is closed now.
    let _ = timeout(time, until_gone).await;
}
