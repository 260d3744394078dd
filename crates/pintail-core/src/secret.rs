//! The cluster secret and resume tokens, and the proofs made with them.

use std::fmt;
use std::str::FromStr;

use ring::rand::SecureRandom;
use ring::{digest, hmac};

use crate::id::SessionId;
use crate::server::ParseError;

/// Random bytes from the operating system.
///
/// # Panics
/// If the operating system has none to give: nothing that follows would be safe.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// What every server of a cluster knows and no stranger does. Never written to a log or a connection.
#[derive(Clone)]
pub struct ClusterSecret(hmac::Key);

impl ClusterSecret {
    /// The fewest bytes that a secret has: shorter ones can be guessed by trying.
    pub const BYTES_MIN: usize = 16;

    /// A secret made from these bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The stand-in for a secret where every server listens on loopback only. It protects nothing.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new(b"")
    }

    /// Proves knowledge of the secret over these parts, in this order (HMAC-SHA-256 over each part's length and bytes).
    #[must_use]
    pub fn prove(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut proof = [0; 32];
        proof.copy_from_slice(context.sign().as_ref());
        proof
    }

    /// Whether `proof` was made over these parts with the same secret. Takes the same time whatever differs.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], proof: &[u8]) -> bool {
        let mut message = Vec::new();
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        hmac::verify(&self.0, &message, proof).is_ok()
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

/// What whoever asks a server's admin port from another machine has to show. The token itself is not kept, and never
/// written to a log.
#[derive(Clone)]
pub struct AdminToken {
    /// Random, so that what is kept says nothing of the token.
    key: hmac::Key,
    tag: [u8; 32],
}

impl AdminToken {
    /// The fewest characters that a token has: shorter ones can be guessed by trying.
    pub const CHARACTERS_MIN: usize = 16;

    /// This token.
    #[must_use]
    pub fn new(token: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random_bytes::<32>());
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&key, token.as_bytes()).as_ref());
        Self { key, tag }
    }

    /// Whether this is the token. Takes the same time wherever they differ.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        hmac::verify(&self.key, shown.as_bytes(), &self.tag).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// What a client shows to be the same session again: the session's id and a secret, written `<session>.<32 hexadecimal digits>`.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken {
    session: SessionId,
    secret: u128,
}

impl ResumeToken {
    /// A new session with a new token.
    #[must_use]
    pub fn random() -> Self {
        Self { session: SessionId::random(), secret: u128::from_be_bytes(random_bytes()) }
    }

    /// The session that the token claims to be.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// What the store keeps of the token, so that reading the store gives nobody a session.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let digest = digest::digest(&digest::SHA256, self.to_string().as_bytes());
        let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        TokenHash(hex)
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:032x}", self.session, self.secret)
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeToken({}.…)", self.session)
    }
}

impl FromStr for ResumeToken {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // The text itself may be someone's secret: it stays out of the message.
        let wrong = || ParseError::new("…", "a resume token");
        let (session, secret) = text.split_once('.').ok_or_else(wrong)?;
        if secret.len() != 32 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        Ok(Self {
            session: session.parse().map_err(|_| wrong())?,
            secret: u128::from_str_radix(secret, 16).map_err(|_| wrong())?,
        })
    }
}

/// SHA-256 of a resume token, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash(String);

impl TokenHash {
    /// The hash as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_secret_and_parts_only() {
        let secret = ClusterSecret::new(b"correct horse battery staple");
        let proof = secret.prove(&[b"ab", b"c"]);
        assert!(secret.verify(&[b"ab", b"c"], &proof));
        assert!(!secret.verify(&[b"a", b"bc"], &proof), "parts have borders");
        assert!(!ClusterSecret::new(b"another secret").verify(&[b"ab", b"c"], &proof));
        assert!(!secret.verify(&[b"ab", b"c"], &proof[..31]));
    }

    #[test]
    fn an_admin_token_knows_itself_and_hides_itself() {
        let token = AdminToken::new("0123456789abcdef");
        assert!(token.is("0123456789abcdef"));
        for other in ["", "0123456789abcde", "0123456789abcdef ", "0123456789abcdeF"] {
            assert!(!token.is(other), "{other:?}");
        }
        assert!(!format!("{token:?}").contains("0123"));
    }

    #[test]
    fn a_token_reads_what_it_writes_and_hides_itself() {
        let token = ResumeToken::random();
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(token.hash(), token.clone().hash());
        assert!(!format!("{token:?}").contains(&format!("{:032x}", token.secret)));
        let error = "0123456789abcdef.secret".parse::<ResumeToken>().unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
