//! A way to a server on which things go wrong when a test says so.

mod pump;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::ports::{PORT_ATTEMPTS, next_port};

/// How long the proxy may take to listen again on a port that it gave up, and to do what it is told.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often that is tried.
const POLL: Duration = Duration::from_millis(5);

/// How many arrivals are remembered.
const ARRIVALS_MAX: usize = 100_000;

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
}

/// What goes wrong. Whatever it is, it is so for the connections that are open and for those that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Pass,
    /// Bytes arrive late, in their order. The way is as wide as before: what is sent meanwhile is under way too.
    Delay {
        /// How late they arrive at the target.
        to_target: Duration,
        /// How late they arrive at the client.
        to_client: Duration,
    },
    /// Bytes of this direction are taken and go nowhere: the connection is half-open.
    Swallow(Direction),
    /// Bytes of both directions are taken and go nowhere.
    SwallowAll,
    /// Nothing is taken any more: whoever sends fills its buffers. What waits goes on when the fault ends.
    Freeze,
    /// Connections are reset, and new ones refused.
    Cut,
}

/// What passed a proxy since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were accepted.
    pub connections: u64,
    /// Bytes that were handed to the target.
    pub bytes_to_target: u64,
    /// Bytes that were handed to clients.
    pub bytes_to_client: u64,
}

/// A TCP proxy on an address of its own, whose connections misbehave as the test says. It runs on a thread of its own, so
/// its methods work in tests with and without a runtime; each returns once what it asks for is so. Dropping it ends it
/// and resets its connections.
///
/// A server that listens on 127.0.0.1:5000 can be told to the others as 127.0.0.9:5000, with a proxy between.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// How many orders may wait: each thread that gives one waits until it is carried out.
const ORDERS_MAX: usize = 64;

#[derive(Debug)]
enum Order {
    Set(Fault, std::sync::mpsc::SyncSender<()>),
    Reset(std::sync::mpsc::SyncSender<()>),
    Strand(std::sync::mpsc::SyncSender<()>),
}

/// What connections and the test both see.
#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    bytes: [AtomicU64; 2],
    arrivals: Mutex<Vec<Instant>>,
}

impl Shared {
    fn count(&self, direction: Direction, bytes: usize) {
        self.bytes[direction as usize].fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl FaultProxy {
    /// A proxy on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST, target)
    }

    /// A proxy on a free port of this address.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start_on(ip: Ipv4Addr, target: SocketAddr) -> Self {
        let found = (0..PORT_ATTEMPTS).find_map(|_| Self::start_at((ip, next_port()).into(), target).ok());
        found.unwrap_or_else(|| panic!("no port of {ip} is free among {PORT_ATTEMPTS}"))
    }

    /// A proxy on this address and port.
    ///
    /// # Errors
    /// If it can't listen there.
    ///
    /// # Panics
    /// If the machine has no thread left.
    pub fn start_at(address: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        let (orders, orders_rx) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::<Shared>::default();
        let way = Way { address, target, shared: Arc::clone(&shared), state: watch::Sender::new(State::default()) };
        let thread = std::thread::Builder::new().name("fault-proxy".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(way.run(listener, orders_rx));
        });
        let thread = Some(thread.expect("a thread can be started"));
        Ok(Self { address, orders, shared, thread })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes this go wrong, or nothing any more.
    ///
    /// # Panics
    /// If its port was taken while it was cut.
    pub fn set(&self, fault: Fault) {
        self.order(|done| Order::Set(fault, done));
    }

    /// Resets the connections of this moment. Later ones are not affected.
    ///
    /// # Panics
    /// If the proxy has ended.
    pub fn reset_connections(&self) {
        self.order(Order::Reset);
    }

    /// Makes the connections of this moment half-open for good: both ends stay up, and nothing passes any more. Later
    /// ones are not affected.
    ///
    /// # Panics
    /// If the proxy has ended.
    pub fn strand_connections(&self) {
        self.order(Order::Strand);
    }

    /// What passed since the start.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let bytes = |direction: Direction| self.shared.bytes[direction as usize].load(Ordering::Relaxed);
        Traffic {
            connections: self.shared.connections.load(Ordering::Relaxed),
            bytes_to_target: bytes(Direction::ToTarget),
            bytes_to_client: bytes(Direction::ToClient),
        }
    }

    /// When each connection was accepted: the first 100 000 since the start.
    #[must_use]
    pub fn arrivals(&self) -> Vec<Instant> {
        self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&self, order: impl FnOnce(std::sync::mpsc::SyncSender<()>) -> Order) {
        let (done, done_rx) = std::sync::mpsc::sync_channel(1);
        let sent = self.orders.try_send(order(done));
        assert!(sent.is_ok() && done_rx.recv_timeout(PATIENCE).is_ok(), "the proxy on {} has ended", self.address);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Its loop ends when nobody can order anything any more.
        let (closed, _) = mpsc::channel(1);
        self.orders = closed;
        if let Some(thread) = self.thread.take() {
            // If it panicked, its message is out already.
            let _ = thread.join();
        }
    }
}

/// What connections look at.
#[derive(Debug, Clone, Copy)]
struct State {
    fault: Fault,
    /// Connections with a number below this are reset.
    reset_before: u64,
    /// Connections with a number below this are half-open for good.
    stranded_before: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { fault: Fault::Pass, reset_before: 0, stranded_before: 0 }
    }
}

impl State {
    /// What goes wrong with this connection.
    fn of(&self, connection: u64) -> Fault {
        match self.fault {
            _ if connection < self.reset_before => Fault::Cut,
            Fault::Cut => Fault::Cut,
            _ if connection < self.stranded_before => Fault::SwallowAll,
            fault => fault,
        }
    }
}

/// The proxy on its thread.
struct Way {
    address: SocketAddr,
    target: SocketAddr,
    shared: Arc<Shared>,
    state: watch::Sender<State>,
}

impl Way {
    async fn run(self, listener: std::net::TcpListener, mut orders: mpsc::Receiver<Order>) {
        let mut listener = Some(in_runtime(listener));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order, &mut listener, &mut connections).await,
                    None => break,
                },
                accepted = accept(listener.as_ref()) => self.serve(accepted, &mut connections),
                Some(_) = connections.join_next() => {}
            }
        }
        self.state.send_modify(|state| state.fault = Fault::Cut);
        while connections.join_next().await.is_some() {}
    }

    async fn obey(&self, order: Order, listener: &mut Option<TcpListener>, connections: &mut JoinSet<()>) {
        let next = self.shared.connections.load(Ordering::Relaxed);
        let done = match order {
            Order::Set(fault, done) => {
                self.state.send_modify(|state| state.fault = fault);
                if fault == Fault::Cut {
                    *listener = None;
                    while connections.join_next().await.is_some() {}
                } else if listener.is_none() {
                    *listener = Some(self.listen_again().await);
                }
                done
            }
            Order::Reset(done) => {
                self.state.send_modify(|state| state.reset_before = next);
                // All that are open have a number below.
                while connections.join_next().await.is_some() {}
                done
            }
            Order::Strand(done) => {
                self.state.send_modify(|state| state.stranded_before = next);
                done
            }
        };
        // The test may be gone by now.
        let _ = done.send(());
    }

    fn serve(&self, client: TcpStream, connections: &mut JoinSet<()>) {
        let number = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let mut arrivals = self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() < ARRIVALS_MAX {
            arrivals.push(Instant::now());
        }
        let (shared, state) = (Arc::clone(&self.shared), self.state.subscribe());
        connections.spawn(pump::connection(number, client, self.target, shared, state));
    }

    async fn listen_again(&self) -> TcpListener {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match listen(self.address) {
                Ok(listener) => return in_runtime(listener),
                Err(error) => assert!(Instant::now() < deadline, "can't listen on {} again: {error}", self.address),
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// The next client; never if nobody listens.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        None => std::future::pending().await,
        Some(listener) => loop {
            match listener.accept().await {
                Ok((client, _)) => return client,
                // The client is gone again, or this process has no descriptor left for the moment.
                Err(_) => tokio::time::sleep(POLL).await,
            }
        },
    }
}

/// Made outside of the runtime, so that who starts a proxy hears at once that an address is taken.
fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn in_runtime(listener: std::net::TcpListener) -> TcpListener {
    TcpListener::from_std(listener).expect("a listener can be waited for")
}

#[cfg(test)]
mod tests;
