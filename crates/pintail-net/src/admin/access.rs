//! Who may see what on the admin port.
//!
//! | page | from this machine | from elsewhere, no token is set | from elsewhere, a token is set |
//! | --- | --- | --- | --- |
//! | `/healthz`, `/readyz` | yes | yes | yes |
//! | all others | yes | no | with the token |
//!
//! The first two say nothing but whether the server is alive and ready, and whoever supervises it asks them from outside.
//!
//! A browser on this machine asks for whoever wrote the page that it shows, who can have a name of his own stand for this machine
//! (DNS rebinding). So a request from this machine that calls it by a name that others can own needs the token, too.

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
    /// Not by a name that others can own.
    ForeignName,
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
            Self::ForeignName => {
                "ask for this page by an address, such as 127.0.0.1, or by localhost, or show an admin token: a web page could \
                 have its own name stand for this machine\n"
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
            Self::NotFromElsewhere | Self::ForeignName => (StatusCode::FORBIDDEN, self.text()).into_response(),
            Self::NoToken => {
                (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], self.text()).into_response()
            }
        }
    }
}

/// Lets through who may see what the server does.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match decide(Asked::of(&request), shared.token.as_ref()) {
        Ok(()) => next.run(request).await,
        Err(denied) => denied.into_response(),
    }
}

/// What is known of whoever asks.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    peer: Option<Peer>,
    /// What the server is called in the request.
    host: Option<&'a str>,
    /// The authorization that comes with it.
    shown: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(request: &'a Request) -> Self {
        let says = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let peer = request.extensions().get().copied();
        Self { peer, host: says(header::HOST), shown: says(header::AUTHORIZATION) }
    }
}

/// Whether whoever asks may see what the server does.
fn decide(asked: Asked<'_>, token: Option<&AdminToken>) -> Result<(), Denied> {
    if token.is_some_and(|token| asked.shown.and_then(bearer).is_some_and(|shown| token.is(shown))) {
        return Ok(());
    }
    let is_here = asked.peer.is_some_and(|Peer(ip)| is_this_machine(ip));
    match (is_here, token) {
        (true, _) if asked.host.is_none_or(is_of_this_machine) => Ok(()),
        (true, _) => Err(Denied::ForeignName),
        (false, Some(_)) => Err(Denied::NoToken),
        (false, None) => Err(Denied::NotFromElsewhere),
    }
}

/// Whether nobody elsewhere can own this `Host`: an address, or a name of one word, or one under `localhost` (RFC 6761, 6.3).
fn is_of_this_machine(host: &str) -> bool {
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host });
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_local = name.to_ascii_lowercase().ends_with(".localhost");
    name.parse::<IpAddr>().is_ok() || is_local || !name.contains('.')
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
            let asked = Asked { peer: from, host: None, shown };
            assert_eq!(decide(asked, token), expected, "{asked:?}");
        }
    }

    #[test]
    fn a_name_that_others_can_own_needs_the_token() {
        let (peer, token) = (Some(Peer("127.0.0.1".parse().unwrap())), AdminToken::new("0123456789abcdef"));
        for host in [
            "127.0.0.1:9557",
            "127.0.0.1",
            "[::1]:9557",
            "[::1]",
            "localhost:9557",
            "LOCALHOST",
            "game-7:80",
            "a.localhost.",
        ] {
            assert_eq!(decide(Asked { peer, host: Some(host), shown: None }, None), Ok(()), "{host}");
        }
        for host in ["rebound.example", "rebound.example:9557", "127.0.0.1.example", "rebound.example."] {
            let asked = |shown| Asked { peer, host: Some(host), shown };
            assert_eq!(decide(asked(None), None), Err(Denied::ForeignName), "{host}");
            assert_eq!(decide(asked(Some("Bearer 0123456789abcdef")), Some(&token)), Ok(()), "{host}");
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
