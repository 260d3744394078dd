//! The certificate that a server shows.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};
use tracing::{info, warn};

use crate::files::{Identity, TlsError};
use crate::{BUFFER_BYTES_MAX, Stream, provider, tls_error};

/// How often a server looks whether its certificate's files have changed. Whoever replaces them does so days before the old
/// one ends.
pub const RELOAD_PERIOD: Duration = Duration::from_secs(60);

/// How long a look may take before the log is told of it: the disk may be elsewhere, and away.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// A server's certificate and key, which may be replaced while it runs. Clones are the same one.
#[derive(Debug, Clone)]
pub struct ServerIdentity {
    files: Files,
    current: Arc<Current>,
    /// What the files looked like that are in use.
    stamps: Arc<Mutex<Stamps>>,
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells a file from the one that was there before; `None` for one that can't be looked at.
type Stamps = [Option<Stamp>; 2];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    /// Another file under the same name, however old: certificates are often put in place by renaming.
    inode: u64,
}

impl Stamp {
    fn of(file: &Path) -> Option<Self> {
        let metadata = fs::metadata(file).ok()?;
        Some(Self { modified: metadata.modified().ok()?, bytes: metadata.len(), inode: metadata.ino() })
    }
}

impl Files {
    fn stamps(&self) -> Stamps {
        [Stamp::of(&self.certificate), Stamp::of(&self.key)]
    }
}

/// What a look at the files came to.
#[derive(Debug)]
pub enum Refresh {
    /// They are those that are in use.
    Unchanged,
    /// New connections get what they hold now.
    Replaced,
    /// They have changed and can't be used, so what was there before still is.
    Kept(TlsError),
}

impl ServerIdentity {
    /// Reads a certificate (with those between it and its authority, if any) and its key, both in PEM files.
    ///
    /// # Errors
    /// If a file can't be read, or the two don't belong together. Whether the certificate is still good is not looked at:
    /// clients do.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        // Looked at first: what changes meanwhile is read once more.
        let stamps = files.stamps();
        let identity = Identity::read(certificate, key)?;
        let current = Arc::new(Current(RwLock::new(identity.0)));
        Ok(Self { files, current, stamps: Arc::new(Mutex::new(stamps)) })
    }

    /// Looks at the files, and takes what they hold for new connections if they have changed and can be used. It waits for
    /// the disk.
    #[must_use]
    pub fn refresh(&self) -> Refresh {
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.files.stamps();
        if now == *stamps {
            return Refresh::Unchanged;
        }
        match Identity::read(&self.files.certificate, &self.files.key) {
            Ok(identity) => {
                self.current.replace(identity);
                *stamps = now;
                Refresh::Replaced
            }
            Err(why) => Refresh::Kept(why),
        }
    }

    /// Looks at the files every [`RELOAD_PERIOD`], for ever, and tells the log of what it finds: what can't be used is told
    /// once. Dropping it ends it.
    pub async fn keep_up(&self) {
        let certificate = self.files.certificate.display();
        let mut told = None;
        loop {
            sleep(RELOAD_PERIOD).await;
            let looking = self.clone();
            let mut look = spawn_blocking(move || looking.refresh());
            let found = match timeout(LOOK_PATIENCE, &mut look).await {
                Ok(found) => found,
                Err(_) => {
                    warn!(%certificate, "the disk does not say whether the certificate has changed: the old one is still used");
                    // The next look begins when this one has ended.
                    look.await
                }
            };
            // A look that panics is a look that found nothing.
            let Ok(found) = found else { continue };
            match news(&found, &mut told) {
                None => {}
                Some(Ok(())) => info!(%certificate, "the certificate has changed: new connections get the new one"),
                Some(Err(why)) => {
                    warn!(%certificate, "the new certificate can't be used, so the old one still is: {why}");
                }
            }
        }
    }

    /// What takes the connections of a port.
    #[must_use]
    pub fn acceptor(&self, alpn: Alpn) -> Acceptor {
        Acceptor(TlsAcceptor::from(Arc::new(config(self.current.clone(), alpn))))
    }
}

/// What there is to tell of what was found: that there is a new certificate, or why there is none, unless that was `told`
/// last.
fn news(found: &Refresh, told: &mut Option<String>) -> Option<Result<(), String>> {
    match found {
        Refresh::Unchanged => {
            *told = None;
            None
        }
        Refresh::Replaced => {
            *told = None;
            Some(Ok(()))
        }
        Refresh::Kept(why) => {
            let why = Some(why.to_string());
            if *told == why {
                return None;
            }
            told.clone_from(&why);
            why.map(Err)
        }
    }
}

/// What clients are told is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// Nothing: they know.
    None,
    /// HTTP/1.1, which browsers ask for.
    Http11,
}

/// Takes connections with TLS.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Acceptor")
    }
}

/// Why a connection has no TLS.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// What came is something else.
    #[error("what came is no TLS: here, clients connect to addresses that begin with tls:// or wss://")]
    NoTls,
    /// The client said no.
    #[error("the client ended the handshake ({0}): it may not trust the authority of this certificate")]
    Refused(String),
    /// The client went away.
    #[error("the connection was lost before the handshake was done: {0}")]
    Lost(io::Error),
    /// The two have nothing in common, or the client broke the rules.
    #[error("the handshake failed: {0}")]
    Failed(rustls::Error),
}

impl From<io::Error> for AcceptError {
    fn from(error: io::Error) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::InvalidMessage(_)) => Self::NoTls,
            Some(rustls::Error::AlertReceived(alert)) => Self::Refused(format!("{alert:?}")),
            Some(other) => Self::Failed(other.clone()),
            None => Self::Lost(error),
        }
    }
}

impl Acceptor {
    /// The handshake. Whoever calls it limits how long it may take. Meanwhile, it holds at most the 64 KiB that rustls takes
    /// of a client's first message.
    ///
    /// # Errors
    /// If there is no TLS to be had with this client.
    pub async fn accept(&self, socket: TcpStream) -> Result<Stream, AcceptError> {
        let tls = self.0.accept_with(socket, |session| session.set_buffer_limit(Some(BUFFER_BYTES_MAX))).await?;
        Ok(tls.into())
    }
}

/// No session is resumed: each handshake is a whole one. Players come back by the thousand when their gateway has died, and
/// then to other gateways, which could open its tickets only with a key that they all share: whoever got hold of that could
/// read what was recorded before. Those who come back to the same gateway are few. So tickets would be made, sent and kept
/// for nothing, and a cache of sessions would hold memory for players who have left. A whole handshake takes the server one
/// signature more.
fn config(current: Arc<Current>, alpn: Alpn) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring can do TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = match alpn {
        Alpn::None => Vec::new(),
        Alpn::Http11 => vec![b"http/1.1".to_vec()],
    };
    config
}

/// What new connections are shown.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = identity.0;
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests {
    use pintail_testkit::Certificates;
    use tempfile::TempDir;

    use super::*;

    /// Where a server's files are, to be replaced.
    struct Place {
        directory: TempDir,
    }

    impl Place {
        fn new(certificates: &Certificates) -> Self {
            let place = Self { directory: TempDir::new().unwrap() };
            place.put(certificates, certificates);
            place
        }

        /// As tools do that renew certificates: a new file takes the name of the old one.
        fn put(&self, certificate: &Certificates, key: &Certificates) {
            for (from, to) in [(certificate.server_certificate(), "server.pem"), (key.server_key(), "server.key")] {
                let new = self.directory.path().join("new");
                fs::copy(from, &new).unwrap();
                fs::rename(new, self.directory.path().join(to)).unwrap();
            }
        }

        fn identity(&self) -> ServerIdentity {
            let file = |name| self.directory.path().join(name);
            ServerIdentity::read(&file("server.pem"), &file("server.key")).unwrap()
        }
    }

    fn shown(identity: &ServerIdentity) -> Vec<u8> {
        identity.current.0.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn what_is_replaced_by_what_can_be_used_is_used() {
        let (one, other) = (Certificates::new(), Certificates::new());
        let place = Place::new(&one);
        let identity = place.identity();
        let first = shown(&identity);
        assert!(matches!(identity.refresh(), Refresh::Unchanged));
        place.put(&other, &other);
        assert!(matches!(identity.refresh(), Refresh::Replaced));
        assert_ne!(shown(&identity), first);
        assert!(matches!(identity.refresh(), Refresh::Unchanged));
    }

    #[test]
    fn what_cannot_be_used_leaves_what_was_there_until_it_can() {
        let (one, other) = (Certificates::new(), Certificates::new());
        let place = Place::new(&one);
        let identity = place.identity();
        let first = shown(&identity);
        // One of the two has come, the other has not.
        place.put(&other, &one);
        for _ in 0..2 {
            let found = identity.refresh();
            assert!(matches!(found, Refresh::Kept(TlsError::Mismatch { .. })), "{found:?}");
            assert_eq!(shown(&identity), first);
        }
        fs::remove_file(place.directory.path().join("server.key")).unwrap();
        assert!(matches!(identity.refresh(), Refresh::Kept(TlsError::Unreadable { .. })));
        place.put(&other, &other);
        assert!(matches!(identity.refresh(), Refresh::Replaced));
        assert_ne!(shown(&identity), first);
    }

    #[test]
    fn what_cannot_be_used_is_told_once() {
        let mut told = None;
        let kept = || Refresh::Kept(TlsError::NoAuthorities);
        let unreadable =
            || Refresh::Kept(TlsError::Unreadable { file: "x".into(), error: io::ErrorKind::NotFound.into() });
        let why = |refresh: Refresh| match refresh {
            Refresh::Kept(why) => Some(Err(why.to_string())),
            other => panic!("{other:?}"),
        };
        for (found, news) in [
            (Refresh::Unchanged, None),
            (kept(), why(kept())),
            (kept(), None),
            (unreadable(), why(unreadable())),
            (unreadable(), None),
            (Refresh::Replaced, Some(Ok(()))),
            (unreadable(), why(unreadable())),
            (Refresh::Unchanged, None),
            (unreadable(), why(unreadable())),
        ] {
            assert_eq!(super::news(&found, &mut told), news, "{found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_looked_at_by_themselves() {
        let (one, other) = (Certificates::new(), Certificates::new());
        let place = Place::new(&one);
        let identity = place.identity();
        let first = shown(&identity);
        place.put(&other, &other);
        let replaced = async {
            while shown(&identity) == first {
                sleep(RELOAD_PERIOD).await;
            }
        };
        tokio::select! {
            () = identity.keep_up() => panic!("it goes on for ever"),
            replaced = tokio::time::timeout(RELOAD_PERIOD * 10, replaced) => replaced.unwrap(),
        }
    }
}
