//! A connection that is encrypted, or not.

use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::ops::DerefMut;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{ConnectionCommon, SideData};
use tokio_rustls::{TlsStream, client, server};

/// A TCP connection, plain or with TLS over it.
///
/// What is written over TLS can wait here, encrypted, for the socket: it is gone for sure only when a flush, or a shutdown,
/// is done. On a plain connection a flush does nothing.
#[derive(Debug)]
pub enum Stream {
    /// What is written is what travels.
    Plain(TcpStream),
    /// Encrypted, by either end. Boxed, because most of a plain connection would be room for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Reads what has arrived, without waiting. The socket itself is asked: the runtime may not have heard yet what is
    /// there. 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, or whatever ended the connection.
    pub fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => (&*SockRef::from(&*socket)).read(buffer),
            Self::Tls(tls) => match &mut **tls {
                TlsStream::Client(tls) => decrypt_now(tls.get_mut(), buffer),
                TlsStream::Server(tls) => decrypt_now(tls.get_mut(), buffer),
            },
        }
    }

    /// Whether the peer has said that nothing follows, or the connection is broken, as far as that shows without waiting.
    /// Nothing is lost: what stands before the end is still to be read, and then the end is not looked for.
    pub fn is_at_end(&mut self) -> bool {
        match self {
            Self::Plain(socket) => matches!(SockRef::from(&*socket).peek(&mut [MaybeUninit::uninit()]), Ok(0)),
            Self::Tls(tls) => match &mut **tls {
                TlsStream::Client(tls) => is_decrypted_end(tls.get_mut()),
                TlsStream::Server(tls) => is_decrypted_end(tls.get_mut()),
            },
        }
    }
}

/// A socket and what decrypts it. Whatever is read goes through the latter, so nothing is taken away from it.
type Parts<'a, C> = (&'a mut TcpStream, &'a mut C);

fn decrypt_now<C, S>((socket, session): Parts<'_, C>, buffer: &mut [u8]) -> io::Result<usize>
where
    C: DerefMut<Target = ConnectionCommon<S>>,
    S: SideData,
{
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => take_in(socket, session)?,
            // At the end of the socket, this says whether the peer had said so.
            result => return result,
        };
    }
}

fn is_decrypted_end<C, S>((socket, session): Parts<'_, C>) -> bool
where
    C: DerefMut<Target = ConnectionCommon<S>>,
    S: SideData,
{
    loop {
        match session.reader().into_first_chunk() {
            Ok(chunk) => return chunk.is_empty(),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return true,
            Err(_) => {}
        }
        if let Err(error) = take_in(socket, session) {
            return error.kind() != io::ErrorKind::WouldBlock;
        }
    }
}

/// Reads once from the socket what is encrypted, and decrypts it.
fn take_in<C, S>(socket: &TcpStream, session: &mut C) -> io::Result<()>
where
    C: DerefMut<Target = ConnectionCommon<S>>,
    S: SideData,
{
    session.read_tls(&mut &*SockRef::from(socket))?;
    session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(())
}

impl From<TcpStream> for Stream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(socket)
    }
}

impl From<server::TlsStream<TcpStream>> for Stream {
    fn from(tls: server::TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(tls.into()))
    }
}

impl From<client::TlsStream<TcpStream>> for Stream {
    fn from(tls: client::TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(tls.into()))
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
