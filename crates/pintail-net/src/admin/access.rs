//! Who may see what on the admin port.
//!
//! | page | from this machine | from elsewhere, no token is set | from elsewhere, a token is set |
//! | --- | --- | --- | --- |
//! | `/healthz`, `/readyz` | yes | yes | yes |
//! | `/metrics`, `/events` | yes | yes: the port was opened for it | with the token |
//! | `/debug/…` | yes | no | with the token |

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use pintail_core::AdminToken;

use super::Shared;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// What a page shows, as far as it matters who may see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    /// What the server does and with whom.
    Telemetry,
    /// What it is made of, at a price: profiles take CPU time.
    Debug,
}

/// Why a page is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    /// Nobody from elsewhere may.
    NotFromElsewhere,
    /// Not without the token.
    NoToken,
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::NotFromElsewhere => {
                let text = "this page is for this machine: ask from it, or start the server with an admin token \
                            (PINTAIL_ADMIN_TOKEN) and show it as `Authorization: Bearer TOKEN`\n";
                (StatusCode::FORBIDDEN, text).into_response()
            }
            Self::NoToken => {
                let text = "show this server's admin token: `Authorization: Bearer TOKEN`\n";
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response()
            }
        }
    }
}

/// Lets through who may see `/metrics` and `/events`.
pub(super) async fn telemetry(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    pass(Page::Telemetry, &shared, request, next).await
}

/// Lets through who may see what is below `/debug`.
pub(super) async fn debug(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    pass(Page::Debug, &shared, request, next).await
}

async fn pass(page: Page, shared: &Shared, request: Request, next: Next) -> Response {
    let peer = request.extensions().get().copied();
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match decide(page, peer, shared.token.as_ref(), shown) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

/// Whether this peer, which shows this authorization, may see the page.
fn decide(page: Page, peer: Option<Peer>, token: Option<&AdminToken>, shown: Option<&str>) -> Result<(), Denied> {
    if peer.is_some_and(|Peer(ip)| ip.to_canonical().is_loopback()) {
        return Ok(());
    }
    match (token, page) {
        (Some(token), _) if shown.and_then(bearer).is_some_and(|shown| token.is(shown)) => Ok(()),
        (Some(_), _) => Err(Denied::NoToken),
        (None, Page::Telemetry) => Ok(()),
        (None, Page::Debug) => Err(Denied::NotFromElsewhere),
    }
}

/// The token of an `Authorization` header. The name of the scheme is written in any case (RFC 9110, 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_sees_everything_and_others_what_the_table_says() {
        let token = AdminToken::new("0123456789abcdef");
        let peer = |ip: &str| Some(Peer(ip.parse().unwrap()));
        for (page, from, token, shown, expected) in [
            (Page::Debug, peer("127.0.0.1"), None, None, Ok(())),
            (Page::Debug, peer("127.9.9.9"), Some(&token), None, Ok(())),
            (Page::Debug, peer("::1"), None, None, Ok(())),
            (Page::Debug, peer("::ffff:127.0.0.1"), None, None, Ok(())),
            (Page::Telemetry, peer("10.0.0.7"), None, None, Ok(())),
            (Page::Telemetry, peer("10.0.0.7"), Some(&token), None, Err(Denied::NoToken)),
            (Page::Telemetry, peer("10.0.0.7"), Some(&token), Some("Bearer 0123456789abcdef"), Ok(())),
            (Page::Debug, peer("10.0.0.7"), None, None, Err(Denied::NotFromElsewhere)),
            (Page::Debug, peer("10.0.0.7"), None, Some("Bearer "), Err(Denied::NotFromElsewhere)),
            (Page::Debug, peer("10.0.0.7"), Some(&token), Some("bearer 0123456789abcdef"), Ok(())),
            (Page::Debug, peer("10.0.0.7"), Some(&token), Some("Bearer 0123456789abcdeF"), Err(Denied::NoToken)),
            (Page::Debug, peer("10.0.0.7"), Some(&token), Some("Basic 0123456789abcdef"), Err(Denied::NoToken)),
            (Page::Debug, peer("10.0.0.7"), Some(&token), Some("0123456789abcdef"), Err(Denied::NoToken)),
            (Page::Debug, None, None, None, Err(Denied::NotFromElsewhere)),
        ] {
            assert_eq!(decide(page, from, token, shown), expected, "{page:?} {from:?} {shown:?}");
        }
    }
}
