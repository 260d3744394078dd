//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{Direction, Fault, Shared, State};

/// The most that is read at once.
const READ_BYTES_MAX: usize = 16 * 1024;

/// How many reads are under way when bytes are delayed.
const PARCELS_MAX: usize = 1024;

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Treatment {
    Deliver(Duration),
    Drop,
    Leave,
}

impl Treatment {
    fn of(fault: Fault, direction: Direction) -> Self {
        match (fault, direction) {
            (Fault::Delay { to_target, .. }, Direction::ToTarget) => Self::Deliver(to_target),
            (Fault::Delay { to_client, .. }, Direction::ToClient) => Self::Deliver(to_client),
            (Fault::SwallowAll, _) => Self::Drop,
            (Fault::Swallow(swallowed), direction) if swallowed == direction => Self::Drop,
            // Those of a connection that is cut go with it.
            (Fault::Freeze | Fault::Cut, _) => Self::Leave,
            (Fault::Pass | Fault::Swallow(_), _) => Self::Deliver(Duration::ZERO),
        }
    }
}

/// Carries a connection until both ends have closed it, one has reset it, or it is cut.
pub(super) async fn connection(
    number: u64,
    mut client: TcpStream,
    target: SocketAddr,
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
) {
    let mut cut = state.clone();
    let mut is_cut = std::pin::pin!(cut.wait_for(|state| state.of(number) == Fault::Cut));
    let connected = tokio::select! {
        biased;
        _ = &mut is_cut => None,
        connected = TcpStream::connect(target) => connected.ok(),
    };
    let Some(mut server) = connected else {
        return reset(&client);
    };
    // A proxy must not add delays of its own. Without the option there are some; that is no reason to fail.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let carried = tokio::select! {
        biased;
        _ = is_cut => Err(io::ErrorKind::ConnectionReset.into()),
        carried = carry(number, &mut client, &mut server, &shared, &state) => carried,
    };
    if carried.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Makes the close that follows a reset.
fn reset(socket: &TcpStream) {
    // It fails if the socket is gone already.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

async fn carry(
    number: u64,
    client: &mut TcpStream,
    server: &mut TcpStream,
    shared: &Shared,
    state: &watch::Receiver<State>,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let lane = |direction| Lane { number, direction, shared, state: state.clone() };
    tokio::try_join!(
        lane(Direction::ToTarget).carry(from_client, to_server),
        lane(Direction::ToClient).carry(from_server, to_client),
    )?;
    Ok(())
}

/// One direction of a connection.
#[derive(Clone)]
struct Lane<'a> {
    number: u64,
    direction: Direction,
    shared: &'a Shared,
    state: watch::Receiver<State>,
}

/// Bytes on their way; none mean the end.
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
}

impl Lane<'_> {
    async fn carry(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> io::Result<()> {
        let (parcels, parcels_rx) = mpsc::channel(PARCELS_MAX);
        tokio::try_join!(self.clone().take(from, parcels), self.deliver(parcels_rx, to))?;
        Ok(())
    }

    fn treatment(&mut self) -> Treatment {
        Treatment::of(self.state.borrow_and_update().of(self.number), self.direction)
    }

    /// Waits for a change of what goes wrong.
    async fn change(&mut self) -> io::Result<()> {
        self.state.changed().await.map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    async fn take(mut self, mut from: ReadHalf<'_>, parcels: mpsc::Sender<Parcel>) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES_MAX];
        let mut ended = false;
        loop {
            let treatment = self.treatment();
            // What came is dealt with by what is wrong when it came.
            let bytes = tokio::select! {
                changed = self.change() => { changed?; continue; }
                read = from.read(&mut buffer), if !ended && treatment != Treatment::Leave => buffer[..read?].to_vec(),
                () = std::future::ready(()), if ended && matches!(treatment, Treatment::Deliver(_)) => Vec::new(),
            };
            ended |= bytes.is_empty();
            let Treatment::Deliver(delay) = treatment else { continue };
            // If the other end takes no more, the task that hands bytes over has said so.
            let _ = parcels.send(Parcel { due: Instant::now() + delay, bytes }).await;
            if ended {
                return Ok(());
            }
        }
    }

    async fn deliver(mut self, mut parcels: mpsc::Receiver<Parcel>, mut to: WriteHalf<'_>) -> io::Result<()> {
        while let Some(Parcel { due, bytes }) = parcels.recv().await {
            tokio::time::sleep_until(due).await;
            while self.treatment() == Treatment::Leave {
                self.change().await?;
            }
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&bytes).await?;
            self.shared.count(self.direction, bytes.len());
        }
        Ok(())
    }
}
