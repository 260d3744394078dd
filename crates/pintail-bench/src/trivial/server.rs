//! The trivial server's connections.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use pintail_core::limits::CLIENT_FRAME_BYTES_MAX;
use pintail_wire::frame::LENGTH_BYTES;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use super::desk::{Desk, Peer};

/// How much is read at once, shared by all connections.
const SCRATCH_BYTES: usize = 2 * (LENGTH_BYTES + 1 + CLIENT_FRAME_BYTES_MAX);

/// How long nobody is let in after the operating system had no more files to give: it would say the same at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves on a free port of 127.0.0.1, whose address it prints, until the process is ended. To be run on a runtime of one
/// thread.
///
/// # Errors
/// If it can't listen, or nobody reads the address.
pub async fn serve() -> io::Result<()> {
    // The operating system's limit is for old programs: as many connections as it lets be raised to.
    let _ = pintail_net::descriptors::raise_limit();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut stdout = io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    match LocalSet::new().run_until(accept(&listener)).await {}
}

async fn accept(listener: &TcpListener) -> Infallible {
    let desk = Rc::new(Desk::default());
    let scratch = Rc::new(RefCell::new(vec![0; SCRATCH_BYTES]));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Those that are there go on; whoever waits has a place as soon as one of them goes.
            Err(_) => {
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A connection that is gone already has no options any more.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let (desk, scratch) = (desk.clone(), scratch.clone());
        spawn_local(async move {
            let peer = desk.arrive();
            let mut connection = Connection { stream, peer: peer.clone(), partial: Vec::new() };
            // Whoever is gone is gone: there is nobody to be told why.
            let _ = poll_fn(|cx| connection.poll(cx, &desk, &mut scratch.borrow_mut())).await;
            desk.depart(&peer);
        });
    }
}

struct Connection {
    stream: TcpStream,
    peer: Rc<Peer>,
    /// The beginning of a frame whose rest has not arrived.
    partial: Vec<u8>,
}

impl Connection {
    /// Does what there is to do. Ready when the connection ends.
    fn poll(&mut self, cx: &mut Context<'_>, desk: &Desk, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        // Whoever queues a frame for this connection wakes its task; what it queues itself, it also writes itself.
        let waker = self.peer.waker.take();
        let done = self.work(cx, desk, scratch);
        if done.is_pending() {
            let waker = waker.filter(|waker| waker.will_wake(cx.waker()));
            *self.peer.waker.borrow_mut() = Some(waker.unwrap_or_else(|| cx.waker().clone()));
        }
        done
    }

    /// Reads what is there and writes what is queued, until there is nothing more to do.
    fn work(&mut self, cx: &mut Context<'_>, desk: &Desk, scratch: &mut [u8]) -> Poll<io::Result<()>> {
        loop {
            let written = self.write(cx);
            if self.peer.closing.get() || matches!(written, Poll::Ready(Err(_))) {
                return Poll::Ready(Ok(()));
            }
            let kept = self.partial.len();
            let mut buffer = ReadBuf::new(&mut scratch[kept..]);
            // What can't be written now does not keep anything from being read: another player may be who must read first.
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(read) => read?,
            }
            let count = buffer.filled().len();
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            scratch[..kept].copy_from_slice(&self.partial);
            self.take(desk, &scratch[..kept + count])?;
        }
    }

    fn take(&mut self, desk: &Desk, arrived: &[u8]) -> io::Result<()> {
        let refused = || io::Error::from(io::ErrorKind::InvalidData);
        let mut rest = arrived;
        while let Some((&length, after)) = rest.split_first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_be_bytes(length) as usize;
            if !(1..=1 + CLIENT_FRAME_BYTES_MAX).contains(&length) {
                return Err(refused());
            }
            let Some((frame, after)) = after.split_at_checked(length) else { break };
            desk.take(&self.peer, frame[0], &frame[1..]).map_err(|_| refused())?;
            rest = after;
        }
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        if self.partial.is_empty() {
            self.partial = Vec::new();
        }
        Ok(())
    }

    /// Writes what is queued, as far as the socket takes it.
    fn write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = self.peer.out.borrow_mut();
        while !out.is_empty() {
            match self.stream.try_write(&out) {
                Ok(count) => out.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.poll_write_ready(cx)?.is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use pintail_core::{GameId, RoomId, Round, Seq};
    use pintail_wire::client::lobby_request::Request;
    use pintail_wire::client::{CreateRoom, JoinRoom, LobbyRequest, join_room};
    use pintail_wire::game::Input;
    use pintail_wire::kind::client as kind;
    use pintail_wire::{Message, encode_frame_parts};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn request(request: Request) -> Vec<u8> {
        let request = LobbyRequest { request: Some(request) }.encode_to_vec();
        frame(kind::LOBBY_REQUEST, &[&7_u64.to_be_bytes(), &request])
    }

    fn frame(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
        let mut frame = BytesMut::new();
        encode_frame_parts(&mut frame, kind, parts);
        frame.to_vec()
    }

    /// Sends a frame and waits until something comes back.
    async fn ask(stream: &mut TcpStream, frame: &[u8]) {
        stream.write_all(frame).await.unwrap();
        assert!(timeout(PATIENCE, stream.read(&mut [0; 4096])).await.unwrap().unwrap() > 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_player_who_does_not_read_loses_the_connection_and_the_others_play_on() {
        const SENT_BYTES: usize = 64 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let all = LocalSet::new();
        all.spawn_local(async move { accept(&listener).await });
        all.run_until(async {
            let (mut ann, mut bob) =
                (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
            let settings = r#"{"mode":"relay"}"#.to_owned();
            ask(&mut ann, &request(Request::CreateRoom(CreateRoom { settings, ..CreateRoom::default() }))).await;
            let by = Some(join_room::By::Room(1));
            ask(&mut bob, &request(Request::JoinRoom(JoinRoom { by }))).await;
            let game = GameId { room: RoomId(1), round: Round(1) };
            let mut sent = 0;
            for seq in 1.. {
                let frame = frame(kind::GAME_INPUT, &[&Input::header(game, Seq(seq), Seq(0))[..], &[7; 60_000]]);
                timeout(PATIENCE, ann.write_all(&frame)).await.expect("nobody waits for Bob").unwrap();
                sent += frame.len();
                if sent > SENT_BYTES {
                    break;
                }
            }
            // Ann has been heard to the end, while Bob read nothing.
            ask(&mut ann, &frame(kind::PING, &[b"x"])).await;
            let (mut got, mut buffer) = (0, vec![0; 1 << 20]);
            let read_to_end = async {
                loop {
                    match bob.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => got += count,
                    }
                }
            };
            timeout(PATIENCE, read_to_end).await.expect("the connection ends");
            assert!(got < SENT_BYTES / 2, "{got} bytes were kept for Bob");
        })
        .await;
    }
}
