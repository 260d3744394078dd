//! Who may see what on the admin port.
//!
//! | page | from this machine | from elsewhere, no token is set | from elsewhere, a token is set |
//! | --- | --- | --- | --- |
//! | `/healthz`, `/readyz` | yes | yes | yes |
//! | all others | yes | no | with the token |
//!
//! The first two say nothing but whether the server is alive and ready, and whoever supervises it asks them from outside.

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

/// Why a page is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    /// Nobody from elsewhere may.
    NotFromElsewhere,
    /// Not without the token.
    NoToken,
}

impl Denied {
    /// What to do about it.
    const fn text(self) -> &'static str {
        match self {
            Self::NotFromElsewhere => {
                "this page is for this machine: ask from it, or start the server with an admin token (--admin-token, or \
                 PINTAIL_ADMIN_TOKEN) and show it as `Authorization: Bearer TOKEN`. Prometheus does so with \
                 `authorization: { credentials_file: FILE }` in its scrape_config, before 2.26 with `bearer_token_file: FILE`\n"
            }
            Self::NoToken => {
                "show this server's admin token: `Authorization: Bearer TOKEN`. Prometheus does so with \
                 `authorization: { credentials_file: FILE }` in its scrape_config, before 2.26 with `bearer_token_file: FILE`\n"
            }
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        match self {
            Self::NotFromElsewhere => (StatusCode::FORBIDDEN, self.text()).into_response(),
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], self.text()).into_response()
            }
        }
    }
}

/// Lets through who may see what the server does.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get().copied();
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match decide(peer, shared.token.as_ref(), shown) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

/// Whether this peer, which shows this authorization, may see what the server does.
fn decide(peer: Option<Peer>, token: Option<&AdminToken>, shown: Option<&str>) -> Result<(), Denied> {
    if peer.is_some_and(|Peer(ip)| is_this_machine(ip)) {
        return Ok(());
    }
    match token {
        Some(token) if shown.and_then(bearer).is_some_and(|shown| token.is(shown)) => Ok(()),
        Some(_) => Err(Denied::NoToken),
        None => Err(Denied::NotFromElsewhere),
    }
}

/// Whether what comes from this address comes from this machine, and what listens there hears no other.
pub(super) const fn is_this_machine(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
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
        for (from, token, shown, expected) in [
            (peer("127.0.0.1"), None, None, Ok(())),
            (peer("127.9.9.9"), Some(&token), None, Ok(())),
            (peer("::1"), None, None, Ok(())),
            (peer("::ffff:127.0.0.1"), None, None, Ok(())),
            (peer("10.0.0.7"), None, None, Err(Denied::NotFromElsewhere)),
            (peer("10.0.0.7"), None, Some("Bearer "), Err(Denied::NotFromElsewhere)),
            (peer("::ffff:10.0.0.7"), None, None, Err(Denied::NotFromElsewhere)),
            (peer("10.0.0.7"), Some(&token), None, Err(Denied::NoToken)),
            (peer("10.0.0.7"), Some(&token), Some("Bearer 0123456789abcdef"), Ok(())),
            (peer("10.0.0.7"), Some(&token), Some("bearer 0123456789abcdef"), Ok(())),
            (peer("10.0.0.7"), Some(&token), Some("Bearer 0123456789abcdeF"), Err(Denied::NoToken)),
            (peer("10.0.0.7"), Some(&token), Some("Basic 0123456789abcdef"), Err(Denied::NoToken)),
            (peer("10.0.0.7"), Some(&token), Some("0123456789abcdef"), Err(Denied::NoToken)),
            (None, None, None, Err(Denied::NotFromElsewhere)),
            (None, Some(&token), None, Err(Denied::NoToken)),
        ] {
            assert_eq!(decide(from, token, shown), expected, "{from:?} {shown:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for denied in [Denied::NotFromElsewhere, Denied::NoToken] {
            let text = denied.text();
            assert!(text.contains("Authorization: Bearer TOKEN") && text.contains("authorization: {"), "{text}");
        }
        assert!(Denied::NotFromElsewhere.text().contains("--admin-token"));
    }
}
