//! The connection that calls share, kept up by a task of its own.
//!
//! redis-rs has a `ConnectionManager`; this is not it, because a call must be able to tell "there is no connection"
//! from "there was no answer", and because that one gives up for good on some errors (a wrong password that is put
//! right later) unless it retries without end, and then hides every reason.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

/// How long one attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest wait between attempts to connect.
const RETRY_DELAY_MAX: Duration = Duration::from_millis(500);

/// How often the connection is tried while nobody complains, so that it is up when it is needed.
const PING_PERIOD: Duration = Duration::from_secs(1);

/// How long a PING may take before the connection counts as lost.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that comes back by itself.
#[derive(Debug)]
pub(super) struct Connection {
    state: watch::Receiver<ConnectionState>,
    suspected: Arc<Notify>,
    _keeper: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
enum ConnectionState {
    Up(MultiplexedConnection),
    /// Why there is none.
    Down(Arc<str>),
}

impl Connection {
    /// Starts to connect, in the background.
    pub(super) fn start(client: Client) -> Self {
        let (state_tx, state) = watch::channel(ConnectionState::Down("not connected yet".into()));
        let suspected = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep_up(client, state_tx, Arc::clone(&suspected)));
        Self { state, suspected, _keeper: AbortOnDropHandle::new(keeper) }
    }

    /// The connection, once there is one. Cancel-safe.
    pub(super) async fn get(&self) -> MultiplexedConnection {
        let mut state = self.state.clone();
        loop {
            if let ConnectionState::Up(connection) = &*state.borrow_and_update() {
                return connection.clone();
            }
            if state.changed().await.is_err() {
                // The keeper only ends with the runtime; so does whoever waits here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Why there is no connection; `None` if there is one.
    pub(super) fn why_down(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            ConnectionState::Up(_) => None,
            ConnectionState::Down(reason) => Some(Arc::clone(reason)),
        }
    }

    /// A call found the connection broken: it is looked at without waiting for the next PING.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }
}

async fn keep_up(client: Client, state: watch::Sender<ConnectionState>, suspected: Arc<Notify>) {
    loop {
        let reason = match connect(&client).await {
            Ok(connection) => {
                state.send_replace(ConnectionState::Up(connection.clone()));
                tracing::debug!("connected to Redis");
                let reason = watch_over(connection, &suspected).await;
                tracing::warn!(reason, "the connection to Redis is lost");
                reason
            }
            Err(reason) => reason,
        };
        state.send_replace(ConnectionState::Down(reason.into()));
        tokio::time::sleep(retry_delay()).await;
    }
}

/// A random wait, so that the servers of a cluster don't come back to a restarted Redis in one burst.
pub(super) fn retry_delay() -> Duration {
    RETRY_DELAY_MAX.mul_f64(rand::rng().random_range(0.1..=1.0))
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, String> {
    // Each call has its own deadline around it, and so has the attempt to connect.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    match tokio::time::timeout(CONNECT_TIMEOUT, client.get_multiplexed_async_connection_with_config(&config)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(format!("can't connect: {error}")),
        Err(_) => Err("can't connect: it does not answer".to_owned()),
    }
}

/// Returns once the connection is lost, with the reason.
async fn watch_over(mut connection: MultiplexedConnection, suspected: &Notify) -> String {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PING_PERIOD) => {}
            () = suspected.notified() => {}
        }
        let ping = redis::cmd("PING");
        match tokio::time::timeout(PING_TIMEOUT, ping.exec_async(&mut connection)).await {
            Ok(Err(error)) if error.is_unrecoverable_error() || error.is_io_error() => return error.to_string(),
            // Any other answer, such as "loading", is one.
            Ok(_) => {}
            Err(_) => return "it does not answer".to_owned(),
        }
    }
}
