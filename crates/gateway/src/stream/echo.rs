//! A WebSocket that gives back what it gets, for conformance suites.
//!
//! Connections, handshake and limits are those of live sessions; only the session is missing. The server itself never
//! serves it.

use std::future::poll_fn;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpListener, time::timeout};
use tokio_tungstenite::tungstenite::{
    Error as WsError, Message,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
};

use super::upgrade::{Socket, Upgrade, Upgrading};
use crate::{Gateway, StreamLimits, api::Failure, gateway::App, server};

/// Serves echoes at `/` until `shutdown` resolves, with the gateway's settings but without asking for a key.
pub async fn serve(gateway: Gateway, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let app = gateway.app;
    let router = Router::new().route("/", any(open)).with_state(app.clone());
    server::serve(&app, router, listener, shutdown, async {}).await;
}

async fn open(State(app): State<App>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    let upgrade = match Upgrade::from_request(&mut parts) {
        Ok(upgrade) => upgrade,
        Err(error) => return Failure(error).into_response(),
    };
    let (response, upgrading) = upgrade.accept();
    app.sessions.spawn(echo(app.clone(), upgrading));
    response
}

async fn echo(app: App, upgrading: Upgrading) {
    let limits = &app.config.stream;
    let Some(mut socket) = upgrading.socket(limits).await else { return };
    loop {
        let done = match socket.next().await {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.send(message).await,
            // tungstenite has made the pong, or the other half of the close.
            Some(Ok(_)) => socket.flush().await,
            Some(Err(error)) => return refuse(socket, &error, limits).await,
            None => return,
        };
        if done.is_err() {
            return;
        }
    }
}

/// Closes as a session does: what follows the frame at fault is read, so that no reset overtakes the close frame.
async fn refuse(mut socket: Socket, error: &WsError, limits: &StreamLimits) {
    let code = match error {
        WsError::Capacity(_) => WireCode::Size,
        WsError::Utf8(_) => WireCode::Invalid,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return,
        WsError::Protocol(_) => WireCode::Protocol,
        _ => return,
    };
    let frame = CloseFrame { code, reason: Default::default() };
    if socket.send(Message::Close(Some(frame))).await.is_ok() {
        socket.get_ref().say_no_more();
        // Over or not when the time is up, the socket is closed.
        let _ = timeout(limits.close_timeout, poll_fn(|cx| socket.get_mut().poll_scraps(cx))).await;
    }
}
