//! Both ends of a connection, for tests: plain, and with TLS.

use std::sync::OnceLock;

use pintail_testkit::Certificates;
use pintail_tls::{Alpn, ServerIdentity, Stream, Trust};
use tokio::net::{TcpListener, TcpStream};

/// What every kind of connection is tried over.
pub(crate) const BOTH: [Cover; 2] = [Cover::Plain, Cover::Tls];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cover {
    Plain,
    Tls,
}

/// Who was accepted, and who dialled.
pub(crate) async fn pair(cover: Cover) -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    if cover == Cover::Plain {
        return (accepted.into(), dialled.into());
    }
    let (identity, trust) = identity();
    let acceptor = identity.acceptor(Alpn::None);
    let (accepted, dialled) = tokio::join!(acceptor.accept(accepted), trust.connect("127.0.0.1", dialled));
    (accepted.unwrap(), dialled.unwrap())
}

/// A server's, and the trust in it. The files are read, and gone.
fn identity() -> &'static (ServerIdentity, Trust) {
    static IDENTITY: OnceLock<(ServerIdentity, Trust)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let certificates = Certificates::new();
        let identity = ServerIdentity::read(&certificates.server_certificate(), &certificates.server_key()).unwrap();
        (identity, Trust::in_file(&certificates.ca_file()).unwrap())
    })
}
