//! Who may use a route.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, key::Scope};
use futures_util::StreamExt;
use http::{HeaderMap, Method, header};
use tokio::time::timeout;

use super::Failure;
use crate::{
    auth::{Credential, Principal},
    gateway::App,
};

/// Who may use a route.
#[derive(Debug, Clone, Copy)]
pub(super) enum Access {
    /// Everybody.
    Public,
    /// Whoever has one of these scopes.
    AnyOf(&'static [Scope]),
    /// The handler of GET asks [`caller`] itself, because it can say no in a better way than HTTP.
    Checked,
}

/// Lets a request through or answers it. Behind it, the [`Principal`] is in the request.
pub(super) async fn check(State((app, access)): State<(App, Access)>, mut request: Request, next: Next) -> Response {
    let asks_itself = matches!(*request.method(), Method::GET | Method::HEAD);
    let scopes = match access {
        Access::Public => return next.run(request).await,
        Access::Checked if asks_itself => return next.run(request).await,
        // What is behind it is only a 405, which is also told to nobody else.
        Access::Checked => &[],
        Access::AnyOf(scopes) => scopes,
    };
    let caller = caller(&app, request.headers(), &[]).and_then(|caller| allow(caller, scopes));
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            hear_out(request).await;
            Failure(error).into_response()
        }
    }
}

/// Reads what a refused client sends, so far as it is little: a connection that is closed with unread bytes is reset, and then many
/// a client cannot read why. Whoever asked first whether to send gets its answer instead.
async fn hear_out(request: Request) {
    const MOST: usize = 4 << 20;
    const LONGEST: Duration = Duration::from_secs(1);
    if request.headers().contains_key(header::EXPECT) {
        return;
    }
    let mut body = request.into_body().into_data_stream();
    let rest = async {
        let mut heard = 0;
        while let Some(Ok(piece)) = body.next().await {
            heard += piece.len();
            if heard > MOST {
                break;
            }
        }
    };
    // Slower, it has to find out by itself.
    let _ = timeout(LONGEST, rest).await;
}

/// Who sends this. Credentials in the query count only where `query` is passed.
///
/// # Errors
/// An origin that is kept out, or no or wrong credentials.
pub(crate) fn caller(app: &App, headers: &HeaderMap, query: &[(String, String)]) -> Result<Principal, ApiError> {
    if let Some(origins) = app.auth.origins() {
        origins.check(headers)?;
    }
    let credential = Credential::in_headers(headers).or_else(|| Credential::in_query(query));
    app.auth.authenticate(credential.as_ref())
}

fn allow(caller: Principal, scopes: &[Scope]) -> Result<Principal, ApiError> {
    let mut refused = None;
    for scope in scopes {
        match caller.require(*scope) {
            Ok(()) => return Ok(caller),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(caller), Err)
}
