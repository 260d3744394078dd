//! TLS as Pintail uses it: with ring, from PEM files, and with a server's certificate that changes while it runs.
//!
//! | module | what it does |
//! | --- | --- |
//! | `stream` | a connection that is encrypted, or not: one type for both |
//! | `server` | the certificate that a server shows, read anew when its files change |
//! | `trust` | whom a client trusts, and how it connects |
//! | `files` | certificates and keys in PEM files |

mod files;
mod server;
mod stream;
mod trust;

use std::io;
use std::sync::Arc;

use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use files::{Authorities, Identity, TlsError};
pub use server::{AcceptError, Acceptor, Alpn, RELOAD_PERIOD, Refresh, ServerIdentity};
pub use stream::Stream;
pub use trust::{HandshakeError, Trust, client_config};

/// How much a connection encrypts before its socket has to take some of it: one record of TLS. It is what a peer who reads
/// nothing can make us hold beyond what is queued for it anyway.
const BUFFER_BYTES_MAX: usize = 16 * 1024;

/// What TLS says was wrong, if that is why there is no connection.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The provider is named wherever it is needed and not taken from the process, so that no other library's choice gets in
/// the way.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
