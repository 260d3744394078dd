//! `/healthz`, `/readyz` and `/metrics`, for operators and load balancers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::config::{self, BindError};
use crate::connection::CLOSE_TIMEOUT;

/// What the admin port tells.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// Whether the server takes new work: `/readyz`.
    pub ready: Arc<AtomicBool>,
    /// The server's metrics: `/metrics`.
    pub metrics: Arc<Registry>,
}

/// The admin port.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Listens on this address.
    ///
    /// # Errors
    /// If the port can't be had.
    pub async fn bind(listen: SocketAddr) -> Result<Self, BindError> {
        Ok(Self { listener: config::listen("the admin port", "--admin", listen)? })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, and then at most [`CLOSE_TIMEOUT`] longer: whoever keeps a request open must not keep the
    /// server from stopping.
    pub async fn serve(self, state: AdminState, stop: CancellationToken) {
        let served = axum::serve(self.listener, routes(state)).with_graceful_shutdown(stop.clone().cancelled_owned());
        let late = async {
            stop.cancelled().await;
            sleep(CLOSE_TIMEOUT).await;
        };
        tokio::select! {
            served = served.into_future() => if let Err(error) = served {
                warn!(%error, "the admin port has failed");
            },
            () = late => debug!("a request to the admin port was cut off"),
        }
    }
}

/// The admin port's routes, for a gateway to serve beside its own.
pub fn routes(state: AdminState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn readyz(State(state): State<AdminState>) -> impl IntoResponse {
    if state.ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let mut text = String::new();
    match encode(&mut text, &state.metrics) {
        Ok(()) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (StatusCode::OK, [(header::CONTENT_TYPE, content_type)], text)
        }
        Err(error) => {
            let content_type = "text/plain; charset=utf-8";
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, content_type)], error.to_string())
        }
    }
}
