//! How the two ends of a link prove that they belong together, and who they are.
//!
//! ```text
//! gateway → server   Hello      nonce, proof              "I know the secret"
//! server → gateway   Challenge  nonce, proof              "so do I; prove that you are not a recording"
//! gateway → server   Proof      who I am, proof
//! server → gateway   Accept     who I am, proof           the link is open
//! ```
//!
//! A proof is an HMAC over what it follows on, keyed with the cluster secret, which itself never crosses the
//! connection. The dialling side proves first, so a stranger is told nothing; a recorded Hello gets a nonce and no more.
//! Names in the proofs keep one message from being taken for another.

use pintail_core::secret::random_bytes;
use pintail_core::{ClusterSecret, Incarnation, Slot};
use pintail_wire::kind::link as kind;
use pintail_wire::link::{Accept, Challenge, Hello, Proof};
use pintail_wire::{LINK_VERSION, Message};
use thiserror::Error;

use crate::connection::{ConnectionError, TcpConnection};
use crate::outbox::Outbox;

/// Who a server is, to the other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name: servers of different clusters don't link, even if they share a secret.
    pub cluster: String,
    /// The server's slot.
    pub slot: Slot,
    /// This start of it.
    pub incarnation: Incarnation,
}

/// Why a greeting failed.
#[derive(Debug, Error)]
pub enum GreetingError {
    /// The connection broke or closed: what a stranger, or one with another secret, sees.
    #[error("the other side closed the connection during the greeting (another cluster secret, or no Pintail server)")]
    Closed,
    /// What the other side sent is no greeting: it does not speak the link protocol.
    #[error("the other side does not speak the link protocol ({0})")]
    NotALink(String),
    /// It speaks a version of the link protocol that this one does not.
    #[error("the other side speaks version {0} of the link protocol, this server version {LINK_VERSION}")]
    Version(u32),
    /// It does not know the cluster secret.
    #[error("the other side has another cluster secret")]
    WrongSecret,
    /// It proved the secret but belongs to another cluster.
    #[error("the other side belongs to the cluster `{0}`")]
    WrongCluster(String),
    /// Another server, or another start of it, answers at this address.
    #[error("another server answers at this address: {} ({})", .0.slot, .0.incarnation)]
    Unexpected(Box<Identity>),
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
}

impl From<std::io::Error> for GreetingError {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.into())
    }
}

const HELLO: &[u8] = b"pintail link hello";
const CHALLENGE: &[u8] = b"pintail link challenge";
const PROOF: &[u8] = b"pintail link proof";
const ACCEPT: &[u8] = b"pintail link accept";

type Nonce = [u8; 32];

async fn expect<M: Message + Default>(connection: &mut TcpConnection, kind: u8) -> Result<M, GreetingError> {
    // Nothing is queued during the greeting.
    let nothing = Outbox::new(0);
    let frame = match connection.recv(&nothing).await {
        Ok(Some(frame)) => frame,
        Ok(None) => return Err(GreetingError::Closed),
        Err(ConnectionError::Io(_)) => return Err(GreetingError::Closed),
        Err(ConnectionError::Frame(error)) => return Err(GreetingError::NotALink(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    if frame.kind != kind {
        return Err(GreetingError::NotALink(format!("a frame of kind {} came where {kind} should", frame.kind)));
    }
    M::decode(frame.body).map_err(|error| GreetingError::NotALink(error.to_string()))
}

fn nonce(bytes: &[u8]) -> Result<Nonce, GreetingError> {
    bytes.try_into().map_err(|_| GreetingError::NotALink("a nonce of another length".to_owned()))
}

fn identity(cluster: String, slot: &str, incarnation: &str) -> Result<Identity, GreetingError> {
    let wrong = |error: pintail_core::server::ParseError| GreetingError::NotALink(error.to_string());
    Ok(Identity { cluster, slot: slot.parse().map_err(wrong)?, incarnation: incarnation.parse().map_err(wrong)? })
}

/// One greeting's secret and nonces, from which the proofs are made.
struct Greeting<'a> {
    secret: &'a ClusterSecret,
    gateway: Nonce,
    server: Nonce,
}

impl Greeting<'_> {
    fn prove(&self, name: &[u8], cluster: &str, slot: &str, incarnation: &str) -> Vec<u8> {
        self.secret.prove(&self.parts(name, cluster, slot, incarnation)).to_vec()
    }

    fn verify(&self, name: &[u8], who: [&str; 3], proof: &[u8]) -> Result<(), GreetingError> {
        let [cluster, slot, incarnation] = who;
        let holds = self.secret.verify(&self.parts(name, cluster, slot, incarnation), proof);
        if holds { Ok(()) } else { Err(GreetingError::WrongSecret) }
    }

    fn parts<'a>(&'a self, name: &'a [u8], cluster: &'a str, slot: &'a str, incarnation: &'a str) -> [&'a [u8]; 6] {
        [name, &self.gateway, &self.server, cluster.as_bytes(), slot.as_bytes(), incarnation.as_bytes()]
    }
}

/// The dialling side: proves the secret to a server and learns who it is. A server that registered without an
/// incarnation is known by its slot alone.
///
/// # Errors
/// If the other side is no server of this cluster, or not the one expected. The caller bounds the time.
pub async fn greet(
    connection: &mut TcpConnection,
    secret: &ClusterSecret,
    me: &Identity,
    expected: (Slot, Option<Incarnation>),
) -> Result<Identity, GreetingError> {
    let gateway: Nonce = random_bytes();
    let version = LINK_VERSION.to_be_bytes();
    let proof = secret.prove(&[HELLO, &version, &gateway]).to_vec();
    let hello = Hello { version: LINK_VERSION, nonce: gateway.to_vec(), proof };
    connection.send_now(kind::HELLO, &hello.encode_to_vec()).await?;

    let challenge: Challenge = expect(connection, kind::CHALLENGE).await?;
    let server = nonce(&challenge.nonce)?;
    if !secret.verify(&[CHALLENGE, &gateway, &server], &challenge.proof) {
        return Err(GreetingError::WrongSecret);
    }

    let greeting = Greeting { secret, gateway, server };
    let (slot, incarnation) = (me.slot.to_string(), me.incarnation.to_string());
    let proof = greeting.prove(PROOF, &me.cluster, &slot, &incarnation);
    let proof = Proof { cluster: me.cluster.clone(), slot, incarnation, proof };
    connection.send_now(kind::PROOF, &proof.encode_to_vec()).await?;

    let accept: Accept = expect(connection, kind::ACCEPT).await?;
    greeting.verify(ACCEPT, [&accept.cluster, &accept.slot, &accept.incarnation], &accept.proof)?;
    let identity = identity(accept.cluster, &accept.slot, &accept.incarnation)?;
    if identity.cluster != me.cluster {
        return Err(GreetingError::WrongCluster(identity.cluster));
    }
    let (slot, incarnation) = expected;
    if identity.slot != slot || incarnation.is_some_and(|incarnation| incarnation != identity.incarnation) {
        return Err(GreetingError::Unexpected(Box::new(identity)));
    }
    Ok(identity)
}

/// The listening side: lets a gateway prove the secret and tells it who answers.
///
/// # Errors
/// If the other side is no gateway of this cluster; it has been told nothing. The caller bounds the time.
pub async fn answer(
    connection: &mut TcpConnection,
    secret: &ClusterSecret,
    me: &Identity,
) -> Result<Identity, GreetingError> {
    let hello: Hello = expect(connection, kind::HELLO).await?;
    let gateway = nonce(&hello.nonce)?;
    if !secret.verify(&[HELLO, &hello.version.to_be_bytes(), &gateway], &hello.proof) {
        return Err(GreetingError::WrongSecret);
    }
    if hello.version != LINK_VERSION {
        return Err(GreetingError::Version(hello.version));
    }

    let server: Nonce = random_bytes();
    let proof = secret.prove(&[CHALLENGE, &gateway, &server]).to_vec();
    let challenge = Challenge { nonce: server.to_vec(), proof };
    connection.send_now(kind::CHALLENGE, &challenge.encode_to_vec()).await?;

    let greeting = Greeting { secret, gateway, server };
    let proof: Proof = expect(connection, kind::PROOF).await?;
    greeting.verify(PROOF, [&proof.cluster, &proof.slot, &proof.incarnation], &proof.proof)?;
    let peer = identity(proof.cluster, &proof.slot, &proof.incarnation)?;

    let (slot, incarnation) = (me.slot.to_string(), me.incarnation.to_string());
    let proof = greeting.prove(ACCEPT, &me.cluster, &slot, &incarnation);
    let accept = Accept { cluster: me.cluster.clone(), slot, incarnation, proof };
    connection.send_now(kind::ACCEPT, &accept.encode_to_vec()).await?;
    if peer.cluster != me.cluster {
        return Err(GreetingError::WrongCluster(peer.cluster));
    }
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use pintail_core::Kind;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn who(cluster: &str, kind: Kind) -> Identity {
        Identity { cluster: cluster.to_owned(), slot: Slot::new(kind, 0), incarnation: Incarnation::random() }
    }

    async fn streams() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (dialled, listener.accept().await.unwrap().0)
    }

    fn connection(stream: TcpStream) -> TcpConnection {
        TcpConnection::new(stream, 4096, 4096).unwrap()
    }

    async fn meet(
        gateway: (&Identity, &str),
        server: (&Identity, &str),
        expected: (Slot, Option<Incarnation>),
    ) -> (Result<Identity, GreetingError>, Result<Identity, GreetingError>) {
        let (dialled, accepted) = streams().await;
        let dialling = async move {
            let secret = ClusterSecret::new(gateway.1.as_bytes());
            greet(&mut connection(dialled), &secret, gateway.0, expected).await
        };
        let answering = async move {
            let secret = ClusterSecret::new(server.1.as_bytes());
            answer(&mut connection(accepted), &secret, server.0).await
        };
        tokio::join!(dialling, answering)
    }

    #[tokio::test]
    async fn two_of_one_cluster_learn_who_the_other_is() {
        let (gateway, server) = (who("c", Kind::Gateway), who("c", Kind::Game));
        let expected = (server.slot, Some(server.incarnation));
        let (greeted, answered) = meet((&gateway, "secret"), (&server, "secret"), expected).await;
        assert_eq!(greeted.unwrap(), server);
        assert_eq!(answered.unwrap(), gateway);
    }

    #[tokio::test]
    async fn another_secret_cluster_or_incarnation_is_refused() {
        let (gateway, server) = (who("c", Kind::Gateway), who("c", Kind::Game));
        let expected = (server.slot, Some(server.incarnation));
        let (greeted, answered) = meet((&gateway, "secret"), (&server, "another"), expected).await;
        assert!(matches!(greeted, Err(GreetingError::Closed)), "{greeted:?}");
        assert!(matches!(answered, Err(GreetingError::WrongSecret)), "{answered:?}");

        let stranger = who("d", Kind::Gateway);
        let (greeted, answered) = meet((&stranger, "secret"), (&server, "secret"), expected).await;
        assert!(matches!(greeted, Err(GreetingError::WrongCluster(cluster)) if cluster == "c"));
        assert!(matches!(answered, Err(GreetingError::WrongCluster(cluster)) if cluster == "d"));

        let earlier = (server.slot, Some(Incarnation::random()));
        let (greeted, _) = meet((&gateway, "secret"), (&server, "secret"), earlier).await;
        assert!(matches!(greeted, Err(GreetingError::Unexpected(other)) if *other == server));
    }

    #[tokio::test]
    async fn a_stranger_is_told_nothing() {
        let server = who("c", Kind::Game);
        for rubbish in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0\0\0\x01\x01", b"\0\0\0\x02\x05x"] {
            let (mut stranger, accepted) = streams().await;
            let listen = async {
                let mut connection = connection(accepted);
                assert!(answer(&mut connection, &ClusterSecret::new(b"secret"), &server).await.is_err());
            };
            let speak = async {
                stranger.write_all(rubbish).await.unwrap();
                let mut heard = Vec::new();
                let _ = stranger.read_to_end(&mut heard).await;
                assert!(heard.is_empty(), "{heard:?}");
            };
            tokio::join!(listen, speak);
        }
    }

    #[tokio::test]
    async fn a_recorded_greeting_opens_nothing() {
        let (gateway, server) = (who("c", Kind::Gateway), who("c", Kind::Game));
        let secret = ClusterSecret::new(b"secret");
        let nonce: Nonce = random_bytes();
        let proof = secret.prove(&[HELLO, &LINK_VERSION.to_be_bytes(), &nonce]).to_vec();
        let hello = Hello { version: LINK_VERSION, nonce: nonce.to_vec(), proof };
        let (dialled, accepted) = streams().await;
        let replay = async {
            let mut connection = connection(dialled);
            connection.send_now(kind::HELLO, &hello.encode_to_vec()).await.unwrap();
            let _: Challenge = expect(&mut connection, kind::CHALLENGE).await.unwrap();
            // A proof made for another challenge.
            let greeting = Greeting { secret: &secret, gateway: nonce, server: random_bytes() };
            let (slot, incarnation) = (gateway.slot.to_string(), gateway.incarnation.to_string());
            let proof = greeting.prove(PROOF, "c", &slot, &incarnation);
            let proof = Proof { cluster: "c".to_owned(), slot, incarnation, proof };
            connection.send_now(kind::PROOF, &proof.encode_to_vec()).await.unwrap();
            let accept: Result<Accept, _> = expect(&mut connection, kind::ACCEPT).await;
            assert!(matches!(accept, Err(GreetingError::Closed)));
        };
        let listen = async {
            let answered = answer(&mut connection(accepted), &secret, &server).await;
            assert!(matches!(answered, Err(GreetingError::WrongSecret)));
        };
        tokio::join!(replay, listen);
    }
}
